"""Static files: cached for a year under an address that changes with their bytes, and the copied-in ones by their lock."""

import hashlib
import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, TypeAdapter
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER: Final = Path(__file__).parent / "static"
VENDOR: Final = FOLDER / "vendor"
_FOREVER: Final = "public, max-age=31536000, immutable"
_MARK: Final = re.compile(r"[0-9a-f]{12}", re.ASCII)
_IMPORT: Final = re.compile(r'^(?:import|export)\b[^"\n]*"\./([\w-]+\.js)";', re.MULTILINE)


class Vendored(BaseModel):
    """One copied-in package: where it came from, and the SHA-384 of each of its files as a browser's integrity value."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    version: str
    licence: str
    source: str
    folder: str
    files: dict[str, str]


@cache
def vendored() -> dict[str, Vendored]:
    """The packages of vendor.lock.json by name."""
    entries = TypeAdapter(list[Vendored]).validate_python(json.loads((VENDOR / "vendor.lock.json").read_text("utf-8")))
    return {entry.name: entry for entry in entries}


def vendor_url(package: str, name: str) -> str:
    return f"/static/vendor/{vendored()[package].folder}/{name}"


def integrity(package: str, name: str) -> str:
    return vendored()[package].files[name]


@cache
def mark() -> str:
    """Changes with the bytes of any of our own files: scripts name each other, so they are of one age or none."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.*")):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def asset_url(name: str) -> str:
    """The address of one of our own files; what a script imports beside itself is under the same mark."""
    return f"/static/{mark()}/{name}"


def modules(names: Iterable[str]) -> list[str]:
    """These script modules and all that they import, each once."""
    found = list(dict.fromkeys(names))
    for name in found:  # grows while it is gone through
        found += [one for one in _imported(name) if one not in found]
    return found


@cache
def _imported(name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_IMPORT.findall((FOLDER / name).read_text("utf-8"))))


class Assets(StaticFiles):
    """Files under /static. An address that names its version may be kept for ever, any other is asked for again."""

    def __init__(self) -> None:
        super().__init__(directory=FOLDER)

    async def get_response(self, path: str, scope: Scope) -> Response:
        first, _, rest = path.partition("/")
        response = await super().get_response(rest if _MARK.fullmatch(first) else path, scope)
        is_versioned = first == mark() or path.count("/") > 1  # vendor/<name>-<version>/<file>
        response.headers["Cache-Control"] = _FOREVER if is_versioned else "no-cache"
        return response

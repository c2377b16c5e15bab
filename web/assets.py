"""Static files: cached for a year under an address that changes with their bytes, and the copied-in ones by their lock."""

import hashlib
import json
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
def asset_url(name: str) -> str:
    """The address of one of our own files, with a mark of its bytes."""
    return f"/static/{name}?v={hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()[:12]}"


class Assets(StaticFiles):
    """Files under /static. An address that names its version may be kept for ever, any other is asked for again."""

    def __init__(self) -> None:
        super().__init__(directory=FOLDER)

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        is_versioned = path.count("/") > 1 or scope["query_string"].startswith(b"v=")  # vendor/<name>-<version>/<file>
        response.headers["Cache-Control"] = _FOREVER if is_versioned else "no-cache"
        return response

"""The device rules of a run: the shipped catalogue, and the rules that a site has made and published."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.deid.local_rules import Content, rule_of
from core.deid.mask_rules import Rule, catalogue, catalogue_version
from core.errors import Malformed

LARGEST: Final = 4 << 20
FORMAT: Final = "sonobank-device-rules-v1"
_LONGEST_CODE: Final = 40
_NOT_RULES: Final = "This is not a file of device rules that a site has exported."


@dataclass(frozen=True)
class Rules:
    """`version` changes whenever a mask could come out otherwise."""

    rules: tuple[Rule, ...]
    version: str


def shipped() -> Rules:
    return Rules(catalogue(), catalogue_version())


def with_published(path: Path) -> Rules:
    """The catalogue and a site's published rules, from the JSON that its `GET /api/v1/device-rules` gives.

    Raises Malformed for a file that is not that."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Malformed("The file of device rules cannot be read.") from error
    if len(content) > LARGEST:
        raise Malformed("The file of device rules is larger than 4 MiB.")
    known = shipped()
    return Rules((*_published(content), *known.rules), f"{known.version}+{hashlib.sha256(content).hexdigest()[:12]}")


def _published(content: bytes) -> tuple[Rule, ...]:
    try:
        given = json.loads(content)
        if given["format"] != FORMAT:
            raise Malformed(_NOT_RULES)
        return tuple(
            rule_of(str(one["rule"])[:_LONGEST_CODE], int(one["version"]), Content.of(one["content"]))
            for one in given["rules"]
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise Malformed(_NOT_RULES) from error

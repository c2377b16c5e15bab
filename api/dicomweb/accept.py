"""Content negotiation (PS3.18 section 8.7, RFC 9110 section 12.5.1): what the client takes, best first."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from fastapi import Request

from api.dicomweb.refusals import NotAcceptable
from core.dicom.multipart import media_type
from core.errors import Malformed

ANY: Final = "*/*"
JSON_TYPES: Final = ("application/dicom+json", "application/json")
_ENTRY = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")+')
_QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


@dataclass(frozen=True)
class Accepted:
    """One media range. `part` is the type of the parts where the range is multipart, else None."""

    kind: str
    quality: float = 1.0
    part: str | None = None
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def transfer_syntax(self) -> str | None:
        return self.parameters.get("transfer-syntax")

    @property
    def is_wild(self) -> bool:
        return self.kind == ANY


def accepted(request: Request) -> list[Accepted]:
    """The media ranges in the order of preference; the query parameter `accept` rules over the header (8.3.3.1).

    Without either everything is accepted. Ranges that cannot be read and those of quality 0 are left out."""
    return [entry for entry in _ranges(request) if entry.quality > 0]


def _ranges(request: Request) -> list[Accepted]:
    """Those of quality 0 too."""
    values = request.query_params.getlist("accept") or request.headers.getlist("accept")
    if not any(value.strip() for value in values):
        return [Accepted(ANY)]
    found = [entry for value in values for text in _ENTRY.findall(value) if (entry := _entry(text))]
    return sorted(found, key=lambda entry: -entry.quality)


def _entry(text: str) -> Accepted | None:
    try:
        kind, parameters = media_type(text)
    except Malformed:
        return None
    given = parameters.pop("q", "1")
    quality = float(given) if _QUALITY.fullmatch(given) else 1.0
    part = parameters.get("type", ANY).lower() if kind in {"multipart/related", "multipart/*"} else None
    return Accepted(kind, quality, part, parameters)


def covers(wanted: str, offer: str) -> bool:
    """Whether a media range such as image/* takes this type."""
    return wanted in {ANY, offer} or (wanted.endswith("/*") and offer.startswith(wanted[:-1]))


def best(request: Request, offers: Sequence[str]) -> str:
    """The offer that the client likes best, the first of equals. Raises NotAcceptable."""
    ranges = _ranges(request)

    def quality(offer: str) -> float:
        matching = [entry for entry in ranges if entry.part is None and covers(entry.kind, offer)]
        # the most specific range speaks for a type
        return max(matching, key=lambda entry: -entry.kind.count("*")).quality if matching else 0.0

    chosen = max(offers, key=quality)
    if quality(chosen) == 0:
        raise NotAcceptable(f"This is given as {_listed(offers)} only.")
    return chosen


def _listed(offers: Iterable[str]) -> str:
    return " or ".join(offers)

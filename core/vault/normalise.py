"""One chart ID, one way to write it: a patient who opted out must be found however the number was typed."""

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from core.errors import Refused

LONGEST: Final = 64  # of an LO value (PS3.5 section 6.2)
_PLAIN: Final = re.compile(r"[A-Za-z0-9]+")
_SEPARATORS: Final = frozenset("-_./:,·・ー−")  # beside every space, dash and invisible sign of Unicode
_DROPPED: Final = frozenset({"Pd", "Pc", "Zs", "Cf"})


@dataclass(frozen=True)
class ChartIdRule:
    """How this hospital writes chart IDs. A changed rule needs `Vault.reindex` before anything else works.

    width: filled up with zeros on the left; 0 leaves zeros as they are. issuer: who gives the IDs (0010,0021); empty
    means that the site knows one kind of chart ID only, whatever issuer an image names."""

    version: int = 1
    width: int = 0
    issuer: str = ""
    issuer_aliases: tuple[str, ...] = ()

    @property
    def stamp(self) -> str:
        """Names the rule in each row: its version and a digest of its contents, so that a silent edit is noticed."""
        contents = json.dumps([self.version, self.width, _plain_issuer(self.issuer)])
        return f"{self.version}:{hashlib.sha256(contents.encode()).hexdigest()[:12]}"

    def normalise(self, chart_id: str, issuer: str | None = None) -> str:
        """The one way to write this chart ID: NFKC, no separators, upper case, padded.

        Raises Refused when that cannot be done, or another hospital issued it: an opt-out could not be found."""
        self._check_issuer(issuer)
        folded = unicodedata.normalize("NFKC", chart_id).strip("\0 \t\r\n")
        kept = "".join(sign for sign in folded if not _is_separator(sign))
        # Before upper-casing: some letters outside ASCII turn into letters inside it.
        if not _PLAIN.fullmatch(kept) or len(kept) > LONGEST:
            raise Refused("This chart ID cannot be read: it must be letters and digits.")
        number = kept.upper()
        if not number.strip("0"):
            raise Refused("This chart ID is empty or nothing but zeros.")
        if not self.width:
            return number
        number = number.lstrip("0")
        if len(number) > self.width:
            raise Refused("This chart ID is longer than this hospital's chart IDs.")
        return number.rjust(self.width, "0")

    def _check_issuer(self, issuer: str | None) -> None:
        named = _plain_issuer(issuer or "")
        own = _plain_issuer(self.issuer)
        if own and named and named not in {own, *map(_plain_issuer, self.issuer_aliases)}:
            raise Refused("This chart ID was issued by another hospital.")

    def index_parts(self, chart_id: str, issuer: str | None = None) -> tuple[str, str]:
        """What the blind index of a chart ID is made of."""
        return _plain_issuer(self.issuer), self.normalise(chart_id, issuer)


def plain_number(value: str) -> str:
    """An accession number as it is compared: NFKC, trimmed, upper case."""
    return unicodedata.normalize("NFKC", value).strip("\0 \t\r\n").upper()


def plain_uid(value: str) -> str:
    """A UID without its padding (PS3.5 section 9)."""
    return value.strip("\0 \t\r\n")


def plain_name(value: str) -> str:
    """A name as it is searched: width, case and kana folded, signs between its parts (PS3.5 section 6.2) as spaces."""
    folded = unicodedata.normalize("NFKC", value).casefold()
    katakana = "".join(chr(ord(sign) + 0x60) if "ぁ" <= sign <= "ゖ" else sign for sign in folded)
    return " ".join(re.split(r"[\s^=,、・]+", katakana)).strip()


def _is_separator(sign: str) -> bool:
    return sign in _SEPARATORS or unicodedata.category(sign) in _DROPPED


def _plain_issuer(issuer: str) -> str:
    return plain_number(issuer)

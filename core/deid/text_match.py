"""Looks for this patient's own values in what was read, however it is written, shortened or misread."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final, Self

from core.deid.text_forms import dates_in, key, keys, romaji
from core.deid.text_words import Look, look
from core.dicom.facts import InstanceIdentity

_UID: Final = re.compile(r"[0-2](?:\.\d+){4,}")
_COMPACT_DATE: Final = re.compile(r"(\d{4})(\d\d)(\d\d)")
_MONTHS: Final = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_TRIGRAMS, _ALIKE = 4, 0.6
_HEAD, _TAIL = 5, 6  # so many letters of a longer value's beginning or end tell that it was cut
_VOWELS: Final = (("ou", "o"), ("oo", "o"), ("uu", "u"), ("oh", "o"), ("ō", "o"), ("ū", "u"))
_SYLLABLES: Final = (("sy", "sh"), ("ty", "ch"), ("tu", "tsu"), ("hu", "fu"), ("zy", "j"), ("si", "shi"), ("ti", "chi"))


@dataclass(frozen=True)
class _Needle:
    key: str
    kind: str
    is_latin: bool
    is_whole: bool  # a value as it stands, not a part of it: its beginning and end say whose it is


class Identifiers:
    """One patient's values, made ready for comparing. `kinds` says for values what they are: name, id, birth-date, date,
    institution, operator, accession; where it does not, the value's look decides."""

    def __init__(self, values: Sequence[str], kinds: Mapping[str, str] | None = None) -> None:
        found: dict[str, _Needle] = {}
        self._dates: dict[date, str] = {}
        for value in values:
            text = unicodedata.normalize("NFKC", value).strip()
            if not text or _UID.fullmatch(text):
                continue
            kind = (kinds or {}).get(value) or _kind(text)
            for needle in self._needles(text, kind):
                found.setdefault(needle.key, needle)
        self._known = sorted(found.values(), key=lambda needle: (-len(needle.key), needle.key))

    @classmethod
    def of(cls, identity: InstanceIdentity) -> Self:
        """From a file's own header, where the kinds are known."""
        groups = (
            ("name", (*identity.patient_name, *identity.other_patient_names)),
            ("operator", identity.staff_names),
            ("id", (identity.patient_id, *identity.other_patient_ids)),
            ("birth-date", (identity.birth_date,)),
            ("date", (identity.study_date,)),
            ("accession", (identity.accession,)),
            ("institution", (*identity.institutions, identity.issuer)),
        )
        kinds: dict[str, str] = {}
        for kind, values in groups:
            for value in values:
                if value:
                    kinds.setdefault(value, kind)
        return cls(list(kinds), kinds)

    def match(self, words: str, is_label: bool = False) -> str | None:
        """What of this patient stands in a text, or None. A text that is all measurements and settings (`is_label`) is
        this patient's only where one of its words is exactly the value."""
        joined, parts = key(words), keys(words)
        if not joined:
            return None
        for day in dates_in(words):
            if day in self._dates:
                return self._dates[day]
        for needle in self._known:
            if _stands_in(needle, joined, parts, is_label):
                return needle.kind
        if is_label:
            return None
        return next((needle.kind for needle in self._known if _is_near(needle, joined, parts)), None)

    def _needles(self, text: str, kind: str) -> Iterator[_Needle]:
        if kind in {"date", "birth-date"}:
            for day in _dates(text):
                self._dates.setdefault(day, kind)
                yield from (_Needle(key(form), kind, True, False) for form in _compact(day))
            return
        for form, is_whole in _forms(text, kind):
            letters = key(form)
            if letters and (len(letters) > 1 or not letters.isascii()):
                yield _Needle(letters, kind, letters.isascii(), is_whole)


def _kind(text: str) -> str:
    if _dates(text):
        return "date"
    if look(text) is Look.PLACE:
        return "institution"
    return "id" if any(letter.isdigit() for letter in text) else "name"


def _dates(text: str) -> list[date]:
    if match := _COMPACT_DATE.fullmatch(text):
        text = "-".join(match.groups())
    return [day for day in dates_in(text) if day] if re.fullmatch(r"[\d./\- ]{8,10}", text) else []


def _compact(day: date) -> Iterator[str]:
    """Without signs, in every order; two-digit years only where six digits remain."""
    year, month, number = f"{day.year:04}", f"{day.month:02}", f"{day.day:02}"
    name = _MONTHS[day.month - 1]
    for years in (year, year[2:]):
        yield from (years + month + number, number + month + years, month + number + years)
        yield from (number + name + years, name + number + years)


def _forms(text: str, kind: str) -> Iterator[tuple[str, bool]]:
    """A value whole and, for names, in its parts, in either order, and in Latin letters."""
    yield text, True
    if kind not in {"name", "operator"}:
        return
    for group in text.split("="):
        parts = [part for part in re.split(r"[\^\s,・]+", group) if part]
        yield "".join(parts), True
        yield "".join(reversed(parts)), True
        yield from ((part, False) for part in parts)
        for latin in [[part] for part in parts] + [parts, parts[::-1]]:
            yield from ((form, len(latin) > 1) for form in _latin("".join(latin)))


def _latin(text: str) -> Iterator[str]:
    yield from romaji(text)
    lower = text.casefold()
    if re.fullmatch("[a-zōū]+", lower):
        short, hepburn = lower, lower
        for long, vowel in _VOWELS:
            short = short.replace(long, vowel)
        for kunrei, other in _SYLLABLES:
            hepburn = hepburn.replace(kunrei, other)
        yield from (short, hepburn)


def _stands_in(needle: _Needle, joined: str, parts: list[str], is_label: bool) -> bool:
    """Exactly: long values anywhere, short ones as a word; in a label every value as a word."""
    letters = needle.key
    if letters not in joined:
        return False
    if letters == joined:
        return True
    if is_label:
        return len(letters) >= (4 if needle.is_latin else 2) and letters in parts
    if len(letters) >= (4 if needle.is_latin else 2):
        return True
    return letters in parts


def _is_near(needle: _Needle, joined: str, parts: list[str]) -> bool:
    """With a misread letter or two, cut off at either end, or most of its groups of three letters in another order."""
    letters, length = needle.key, len(needle.key)
    errors = _errors(needle)
    if errors and len(joined) >= length - errors and _distance(letters, joined) <= errors:
        return True
    if not needle.is_latin:
        return length == 3 and any(len(part) == 3 and _distance(letters, part) <= 1 for part in parts)
    if needle.is_whole and length > _HEAD and (letters[:_HEAD] in joined or letters[-_TAIL:] in joined):
        return True
    if length < _TRIGRAMS + 2 or not needle.is_whole:
        return False
    mine, its = _trigrams(letters), _trigrams(joined)
    return len(its) >= _TRIGRAMS and len(mine & its) >= _ALIKE * min(len(its), len(mine))


def _errors(needle: _Needle) -> int:
    length = len(needle.key)
    if not needle.is_latin:
        return 0 if length < 4 else 1 if length < 6 else 2
    return 0 if length < 5 else 1 if length < 9 else 2 if length < 14 else 3


def _trigrams(text: str) -> set[str]:
    return {text[start : start + 3] for start in range(len(text) - 2)}


@lru_cache(maxsize=65536)
def _distance(pattern: str, text: str) -> int:
    """Least number of letters to change, add or leave out so that the pattern stands somewhere in the text.

    Bit-parallel after Myers (J. ACM 46, 1999): a column of the table is one number."""
    places: dict[str, int] = {}
    for place, letter in enumerate(pattern):
        places[letter] = places.get(letter, 0) | 1 << place
    length = len(pattern)
    mask, last = (1 << length) - 1, 1 << (length - 1)
    up, down, score = mask, 0, length
    best = score
    for letter in text:
        equal = places.get(letter, 0)
        vertical = equal | down
        horizontal = (((equal & up) + up) ^ up) | equal
        plus = down | (~(horizontal | up) & mask)
        minus = up & horizontal
        score += 1 if plus & last else -1 if minus & last else 0
        plus, minus = plus << 1, minus << 1
        up = (minus | ~(vertical | plus)) & mask
        down = plus & vertical & mask
        best = min(best, score)
    return best

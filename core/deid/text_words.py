"""What a text says by its look, without knowing the patient: a date, a place, a number, words about the picture."""

import re
import unicodedata
from enum import StrEnum
from functools import cache
from typing import Final

from core.deid.text_forms import data_lines, dates_in, plain

_WORD: Final = re.compile(r"[a-z]+|\d+(?:[.,]\d+)*|[\u3041-\u30ff\u3400-\u9fff々]+|[^\W_]")
# Of the colons of a clock a reader makes dots, or nothing, when the letters are small.
_TIME: Final = re.compile(
    r"(?<![\d.:])[0-2]?\d\s?[:：]\s?[0-5]\d(?:\s?[:：.]\s?[0-5]\d|[0-5]\d)?(?:\s?[ap]\.?m\b)?(?!\d)"
    r"|(?<![\d.:])[0-2]?\d[.,]?[0-5]\d\s?[:：]\s?[0-5]\d(?!\d)|(?<![\d.,])[0-2]\d[.,][0-5]\d[.,][0-5]\d(?![\d.,])"
    r"|\d{1,2}\s*時\s*\d{1,2}\s*分",
    re.IGNORECASE,
)
# A date of which the reader tore a number in two: with slashes or hyphens, or with a year of four digits.
_TORN: Final = re.compile(
    r"(?<!\d)\d ?\d?\s?[/-]\s?\d ?\d?\s?[/-]\s?\d ?\d(?: ?\d ?\d)?(?!\d)"
    r"|(?<!\d)(?:1 ?9|2 ?0) ?\d ?\d\s?[./-]\s?\d ?\d?\s?[./-]\s?\d ?\d?(?!\d)"
    r"|(?<!\d)\d ?\d?\s?\.\s?\d ?\d?\s?\.\s?(?:1 ?9|2 ?0) ?\d ?\d(?!\d)"
)
_CODE: Final = re.compile(r"\d{1,3}[a-z]{1,2}\d{1,3}")  # a console's own short mark, such as 44CG43
_ZERO: Final = re.compile(r"(?<=\d)o|\bo(?=\d|hz|bpm|mm|cm|db)")
_FIVE: Final = re.compile(r"\b5(?=ag\b)")
_NUMBER_RUN: Final = re.compile(r"\d(?:[\s-]?\d){5,}")
_MEASURE: Final = re.compile(
    r"^[\W_]*(?:[a-z]{0,6}[\W_]*)?[<>~=+±x×:≤≥-]*\d{1,4}(?:[.,]\d{1,3})?[\W_]*(?:[a-z%°µ²³/]{1,6}\d?)?[\W_]*$"
)
_STUB: Final = 3
_NEARLY: Final = 6
_HALVES: Final = 3  # least letters of a half where two words stand without a space


class Look(StrEnum):
    """What a text looks like; LABEL is about the picture, UNKNOWN are words of no list."""

    DATE = "date"
    TIME = "time"
    PLACE = "institution"
    PROMPT = "prompt"
    NUMBER = "number"
    LABEL = "label"
    UNKNOWN = "unknown"


@cache
def _list(name: str) -> frozenset[str]:
    return frozenset(plain(word) for line in data_lines(name) for word in line.split())


def look(words: str) -> Look:
    """The first that fits of date, time, place, prompt, long number; then label where each word of it is one."""
    text = unicodedata.normalize("NFKC", words)
    if dates_in(text) or any(dates_in("".join(torn.split())) for torn in _TORN.findall(text)):
        return Look.DATE
    if _TIME.search(text):
        return Look.TIME
    if _names(text, "text_places.txt") and not is_label(text):
        return Look.PLACE
    if _names(text, "text_prompts.txt") and not is_label(text):
        return Look.PROMPT
    if _NUMBER_RUN.search(text) and not _is_scale(text):
        return Look.NUMBER
    return Look.LABEL if is_label(text) else Look.UNKNOWN


def _names(text: str, name: str) -> bool:
    known, written = _list(name), plain(text)
    if any(word in known for word in re.findall(r"[a-z]+", written)):
        return True
    return any(not word.isascii() and word in written for word in known)


def _is_scale(text: str) -> bool:
    """Numbers of a ruler read as one line: each has three digits at most and there are spaces between."""
    return all(len(part) <= 3 for part in re.split(r"[\s-]+", text))


def is_label(words: str) -> bool:
    """Whether every word is a measurement, a unit, a setting or a word of the list."""
    text = _FIVE.sub("s", _ZERO.sub("0", plain(words)))
    if _CODE.fullmatch(text):
        return True
    if _MEASURE.match(text) and _is_known_measure(text):
        return True
    found = _WORD.findall(text.replace("'", ""))
    strange = [word for word in found if not _is_known(word)]
    if not strange:
        return True
    # a unit or a setting that lost a letter: short, and beside a number and a word of the list
    has_number = any(word[0].isdigit() for word in found)
    has_word = any(len(word) > 1 and not word[0].isdigit() and _is_known(word) for word in found)
    return has_number and has_word and all(word.isascii() and len(word) <= _STUB for word in strange)


def _is_known_measure(text: str) -> bool:
    return all(word.isdigit() or _is_known(word) for word in re.findall(r"[a-z]+", text))


@cache
def _is_known(word: str) -> bool:
    if word[0].isdigit():
        return len(word.replace(".", "").replace(",", "")) <= 4 or "." in word
    known = _list("us_words.txt")
    if word in known or len(word) == 1:
        return True
    if not word.isascii():
        return _splits(word, 1)
    if len(word) < 2 * _HALVES - 1:
        return False
    return _splits(word, _HALVES) or (len(word) > 5 and word[:2] in known and word[2:] in known) or _is_misread(word)


def _is_misread(word: str) -> bool:
    """One letter from a word of the list of the same length: only longer words, since short ones are also names."""
    if len(word) < _NEARLY:
        return False
    same = (other for other in _list("us_words.txt") if len(other) == len(word))
    return any(sum(one != two for one, two in zip(word, other, strict=True)) == 1 for other in same)


def _splits(word: str, shortest: int) -> bool:
    """Whether a run of letters is nothing but words of the list, each of at least so many letters."""
    known = _list("us_words.txt")
    reached = [True] + [False] * len(word)
    for end in range(shortest, len(word) + 1):
        reached[end] = any(reached[start] and word[start:end] in known for start in range(end - shortest + 1))
    return reached[-1]

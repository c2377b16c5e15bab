"""Short descriptions, word by word: what stays of them is made of words that a list allows, of nothing else."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset

from core.deid import profile, values
from core.deid.search import Search

LONGEST: Final = 64  # letters of an LO, PS3.5 section 6.2
MOST_READ: Final = 1024
_RUN: Final = re.compile(r"[^\W_]+")
_JAPANESE: Final = "\u3005\u3041-\u3096\u30a1-\u30fa\u30fc\u4e00-\u9fff"
_PIECES: Final = re.compile(f"[A-Z0-9]+|[{_JAPANESE}]+")
_WRITTEN: Final = re.compile(f"[A-Z0-9{_JAPANESE}]+")


@dataclass(frozen=True)
class Kept:
    """What stays of one description, for showing to a person; `left_out`: how many of its words do not."""

    keyword: str
    text: str
    left_out: int


@cache
def allowed_words() -> frozenset[str]:
    """Latin words in capitals, Japanese ones as written."""
    path = Path(__file__).parent / "data" / "us_description_words.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def kept(text: str, search: Search | None = None) -> str:
    """The allowed words of a description, one space between them; empty where none is left.

    Of the patient of `search` no word stays, nor any words that together would be read as a value of the patient's.
    What is kept of kept words is the same again."""
    words = [word for word in _words(text) if _is_allowed(word) and not (search and search.in_text(word))]
    while len(found := " ".join(words)) > LONGEST:
        words.pop()
    return "" if search and search.in_text(found) else found


def descriptions(dataset: Dataset, search: Search | None = None) -> list[Kept]:
    """Every description of an image that may keep words, with what would stay of it."""
    found = []
    for rule in profile.allow_list():
        if rule.rule == "words" and (value := dataset.get(rule.tag)) is not None and value.value:
            text = described(value.value)
            stays = kept(text, search)
            found.append(Kept(rule.keyword, stays, len(list(_words(text))) - len(list(_words(stays)))))
    return found


def described(value: object) -> str:
    """The text of an element, its values joined where a backslash parts them."""
    return " ".join(map(str, values.parts(value)))


def _words(text: str) -> Iterator[str]:
    """Runs of letters and digits, folded as the list is; Latin letters and Japanese ones are runs of their own."""
    for run in _RUN.findall(unicodedata.normalize("NFKC", text[:MOST_READ]).upper()):
        yield from _PIECES.findall(run) if _WRITTEN.fullmatch(run) else [run]


@cache
def _longest() -> int:
    return max(map(len, allowed_words()))


def _is_allowed(word: str) -> bool:
    if word.isascii():
        return word in allowed_words()
    if len(word) < 2:  # one letter alone may be a name (左)
        return False
    ends = {0}
    for start in range(len(word)):
        if start in ends:
            ends |= {stop for stop in range(start + 1, start + _longest() + 1) if word[start:stop] in allowed_words()}
    return len(word) in ends

"""Other names of the same maker or console, so that a rule written for one of them fires for the others too."""

import csv
import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, Literal

NAMES: Final = Path(__file__).parent / "data" / "device_aliases.tsv"
Kind = Literal["maker", "model"]


@cache
def groups(kind: Kind) -> tuple[tuple[str, ...], ...]:
    """The names that mean the same, a group for each maker or model."""
    with NAMES.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return tuple(tuple(row["names"].split("|")) for row in rows if row["kind"] == kind)


@lru_cache(maxsize=1024)
def makers(name: str | None) -> tuple[str, ...]:
    """`name` first, then the other names of its house. A name counts as a whole word: ATLAS is not ATL."""
    if not name:
        return ()
    text = name.casefold()
    house = next((group for group in groups("maker") if any(is_word(one.casefold(), text) for one in group)), ())
    return (name, *house)


@lru_cache(maxsize=1024)
def models(name: str | None) -> tuple[str, ...]:
    """`name` first, then other spellings of this very model; a longer name is another model."""
    if not name:
        return ()
    text = _plain(name)
    return (name, *next((group for group in groups("model") if text in map(_plain, group)), ()))


def is_word(word: str, text: str) -> bool:
    """Whether `word` stands in `text` with no letter or number beside it; both in small letters."""
    return re.search(rf"(?<![a-z0-9]){re.escape(word)}(?![a-z0-9])", text) is not None


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())

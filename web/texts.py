"""Every word that a page shows, in Japanese and in English: catalogues in `locale/`, a file for each room, read by Babel."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, Literal

from babel.messages.pofile import read_po

Language = Literal["ja", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("ja", "en")
LOCALE: Final = Path(__file__).parent / "locale"
Words = tuple[str, ...]


def read(path: Path) -> dict[str, Words]:
    """{key: its words} of one catalogue; English words that count have two forms, for one and for many."""
    with path.open("rb") as file:
        return {_one(message.id): _forms(message.string) for message in read_po(file) if message.id}


def _one(key: str | list[str] | tuple[str, ...]) -> str:
    return key if isinstance(key, str) else key[0]


def _forms(words: str | list[str] | tuple[str, ...] | None) -> Words:
    return (words or "",) if isinstance(words, str | None) else tuple(words)


@cache
def catalogue(lang: Language) -> Mapping[str, Words]:
    """All texts of the pages. Raises ValueError when two rooms write the same key."""
    found: dict[str, Words] = {}
    for path in sorted((LOCALE / lang).glob("*.po")):
        words = read(path)
        if twice := found.keys() & words.keys():
            raise ValueError(f"{path.name} writes {sorted(twice)[0]} again")
        found |= words
    return found


def text(lang: Language, key: str, **values: object) -> str:
    """The words of `key`; `values` fill its {places}, `count` chooses the form. Raises KeyError for an unknown key."""
    forms = catalogue(lang)[key]
    words = forms[0] if len(forms) == 1 or values.get("count") == 1 else forms[1]
    return words.format(**values) if values else words


def accepted(header: str) -> Language:
    """The language that a browser prefers (RFC 9110, 12.5.4); English when it asks for neither of ours."""
    best: tuple[float, Language] = (0.0, "en")
    for entry in header[:400].split(","):
        tag, _, parameters = entry.strip().partition(";")
        base = tag.partition("-")[0].lower()
        quality = _quality(parameters)
        for lang in LANGUAGES:
            if base == lang and quality > best[0]:
                best = (quality, lang)
    return best[1]


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    try:
        return float(value) if name.strip().lower() == "q" else 1.0
    except ValueError:
        return 0.0

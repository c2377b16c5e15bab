"""What services say in English sentences, said in Japanese: the catalogue `locale/said/ja.po`, places written as {}."""

import re
from functools import cache
from pathlib import Path
from typing import Final

from web.texts import LOCALE, Language, read

CATALOGUE: Final[Path] = LOCALE / "said" / "ja.po"
_PLACE: Final = re.compile(r"\{\}")


def said(lang: Language, sentence: str | None) -> str:
    """A sentence of a service in the person's language; in Japanese a general one for what nobody has translated."""
    if not sentence or lang == "en":
        return sentence or ""
    exact, patterns = _japanese()
    if sentence in exact:
        return exact[sentence]
    for pattern, words in patterns:
        if found := pattern.fullmatch(sentence):
            return words.format(*found.groups())
    return exact[""]


@cache
def _japanese() -> tuple[dict[str, str], list[tuple[re.Pattern[str], str]]]:
    """Sentences without places by themselves, and those with places as patterns, the longest first."""
    written = {english: forms[0] for english, forms in read(CATALOGUE).items()}
    exact = {english: words for english, words in written.items() if "{}" not in english}
    exact[""] = exact.pop(UNTRANSLATED)
    places = sorted((english for english in written if "{}" in english), key=len, reverse=True)
    return exact, [(_pattern(english), written[english]) for english in places]


UNTRANSLATED: Final = "Something else."


def _pattern(english: str) -> re.Pattern[str]:
    return re.compile("(.+)".join(re.escape(part) for part in _PLACE.split(english)), re.DOTALL)

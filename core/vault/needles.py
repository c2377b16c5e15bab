"""Every way in which a case's identifying values may stand in a file or a picture."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

_DATE: Final = re.compile(r"((?:18|19|20)\d\d)[-/.]?(0[1-9]|1[0-2])[-/.]?(0[1-9]|[12]\d|3[01])")
_TIME_OF_DAY: Final = re.compile(r"(?i)(?<!date)time$")


def spell(values: Iterable[object]) -> tuple[str, ...]:
    """All spellings of these values, longest first: names whole and in their parts, dates in four ways of writing.

    Lists and tables are walked; a time of day without its date (a key that ends in `time`) says nothing about a person
    and is left out, as are single Latin letters and digits, which would be found everywhere."""
    found = {spelling for value in values for text in _texts(value) for spelling in _spellings(text)}
    return tuple(sorted(found, key=lambda text: (-len(text), text)))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if not _TIME_OF_DAY.search(str(key)):
                yield from _texts(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from _texts(inner)


def _spellings(text: str) -> Iterator[str]:
    whole = text.strip("\0 \t\r\n")
    parts = {whole}
    if "^" in whole or "=" in whole:
        groups = whole.split("=")
        parts.update(group.strip("^ ") for group in groups)
        parts.update(" ".join(filter(None, (name.strip() for name in group.split("^")))) for group in groups)
        parts.update(name.strip() for group in groups for name in group.split("^"))
    if match := _DATE.fullmatch(whole):
        parts.update(sign.join(match.groups()) for sign in ("", "-", "/", "."))
    yield from (part for part in parts if len(part) > 1 or (part and not part.isascii()))

"""What services say in English sentences, said in Japanese: the catalogue `locale/said/ja.po`, places written as {}.

What stands in a place is said too where it comes from a fixed set: another sentence, a state, a field of a form, a code."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from core.package.messages import Reason
from core.vocabulary import domain as vocabulary
from web.texts import LOCALE, Language, catalogue, read, text

CATALOGUE: Final[Path] = LOCALE / "said" / "ja.po"
UNTRANSLATED: Final = "Something else."
# Central's receipts give codes instead of sentences; a row keeps them joined by commas.
RECEIPT: Final[Mapping[str, str]] = {
    Reason.SIGNATURE: "transfers.code.SIGNATURE",
    Reason.RECIPIENT: "transfers.code.RECIPIENT",
    Reason.CIPHERTEXT: "transfers.code.CIPHERTEXT",
    Reason.ARCHIVE: "transfers.code.ARCHIVE",
    Reason.CONTRACT: "transfers.code.CONTRACT",
    Reason.UNKNOWN_CODE: "transfers.code.UNKNOWN_CODE",
    Reason.OTHER_CONTENT: "transfers.code.OTHER_CONTENT",
    Reason.OLD_VERSION: "transfers.code.OLD_VERSION",
    Reason.TOMBSTONED: "transfers.code.TOMBSTONED",
    Reason.DUPLICATE: "transfers.code.DUPLICATE",
    Reason.GEOMETRY: "transfers.code.GEOMETRY",
    Reason.IMAGE_DIFFERS: "transfers.code.IMAGE_DIFFERS",
    Reason.UNREADABLE_IMAGE: "transfers.code.UNREADABLE_IMAGE",
    Reason.PERSONAL_TAG: "transfers.code.PERSONAL_TAG",
    Reason.PERSONAL_TEXT: "transfers.code.PERSONAL_TEXT",
}
_STATE: Final = re.compile(r"(case|package|version)\.([A-Z_]+)")
_PLACE: Final = re.compile(r"\{\}")
_Pattern = tuple[re.Pattern[str], str, bool]


def said(lang: Language, sentence: str | None) -> str:
    """A sentence of a service in the person's language; in Japanese a general one for what nobody has translated."""
    if not sentence:
        return ""
    codes = sentence.split(", ")
    if set(codes) <= RECEIPT.keys():
        return ("" if lang == "ja" else " ").join(text(lang, RECEIPT[code]) for code in codes)
    if lang == "en":
        return sentence
    return _japanese(sentence) or _catalogue()[0][UNTRANSLATED]


def _japanese(sentence: str) -> str | None:
    """The sentence, or several that `; ` joins; None for what is not in the catalogue."""
    exact, patterns = _catalogue()
    if sentence in exact:
        return exact[sentence]
    if joined := _joined(sentence, "; ", "", _japanese):
        return joined
    for pattern, words, is_frame in patterns:
        if found := pattern.fullmatch(sentence):
            places = [_place(value) for value in found.groups()]
            if not (is_frame and None in places):
                return words.format(*(said or value for said, value in zip(places, found.groups(), strict=True)))
    return None


def _place(value: str) -> str | None:
    """What stands in a place, where it is one of a fixed set or a list of such; None for numbers and names."""
    found = _words().get(value) or _japanese(value)
    if found is None and (rule := re.fullmatch(r"([\w.*]+|the whole) \((.+)\)", value)):
        return f"{_place(rule[1]) or rule[1]}（{_place(rule[2]) or rule[2]}）"
    return found or _joined(value, "; ", "、", _place) or _joined(value, ", ", "、", _place)


def _joined(value: str, sign: str, comma: str, say: Callable[[str], str | None]) -> str | None:
    """The pieces between `sign`, of which one at least is known."""
    pieces = value.split(sign)
    spoken = [say(piece) for piece in pieces] if len(pieces) > 1 else []
    if not any(spoken) or (say is _japanese and not all(spoken)):
        return None
    return comma.join(words or piece for words, piece in zip(spoken, pieces, strict=True))


@cache
def _catalogue() -> tuple[dict[str, str], list[_Pattern]]:
    """Sentences without places by themselves, and those with places as patterns: the mere frames, then the longest.

    A frame, such as `{}: {}`, fits only round what is known."""
    written = {english: forms[0] for english, forms in read(CATALOGUE).items()}
    exact = {english: words for english, words in written.items() if "{}" not in english}
    frames = {english for english in written if "{}" in english and not re.search("[A-Za-z]", english)}
    places = sorted((english for english in written if "{}" in english), key=lambda one: (one not in frames, -len(one)))
    return exact, [(_pattern(english), written[english], english in frames) for english in places]


def _pattern(english: str) -> re.Pattern[str]:
    return re.compile("(.+?)".join(re.escape(part) for part in _PLACE.split(english)), re.DOTALL)


@cache
def _words() -> dict[str, str]:
    """States by their names, and the fields of every form by their codes and their English labels."""
    texts = catalogue("ja")
    found = {state[2]: words[0] for key, words in texts.items() if (state := _STATE.fullmatch(key))}
    for code in vocabulary.domains():
        for field in vocabulary.load(code).fields:
            found |= {field.label.en: field.label.ja, field.code: field.label.ja}
    return found

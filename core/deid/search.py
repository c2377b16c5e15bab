"""Looks for a patient's values in texts and bytes, in every spelling and encoding in which they may have been left."""

import base64
import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import quote

_ENCODINGS: Final = ("utf-8", "utf-16-le", "utf-16-be", "shift_jis", "cp932", "euc_jp", "iso2022_jp", "latin-1")
_FEWEST_BYTES: Final = 3
_HIRAGANA: Final = {code: code + 0x60 for code in range(0x3041, 0x3097)}
_SEPARATORS: Final = re.compile(r"[\s^=,.;:_/\\-]+")


def plain(text: str) -> str:
    """NFKC (so half and full width are one), case folded, hiragana as katakana."""
    return unicodedata.normalize("NFKC", text).casefold().translate(_HIRAGANA)


def is_short(needle: str) -> bool:
    """Under 4 ASCII or 3 other characters: matched as a whole word only."""
    return len(needle) < (4 if needle.isascii() else 3)


class Search:
    """Made once for a patient's values, asked for each text and each stretch of bytes. Never shows a value in a repr.

    Short values match whole words only, and so do numbers under 8 digits (leading zeros apart): a longer number that
    holds the same digits is another number."""

    def __init__(self, needles: Sequence[str]) -> None:
        wanted = [needle.strip() for needle in needles]
        self._needles = sorted({needle for needle in wanted if len(needle) > 1 or (needle and not needle.isascii())})
        self.count = len(self._needles)
        self.whole_words = sum(map(is_short, self._needles))
        self.whole_numbers = sum(_is_number(one) and not is_short(one) for one in self._needles)
        folded = {plain(needle) for needle in self._needles}
        self._loose = {one for one in folded if not is_short(one) and not _is_number(one)}
        self._loose_words = {word for one in self._loose if len(word := _joined(one)) > 5 and not word.isdecimal()}
        strict = sorted(folded - self._loose)
        self._strict = re.compile("|".join(map(_bounded, strict))) if strict else None
        self._bytes: tuple[frozenset[bytes], re.Pattern[bytes] | None] | None = None

    def in_text(self, text: str) -> bool:
        """Whether a decoded value holds one of them."""
        folded = plain(text)
        if any(needle in folded for needle in self._loose) or (self._strict and self._strict.search(folded)):
            return True
        joined = _joined(folded)
        return any(word in joined for word in self._loose_words)

    def in_bytes(self, data: bytes) -> bool:
        """Whether bytes hold one, in any of the encodings, percent, base64 or hexadecimal form, or its hash in hex."""
        if self._bytes is None:
            self._bytes = self._byte_forms()
        loose, strict = self._bytes
        lowered = data.lower()
        return any(form in lowered for form in loose) or (strict is not None and strict.search(lowered) is not None)

    def _byte_forms(self) -> tuple[frozenset[bytes], re.Pattern[bytes] | None]:
        loose: set[bytes] = set()
        strict: set[bytes] = set()
        for needle in self._needles:
            bounded = is_short(needle) or _is_number(needle)
            for coded in {form for spelling in _spellings(needle) for form in _encoded(spelling)}:
                if len(coded) >= _FEWEST_BYTES:
                    (strict if bounded else loose).add(coded.lower())
                if not is_short(needle):
                    loose.update(form.lower() for form in _disguised(coded))
            loose.update(_hashed(needle))
        patterns = b"|".join(_bounded_bytes(form) for form in sorted(strict))
        return frozenset(loose), re.compile(patterns, re.DOTALL) if patterns else None


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) < 8


def _joined(text: str) -> str:
    return _SEPARATORS.sub("", text)


def _bounded(needle: str) -> str:
    if needle.isdecimal():
        return rf"(?<!\d)0*{re.escape(needle)}(?!\d)"
    return rf"(?<!\w){re.escape(needle)}(?!\w)"


def _bounded_bytes(form: bytes) -> bytes:
    if form.isdigit():
        return rb"(?<![0-9])0*" + form + rb"(?![0-9])"
    unit = 2 if len(form) > 1 and b"\0" in form[:2] else 1
    if unit == 2:  # UTF-16: the neighbours are two bytes wide
        letters = rb"[0-9a-z]"
        low = form[1:2] == b"\0"
        before, after = (letters + rb"\0", letters + rb"\0") if low else (rb"\0" + letters, rb"\0" + letters)
        return rb"(?<!" + before + rb")" + re.escape(form) + rb"(?!" + after + rb")"
    return rb"(?<![0-9a-z\x80-\xff])" + re.escape(form) + rb"(?![0-9a-z\x80-\xff])"


def _spellings(needle: str) -> set[str]:
    """As given, composed, in half-width katakana and in full-width Latin."""
    composed = unicodedata.normalize("NFKC", needle)
    narrow = "".join(_NARROW.get(one, one) for one in composed)
    cased = {composed, composed.casefold(), composed.upper()}
    return {needle, narrow} | cased | set(map(_widened, cased))


def _widened(text: str) -> str:
    return "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in text)


def _narrow_katakana() -> dict[str, str]:
    table: dict[str, str] = {}
    for code in range(0xFF61, 0xFFA0):
        narrow = chr(code)
        for mark in ("", "ﾞ", "ﾟ"):
            wide = unicodedata.normalize("NFKC", narrow + mark)
            if len(wide) == 1:
                table.setdefault(wide, narrow + mark)
    return table


_NARROW: Final = _narrow_katakana()


def _encoded(text: str) -> Iterator[bytes]:
    for encoding in _ENCODINGS:
        try:
            coded = text.encode(encoding)
        except UnicodeEncodeError:
            continue
        if encoding == "iso2022_jp":
            # what stands between the escape sequences, which may be shared with the text around it
            coded = max(re.split(rb"\x1b[$(][@BJI]", coded), key=len)
        yield coded


def _disguised(coded: bytes) -> Iterator[bytes]:
    """Percent and hexadecimal forms, and the part of the base64 that does not depend on what stands around."""
    yield coded.hex().encode()
    if not coded.isalnum():
        yield quote(coded, safe="").encode()
    for before in range(3):
        text = base64.b64encode(b"\0" * before + coded)
        start = {0: 0, 1: 2, 2: 3}[before]
        end = {0: 0, 1: 3, 2: 2}[(before + len(coded)) % 3]
        inner = text[start : len(text) - end]
        if len(inner) >= 6:
            yield inner
            yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def _hashed(needle: str) -> Iterator[bytes]:
    composed = unicodedata.normalize("NFKC", needle)
    for text in {needle, composed, composed.casefold(), composed.upper()}:
        for kind in ("md5", "sha1", "sha256"):
            yield hashlib.new(kind, text.encode(), usedforsecurity=False).hexdigest().encode()

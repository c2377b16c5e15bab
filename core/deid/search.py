"""Looks for a patient's values in texts and bytes, in every spelling and encoding in which they may have been left."""

import base64
import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import quote

_ENCODINGS: Final = (
    "utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "shift_jis", "cp932", "euc_jp", "iso2022_jp", "gb18030", "euc_kr",
    "latin-1",
)  # fmt: skip
_FEWEST_BYTES: Final = 3
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_HIRAGANA: Final = {code: code + 0x60 for code in range(0x3041, 0x3097)}
_KATAKANA: Final = {katakana: code for code, katakana in _HIRAGANA.items()}
_SEPARATORS: Final = re.compile(r"[\s^=,.;:_/\\-]+")
_SEPARATING_BYTES: Final = b"\0 \t\r\n^=,.;:_/\\-"
# How a text of this encoding may begin; a short value is looked for behind it too.
_BEGINNINGS: Final = {"utf-16-le": (b"\xff\xfe",), "utf-16-be": (b"\xfe\xff",), "iso2022_jp": (b"\x1b$B", b"\x1b$@")}
_Forms = tuple[frozenset[bytes], frozenset[tuple[bytes, bytes]]]
_SHIFT_IN: Final = rb"(?:\x1b\$[@b]|!!)"  # ISO 2022: to JIS X 0208, or its blank; the bytes are lower case here


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
        words = map(_joined, self._loose)
        self._loose_words = {word for word in words if len(word) > (7 if word.isdecimal() else 5)}
        self._joined_bytes = {word.encode() for word in self._loose_words if word.isascii()}
        strict = sorted(folded - self._loose)
        self._strict = re.compile("|".join(map(_bounded, strict))) if strict else None
        self._bytes: _Forms | None = None

    def in_text(self, text: str) -> bool:
        """Whether a decoded value holds one of them."""
        folded = plain(text)
        if any(needle in folded for needle in self._loose) or (self._strict and self._strict.search(folded)):
            return True
        joined = _joined(folded)
        return any(word in joined for word in self._loose_words)

    def in_bytes(self, data: bytes) -> bool:
        """Whether bytes hold one, in any of the encodings, percent, base64 or hexadecimal form, or its hash in hex.

        Blanks, marks and zeros between the letters of a longer ASCII value hide it as little as they do in a text.
        A single kanji in an encoding of two bytes is looked for in decoded texts only."""
        if self._bytes is None:
            self._bytes = self._byte_forms()
        loose, strict = self._bytes
        lowered = data.lower()
        if any(form in lowered for form in loose):
            return True
        if any(form in lowered and re.search(pattern, lowered, re.DOTALL) for form, pattern in strict):
            return True
        joined = lowered.translate(None, _SEPARATING_BYTES)
        return any(word in joined for word in self._joined_bytes)

    def in_table(self, data: bytes) -> bool:
        """Whether the entries of a colour or lookup table, of one or two bytes each, spell a value.

        Short forms are left out, and those that a plain ramp spells (12345678)."""
        if self._bytes is None:
            self._bytes = self._byte_forms()
        ramp = bytes(range(256)).lower()
        forms = [form for form in self._bytes[0] if len(form) > 5 and form not in ramp]
        entries = {some.lower() for some in (data, data[::2], data[1::2])}
        return any(form in some for some in entries for form in forms)

    def _byte_forms(self) -> _Forms:
        loose: set[bytes] = set()
        strict: set[tuple[bytes, bytes]] = set()
        for needle in self._needles:
            is_bounded = is_short(needle) or _is_number(needle)
            for coded, encoding in _codings(needle).items():
                lowered = coded.lower()
                if len(coded) >= _FEWEST_BYTES and is_bounded:
                    strict.add((lowered, _bounded_bytes(lowered, encoding)))
                elif len(coded) >= _FEWEST_BYTES:
                    loose.add(lowered)
                for begun in (b"", *(_BEGINNINGS.get(encoding, ()) if is_bounded else ())):
                    if not is_short(needle) or len(begun + coded) > 4:
                        loose.update(form.lower() for form in _disguised(begun + coded))
                wholes = {form.lower() for form in _disguised_whole(coded)} if is_bounded else set()
                strict.update((form, _bounded_bytes(form, "")) for form in wholes)
            loose.update(_hashed(needle))
        return frozenset(loose), frozenset(strict)


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) < 8


def _joined(text: str) -> str:
    return _SEPARATORS.sub("", text)


def _bounded(needle: str) -> str:
    if needle.isdecimal():
        return rf"(?<!\d)0*{re.escape(needle)}(?!\d)"
    return rf"(?<!\w){re.escape(needle)}(?!\w)"


def _bounded_bytes(form: bytes, encoding: str) -> bytes:
    """A pattern of these lower case bytes where nothing that belongs to the same word stands before or after."""
    if encoding == "iso2022_jp" and not form.isalnum():
        return _SHIFT_IN + re.escape(form) + rb"(?=\x1b|!!|\Z)"
    if form.isdigit():
        return rb"(?<![0-9])0*" + form + rb"(?![0-9])"
    if len(form) > 1 and b"\0" in form[:2]:  # UTF-16 or 32: the neighbours are as wide
        zeros = b"\0" * (3 if b"\0\0" in form[:4] else 1)
        letter = rb"[0-9a-z]" + zeros if form[1:2] == b"\0" else zeros + rb"[0-9a-z]"
        return rb"(?<!" + letter + rb")" + re.escape(form) + rb"(?!" + letter + rb")"
    plain_form = rb"(?<![0-9a-z\x80-\xff])" + re.escape(form) + rb"(?![0-9a-z\x80-\xff])"
    if encoding.startswith("utf-16"):  # the mark at the beginning of a text is no letter of it
        return plain_form + rb"|(?:\xff\xfe|\xfe\xff)" + re.escape(form) + rb"(?![0-9a-z\x80-\xff])"
    return plain_form


def _spellings(needle: str) -> set[str]:
    """As given, composed, decomposed, in either kana, in half-width katakana and in full-width Latin."""
    composed = unicodedata.normalize("NFKC", needle)
    katakana = composed.translate(_HIRAGANA)
    narrow = {"".join(_NARROW.get(one, one) for one in text) for text in (composed, katakana)}
    cased = {composed, composed.casefold(), composed.upper()}
    kana = {katakana, composed.translate(_KATAKANA)}
    return {needle, unicodedata.normalize("NFD", needle)} | narrow | cased | kana | set(map(_widened, cased))


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


def _codings(needle: str) -> dict[bytes, str]:
    """Every way to write a value as bytes, with the first encoding that writes it so."""
    found: dict[bytes, str] = {}
    for spelling in sorted(_spellings(needle)):
        for encoding, coded in _encoded(spelling):
            found.setdefault(coded, encoding)
    return found


def _encoded(text: str) -> Iterator[tuple[str, bytes]]:
    for encoding in _ENCODINGS:
        try:
            coded = text.encode(encoding)
        except UnicodeEncodeError:
            continue
        if encoding == "iso2022_jp":
            # what stands between the escape sequences, which may be shared with the text around it
            coded = max(re.split(rb"\x1b[$(][@BJI]", coded), key=len)
        yield encoding, coded


def _disguised(coded: bytes) -> Iterator[bytes]:
    """Percent and hexadecimal forms, and the part of the base64 that does not depend on what stands around."""
    yield coded.hex().encode()
    yield _percent(coded)
    if not coded.isalnum():
        yield quote(coded, safe="").encode()
    for before in range(3):
        text = base64.b64encode(b"\0" * before + coded)
        start = {0: 0, 1: 2, 2: 3}[before]
        end = {0: 0, 1: 3, 2: 2}[(before + len(coded)) % 3]
        inner = text[start : len(text) - end]
        if len(inner) >= 6:
            yield inner
            yield inner.translate(_URL_SAFE)


def _disguised_whole(coded: bytes) -> Iterator[bytes]:
    """The same of a value too short for that, as words of their own."""
    if 2 < len(coded) <= 6:
        yield coded.hex().encode()
        if not coded.isalnum():
            yield quote(coded, safe="").encode()
        yield _percent(coded)
        text = base64.b64encode(coded).rstrip(b"=")
        yield text
        yield text.translate(_URL_SAFE)


def _percent(coded: bytes) -> bytes:
    """Every byte as %XX, also those that need not be."""
    return ("%" + coded.hex("%")).encode() if coded else b""


def _hashed(needle: str) -> Iterator[bytes]:
    composed = unicodedata.normalize("NFKC", needle)
    for text in {needle, composed, composed.casefold(), composed.upper()}:
        for kind in ("md5", "sha1", "sha256"):
            yield hashlib.new(kind, text.encode(), usedforsecurity=False).hexdigest().encode()

"""The walk over elements, items and fragments (PS3.5 section 7) that `guard` uses: no recursion, no trusted length."""

import struct
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Protocol

from pydicom.datadict import dictionary_VR

from core.errors import Refused

MAX_INFLATED: Final = 1 << 30
MAX_ELEMENTS: Final = 1_000_000
MAX_DEPTH: Final = 32
PIXEL_DATA: Final = 0x7FE00010
ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
UNDEFINED: Final = 0xFFFFFFFF
ENDS_EARLY: Final = "The file ends in the middle of its data."
BROKEN_LENGTH: Final = "An element of the file is longer than what holds it."

_PIECE = 1 << 14
_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())


class Source(Protocol):
    """What is needed of an open file: absolute seek and read."""

    def seek(self, offset: int, /) -> int: ...

    def read(self, size: int, /) -> bytes: ...


@lru_cache(maxsize=4096)
def _dictionary(tag: int) -> str | None:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return None


class Pieces:
    """Reads a source in pieces, so that a costly reader is asked seldom and a value that nobody needs not at all."""

    def __init__(self, fp: Source, size: int) -> None:
        self._fp, self._size = fp, size
        self._held, self._from = b"", 0

    def take(self, offset: int, count: int) -> bytes:
        start = offset - self._from
        if start < 0 or start + count > len(self._held):
            if offset + count > self._size:
                raise Refused(ENDS_EARLY)
            self._held, self._from, start = self._fill(offset, count), offset, 0
        return self._held[start : start + count]

    def _fill(self, offset: int, count: int) -> bytes:
        self._fp.seek(offset)
        held = self._fp.read(min(max(count, _PIECE), self._size - offset))
        while len(held) < count:
            more = self._fp.read(count - len(held))
            if not more:
                raise Refused(ENDS_EARLY)
            held += more
        return held


class Walk:
    """The rules of elements, items and fragments, with an explicit stack instead of recursion."""

    def __init__(self, reader: Pieces, *, implicit: bool, little: bool) -> None:
        order = "<" if little else ">"
        self._take, self._implicit = reader.take, implicit
        self._tag_length = struct.Struct(order + "HHI").unpack
        self._vr_length = struct.Struct(order + "HH2sH").unpack
        self._u32 = struct.Struct(order + "I").unpack
        self._item_mark = struct.pack(order + "HH", 0xFFFE, 0xE000)
        self._count = 0

    def count(self) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise Refused("The file has more than a million elements.")

    def element(self, position: int, implicit: bool, limit: int, *, nested: bool) -> tuple[int, bytes, int, int]:
        """(tag, VR or b"" where implicit, length, offset of the value); the value is known to lie before `limit`."""
        self.count()
        if position + 8 > limit:
            raise Refused(ENDS_EARLY)
        head = self._take(position, 8)
        group, number, length = self._tag_length(head)
        vr, value = b"", position + 8
        if not implicit and group != 0xFFFE:
            vr = head[4:6]
            if vr in _LONG:
                if position + 12 > limit:
                    raise Refused(ENDS_EARLY)
                (length,), value = self._u32(self._take(position + 8, 4)), position + 12
            elif vr in _SHORT:
                length = self._vr_length(head)[3]
            elif nested and not b"AA" <= vr <= b"ZZ":
                vr = b""  # some consoles switch to implicit VR inside an item
            else:
                raise Refused("An element of the file has an unknown value representation.")
        if group == 0xFFFE and length:
            raise Refused("The sequences of the file are broken.")
        if length != UNDEFINED and value + length > limit:
            raise Refused(BROKEN_LENGTH if nested else ENDS_EARLY)
        return group << 16 | number, vr, length, value

    def opens_sequence(self, tag: int, vr: bytes, length: int, value: int) -> bool:
        """Whether the value holds items; the same answer that pydicom gives, or a stricter one."""
        if vr == b"SQ":
            return True
        known = _dictionary(tag) if vr in {b"", b"UN"} else "no"
        if length == UNDEFINED:
            if known in {None, "SQ"} or vr == b"UN":
                return True
            raise Refused("An element of the file has no length, which only sequences may leave out.")
        if known is None:  # a private element that begins like a sequence is one to whoever knows its creator
            return length >= 8 and self._take(value, 4) == self._item_mark
        return known == "SQ"

    def after(self, tag: int, vr: bytes, length: int, value: int, implicit: bool, limit: int) -> int:
        """The offset after this element's value, everything inside it walked."""
        if length == UNDEFINED and tag == PIXEL_DATA and vr in {b"OB", b"OW"}:
            return self.fragments(value, limit, lambda _offset, _length: None)
        if not self.opens_sequence(tag, vr, length, value):
            return value + length
        return self._descend(value, None if length == UNDEFINED else value + length, implicit, limit)

    def _descend(self, position: int, end: int | None, implicit: bool, limit: int) -> int:
        # (is a sequence, end or None, limit, implicit VR), the innermost last
        stack = [(True, end, limit if end is None else end, implicit)]
        while stack:
            is_sequence, end, limit, implicit = stack[-1]
            if position == end:
                stack.pop()
            elif is_sequence:
                position = self._item(stack, position)
            else:
                tag, vr, length, value = self.element(position, implicit, limit, nested=True)
                if tag == ITEM_END and end is None:
                    stack.pop()
                    position = value
                elif tag in {ITEM, ITEM_END}:
                    raise Refused("The sequences of the file are broken.")
                elif length == UNDEFINED and tag == PIXEL_DATA and vr in {b"OB", b"OW"}:
                    position = self.fragments(value, limit, lambda _offset, _length: None)
                elif self.opens_sequence(tag, vr, length, value):
                    stack.append(
                        (True, None, limit, implicit)
                        if length == UNDEFINED
                        else (True, value + length, value + length, implicit)
                    )
                    if len(stack) > 2 * MAX_DEPTH:
                        raise Refused("The sequences of the file are nested deeper than 32 levels.")
                    position = value
                else:
                    position = value + length
        return position

    def _item(self, stack: list[tuple[bool, int | None, int, bool]], position: int) -> int:
        """Read what follows inside a sequence: an item is pushed, the delimiter pops."""
        _, end, limit, implicit = stack[-1]
        self.count()
        if position + 8 > limit:
            raise Refused(BROKEN_LENGTH)
        group, number, length = self._tag_length(self._take(position, 8))
        tag, position = group << 16 | number, position + 8
        if tag == SEQUENCE_END and (end is None or position == end):
            stack.pop()
            return position
        if tag != ITEM:
            raise Refused("The sequences of the file are broken.")
        if length != UNDEFINED and position + length > limit:
            raise Refused(BROKEN_LENGTH)
        item_end = None if length == UNDEFINED else position + length
        item_limit = limit if item_end is None else item_end
        if not implicit and position + 6 <= item_limit:
            vr = self._take(position + 4, 2)
            implicit = not (0x40 < vr[0] < 0x5B and 0x40 < vr[1] < 0x5B)  # items may be implicit, PS3.5 section 6.2.2
        stack.append((False, item_end, item_limit, implicit))
        return position

    def fragments(self, position: int, limit: int, found: Callable[[int, int], None]) -> int:
        """Tell the offset table and each fragment of encapsulated pixel data to `found` (PS3.5 section A.4)."""
        while True:
            self.count()
            if position + 8 > limit:
                raise Refused(ENDS_EARLY)
            group, number, length = self._tag_length(self._take(position, 8))
            tag, position = group << 16 | number, position + 8
            if tag == SEQUENCE_END and not length:
                return position
            if tag != ITEM or length == UNDEFINED:
                raise Refused("The fragments of the pixel data are broken.")
            if position + length > limit:
                raise Refused(ENDS_EARLY)
            found(position, length)
            position += length


class Inflated:
    """A deflated file as its inflated self, in constant memory: going back starts again (PS3.5 section A.5)."""

    def __init__(self, fp: Source, start: int) -> None:
        self._fp, self._start = fp, start
        self._wanted = 0
        self._rewind()

    def _rewind(self) -> None:
        self._engine = zlib.decompressobj(-zlib.MAX_WBITS)
        self._raw_at, self._at, self._pending = self._start, self._start, b""

    def seek(self, offset: int, /) -> int:
        self._wanted = offset
        return offset

    def read(self, size: int, /) -> bytes:
        if self._wanted < self._start:
            self._fp.seek(self._wanted)
            data = self._fp.read(min(size, self._start - self._wanted))
        else:
            if self._wanted < self._at:
                self._rewind()
            while self._at < self._wanted and self._more(min(self._wanted - self._at, 1 << 16)):
                pass
            got: list[bytes] = []
            while size and (piece := self._more(min(size, 1 << 20))):
                got.append(piece)
                size -= len(piece)
            data = b"".join(got)
        self._wanted += len(data)
        return data

    def _more(self, count: int) -> bytes:
        while not self._engine.eof:
            if not self._pending:
                self._fp.seek(self._raw_at)
                self._pending = self._fp.read(1 << 16)
                self._raw_at += len(self._pending)
            try:
                piece = self._engine.decompress(self._pending, count)
            except zlib.error as error:
                raise Refused("The compressed data of the file are broken.") from error
            empty, self._pending = not self._pending, self._engine.unconsumed_tail
            if piece:
                self._at += len(piece)
                return piece
            if empty:
                raise Refused(ENDS_EARLY)
        return b""

    def drain(self) -> tuple[int, int]:
        """(inflated length, offset of the first byte after the compressed stream); Refused beyond 1 GiB."""
        while self._more(1 << 16):
            if self._at - self._start > MAX_INFLATED:
                raise Refused("The compressed file grows beyond 1 GiB.")
        return self._at - self._start, self._raw_at - len(self._engine.unused_data)


def inflated_size(fp: Source, start: int, size: int) -> tuple[int, int]:
    inner, end = Inflated(fp, start).drain()
    fp.seek(end)
    padding = 1 if size > end and fp.read(1) == b"\0" else 0  # the standard's own pad byte
    return inner, size - end - padding

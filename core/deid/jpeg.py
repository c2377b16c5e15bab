"""Blackens rectangles in a sequential JPEG without touching the coded bits of any block outside them (ITU-T T.81)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.deid.jpeg_huffman import EOB, Table, extended, read_tables
from core.deid.jpeg_scan import Scan, blacken, snapped_flags
from core.deid.jpeg_segments import BROKEN, COM, DHT, DQT, DRI, EOI, SOI, SOS, Segment, Unsupported, kept, segments
from core.errors import Refused

__all__ = ["Box", "Unsupported", "snapped", "splice"]

Box = tuple[int, int, int, int]
_HALF: Final = 1024  # 8 x 128: the DC coefficient of a block that is wholly black or white, before quantisation


@dataclass(frozen=True)
class Component:
    identifier: int
    across: int
    down: int
    quantiser: int


@dataclass(frozen=True)
class FrameHeader:
    """`mcu_width`, `mcu_height` in pixels."""

    rows: int
    columns: int
    components: tuple[Component, ...]

    @property
    def mcu_width(self) -> int:
        return 8 * max(component.across for component in self.components)

    @property
    def mcu_height(self) -> int:
        return 8 * max(component.down for component in self.components)


def snapped(boxes: Sequence[Box], header: FrameHeader) -> list[Box]:
    """Boxes x0 y0 x1 y1 (ends exclusive) grown by one pixel and then to whole MCUs, cut at the image.

    Without that pixel a decoder that smooths chroma would mix the neighbour's colour into the edge of the black."""
    width, height = header.mcu_width, header.mcu_height
    return [
        (
            max(x0 - 1, 0) // width * width,
            max(y0 - 1, 0) // height * height,
            min(-(-(x1 + 1) // width) * width, header.columns),
            min(-(-(y1 + 1) // height) * height, header.rows),
        )
        for x0, y0, x1, y1 in boxes
    ]


def splice(data: bytes, boxes: Sequence[Box], *, is_rgb: bool, is_white_black: bool = False) -> tuple[bytes, list[Box]]:
    """(the stream with these boxes black, the boxes that are really black: see `snapped`).

    `is_rgb`: all components are colours, else the first is luminance. `is_white_black`: MONOCHROME1, where the highest
    value is black. Raises Unsupported for anything but 8-bit Huffman-coded sequential JPEG, Refused for broken streams.
    The result is to be decoded and compared: not every flipped bit shows."""
    work = _Splice(boxes, is_rgb, -1 if is_white_black else 1)
    parts = [part for segment in segments(data) if (part := work.step(segment)) is not None]
    if work.header is None or not work.scans:
        raise Refused(BROKEN)
    return b"".join([SOI, *parts, EOI]), snapped(boxes, work.header)


class _Splice:
    """What the segments passed so far say: frame header, tables, restart interval."""

    def __init__(self, boxes: Sequence[Box], is_rgb: bool, sign: int) -> None:
        self._boxes, self._is_rgb, self._sign = boxes, is_rgb, sign
        self._tables: dict[int, Table] = {}
        self._first_steps: dict[int, int] = {}
        self._restart_interval = 0
        self.header: FrameHeader | None = None
        self.scans = 0

    def step(self, segment: Segment) -> bytes | None:
        """What stands in the new stream for this segment."""
        marker, payload = segment.marker, segment.payload
        if marker == DHT:
            self._tables.update(read_tables(payload))
            return None
        if marker == DQT:
            self._read_steps(payload)
        elif marker == DRI and len(payload) == 2:
            (self._restart_interval,) = struct.unpack(">H", payload)
        elif marker in {0xC0, 0xC1} and self.header is None:
            self.header = _frame_header(payload)
        elif marker == SOS:
            self.scans += 1
            return self._scan(segment)
        elif not (0xE0 <= marker <= 0xEF or marker == COM):
            raise Unsupported
        return kept(segment)

    def _read_steps(self, payload: bytes) -> None:
        """The first step of each quantisation table: that of the DC coefficient."""
        position = 0
        while position < len(payload):
            is_wide = payload[position] >> 4
            size = 129 if is_wide else 65
            table = payload[position : position + size]
            if len(table) != size:
                raise Refused(BROKEN)
            self._first_steps[table[0] & 15] = table[1] << 8 | table[2] if is_wide else table[1]
            position += size

    def _scan(self, segment: Segment) -> bytes:
        if self.header is None:
            raise Refused(BROKEN)
        chosen = _scan_components(segment.payload, self.header)
        try:
            steps = [self._first_steps[component.quantiser] for component, _, _ in chosen]
            reach = min((2 * _HALF // min(steps) + 1).bit_length(), 11)
            for _, dc, ac in chosen:
                self._tables[dc] = extended(self._tables[dc], range(reach + 1))
                self._tables[ac] = extended(self._tables[ac], (EOB,))
        except (KeyError, ZeroDivisionError) as error:
            raise Refused(BROKEN) from error
        scan = Scan(
            blocks=_block_order([component for component, _, _ in chosen]),
            dc=tuple(self._tables[dc] for _, dc, _ in chosen),
            ac=tuple(self._tables[ac] for _, _, ac in chosen),
            black=tuple(
                -self._sign * -(-_HALF // step) if self._is_rgb or component is self.header.components[0] else 0
                for (component, _, _), step in zip(chosen, steps, strict=True)
            ),
            restart_interval=self._restart_interval,
        )
        used = sorted({table for _, dc, ac in chosen for table in (dc, ac)})
        tables = b"".join(bytes([table]) + self._tables[table].stored for table in used)
        flags = self._flags(self.header, [component for component, _, _ in chosen])
        entropy = blacken(segment.entropy, flags.ravel(), scan) if flags.any() else segment.entropy
        return Segment(DHT, tables).stored + Segment(SOS, segment.payload, entropy).stored

    def _flags(self, header: FrameHeader, chosen: list[Component]) -> NDArray[np.bool_]:
        """One flag an MCU of this scan; boxes are snapped to the MCUs of the frame in every scan."""
        most_across, most_down = header.mcu_width // 8, header.mcu_height // 8
        width, height = header.mcu_width, header.mcu_height
        rows, columns = -(-header.rows // height), -(-header.columns // width)
        if len(chosen) == 1:  # not interleaved: the unit is one block of this component
            one = chosen[0]
            width, height = 8 * most_across // one.across, 8 * most_down // one.down
            rows = _whole(_whole(header.rows * one.down, most_down), 8)
            columns = _whole(_whole(header.columns * one.across, most_across), 8)
        return snapped_flags(snapped(self._boxes, header), rows, columns, height, width)


def _frame_header(payload: bytes) -> FrameHeader:
    if len(payload) < 6 or len(payload) != 6 + 3 * payload[5]:
        raise Refused(BROKEN)
    precision, rows, columns, count = struct.unpack(">BHHB", payload[:6])
    if precision != 8 or not rows or count not in {1, 3}:
        raise Unsupported
    components = tuple(
        Component(one, factors >> 4, factors & 15, quantiser)
        for one, factors, quantiser in struct.iter_unpack("BBB", payload[6:])
    )
    if any(not (1 <= one.across <= 4 and 1 <= one.down <= 4) for one in components):
        raise Refused(BROKEN)
    return FrameHeader(rows, columns, components)


def _scan_components(payload: bytes, header: FrameHeader) -> list[tuple[Component, int, int]]:
    """(component, DC table, AC table) of each component of the scan; the tables numbered as in DHT."""
    count = payload[0] if payload else 0
    if len(payload) != 4 + 2 * count or payload[1 + 2 * count :] != b"\x00\x3f\x00":
        raise Unsupported
    found = []
    for index in range(count):
        identifier, tables = payload[1 + 2 * index], payload[2 + 2 * index]
        component = next((one for one in header.components if one.identifier == identifier), None)
        if component is None:
            raise Refused(BROKEN)
        found.append((component, tables >> 4, 0x10 | tables & 15))
    return found


def _block_order(chosen: list[Component]) -> tuple[int, ...]:
    """A scan of one component has one block an MCU; else each component gives across x down blocks (T.81 A.2)."""
    if len(chosen) == 1:
        return (0,)
    return tuple(index for index, one in enumerate(chosen) for _ in range(one.across * one.down))


def _whole(length: int, unit: int) -> int:
    """How many units hold the length, the last one perhaps in part."""
    return -(-length // unit)

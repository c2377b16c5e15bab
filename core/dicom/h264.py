"""H.264 byte streams cut into their units, read without decoding (ITU-T H.264 sections 7.3 and Annex B, ISO/IEC 14496-15)."""

import struct
from collections.abc import Iterator, Sequence
from typing import Final

from core.errors import Held, Refused

SLICE: Final = 1
KEY_SLICE: Final = 5  # of an IDR picture: nothing after it leans on anything before it
SPS: Final = 7
PPS: Final = 8
HIDDEN: Final = "A frame carries something beside its image."
_DROPPED: Final = frozenset({6, 9, 10, 11, 12})  # SEI, delimiters, ends, filling: no part of any picture
_PROFILES: Final = frozenset({66, 77, 100})  # Baseline, Main, High: 8 bits, 4:2:0
_LONGEST_SET: Final = 256
_START: Final = b"\0\0\1"
FOREIGN: Final = "The video is not in the form that this system writes."
_BROKEN: Final = "The video stream is broken."
_OTHER: Final = "The video stream holds more than one view or layer of its pictures."


def annex_b(data: bytes) -> Iterator[bytes]:
    """The units of a stream with start codes, Annex B; zeros after a unit are no part of it."""
    start = data.find(_START)
    while start >= 0:
        end = data.find(_START, start + 3)
        unit = (data[start + 3 :] if end < 0 else data[start + 3 : end]).rstrip(b"\0")
        if unit:
            yield unit
        start = end


def prefixed(data: bytes, width: int = 4) -> Iterator[bytes]:
    """The units of a sample of an MP4 file, each after its length of `width` bytes; raises Refused where they are cut."""
    position = 0
    while position < len(data):
        length = int.from_bytes(data[position : position + width], "big")
        position += width
        if not 0 < length <= len(data) - position:
            raise Refused(_BROKEN)
        yield data[position : position + length]
        position += length


def kind(unit: bytes) -> int:
    """nal_unit_type."""
    return unit[0] & 31


class Cleaner:
    """Takes the units of a stream, picture by picture; keeps slices, and remembers the parameter sets.

    Raises Held for streams that change their form midway or hold more than one view."""

    def __init__(self) -> None:
        self._sets: dict[tuple[int, int], bytes] = {}

    def sample(self, units: Iterator[bytes]) -> tuple[bytes, bool]:
        """(the slices of one picture, each after its length of 4 bytes; whether it is an IDR picture)."""
        kept, is_key = [], False
        for unit in units:
            found = kind(unit)
            if found in {SPS, PPS}:
                self._remember(found, unit)
            elif found in {SLICE, KEY_SLICE}:
                is_key = is_key or found == KEY_SLICE
                kept += [struct.pack(">I", len(unit)), unit]
            elif found not in _DROPPED:
                raise Held(_OTHER)
        return b"".join(kept), is_key

    def config(self) -> bytes:
        """The AVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 5.3.3.1) of what was seen."""
        sps = [unit for (found, _), unit in self._sets.items() if found == SPS]
        pps = [unit for (found, _), unit in sorted(self._sets.items()) if found == PPS]
        if len(sps) != 1 or not pps:
            raise Held("The video stream changes its form midway.")
        return config_of(sps[0], pps)

    def _remember(self, found: int, unit: bytes) -> None:
        if not 4 <= len(unit) <= _LONGEST_SET:
            raise Refused(_BROKEN)
        number = 0 if found == SPS else _number(unit)
        if self._sets.setdefault((found, number), unit) != unit:
            raise Held("The video stream changes its form midway.")


def _number(pps: bytes) -> int:
    """pic_parameter_set_id, the first number, Exp-Golomb (section 9.1)."""
    bits = int.from_bytes(pps[1:5].ljust(4, b"\0"), "big")
    zeros = 32 - bits.bit_length()
    if zeros > 8:
        raise Refused(_BROKEN)
    return (bits >> (31 - 2 * zeros)) - 1


def config_of(sps: bytes, pps: Sequence[bytes]) -> bytes:
    """The configuration record of one sequence and its picture parameter sets; raises Held for other profiles."""
    if sps[1] not in _PROFILES:
        raise Held("The video is in a profile of H.264 that is not supported.")
    parts = [bytes([1, *sps[1:4], 0xFF, 0xE1]), struct.pack(">H", len(sps)), sps, bytes([len(pps)])]
    for unit in pps:
        parts += [struct.pack(">H", len(unit)), unit]
    if sps[1] == 100:
        parts.append(b"\xfd\xf8\xf8\0")  # 4:2:0, 8 bits, no extension
    return b"".join(parts)


def sets_of(config: bytes) -> list[bytes]:
    """The parameter sets of a configuration record; raises Refused where it is cut."""
    try:
        position, found = 6, list[bytes]()
        for _ in range(config[5] & 31):
            position = _one_set(config, position, found)
        position += 1
        for _ in range(config[position - 1]):
            position = _one_set(config, position, found)
    except (IndexError, struct.error) as error:
        raise Refused(_BROKEN) from error
    return found


def _one_set(config: bytes, position: int, found: list[bytes]) -> int:
    (length,) = struct.unpack_from(">H", config, position)
    unit = config[position + 2 : position + 2 + length]
    if len(unit) != length or not unit:
        raise Refused(_BROKEN)
    found.append(unit)
    return int(position + 2 + length)


def check(data: bytes) -> None:
    """Raises Held unless a stored frame of `core.dicom.mp4` is made of slices and of parameter sets only."""
    config, samples = split(data)
    cleaner = Cleaner()
    cleaner.sample(iter(sets_of(config)))
    if cleaner.config() != config or any(kind(unit) not in {SLICE, KEY_SLICE} for unit in prefixed(samples)):
        raise Held(HIDDEN)


def split(data: bytes) -> tuple[bytes, bytes]:
    """(configuration record, samples) of a stored frame: an avcC box, then the pictures from a key frame on."""
    length = int.from_bytes(data[:4], "big")
    if data[4:8] != b"avcC" or not 15 <= length < len(data):
        raise Refused(FOREIGN)
    return data[8:length], data[length:]


def pictures(samples: bytes) -> list[bytes]:
    """Samples cut into pictures: a picture begins with the slice whose first macroblock is 0 (section 7.4.3).

    Raises Held where there is anything but slices, Refused for broken ones."""
    found: list[list[bytes]] = []
    for unit in prefixed(samples):
        if len(unit) < 2:
            raise Refused(_BROKEN)
        if kind(unit) not in {SLICE, KEY_SLICE}:
            raise Held(HIDDEN)
        if unit[1] & 0x80:
            found.append([])
        if not found:
            raise Refused(_BROKEN)
        found[-1] += [struct.pack(">I", len(unit)), unit]
    return [b"".join(parts) for parts in found]

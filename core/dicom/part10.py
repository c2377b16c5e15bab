"""Opens a DICOM file from outside: checked layout, parsed header, and where each frame lies (PS3.10, PS3.5)."""

import re
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

from core.dicom.codestream import check_stream
from core.dicom.frame_ranges import Ranges, frame_ranges, is_video
from core.dicom.guard import DEFLATED, NATIVE, Layout, check, encoding_of
from core.dicom.pixel_format import PixelFormat
from core.dicom.quiet import PARSER_ERRORS, quietly
from core.dicom.walk import ENDS_EARLY, PIXEL_DATA, Inflated, Source
from core.errors import Refused

MAX_HEADER: Final = 256 << 20
MAX_FRAME: Final = 256 << 20
REQUIRED_UIDS: Final = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_ONE_SAMPLE = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})
_THREE_SAMPLES = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT"})
_UNREADABLE = "A value in the file cannot be read."
_HEAD = 1 << 20


@dataclass(frozen=True)
class Part10:
    """One opened file. `dataset` has everything before the pixel data, every value already converted once.

    `frames` are per frame its (offset, length) pieces, see `core.dicom.frame_ranges`: offsets into the file, or into its
    inflated form when it is deflated (`dataset_offset` is where that begins). `are_words_swapped`: 8-bit samples in
    big-endian words. `stream` are the pieces of a video's stream."""

    dataset: Dataset
    file_meta: FileMetaDataset
    pixel: PixelFormat | None
    frames: tuple[Ranges, ...]
    trailing_bytes: int
    dataset_offset: int
    are_words_swapped: bool
    stream: Ranges = ()

    @property
    def is_one_stream(self) -> bool:
        """Whether the image is a video whose frames are not known, for it comes from elsewhere."""
        return self.pixel is not None and bool(self.stream) and self.frames == (self.stream,)

    @property
    def transfer_syntax(self) -> str:
        return str(self.file_meta.TransferSyntaxUID)


def open_part10(fp: Source, size: int) -> Part10:
    """Open a seekable file of `size` bytes; raises Refused with a reason that quotes nothing from the file.

    Memory stays near the size of the header: no frame is read but the first bytes of frame 0."""
    layout = check(fp, size)
    if layout.header_end > MAX_HEADER:
        raise Refused("The file carries too much data outside its pixels.")
    take = _taker(fp, layout.dataset_offset, layout.transfer_syntax)
    dataset, meta = _parse(take(0, layout.header_end), layout)
    _check_uids(dataset)
    if layout.pixel_tag is None:
        if "Rows" in dataset or "Columns" in dataset:
            raise Refused("The image has no pixel data.")
        return Part10(dataset, meta, None, (), layout.trailing_bytes, layout.dataset_offset, False)
    pixel = _pixel_format(dataset, layout)
    frames = frame_ranges(layout, pixel, take)
    if layout.transfer_syntax not in NATIVE:
        _check_first_frame(frames[0], pixel, take)
    swapped = pixel.bits_allocated == 8 and layout.pixel_vr == "OW" and not encoding_of(layout.transfer_syntax)[1]
    stream = layout.fragments if is_video(layout.transfer_syntax) else ()
    return Part10(dataset, meta, pixel, frames, layout.trailing_bytes, layout.dataset_offset, swapped, stream)


def frame_bytes(fp: Source, part10: Part10, index: int) -> bytes:
    """The stored bytes of frame `index` (from 0), its fragments joined; only they are read.

    8-bit samples come in their own order even where the file keeps them in big-endian words; 16-bit samples come as
    stored. Raises Refused for a frame that is not there or a file that has been cut since."""
    if not 0 <= index < len(part10.frames):
        raise Refused("The image has no such frame.")
    take = _taker(fp, part10.dataset_offset, part10.transfer_syntax)
    if not part10.are_words_swapped:
        return b"".join(take(offset, length) for offset, length in part10.frames[index])
    (offset, length), base = part10.frames[index][0], part10.frames[0][0][0]
    before = (offset - base) % 2
    words = array("H", take(offset - before, length + before + (length + before) % 2))
    words.byteswap()
    return words.tobytes()[before : before + length]


def stream_bytes(fp: Source, part10: Part10) -> bytes:
    """The whole stream of a video, its fragments joined; raises Refused where it is too large to be worked on."""
    if not part10.stream or sum(length for _, length in part10.stream) > MAX_FRAME:
        raise Refused("The video is larger than 256 MiB.")
    take = _taker(fp, part10.dataset_offset, part10.transfer_syntax)
    return b"".join(take(offset, length) for offset, length in part10.stream)


def _taker(fp: Source, start: int, transfer_syntax: str) -> Callable[[int, int], bytes]:
    source: Source = Inflated(fp, start) if transfer_syntax == DEFLATED else fp

    def take(offset: int, count: int) -> bytes:
        source.seek(offset)
        data = source.read(count)
        while len(data) < count:
            more = source.read(count - len(data))
            if not more:
                raise Refused(ENDS_EARLY)
            data += more
        return data

    return take


def _parse(raw: bytes, layout: Layout) -> tuple[Dataset, FileMetaDataset]:
    implicit, little = encoding_of(layout.transfer_syntax)
    try:
        with quietly():
            meta_fp = BytesIO(raw[132 : layout.dataset_offset])
            meta = FileMetaDataset(read_dataset(meta_fp, is_implicit_VR=False, is_little_endian=True))
            meta.TransferSyntaxUID = UID(layout.transfer_syntax)
            dataset = read_dataset(BytesIO(raw[layout.dataset_offset :]), implicit, little)
            _convert(meta)
            _convert(dataset)
    except PARSER_ERRORS as error:
        raise Refused(_UNREADABLE) from error
    if sum(tag >> 16 != 0xFFFE for tag in dataset.keys()) != layout.elements:  # noqa: SIM118 - iteration would convert
        raise Refused("The file names an element twice, or can be read in two ways.")
    dataset.file_meta = meta
    return dataset, meta


def _convert(dataset: Dataset) -> None:
    """Convert every value now, without recursion, so that no bad value is met later."""
    waiting = [(dataset, 0)]
    while waiting:
        current, depth = waiting.pop()
        for element in current:
            if element.VR == "SQ" and element.value:
                if depth == 32:
                    raise Refused("The sequences of the file are nested deeper than 32 levels.")
                waiting.extend((item, depth + 1) for item in element.value)
            elif element.VR == "PN":
                str(element.value)
            elif element.VR in {"DS", "IS"} and element.value:  # pydicom leaves text where a number should be
                values = element.value if isinstance(element.value, MultiValue) else [element.value]
                if any(isinstance(value, str) and value for value in values):
                    raise Refused(_UNREADABLE)


def _check_uids(dataset: Dataset) -> None:
    for keyword in REQUIRED_UIDS:
        value = dataset.get(keyword)
        if not isinstance(value, str) or not value:
            raise Refused(f"The file has no {keyword}.")
        if len(value) > 64 or not _UID.fullmatch(value):
            raise Refused(f"The {keyword} of the file is not a UID.")


def _pixel_format(dataset: Dataset, layout: Layout) -> PixelFormat:
    if layout.pixel_tag != PIXEL_DATA:
        raise Refused("Floating point pixel data are not supported.")
    samples = _number(dataset, "SamplesPerPixel")
    allocated = _number(dataset, "BitsAllocated")
    photometric = dataset.get("PhotometricInterpretation")
    allowed = {1: _ONE_SAMPLE, 3: _THREE_SAMPLES}.get(samples, frozenset())
    if not isinstance(photometric, str) or photometric not in allowed:
        raise Refused("The colours of the image are described in a way that is not supported.")
    if allocated not in {8, 16}:
        raise Refused("Only images of 8 or 16 bits a sample are supported.")
    stored = _number(dataset, "BitsStored", allocated)
    if not 0 < stored <= allocated or _number(dataset, "HighBit", stored - 1) != stored - 1:
        raise Refused("The bits of the image are described in a way that is not supported.")
    rows, columns, frames = _number(dataset, "Rows"), _number(dataset, "Columns"), _number(dataset, "NumberOfFrames", 1)
    if not (rows > 0 and columns > 0 and frames > 0) or rows * columns * samples * allocated > MAX_FRAME * 8:
        raise Refused("The size of the image is not possible.")
    representation, planar = _number(dataset, "PixelRepresentation", 0), _number(dataset, "PlanarConfiguration", 0)
    if representation not in {0, 1} or planar not in {0, 1} or (representation and samples == 3):
        raise Refused("The samples of the image are described in a way that is not supported.")
    halved = photometric == "YBR_FULL_422" and layout.transfer_syntax in NATIVE
    if halved and (columns % 2 or allocated != 8 or planar):
        raise Refused("The colours of the image are described in a way that is not supported.")
    return PixelFormat(layout.transfer_syntax, rows, columns, samples, allocated, stored, representation,
                       str(photometric), planar, frames)  # fmt: skip


def _number(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    value = dataset.get(keyword)
    if value is None and default is not None:
        return default
    if not isinstance(value, int):
        raise Refused(f"The {keyword} of the image is missing or is not one number.")
    return int(value)


def _check_first_frame(ranges: Ranges, pixel: PixelFormat, take: Callable[[int, int], bytes]) -> None:
    length, head = sum(count for _, count in ranges), b""
    for wanted in (4096, _HEAD):
        head = b""
        for offset, count in ranges:
            head += take(offset, min(count, wanted - len(head)))
            if len(head) >= wanted:
                break
        try:
            check_stream(head, pixel, length)
        except Refused:
            if wanted == _HEAD or length <= wanted:
                raise
        else:
            return

"""A stored instance as an uncompressed file in Explicit VR Little Endian, made frame by frame (PS3.18 section 8.7.3.5)."""

from array import array
from collections.abc import Iterator
from io import BytesIO
from typing import Final

from pydicom.dataset import Dataset, FileDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from api.dicomweb.pixels import DECODABLE, blob_file, plain_frame, plain_size
from core.dicom.display import decoded_photometric
from core.dicom.guard import NATIVE, encoding_of
from core.dicom.part10 import Part10, open_part10
from core.errors import Refused
from core.node import Node
from core.queries.archive import Stored

EXPLICIT: Final = str(ExplicitVRLittleEndian)
_LARGEST: Final = 0xFFFFFFFE
_WORDS: Final = {"OW": "H", "OF": "I", "OL": "I", "OD": "Q", "OV": "Q"}
_NO_EXPLICIT: Final = "This instance cannot be written without compression; ask for it as it is stored."
# What pydicom's writer raises for a value that its reader let through.
_WRITER_ERRORS = (ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError, OSError)


def is_possible(stored: Stored) -> bool:
    """Whether this server can decode the transfer syntax; an instance without pixels needs no decoder."""
    return stored.transfer_syntax in DECODABLE or not stored.pixel


def explicit_file(node: Node, stored: Stored) -> Iterator[bytes]:
    """The pieces of the file, memory flat: the header, then each frame. Raises Refused before the first piece when the
    header cannot be written, and while it runs when a frame cannot be decoded."""
    file = blob_file(node, stored)
    part10 = open_part10(file, stored.size)
    ds = part10.dataset
    if not encoding_of(stored.transfer_syntax)[1]:
        swap_words(ds)
    if part10.pixel is None:
        yield _header(ds, part10)
        return
    fmt = part10.pixel
    length = fmt.frames * plain_size(fmt)
    if length > _LARGEST or len(part10.frames) != fmt.frames:
        raise Refused(_NO_EXPLICIT)
    if stored.transfer_syntax not in NATIVE:
        _describe_decoded(ds, decoded_photometric(fmt), fmt.samples)
    vr = b"OW" if fmt.bits_allocated > 8 else b"OB"
    first = plain_frame(node, stored, 0)
    yield _header(ds, part10) + b"\xe0\x7f\x10\x00" + vr + b"\0\0" + (length + length % 2).to_bytes(4, "little")
    yield first
    del first
    for index in range(1, fmt.frames):
        yield plain_frame(node, stored, index)
    yield b"\0" * (length % 2)


def _describe_decoded(ds: Dataset, photometric: str, samples: int) -> None:
    ds.PhotometricInterpretation = photometric
    if samples > 1:
        ds.PlanarConfiguration = 0
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in ds:
            delattr(ds, keyword)


def _header(ds: Dataset, part10: Part10) -> bytes:
    out = BytesIO()
    meta = part10.file_meta
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole = FileDataset("", ds, preamble=b"\0" * 128, file_meta=meta)
    try:
        dcmwrite(out, whole, implicit_vr=False, little_endian=True, enforce_file_format=True)
    except _WRITER_ERRORS as error:
        raise Refused(_NO_EXPLICIT) from error
    return out.getvalue()


def swap_words(ds: Dataset) -> None:
    """pydicom keeps the bytes of OW and its like as they were read: from big endian they must be turned round."""
    waiting = [ds]
    while waiting:
        for element in waiting.pop():
            if element.VR == "SQ":
                waiting.extend(element.value)
            elif (code := _WORDS.get(str(element.VR))) and isinstance(element.value, bytes):
                words = array(code)
                usable = len(element.value) // words.itemsize * words.itemsize
                words.frombytes(element.value[:usable])
                words.byteswap()
                element.value = words.tobytes() + element.value[usable:]

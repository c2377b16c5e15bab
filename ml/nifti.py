"""NIfTI-1 files of pictures as arrays: the header's few fields that a stack of plain pictures needs. NumPy and gzip.

The form: R. W. Cox et al., A (sort of) new image data format standard: NIfTI-1 (2004), nifti1.h. One file, .nii or .nii.gz."""

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

HEADER: Final = 348
MOST_BYTES: Final = 1 << 30
TYPES: Final = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}


class BadNifti(ValueError):
    """The file is no NIfTI-1 file of pictures."""


@dataclass(frozen=True)
class Stack:
    """Pictures (n, rows, columns) as they are stored, and mm between columns and between rows."""

    pictures: NDArray[Any]
    mm_x: float
    mm_y: float


def read(path: Path) -> Stack:
    """The pictures of a file of two to four dimensions. Raises BadNifti."""
    content = _content(path)
    if len(content) < HEADER or content[344:348] != b"n+1\0":
        raise BadNifti("The file is not NIfTI-1 in one file.")
    order = next((sign for sign in "<>" if struct.unpack(f"{sign}i", content[:4])[0] == HEADER), "")
    if not order:
        raise BadNifti("The file is not NIfTI-1 in one file.")
    count, *sides = struct.unpack(f"{order}8h", content[40:56])
    kind = TYPES.get(struct.unpack(f"{order}h", content[70:72])[0])
    _, mm_x, mm_y, *_ = struct.unpack(f"{order}8f", content[76:108])
    start = struct.unpack(f"{order}f", content[108:112])[0]
    if not 2 <= count <= 7 or min(sides[:count]) < 1 or kind is None:
        raise BadNifti("The file holds something else than plain pictures.")
    if not (HEADER <= start <= len(content) and 0 < mm_x < 100 and 0 < mm_y < 100):
        raise BadNifti("The header of the file does not hold together.")
    columns, rows, *more = sides[:count]
    number = int(np.prod(more, dtype=np.int64))
    held = np.dtype(order + kind)
    if len(content) - int(start) < number * rows * columns * held.itemsize:
        raise BadNifti("The file is cut off.")
    values = np.frombuffer(content, held, number * rows * columns, int(start))
    return Stack(values.reshape(number, rows, columns), float(mm_x), float(mm_y))


def _content(path: Path) -> bytes:
    """The whole file, unpacked up to a limit."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as handle:
            content = handle.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadNifti("The file cannot be read.") from error
    if len(content) > MOST_BYTES:
        raise BadNifti("The file is too large.")
    return content

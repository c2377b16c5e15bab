"""Groups stored frames so that one call of the sandbox takes several, and still ends in time."""

from collections.abc import Iterable, Iterator
from typing import Final

from core.dicom.codestream import DCT
from core.dicom.guard import NATIVE
from core.dicom.pixel_format import PixelFormat

_FRAMES: Final = 16
_BYTES: Final = 12 << 20  # of decoded samples
_SLOW_BYTES: Final = 2 << 20  # where a frame is slow to code: a call must end in time on a busy machine too


def batches(frames: Iterable[bytes], fmt: PixelFormat) -> Iterator[list[bytes]]:
    """The frames in their order, one or a few at a time; read as they are taken."""
    is_quick = fmt.transfer_syntax in DCT or fmt.transfer_syntax in NATIVE
    most = min(max((_BYTES if is_quick else _SLOW_BYTES) // fmt.frame_bytes, 1), _FRAMES)
    batch: list[bytes] = []
    for frame in frames:
        batch.append(frame)
        if len(batch) == most:
            yield batch
            batch = []
    if batch:
        yield batch

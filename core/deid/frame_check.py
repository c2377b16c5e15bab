"""The second gate's look at single frames; runs in the sandbox, for frames may come from anywhere."""

from typing import Any

from core.deid.channels import check_channels
from core.dicom.frames import decode_stored
from core.dicom.pixel_format import PixelFormat


def sandboxed_check(params: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """For `core.sandbox`: every blob must be one stored frame of `fmt` that decodes and hides nothing."""
    fmt = PixelFormat(**params["fmt"])
    for blob in blobs:
        check_channels(blob, fmt.transfer_syntax)
        decode_stored(blob, fmt)
    return {"frames": len(blobs)}, []

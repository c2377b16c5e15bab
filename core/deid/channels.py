"""Looks for what rides inside coded frames beside their image: comments, application data, bytes behind the end."""

from typing import Final

from core.deid import j2k, jpeg_segments
from core.dicom import h264
from core.dicom.codestream import H264, JPEG_2000, JPEG_FAMILY
from core.errors import Held

HIDDEN: Final = h264.HIDDEN


def check_channels(data: bytes, transfer_syntax: str) -> None:
    """Raises Held for a JPEG, JPEG-LS, JPEG 2000 or H.264 frame with hidden channels, Refused for a broken one."""
    if transfer_syntax in H264:
        h264.check(data)
        return
    if transfer_syntax in JPEG_FAMILY:
        plain = jpeg_segments.clean(data)
    elif transfer_syntax in JPEG_2000:
        plain = j2k.clean(data)
    else:
        return
    if data.rstrip(b"\0") != plain.rstrip(b"\0"):
        raise Held(HIDDEN)

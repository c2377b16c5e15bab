"""Look at the pixels of a stored object, always in the sandbox and one frame at a time."""

from dataclasses import asdict
from typing import Any

from core.dicom.advice import advice
from core.dicom.codestream import H264
from core.dicom.display import Palette
from core.dicom.part10 import Part10, frame_bytes, stream_bytes
from core.dicom.pixel_format import PixelFormat
from core.dicom.walk import Source
from core.errors import Refused
from core.sandbox import Sandbox

PNG = "image/png"


def png_of(
    sandbox: Sandbox,
    data: bytes,
    fmt: PixelFormat,
    palette: Palette | None,
    crop: list[int] | None = None,
    width: int | None = None,
) -> bytes:
    """One stored frame as PNG (RGB, 8 bit), at most `width` wide and high; the same frame gives the same bytes."""
    params: dict[str, Any] = {"fmt": asdict(fmt), "media_type": PNG, "crop": crop}
    if width is not None:
        params["size"] = [width, width]
    blobs = [data]
    if palette is not None:
        params["palette"] = {"first": palette.first, "dtype": palette.lut.dtype.name}
        blobs.append(palette.lut.tobytes())
    return sandbox.call("core.dicom.frames:sandboxed_render", params, blobs)[1][0]


def original_frame(sandbox: Sandbox, source: Source, part10: Part10, number: int) -> tuple[bytes, PixelFormat]:
    """Frame `number`, from 1, of a file from outside as it is stored; of a video, which is one stream, uncompressed.

    Raises Refused for what has no picture or does not decode."""
    fmt = part10.pixel
    if fmt is None:
        raise Refused("This object has no picture.")
    if not part10.is_one_stream:
        return frame_bytes(source, part10, number - 1), fmt
    if fmt.transfer_syntax not in H264:
        raise Refused(advice(fmt.transfer_syntax))
    params = {"fmt": asdict(fmt), "frame": number - 1}
    found, blobs = sandbox.call("core.dicom.video_source:sandboxed_frame", params, [stream_bytes(source, part10)])
    return blobs[0], PixelFormat(**found["fmt"])

"""Look at the pixels of a stored object, always in the sandbox and one frame at a time."""

from dataclasses import asdict
from typing import Any

from core.dicom.display import Palette
from core.dicom.pixel_format import PixelFormat
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

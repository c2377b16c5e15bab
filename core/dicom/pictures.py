"""Frames for a model: PNG and JPEG pictures, raw samples and stored DICOM frames as RGB; bytes from outside, so in the sandbox."""

from io import BytesIO
from typing import Any, Final

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from core.dicom.display import Rgb, to_rgb
from core.dicom.frames import decode_stored, sent_palette
from core.dicom.pixel_format import PixelFormat
from core.errors import Malformed

MOST_PIXELS: Final = (64 << 20) // 3
NO_PICTURE: Final = "A frame must be a PNG or JPEG picture that can be read."
DEEP: Final = "A frame must have 8 bits a sample: this one has more."
LARGE: Final = "A frame may have at most 64 MiB of pixels."
OTHER_SIZE: Final = "The frame has another size than was announced."
_COLOURS: Final = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"})
_TROUBLE: Final = (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError)


def sandboxed_picture(params: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """For `core.sandbox`: a PNG or JPEG (blob 0) as `rows`, `columns` and their RGB samples, row by row.

    Raises Malformed for another file, one of 16 bits, or one that is too large."""
    rgb = of_picture(blobs[0])
    return {"rows": rgb.shape[0], "columns": rgb.shape[1]}, [rgb.tobytes()]


def sandboxed_stored(params: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """For `core.sandbox`: a stored frame (blob 0) of a DICOM image; params and answer as `sandboxed_render` and above."""
    fmt = PixelFormat(**params["fmt"])
    rgb = to_rgb(decode_stored(blobs[0], fmt), fmt, sent_palette(params.get("palette"), blobs[-1]))
    return {"rows": rgb.shape[0], "columns": rgb.shape[1]}, [rgb.tobytes()]


def of_picture(content: bytes) -> Rgb:
    """(rows, columns, 3) uint8. Transparency is left out, grey becomes three equal channels."""
    try:
        with Image.open(BytesIO(content), formats=("PNG", "JPEG")) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise Malformed(LARGE)
            if picture.mode.startswith(("I", "F")) or _is_deep_png(content):
                raise Malformed(DEEP)
            if picture.mode not in _COLOURS:
                raise Malformed(NO_PICTURE)
            if picture.format == "JPEG":
                return np.asarray(simplejpeg.decode_jpeg(content, "RGB"), np.uint8)
            return np.asarray(picture.convert("RGB"), np.uint8)
    except Image.DecompressionBombError:
        raise Malformed(LARGE) from None
    except _TROUBLE:
        raise Malformed(NO_PICTURE) from None


def _is_deep_png(content: bytes) -> bool:
    """The bit depth in the header (PNG, second edition, 11.2.2): a library takes colours of 16 bits for 8 without a word."""
    return content[:8] == b"\x89PNG\r\n\x1a\n" and content[24:25] == b"\x10"

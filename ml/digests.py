"""The digest of what a picture shows: the same pixels in another file, format or grey depth of channels digest the same."""

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP", "PPM")
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    struct.error,
    Image.DecompressionBombError,
    UnidentifiedImageError,
    EOFError,
)
_MOST_PIXELS = 1 << 26


@dataclass(frozen=True)
class Shown:
    """Width and height in pixels as stored (orientation tags are not followed), and the SHA-256 of the RGB bytes."""

    width: int
    height: int
    digest: str


def shown(path: Path) -> Shown:
    """Decode a picture and digest what it shows. Raises ValueError when it is not a whole picture of a known format."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise ValueError("The picture is too large.")
            deep = picture.mode.startswith(("I", "F"))  # 16 bits and more: turned to RGB they would be cut
            pixels = (picture if deep else picture.convert("RGB")).tobytes()
            head = f"{picture.width} {picture.height} {picture.mode if deep else 'RGB'}\n"
            return Shown(picture.width, picture.height, hashlib.sha256(head.encode() + pixels).hexdigest())
    except BROKEN as error:
        raise ValueError("The file is not a whole picture.") from error

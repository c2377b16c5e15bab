"""Stored samples as people see them: palettes, windows and colour spaces to RGB, and RGB to PNG or JPEG."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from core.dicom.codestream import DCT, H264, JPEG_2000
from core.dicom.pixel_format import PixelFormat
from core.dicom.quiet import PARSER_ERRORS
from core.errors import Refused

Frame = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int16]
Rgb = NDArray[np.uint8]

_BAD_PALETTE: Final = "The colour palette of the image is broken."


@dataclass(frozen=True, eq=False)
class Palette:
    """`lut`: (entries, 3) uint8 or uint16, red first; `first` is the stored value of entry 0 (PS3.3 C.7.6.3.1.5)."""

    first: int
    lut: NDArray[np.uint8] | NDArray[np.uint16]


def palette_of(ds: Dataset) -> Palette | None:
    """The palette of a PALETTE COLOR image, segmented or not, None for other images; raises Refused where broken."""
    if ds.get("PhotometricInterpretation") != "PALETTE COLOR":
        return None
    try:
        entries, first, _ = (int(number) for number in ds["RedPaletteColorLookupTableDescriptor"].value)
        first = first - 0x10000 if ds.get("PixelRepresentation") and first > 0x7FFF else first
        stored = np.arange(first, first + (entries or 0x10000), dtype=np.int32)
        lut = apply_color_lut(stored, ds)
    except PARSER_ERRORS as error:
        raise Refused(_BAD_PALETTE) from error
    if lut.shape != (len(stored), 3) or lut.dtype not in (np.uint8, np.uint16):
        raise Refused(_BAD_PALETTE)
    return Palette(first, lut)


def decoded_photometric(fmt: PixelFormat) -> str:
    """The colour space in which `decode_stored` returns a frame of this format: see there."""
    syntax = fmt.transfer_syntax
    if fmt.samples == 3 and (syntax in DCT or (syntax in JPEG_2000 and fmt.photometric in {"YBR_RCT", "YBR_ICT"})):
        return "RGB"
    return "YBR_FULL" if fmt.photometric == "YBR_FULL_422" or syntax in H264 else fmt.photometric


def to_rgb(frame: Frame, fmt: PixelFormat, palette: Palette | None, window: tuple[float, float] | None = None) -> Rgb:
    """A frame from `decode_stored`, (H, W) or (H, W, 3), as (H, W, 3) uint8 for a screen.

    `window` is (centre, width) in stored values; without it 8-bit greys stay as they are and deeper ones spread from
    their least to their greatest value. Raises Refused when a palette is missing or the colours are not supported."""
    photometric = decoded_photometric(fmt)
    if photometric == "PALETTE COLOR":
        return _through_palette(frame, palette)
    if photometric in {"MONOCHROME1", "MONOCHROME2"}:
        grey = _windowed(frame, fmt, window)
        grey = 255 - grey if photometric == "MONOCHROME1" else grey
        return np.repeat(grey[:, :, None], 3, axis=2)
    colour = frame if frame.dtype == np.uint8 else (frame >> max(fmt.bits_stored - 8, 0)).clip(0, 255).astype(np.uint8)
    if photometric == "RGB":
        return np.ascontiguousarray(colour, dtype=np.uint8)
    if photometric == "YBR_FULL":
        size = (colour.shape[1], colour.shape[0])
        return np.array(Image.frombytes("YCbCr", size, colour.tobytes()).convert("RGB"), dtype=np.uint8)
    raise Refused("The colours of the image are described in a way that is not supported.")


def _through_palette(frame: Frame, palette: Palette | None) -> Rgb:
    if palette is None:
        raise Refused("The colour palette of the image is missing.")
    lut = palette.lut
    if lut.dtype == np.uint16:  # some consoles write 8-bit values into 16-bit entries
        lut = (lut if lut.max(initial=0) <= 0xFF else lut >> 8).astype(np.uint8)
    index = (frame.astype(np.int32) - palette.first).clip(0, len(lut) - 1)
    return np.asarray(lut[index], dtype=np.uint8)


def _windowed(frame: Frame, fmt: PixelFormat, window: tuple[float, float] | None) -> Rgb:
    if window is None and fmt.bits_stored <= 8 and frame.dtype == np.uint8:
        return np.asarray(frame if fmt.bits_stored == 8 else frame << (8 - fmt.bits_stored), dtype=np.uint8)
    if window is None:
        low, high = float(frame.min()), float(frame.max())
        scaled = (frame - low) * (255.0 / max(high - low, 1.0))
    else:
        centre, width = window
        if not width >= 1:
            raise Refused("A window must be at least one grey level wide.")
        # PS3.3 C.11.2.1.2.1, LINEAR: a width of 1 is a threshold
        scaled = ((frame - (centre - 0.5)) / max(width - 1, 1e-6) + 0.5) * 255.0
    return scaled.clip(0, 255).round().astype(np.uint8)


def encode_png(rgb: Rgb) -> bytes:
    """(H, W, 3) uint8 as PNG."""
    out = BytesIO()
    Image.fromarray(rgb).save(out, "PNG", compress_level=1)
    return out.getvalue()


def encode_jpeg(rgb: Rgb, quality: int) -> bytes:
    """(H, W, 3) uint8 as baseline JPEG without chroma subsampling; `quality` 1 to 100."""
    if not 1 <= quality <= 100:
        raise Refused("The quality must be between 1 and 100.")
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality, "RGB", "444")
    return data


def resized(rgb: Rgb, crop: Sequence[int] | None, size: Sequence[int] | None) -> Rgb:
    """Cut `crop` (x, y, width, height) out and scale to fit into `size` (width, height), keeping the proportions."""
    height, width = rgb.shape[:2]
    if crop is not None:
        x, y, w, h = (int(value) for value in crop)
        if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
            raise Refused("The part asked for does not lie inside the image.")
        rgb, width, height = rgb[y : y + h, x : x + w], w, h
    if size is None:
        return rgb
    wanted_width, wanted_height = (int(value) for value in size)
    if not (0 < wanted_width <= 8192 and 0 < wanted_height <= 8192):
        raise Refused("The size asked for is not possible.")
    scale = min(wanted_width / width, wanted_height / height)
    target = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).resize(target, Image.Resampling.BILINEAR))

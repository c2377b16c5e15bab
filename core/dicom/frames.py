"""Decodes one stored frame; everything here runs on bytes from outside and so belongs into the sandbox."""

from collections.abc import Callable
from typing import Any, Final

import gdcm
import jpeg_ls
import numpy as np
import simplejpeg
from numpy.typing import DTypeLike, NDArray
from openjpeg.utils import decode as decode_j2k
from rle.utils import decode_pixel_data as decode_rle

from core.dicom import video
from core.dicom.advice import TWELVE_BITS, advice
from core.dicom.codestream import DCT, H264, JPEG_2000, JPEG_LOSSLESS, JPEG_LS, RLE, StreamHeader, check_stream
from core.dicom.display import (
    Frame,
    Palette,
    Rgb,
    decoded_photometric,
    encode_jpeg,
    encode_png,
    palette_of,
    resized,
    to_rgb,
)
from core.dicom.guard import NATIVE, encoding_of
from core.dicom.pixel_format import PixelFormat
from core.errors import Refused

__all__ = [
    "Frame",
    "Palette",
    "Rgb",
    "decode_stored",
    "decoded_photometric",
    "encode_jpeg",
    "encode_png",
    "palette_of",
    "sandboxed_decode",
    "sandboxed_render",
    "sandboxed_strip",
    "sent_palette",
    "to_rgb",
]

_BROKEN: Final = "A frame of the image cannot be decoded."
_DTYPES = {"uint8": np.uint8, "uint16": np.uint16}


def decode_stored(data: bytes, fmt: PixelFormat) -> Frame:
    """One stored frame as (H, W) or (H, W, 3), uint8, uint16 or int16 (signed samples of any depth).

    Colour space: uncompressed, RLE, JPEG-LS and lossless JPEG stay as stored (palette indices, YBR_FULL, RGB;
    YBR_FULL_422 comes back as YBR_FULL, each chroma sample twice). Colour JPEG baseline and extended, and JPEG 2000
    with a component transform, come back as RGB, H.264 as YBR_FULL: `decoded_photometric` says which. The same bytes give the same
    samples. Raises Refused for syntaxes without a decoder, for broken data and for a stream of another size."""
    decoder = _DECODERS.get(fmt.transfer_syntax)
    if decoder is None:
        raise Refused(advice(fmt.transfer_syntax))
    header = None if fmt.transfer_syntax in NATIVE else check_stream(data, fmt, len(data))
    try:
        samples, bits = decoder(data, fmt, header)
    except (ValueError, RuntimeError, TypeError, OverflowError) as error:
        raise Refused(_BROKEN) from error
    expected = (fmt.rows, fmt.columns) if fmt.samples == 1 else (fmt.rows, fmt.columns, fmt.samples)
    if samples.shape != expected:
        raise Refused(_BROKEN)
    return _values(samples, fmt, bits)


Samples = NDArray[np.uint8] | NDArray[np.uint16]
Decoder = Callable[[bytes, PixelFormat, StreamHeader | None], tuple[Samples, int]]


def _values(samples: Samples, fmt: PixelFormat, bits: int) -> Frame:
    """Samples whose lowest `bits` count: the bits above may hold an overlay, which is no part of the value."""
    if fmt.pixel_representation:
        shift = 16 - bits
        return (samples.astype(np.uint16) << shift).view(np.int16) >> shift
    if bits < 8 * samples.itemsize:
        return samples & samples.dtype.type((1 << bits) - 1)
    return samples


def _shaped(data: bytes | bytearray, dtype: DTypeLike, fmt: PixelFormat, planar: int) -> Samples:
    """Interpret a buffer as (H, W) or (H, W, S); `planar` 1 means (S, H, W) in the buffer."""
    flat = np.frombuffer(data, dtype)
    if fmt.samples == 1:
        flat = flat.reshape(fmt.rows, fmt.columns)
    elif planar:
        flat = flat.reshape(fmt.samples, fmt.rows, fmt.columns).transpose(1, 2, 0)
    else:
        flat = flat.reshape(fmt.rows, fmt.columns, fmt.samples)
    result: Samples = np.ascontiguousarray(flat.astype(np.uint8 if flat.itemsize == 1 else np.uint16, copy=False))
    return result


def _decode_native(data: bytes, fmt: PixelFormat, _: StreamHeader | None) -> tuple[Samples, int]:
    if len(data) not in {fmt.frame_bytes, fmt.frame_bytes + 1}:
        raise Refused(_BROKEN)
    data = data[: fmt.frame_bytes]
    little = encoding_of(fmt.transfer_syntax)[1]
    dtype = np.uint8 if fmt.bits_allocated == 8 else np.dtype("<u2" if little else ">u2")
    if fmt.photometric == "YBR_FULL_422":  # Y Y Cb Cr for two pixels, PS3.3 C.7.6.3.1.2
        pairs = np.frombuffer(data, dtype).reshape(-1, 4)
        data = pairs[:, [0, 2, 3, 1, 2, 3]].tobytes()
    return _shaped(data, dtype, fmt, fmt.planar), fmt.bits_stored


def _decode_rle(data: bytes, fmt: PixelFormat, _: StreamHeader | None) -> tuple[Samples, int]:
    raw = decode_rle(
        data, version=2, rows=fmt.rows, columns=fmt.columns, bits_allocated=fmt.bits_allocated, byteorder="<"
    )
    return _shaped(bytes(raw), "u1" if fmt.bits_allocated == 8 else "<u2", fmt, 1), fmt.bits_stored


def _decode_dct(data: bytes, fmt: PixelFormat, header: StreamHeader | None) -> tuple[Samples, int]:
    if header is None or header.precision != 8:
        raise Refused(TWELVE_BITS)
    if fmt.samples == 3:
        if header.adobe_transform is not None:
            transform = min(header.adobe_transform, 1)
        else:
            transform = 1 if header.is_jfif or fmt.photometric != "RGB" else 0
        data = _with_transform(data, transform)
    return _turbo(data, fmt), 8


def _decode_lossless(data: bytes, fmt: PixelFormat, header: StreamHeader | None) -> tuple[Samples, int]:
    bits = header.precision if header else fmt.bits_stored
    if bits > 8:
        return _gdcm(data, fmt, bits), bits
    return _turbo(_with_transform(data, 0) if fmt.samples == 3 else data, fmt), bits


def _turbo(data: bytes, fmt: PixelFormat) -> NDArray[np.uint8]:
    frame: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB" if fmt.samples == 3 else "GRAY")
    return frame if fmt.samples == 3 else frame[:, :, 0]


def _with_transform(data: bytes, transform: int) -> bytes:
    """The stream with one Adobe segment instead of its own APPn, so that libjpeg does not guess the colour space."""
    out, position = [b"\xff\xd8\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00", bytes([transform])], 2
    while position + 4 <= len(data):
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xFF:
            position += 1
            continue
        if marker == 0xDA:
            break
        if not 0xE0 <= marker <= 0xEF:
            out.append(data[position : position + 2 + length])
        position += 2 + length
    return b"".join([*out, data[position:]])


def _gdcm(data: bytes, fmt: PixelFormat, bits: int) -> Samples:
    """Lossless JPEG of more than 8 bits, which libjpeg-turbo's 8-bit interface does not take."""
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(data)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((fmt.columns, fmt.rows, 1))
    image.SetDataElement(element)
    photometric = "RGB" if fmt.samples == 3 else "MONOCHROME2"
    kind = gdcm.PhotometricInterpretation.GetPIType(photometric)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    syntax = gdcm.TransferSyntax.GetTSType(fmt.transfer_syntax)
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    image.SetPixelFormat(gdcm.PixelFormat(fmt.samples, 16, bits, bits - 1, fmt.pixel_representation))
    raw = image.GetBuffer().encode("utf-8", "surrogateescape")  # through a filter the image would be freed twice
    return _shaped(raw, "<u2", fmt, 0)


def _decode_jpeg_ls(data: bytes, fmt: PixelFormat, header: StreamHeader | None) -> tuple[Samples, int]:
    buffer, info = jpeg_ls.decode_pixel_data(data)
    bits = int(info["bits_per_sample"])
    planar = int(info["interleave_mode"] == 0)
    if header is None or bits != header.precision:
        raise Refused(_BROKEN)
    return _shaped(buffer, "u1" if bits <= 8 else "<u2", fmt, planar), bits


def _decode_jpeg_2000(data: bytes, fmt: PixelFormat, header: StreamHeader | None) -> tuple[Samples, int]:
    if header is None or header.precision > 16:
        raise Refused(_BROKEN)
    raw = decode_j2k(data, j2k_format=0, reshape=False).tobytes()
    # the header's PixelRepresentation rules where the stream's sign bit says otherwise
    return _shaped(raw, "u1" if header.precision <= 8 else "<u2", fmt, 0), header.precision


def _decode_video(data: bytes, fmt: PixelFormat, _: StreamHeader | None) -> tuple[Samples, int]:
    return video.decode(data, fmt), 8


_DECODERS: Final[dict[str, Decoder]] = {
    **dict.fromkeys(NATIVE, _decode_native),
    RLE: _decode_rle,
    **dict.fromkeys(DCT, _decode_dct),
    **dict.fromkeys(JPEG_LOSSLESS, _decode_lossless),
    **dict.fromkeys(JPEG_LS, _decode_jpeg_ls),
    **dict.fromkeys(JPEG_2000, _decode_jpeg_2000),
    **dict.fromkeys(H264, _decode_video),
}


def sent_palette(stored: dict[str, Any] | None, lut: bytes) -> Palette | None:
    """The palette that a call of the sandbox brought: {first, dtype} and its lut in row order, or none."""
    if not stored:
        return None
    return Palette(int(stored["first"]), np.frombuffer(lut, _DTYPES[stored["dtype"]]).reshape(-1, 3))


def sandboxed_decode(params: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """For `core.sandbox`: params `fmt` (the fields of PixelFormat), one blob (the stored frame).

    Returns shape, dtype and `photometric` of the samples, and their bytes in row order, little endian."""
    fmt = PixelFormat(**params["fmt"])
    frame = decode_stored(blobs[0], fmt)
    head = {"shape": list(frame.shape), "dtype": frame.dtype.name, "photometric": decoded_photometric(fmt)}
    return head, [frame.tobytes()]


def sandboxed_render(params: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """For `core.sandbox`: a stored frame (blob 0) as PNG or JPEG.

    Params: `fmt`; `palette` {first, dtype} with its lut as blob 1, or none; optional `window` [centre, width],
    `crop` [x, y, width, height], `size` [width, height], `media_type` image/png or image/jpeg, `quality`."""
    fmt = PixelFormat(**params["fmt"])
    palette = sent_palette(params.get("palette"), blobs[-1])
    window = tuple(params["window"]) if params.get("window") else None
    rgb = resized(to_rgb(decode_stored(blobs[0], fmt), fmt, palette, window), params.get("crop"), params.get("size"))
    media_type = params.get("media_type", "image/jpeg")
    data = encode_png(rgb) if media_type == "image/png" else encode_jpeg(rgb, int(params.get("quality", 90)))
    return {"media_type": media_type, "rows": rgb.shape[0], "columns": rgb.shape[1]}, [data]


def sandboxed_strip(params: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """For `core.sandbox`: `frames` stored frames (the first blobs) side by side in one JPEG, from left to right.

    Params: `fmt` and `palette` as `sandboxed_render`; `size` [width, height] that each frame fits into; `quality`."""
    fmt, frames = PixelFormat(**params["fmt"]), int(params["frames"])
    palette = sent_palette(params.get("palette"), blobs[-1])
    cells = [resized(to_rgb(decode_stored(blob, fmt), fmt, palette), None, params["size"]) for blob in blobs[:frames]]
    strip = np.concatenate(cells, axis=1)
    return {"rows": strip.shape[0], "columns": strip.shape[1]}, [encode_jpeg(strip, int(params["quality"]))]

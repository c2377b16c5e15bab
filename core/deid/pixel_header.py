"""Describes the candidate's pixels in the new header: size, depth, colours, palette, and whether they were ever lossy."""

from typing import Any, Final

import numpy as np
from pydicom.dataset import Dataset

from core.deid import values
from core.deid.candidate import Index
from core.deid.pixels import RECODED
from core.dicom.codestream import H264
from core.dicom.display import Palette
from core.dicom.guard import NATIVE

_METHODS: Final = {
    "1.2.840.10008.1.2.4.50": "ISO_10918_1",
    "1.2.840.10008.1.2.4.51": "ISO_10918_1",
    "1.2.840.10008.1.2.4.81": "ISO_14495_1",
    "1.2.840.10008.1.2.4.91": "ISO_15444_1",
    **dict.fromkeys(H264, "ISO_14496_10"),
}
_KNOWN_METHODS: Final = {*_METHODS.values(), "ISO_13818_2", "ISO_23008_2"}
_MULTI_FRAME: Final = ("1.2.840.10008.5.1.4.1.1.3.1", "1.2.840.10008.5.1.4.1.1.3")


def add_pixel_attributes(out: Dataset, source: Dataset, index: Index) -> None:
    """Write the Image Pixel module (PS3.3 C.7.6.3) from the candidate, never from the source."""
    fmt = index.format
    out.SamplesPerPixel, out.PhotometricInterpretation = fmt.samples, fmt.photometric
    out.Rows, out.Columns = fmt.rows, fmt.columns
    out.BitsAllocated, out.BitsStored, out.HighBit = fmt.bits_allocated, fmt.bits_stored, fmt.bits_stored - 1
    out.PixelRepresentation = fmt.pixel_representation
    if fmt.samples > 1:
        out.PlanarConfiguration = fmt.planar
    if fmt.frames > 1 or "NumberOfFrames" in source or str(source.get("SOPClassUID")) in _MULTI_FRAME:
        out.NumberOfFrames = fmt.frames
    if index.palette is not None:
        _add_palette(out, index.palette, is_signed=bool(fmt.pixel_representation))
    _add_compression(out, source, index)


def _add_palette(out: Dataset, palette: Palette, *, is_signed: bool) -> None:
    """The three tables in full, also where the source had them in segments (PS3.3 C.7.6.3.1.5)."""
    bits = 8 * palette.lut.dtype.itemsize
    descriptor = [len(palette.lut) % 65_536, palette.first, bits]
    for number, colour in enumerate(("Red", "Green", "Blue")):
        table = np.ascontiguousarray(palette.lut[:, number]).astype("<u2" if bits == 16 else "u1").tobytes()
        keyword = f"{colour}PaletteColorLookupTable"
        setattr(out, f"{keyword}Descriptor", descriptor)
        out[f"{keyword}Descriptor"].VR = "SS" if is_signed else "US"
        setattr(out, f"{keyword}Data", table + b"\0" * (len(table) % 2))
        out[f"{keyword}Data"].VR = "OW"


def _add_compression(out: Dataset, source: Dataset, index: Index) -> None:
    """Once lossy, always lossy (PS3.3 C.7.6.1.1.5), also when the candidate is stored without loss."""
    stated = str(source.get("LossyImageCompression") or "").strip()
    if not index.is_lossy and stated != "01":
        if stated == "00":
            out.LossyImageCompression = "00"
        return
    out.LossyImageCompression = "01"
    ratios, methods = _ratios(source), _methods(source, index)
    if RECODED in index.methods:  # one value more for one step more, in the order of the steps
        ratios, methods = [*ratios, _ratio(index)], [*methods, _METHODS[index.format.transfer_syntax]]
        methods = methods[-max(len(ratios), 1) :]
    elif not ratios and index.format.transfer_syntax not in NATIVE:
        ratios = [_ratio(index)]
    if ratios:
        out.LossyImageCompressionRatio = ratios if len(ratios) > 1 else ratios[0]
    if methods:
        out.LossyImageCompressionMethod = methods if len(methods) > 1 else methods[0]


def _ratio(index: Index) -> str:
    """How many times larger the image would be uncompressed."""
    plain = index.format.rows * index.format.columns * index.format.samples * index.format.frames
    coded = index.stream_size if index.lead[1] else sum(index.lengths)  # the frames of a video overlap
    return f"{plain * index.format.bits_allocated / 8 / max(coded, 1):.3f}"


def _methods(source: Dataset, index: Index) -> list[str]:
    """What the source names, or what its transfer syntax says."""
    methods = [str(one).strip() for one in values.parts(source.get("LossyImageCompressionMethod"))]
    if methods and set(methods) <= _KNOWN_METHODS:
        return methods
    return [_METHODS[index.source_syntax]] if index.source_syntax in _METHODS else []


def _ratios(source: Dataset) -> list[str]:
    found: list[str] = []
    for one in values.parts(_value(source, "LossyImageCompressionRatio")):
        try:
            ratio = float(one)
        except (TypeError, ValueError):
            return []
        if not 0 < ratio < 100_000:
            return []
        found.append(f"{ratio:.6g}")
    return found[:8]


def _value(source: Dataset, keyword: str) -> Any:  # noqa: ANN401 - what pydicom has there
    try:
        return source.get(keyword)
    except (ValueError, TypeError, OverflowError):
        return None

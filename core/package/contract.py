"""The one contract of what leaves a hospital: a case's record, version 1. Nothing outside it may leave.

Every text has a pattern; there is no free text, no staff name, no hash of an original, and no time at all: exam dates
travel only inside the DICOM objects, shifted. Coordinates are pixels of the stored frame, x right and y down from the
outer corner of the upper left pixel; frames are numbered from 1 as in DICOM (PS3.3, Referenced Frame Number)."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, ValidationError, model_validator

from core.errors import Refused
from core.package.canonical import CaseVersion, OutwardId, Sha256, SiteCode, Strict, canonical, places, read_canonical

CONTRACT_VERSION: Final = 1
MOST_RECORD_BYTES: Final = 32 * 2**20
MOST_IMAGES: Final = 4096
MOST_ROIS: Final = 20_000
MOST_IMAGE_BYTES: Final = 4 * 2**30
MOST_SAMPLES: Final = 2**36
# Defined terms of Transducer Type (0018,6031), PS3.3 C.8.5.6, that a code without spaces cannot spell.
_SPACED = "CURVED LINEAR|IV_ROT MIRROR|IV_ROT XTAL|SINGLE CRYSTAL|SPLIT XTAL CWD"
# UCUM built from known atoms, so that a unit cannot carry words.
_ATOM = (
    r"(?:10\*[0-9]|[kcdmunpMG]?(?:m|g|L|l|s|Hz|W|V|Pa|U|mol|eq)"
    r"|m?m\[Hg\]|m?\[[iI]U\]|mAU|dB|%|deg|min|h|d|wk|mo|a|1)"
)


def _no_number_of_a_person(value: str) -> str:
    if re.search(r"[0-9]{6}|[0-9]{4}[-./_ ][0-9]{1,2}[-./_ ][0-9]{1,2}|[0-9]{1,2}[-/][0-9]{1,2}[-/][0-9]{2}", value):
        raise ValueError("a device's token carries neither a date nor a number of six digits or more")
    return value


def _fits_128_bits(value: str) -> str:
    if int(value[5:]) >= 2**128:
        raise ValueError("a UID under 2.25 holds 128 bits at the most")
    return value


Uid = Annotated[str, StringConstraints(pattern=r"^2\.25\.(0|[1-9][0-9]{0,38})$"), AfterValidator(_fits_128_bits)]
SopClass = Annotated[str, StringConstraints(pattern=r"^1\.2\.840\.10008\.5\.1\.4\.1\.1(\.(0|[1-9][0-9]{0,4})){1,4}$")]
TransferSyntax = Annotated[str, StringConstraints(pattern=r"^1\.2\.840\.10008\.1\.2(\.(0|[1-9][0-9]{0,4})){0,3}$")]
Code = Annotated[str, StringConstraints(pattern=rf"^(?:[A-Za-z0-9][A-Za-z0-9_.:/+-]{{0,31}}|{_SPACED})$")]
FieldCode = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
DomainCode = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Unit = Annotated[
    str, StringConstraints(pattern=rf"^{_ATOM}(?:-?[1-4])?(?:[./]{_ATOM}(?:-?[1-4])?){{0,3}}$", max_length=24)
]
RuleId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/+-]{0,127}$")]
RuleVersion = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:+-]{0,63}$")]
Token = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._,/+()-]{0,63}$"), AfterValidator(_no_number_of_a_person)
]
Source = Annotated[str, StringConstraints(pattern=r"^(?:\([0-9A-Fa-f]{4},[0-9A-Fa-f]{4}\)|manual|derived|model)$")]
# Seven digits at the most: an answer cannot hold a date as YYYYMMDD.
Whole = Annotated[int, Field(ge=-9_999_999, le=9_999_999)]
Real = Annotated[float, Field(gt=-10_000_000, lt=10_000_000)]
Pixel = Annotated[float, Field(ge=0, le=65_535)]
Side = Annotated[float, Field(gt=0, le=65_535)]
Offset = Annotated[int, Field(ge=0, le=65_535)]
Extent = Annotated[int, Field(ge=1, le=65_535)]
Photometric = Literal[
    "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422",
    "YBR_PARTIAL_420", "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT",
]  # fmt: skip
ReaderClass = Literal["specialist", "sonographer", "trainee", "other"]


class Codes(Strict):
    kind: Literal["codes"]
    codes: Annotated[tuple[Code, ...], Field(min_length=1, max_length=64)]
    source: Source


class Number(Strict):
    """A measured value; `unit` is UCUM, `1` for a bare number."""

    kind: Literal["number"]
    value: Real
    unit: Unit
    source: Source


class Integer(Strict):
    kind: Literal["integer"]
    value: Whole
    unit: Unit
    source: Source


class Boolean(Strict):
    kind: Literal["boolean"]
    value: bool
    source: Source


Value = Annotated[Codes | Number | Integer | Boolean, Field(discriminator="kind")]
Values = Annotated[dict[FieldCode, Value], Field(max_length=512)]


class Device(Strict):
    """What the image's header says of the scanner, normalised; a fact that does not fit a token does not leave."""

    manufacturer: Token | None
    model: Token | None
    software: Annotated[tuple[Token, ...], Field(max_length=8)]
    transducer: Annotated[tuple[Token, ...], Field(max_length=8)]
    transducer_type: Code | None


class Mask(Strict):
    """The rule that proposed the mask (null: none knew the device); `rects` as confirmed: (x, y, width, height)."""

    rule_id: RuleId | None
    rule_version: RuleVersion | None
    rects: Annotated[
        tuple[tuple[Offset, Offset, Extent, Extent], ...],
        Field(max_length=256),
    ]
    revision: Annotated[int, Field(ge=1, le=1_000_000)]


class Point(Strict):
    x: Real
    y: Real


class Scale(Strict):
    """Millimetres per pixel along x and y; only from regions measured in cm (PS3.3 C.8.5.5), never guessed."""

    x: Annotated[float, Field(gt=0, le=100)]
    y: Annotated[float, Field(gt=0, le=100)]


class ImageRecord(Strict):
    """A de-identified instance. `sha256`, `size`: of its file as sent; `candidate_digest`: of the pixels confirmed."""

    image_id: OutwardId
    study_uid: Uid
    series_uid: Uid
    sop_instance_uid: Uid
    sop_class_uid: SopClass
    transfer_syntax: TransferSyntax
    sha256: Sha256
    size: Annotated[int, Field(ge=132, le=MOST_IMAGE_BYTES)]
    rows: Extent
    columns: Extent
    frames: Annotated[int, Field(ge=1, le=1_000_000)]
    photometric: Photometric
    device: Device
    mask: Mask
    candidate_digest: Sha256
    mm_per_px: Scale | None
    quality: Literal["diagnostic", "limited", "non-diagnostic"] | None
    values: Values = Field(default_factory=dict)


class RoiRecord(Strict):
    """One lesion on one frame: the tight box, the crop's margin in pixels, and the centre of the tight box."""

    roi_id: OutwardId
    image_id: OutwardId
    lesion_id: OutwardId
    frame: Annotated[int, Field(ge=1, le=1_000_000)]
    x: Pixel
    y: Pixel
    width: Side
    height: Side
    margin: Annotated[float, Field(ge=0, le=4096)]
    centre_px: Point
    centre_mm: Point | None
    shape: Literal["rectangle"]
    label: Code
    drawn_by: ReaderClass
    source: Literal["manual", "model"]


class CaseRecord(Strict):
    """One version of one case. Ages of 90 and above are 90. `basis`: what the diagnosis rests on, strongest first."""

    contract_version: Literal[1]
    package_id: OutwardId
    site: SiteCode
    case_id: OutwardId
    case_version: CaseVersion
    research_id: OutwardId
    domain: DomainCode
    capture_route: Literal["flag", "retrospective"]
    sex: Literal["M", "F", "O", "unknown"]
    age_years: Annotated[int, Field(ge=0, le=90)] | None
    height_m: Annotated[float, Field(ge=0.2, le=2.6)] | None
    weight_kg: Annotated[float, Field(ge=0.2, le=400)] | None
    values: Values
    images: Annotated[tuple[ImageRecord, ...], Field(min_length=1, max_length=MOST_IMAGES)]
    rois: Annotated[tuple[RoiRecord, ...], Field(max_length=MOST_ROIS)]
    basis: Annotated[tuple[Code, ...], Field(min_length=1, max_length=16)]
    site_audit_head: Sha256

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        for problem in _problems(self):
            raise ValueError(problem)
        return self


_RECORD: Final = TypeAdapter(CaseRecord)
_TOKEN: Final[TypeAdapter[str]] = TypeAdapter(Token)


def parse(data: bytes) -> CaseRecord:
    """The record in these bytes. Raises Refused with field paths only."""
    return read_canonical(data, _RECORD, MOST_RECORD_BYTES, "record")


def build(facts: Mapping[str, object]) -> CaseRecord:
    """A record from plain facts. Raises Refused with field paths only."""
    try:
        return _RECORD.validate_python(facts)
    except ValidationError as error:
        raise Refused(f"The case does not fit the contract: {'; '.join(places(error, _RECORD))}.") from None


def token_or_none(value: object) -> str | None:
    """A device's text as a token of the contract; None if it does not fit, for then it does not leave."""
    try:
        return _TOKEN.validate_python(value)
    except ValidationError:
        return None


def write(record: CaseRecord) -> bytes:
    """The record's canonical bytes, read once more by the rules of the receiver. Raises Refused."""
    data = canonical(record)
    parse(data)
    return data


def coded(record: CaseRecord) -> Iterator[tuple[str, str]]:
    """Each (field code, code) of the record, so that a door can ask the vocabulary whether the code exists."""
    for values in (record.values, *(image.values for image in record.images)):
        for field, value in values.items():
            if isinstance(value, Codes):
                yield from ((field, code) for code in value.codes)
    yield from (("label", roi.label) for roi in record.rois)
    yield from (("basis", code) for code in record.basis)


def _problems(record: CaseRecord) -> Iterator[str]:
    images = record.images
    yield from _repeats("images.*.image_id", [str(image.image_id) for image in images])
    yield from _repeats("images.*.sop_instance_uid", [image.sop_instance_uid for image in images])
    yield from _repeats("images.*.sha256", [image.sha256 for image in images])
    yield from _repeats("rois.*.roi_id", [str(roi.roi_id) for roi in record.rois])
    yield from _repeats("basis", list(record.basis))
    if len({(image.series_uid, image.study_uid) for image in images}) != len({image.series_uid for image in images}):
        yield "images.*.series_uid: a series belongs to one study"
    for place, image in enumerate(images):
        yield from (f"images.{place}.{problem}" for problem in _image_problems(image))
    by_id = {image.image_id: image for image in images}
    for place, roi in enumerate(record.rois):
        yield from (f"rois.{place}.{problem}" for problem in _roi_problems(roi, by_id))


def _repeats(place: str, found: list[str]) -> Iterator[str]:
    if len(set(found)) != len(found):
        yield f"{place}: the same one twice"


def _image_problems(image: ImageRecord) -> Iterator[str]:
    if image.rows * image.columns * image.frames > MOST_SAMPLES:
        yield "frames: more pixels than an image may have"
    if any(x + width > image.columns or y + height > image.rows for x, y, width, height in image.mask.rects):
        yield "mask.rects: outside the image"


def _roi_problems(roi: RoiRecord, images: Mapping[UUID, ImageRecord]) -> Iterator[str]:
    image = images.get(roi.image_id)
    if image is None:
        yield "image_id: no such image in this record"
        return
    if roi.frame > image.frames:
        yield "frame: the image has fewer frames"
    if roi.x + roi.width > image.columns or roi.y + roi.height > image.rows:
        yield "x, y, width, height: outside the image"
    centre = roi.centre_px
    # Half a pixel: people count the centre from a pixel's corner or from its middle.
    if abs(centre.x - roi.x - roi.width / 2) > 0.501 or abs(centre.y - roi.y - roi.height / 2) > 0.501:
        yield "centre_px: not the centre of the box"
    if any(x <= centre.x < x + width and y <= centre.y < y + height for x, y, width, height in image.mask.rects):
        yield "centre_px: under the mask"
    if roi.centre_mm is not None and image.mm_per_px is None:
        yield "centre_mm: the image has no scale"

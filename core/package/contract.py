"""The one contract of what leaves a hospital: a case's record, version 1. Nothing outside it may leave.

Every text has a pattern; there is no free text, no staff name, no hash of an original, and no time at all: exam dates
travel only inside the DICOM objects, shifted. Coordinates are pixels of the stored frame, x right and y down from the
outer corner of the upper left pixel; frames are numbered from 1 as in DICOM (PS3.3, Referenced Frame Number)."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal, Self
from uuid import UUID

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from core.errors import Refused
from core.package import roi as roi_rules
from core.package.canonical import CaseVersion, OutwardId, Sha256, SiteCode, Strict, canonical, places, read_canonical
from core.package.roi import Keyframe, RoiRecord
from core.package.terms import (
    Code,
    DomainCode,
    Extent,
    FieldCode,
    Offset,
    Photometric,
    Point,
    ReaderClass,
    Real,
    RuleId,
    RuleVersion,
    SopClass,
    Source,
    Token,
    TransferSyntax,
    Uid,
    Unit,
    Whole,
)

__all__ = [
    "CONTRACT_VERSION",
    "Boolean",
    "CaseRecord",
    "Codes",
    "Device",
    "ImageRecord",
    "Integer",
    "Keyframe",
    "Mask",
    "Number",
    "Point",
    "ReaderClass",
    "RoiRecord",
    "Scale",
    "build",
    "coded",
    "parse",
    "token_or_none",
    "write",
]

CONTRACT_VERSION: Final = 1
MOST_RECORD_BYTES: Final = 32 * 2**20
MOST_IMAGES: Final = 4096
MOST_ROIS: Final = 20_000
MOST_IMAGE_BYTES: Final = 4 * 2**30
MOST_SAMPLES: Final = 2**36


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
    yield from roi_rules.problems(roi, image.rows, image.columns, image.frames, image.mask.rects)
    if roi.centre_mm is not None and image.mm_per_px is None:
        yield "centre_mm: the image has no scale"

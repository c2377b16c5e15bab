"""What a model found on an image, as DICOM objects: an SR (TID 1500, PS3.16) and a presentation state with its outlines.

Both say "research use" and which version of which model spoke; the SR is preliminary and unverified (PS3.3 C.17.2)."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

import highdicom as hd
import numpy as np
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from PIL import ImageCms
from pydicom.dataset import Dataset

from core.curation.linked import Hit

SCHEME: Final = "99SONOBANK"
NOTICE: Final = "Research use only"
MAKER: Final = "Sonobank"
LESION: Final = CodedConcept("52988006", "SCT", "Lesion")
ULTRASOUND: Final = CodedConcept("16310003", "SCT", "Ultrasonography")
CLASS_OF: Final = CodedConcept("CLASS", SCHEME, "Class by the model, research use")
SCORE: Final = CodedConcept("SCORE", SCHEME, "Detection score of the model, research use")
RATIO: Final = CodedConcept("1", "UCUM", "no units")
NOTHING: Final = CodedConcept("NOTHING", SCHEME, "No lesion was found")
UNSURE: Final = CodedConcept("UNDETERMINED", SCHEME, "Undetermined")
_SERIES: Final = 9900
# Module attributes of patient and study that must be there, empty where they are not known (PS3.3 C.7.1.1, C.7.2.1).
_MUST: Final = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber",
                "ReferringPhysicianName", "StudyID")  # fmt: skip


def outline_of(box: Hit) -> NDArray[np.float64]:
    """(5, 2) corners as (column, row), closed; 0, 0 is the corner of the first pixel (PS3.3 C.18.6.1.1, C.10.5.1.1)."""
    x1, y1 = box.x + box.width, box.y + box.height
    return np.asarray([[box.x, box.y], [x1, box.y], [x1, y1], [box.x, y1], [box.x, box.y]], np.float64)


@dataclass(frozen=True)
class Speaker:
    """Which model says so."""

    name: str
    version: str


@dataclass(frozen=True)
class Drawn:
    """An outline on a frame (from 1), (n, 2) as (column, row), and the words at its anchor."""

    frame: int
    outline: NDArray[np.float64]
    words: str
    anchor: tuple[float, float]


def report(image: Dataset, seen: Sequence[Hit], speaker: Speaker) -> Dataset:
    """A Comprehensive SR of one image (its header), a measurement group a lesion, with the lesion's region."""
    source = evidence(image)
    groups = [_group(source, number, one, speaker) for number, one in enumerate(seen, 1)]
    return document(source, groups or [nothing(source, speaker, NOTHING)], speaker)


def document(source: Dataset, groups: Sequence[Any], speaker: Speaker) -> Dataset:
    """The SR of an image's `evidence` with these measurement groups of TID 1500."""
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=hd.UID(), name=f"{MAKER} infer", manufacturer_name=MAKER, model_name=speaker.name, serial_number="none"
    )
    observer = hd.sr.ObserverContext(CodedConcept("121007", "DCM", "Device"), device)
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=ULTRASOUND,
        imaging_measurements=groups,
        title=CodedConcept("126000", "DCM", "Imaging Measurement Report"),
        referenced_images=[source],
    )
    made = hd.sr.ComprehensiveSR(
        evidence=[source], content=content[0], series_instance_uid=hd.UID(), series_number=_SERIES,
        sop_instance_uid=hd.UID(), instance_number=1, manufacturer=MAKER, is_complete=True, is_final=False,
        is_verified=False,
    )  # fmt: skip
    made.SeriesDescription = f"{NOTICE}: {_short(speaker)}"[:64]
    made.ManufacturerModelName, made.SoftwareVersions = speaker.name[:64], speaker.version[:64]
    made.DeviceSerialNumber = "none"
    return made


def drawn(seen: Sequence[Hit]) -> list[Drawn]:
    """The boxes of lesions for a presentation state."""
    return [
        Drawn(one.frame, outline_of(one), f"{one.label or UNSURE.meaning} {one.score:.2f}", (one.x, one.y))
        for one in seen
    ]


def presentation(image: Dataset, seen: Sequence[Drawn], speaker: Speaker) -> Dataset | None:
    """A softcopy presentation state with the outlines, of grey or true colour images; None for one that has no such state."""
    source = evidence(image)
    if source.get("PhotometricInterpretation") == "PALETTE COLOR" or not seen:
        return None
    layer = hd.pr.GraphicLayer("AI", order=1, description=f"{NOTICE}: {_short(speaker)}"[:64])
    frames = sorted({one.frame for one in seen})
    notes = [_annotation(source, [one for one in seen if one.frame == frame], frame, layer) for frame in frames]
    is_grey = source.get("SamplesPerPixel") == 1
    kind = hd.pr.GrayscaleSoftcopyPresentationState if is_grey else hd.pr.ColorSoftcopyPresentationState
    colours: dict[str, Any] = {} if is_grey else {"icc_profile": image.get("ICCProfile") or _srgb()}
    made: Dataset = kind(
        referenced_images=[source], series_instance_uid=hd.UID(), series_number=_SERIES + 1, sop_instance_uid=hd.UID(),
        instance_number=1, manufacturer=MAKER, manufacturer_model_name=speaker.name[:64],
        software_versions=speaker.version[:64], device_serial_number="none", content_label="AI_RESEARCH",
        content_description=f"{NOTICE}: {_short(speaker)}"[:64], graphic_layers=[layer], graphic_annotations=notes, **colours,
    )  # fmt: skip
    made.SeriesDescription = f"{NOTICE}: {_short(speaker)}"[:64]
    made.Laterality = ""  # type 2C (PS3.3 C.7.3.1): unknown here
    return made


def _srgb() -> bytes:
    """What the colours of an image without a profile are taken for; a colour presentation state must say so."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[12:16] = (
        b"scnr"  # DICOM wants an input profile; a matrix profile of three channels is the same (ICC.1 8.3.3)
    )
    return bytes(profile)


def _group(
    source: Dataset, number: int, one: Hit, speaker: Speaker
) -> hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=hd.UID(), identifier=f"AI {number}"),
        referenced_region=region(source, one.frame, outline_of(one)),
        finding_type=LESION,
        algorithm_id=algorithm(speaker),
        measurements=[hd.sr.Measurement(SCORE, round(one.score, 4), RATIO)],
        qualitative_evaluations=[hd.sr.QualitativeEvaluation(CLASS_OF, _class(one.label))],
    )


def region(source: Dataset, frame: int, outline: NDArray[np.float64]) -> hd.sr.ImageRegion:
    """An outline (n, 2) on a frame (from 1) of the image; a still has no frame number."""
    is_cine = int(source.get("NumberOfFrames") or 1) > 1
    where = hd.sr.SourceImageForRegion(
        str(source.SOPClassUID), str(source.SOPInstanceUID), [frame] if is_cine else None
    )
    return hd.sr.ImageRegion("POLYLINE", outline, where)


def algorithm(speaker: Speaker) -> hd.sr.AlgorithmIdentification:
    """Which model said so, and for what."""
    return hd.sr.AlgorithmIdentification(speaker.name, speaker.version, parameters=[NOTICE], manufacturer=MAKER)


def nothing(source: Dataset, speaker: Speaker, what: CodedConcept) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    """The template wants a group: that the model looked, and saw `what`, is a finding too."""
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=hd.UID(), identifier="AI 0"),
        source_images=[hd.sr.SourceImageForMeasurementGroup(str(source.SOPClassUID), str(source.SOPInstanceUID))],
        algorithm_id=algorithm(speaker),
        qualitative_evaluations=[hd.sr.QualitativeEvaluation(CLASS_OF, what)],
    )


def _annotation(
    source: Dataset, seen: Sequence[Drawn], frame: int, layer: hd.pr.GraphicLayer
) -> hd.pr.GraphicAnnotation:
    pixel = hd.pr.AnnotationUnitsValues.PIXEL
    shapes = [hd.pr.GraphicObject("POLYLINE", one.outline, pixel) for one in seen]
    texts = [
        hd.pr.TextObject(f"{one.words} - {NOTICE}", pixel, anchor_point=one.anchor, anchor_point_visible=False)
        for one in seen
    ]
    is_cine = int(source.get("NumberOfFrames") or 1) > 1
    return hd.pr.GraphicAnnotation([source], layer, frame if is_cine else None, None, shapes, texts)


def _class(label: str) -> CodedConcept:
    """A class of the model as a private code: its words are the model's own."""
    return CodedConcept(label.upper()[:16], SCHEME, label[:64]) if label else UNSURE


def _short(speaker: Speaker) -> str:
    return f"{speaker.name} v{speaker.version}"


def evidence(image: Dataset) -> Dataset:
    """The header without its pixels, with the attributes that both objects take over."""
    source = Dataset()
    for element in image:
        if element.tag.group < 0x7FE0 and not element.tag.is_private:
            source[element.tag] = deepcopy(element)
    for keyword in _MUST:
        if keyword not in source:
            setattr(source, keyword, "" if keyword != "PatientName" else None)
    for name in [element.keyword for element in source if element.VR == "PN" and element.VM == 1]:
        setattr(source, name, str(source[name].value))  # away from the bytes of its old character set
    source.SpecificCharacterSet = "ISO_IR 192"
    source.file_meta = image.file_meta
    return source

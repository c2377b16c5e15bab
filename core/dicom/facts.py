"""What one instance says: the facts that identify nobody, and apart from them everything that does."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

from core.dicom.heart import Ecg, ecg, r_waves_ms
from core.dicom.quiet import PARSER_ERRORS
from core.dicom.ultrasound import Region, frame_time_ms, frame_times_ms, integer_of, number_of, region_at, regions

TOP_AGE: Final = 90
# Times of single frames are kept for a cine of so many frames at most.
MOST_TIMED: Final = 5000
_DAYS: Final = {"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25}


@dataclass(frozen=True)
class InstanceFacts:
    """Facts of one instance without identity; None or empty where the file does not say.

    Lengths in mm, times in ms, heart rate in beats a minute, `size_m` and `weight_kg` of the patient; `age_years` is
    cut at 90. `mm_per_px` is (x, y) of the region at the image's middle, else of the first that has a scale.
    `frame_times_ms` (only where frames are not evenly spaced), `r_waves_ms` and `ecg` count from the first frame."""

    sop_class_uid: str | None = None
    transfer_syntax: str | None = None
    modality: str | None = None
    rows: int | None = None
    columns: int | None = None
    frames: int | None = None
    photometric: str | None = None
    bits: int | None = None
    samples: int | None = None
    manufacturer: str | None = None
    model: str | None = None
    software: tuple[str, ...] = ()
    transducer_data: tuple[str, ...] = ()
    transducer_type: str | None = None
    mechanical_index: float | None = None
    depth_mm: float | None = None
    frame_time_ms: float | None = None
    frame_times_ms: tuple[float, ...] = ()
    heart_rate: int | None = None
    r_waves_ms: tuple[float, ...] = ()
    ecg: Ecg | None = None
    burned_in: bool | None = None
    image_type: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()
    mm_per_px: tuple[float, float] | None = None
    lossy: bool | None = None
    sex: str | None = None
    age_years: int | None = None
    size_m: float | None = None
    weight_kg: float | None = None


@dataclass(frozen=True)
class InstanceIdentity:
    """Everything in an instance that points at a person, a place or a visit. `patient_name` and `staff_names` have
    one string a component group (alphabetic, ideographic, phonetic), decoded; dates are YYYYMMDD where they are."""

    patient_id: str | None = None
    issuer: str | None = None
    patient_name: tuple[str, ...] = ()
    birth_date: str | None = None
    accession: str | None = None
    study_uid: str | None = None
    series_uid: str | None = None
    sop_uid: str | None = None
    study_date: str | None = None
    study_time: str | None = None
    institutions: tuple[str, ...] = ()
    staff_names: tuple[str, ...] = ()
    other_patient_ids: tuple[str, ...] = ()
    other_patient_names: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_facts(ds: Dataset, file_meta: Dataset | None = None) -> InstanceFacts:
    """The non-identifying facts; never raises for a value that is absent or cannot be read."""
    meta = file_meta if file_meta is not None else getattr(ds, "file_meta", None)
    rows, columns = integer_of(ds, "Rows"), integer_of(ds, "Columns")
    boxes = regions(ds, rows, columns) if rows and columns else ()
    has_pixels = rows is not None and columns is not None
    times = frame_times_ms(ds) if has_pixels else ()
    depth = number_of(ds, "DepthOfScanField")
    return InstanceFacts(
        sop_class_uid=_text(ds, "SOPClassUID"),
        transfer_syntax=_text(meta, "TransferSyntaxUID") if meta is not None else None,
        modality=_text(ds, "Modality"),
        rows=rows,
        columns=columns,
        frames=(integer_of(ds, "NumberOfFrames") or 1) if has_pixels else None,
        photometric=_text(ds, "PhotometricInterpretation"),
        bits=integer_of(ds, "BitsStored"),
        samples=integer_of(ds, "SamplesPerPixel"),
        manufacturer=_text(ds, "Manufacturer"),
        model=_text(ds, "ManufacturerModelName"),
        software=_texts(ds, "SoftwareVersions"),
        transducer_data=_texts(ds, "TransducerData"),
        transducer_type=_text(ds, "TransducerType"),
        mechanical_index=number_of(ds, "MechanicalIndex"),
        depth_mm=depth if depth is not None and depth > 0 else None,
        frame_time_ms=frame_time_ms(ds) if has_pixels else None,
        frame_times_ms=times if "FrameTimeVector" in ds and 1 < len(times) <= MOST_TIMED else (),
        heart_rate=integer_of(ds, "HeartRate"),
        r_waves_ms=r_waves_ms(ds),
        ecg=ecg(ds, times[-1]) if len(times) > 1 else None,
        burned_in={"YES": True, "NO": False}.get(_text(ds, "BurnedInAnnotation") or ""),
        image_type=_texts(ds, "ImageType"),
        regions=boxes,
        mm_per_px=_scale(boxes, rows or 0, columns or 0),
        lossy={"01": True, "00": False}.get(_text(ds, "LossyImageCompression") or ""),
        sex=_text(ds, "PatientSex"),
        age_years=_age_years(ds),
        size_m=number_of(ds, "PatientSize"),
        weight_kg=number_of(ds, "PatientWeight"),
    )


def read_identity(ds: Dataset) -> InstanceIdentity:
    """Every identifying value, those in sequences too; never raises for a value that cannot be read."""
    names: list[str] = []
    staff: list[str] = []
    other_names: list[str] = []
    institutions: list[str] = []
    ids: list[str] = []
    lists = {"PatientName": names} | dict.fromkeys(_OTHER_NAMES, other_names)
    texts = dict.fromkeys(_INSTITUTIONS, institutions) | dict.fromkeys(_PATIENT_IDS, ids)
    for keyword, vr, value in _elements(ds):
        if vr == "PN":
            lists.get(keyword, staff).extend(_groups(value))
        elif keyword in texts:
            texts[keyword].extend(_strings(value))
    own_id = _text(ds, "PatientID")
    return InstanceIdentity(
        patient_id=own_id,
        issuer=_text(ds, "IssuerOfPatientID"),
        patient_name=_distinct(names),
        birth_date=_date(ds, "PatientBirthDate"),
        accession=_text(ds, "AccessionNumber"),
        study_uid=_text(ds, "StudyInstanceUID"),
        series_uid=_text(ds, "SeriesInstanceUID"),
        sop_uid=_text(ds, "SOPInstanceUID"),
        study_date=_date(ds, "StudyDate"),
        study_time=_text(ds, "StudyTime"),
        institutions=tuple(one for one in _distinct(institutions) if not _names_the_device(one, ds)),
        staff_names=_distinct(staff),
        other_patient_ids=tuple(one for one in _distinct(ids) if one != own_id),
        other_patient_names=tuple(one for one in _distinct(other_names) if one not in names),
    )


def needles(identity: InstanceIdentity) -> tuple[str, ...]:
    """Every distinct value to look for when nothing of this person may remain; single ASCII letters are left out."""
    names = (*identity.patient_name, *identity.other_patient_names, *identity.staff_names)
    single = (
        identity.patient_id, identity.birth_date, identity.accession, identity.study_uid, identity.series_uid,
        identity.sop_uid, identity.study_date,
    )  # fmt: skip
    found = [*names, *(part for name in names for part in re.split(r"[\^=\s]+", name))]
    found += [value for value in single if value]
    found += [*identity.other_patient_ids, *identity.institutions]
    return _distinct([value for value in found if len(value) > 1 or not value.isascii()])


_FEWEST_OF_MODEL: Final = 4
_OTHER_NAMES: Final = ("OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "ResponsiblePerson")
_PATIENT_IDS: Final = ("PatientID", "OtherPatientIDs", "MedicalRecordLocator", "InsurancePlanIdentification")
_INSTITUTIONS: Final = ("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "StationName",
                        "IssuerOfPatientID", "ResponsibleOrganization")  # fmt: skip


def _elements(ds: Dataset) -> Iterator[tuple[str, str, Any]]:
    """(keyword, VR, value) of every element that can be read, the sequences opened with a stack."""
    waiting = [ds]
    while waiting:
        current = waiting.pop()
        for tag in list(current.keys()):
            try:
                element = current[tag]
                keyword, vr, value = element.keyword, str(element.VR), element.value
            except PARSER_ERRORS:
                continue
            if vr == "SQ":
                waiting.extend(value or ())
            else:
                yield keyword, vr, value


def _read(ds: Dataset, keyword: str) -> Any:  # noqa: ANN401 - what pydicom has there
    try:
        return ds.get(keyword)
    except PARSER_ERRORS:
        return None


def _strings(value: Any) -> list[str]:  # noqa: ANN401 - what pydicom has there
    values = list(value) if isinstance(value, MultiValue | list | tuple) else [value]
    texts = ("" if one is None or isinstance(one, bytes) else str(one).strip(" \0") for one in values)
    return [text for text in texts if text]


def _groups(value: Any) -> list[str]:  # noqa: ANN401 - what pydicom has there
    values = list(value) if isinstance(value, MultiValue | list | tuple) else [value]
    found: list[str] = []
    for name in values:
        if isinstance(name, PersonName):
            found += [part.strip(" ^\0") for part in (name.alphabetic, name.ideographic, name.phonetic)]
    return [one for one in found if one]


def _texts(ds: Dataset, keyword: str) -> tuple[str, ...]:
    return tuple(_strings(_read(ds, keyword)))


def _text(ds: Dataset, keyword: str) -> str | None:
    found = _strings(_read(ds, keyword))
    return found[0] if found else None


def _date(ds: Dataset, keyword: str) -> str | None:
    text = _text(ds, keyword)
    return re.sub(r"[-./]", "", text) if text else None


def _distinct(values: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))


def _names_the_device(text: str, ds: Dataset) -> bool:
    """A place that is called like its maker or model ("APLIO500" for "Aplio 500", "VERIQ" for "VeriQ C") is no place."""
    plain, maker, model = (
        re.sub(r"[^0-9a-z]", "", (one or "").casefold())
        for one in (text, _text(ds, "Manufacturer"), _text(ds, "ManufacturerModelName"))
    )
    return plain in {maker, model} - {""} or (len(plain) >= _FEWEST_OF_MODEL and model.startswith(plain))


def _scale(boxes: tuple[Region, ...], rows: int, columns: int) -> tuple[float, float] | None:
    middle = region_at(boxes, columns // 2, rows // 2)
    candidates = ([middle] if middle else []) + list(boxes)
    return next((region.mm_per_px for region in candidates if region.mm_per_px), None)


def _age_years(ds: Dataset) -> int | None:
    """From PatientAge (nnnD, W, M, Y), else from the birth and study dates; cut at 90."""
    match = re.fullmatch(r"(\d{1,3})([DWMY])", _text(ds, "PatientAge") or "")
    if match:
        return min(int(int(match[1]) * _DAYS[match[2]] / _DAYS["Y"] + 1e-9), TOP_AGE)
    birth, study = _date(ds, "PatientBirthDate") or "", _date(ds, "StudyDate") or ""
    if not (re.fullmatch(r"\d{8}", birth) and re.fullmatch(r"\d{8}", study)):
        return None
    years = int(study[:4]) - int(birth[:4]) - (study[4:] < birth[4:])
    return min(years, TOP_AGE) if years >= 0 else None

"""Put a DICOM instance into the archive that the DICOMweb door shows: at central after the gate, at `pacs` by STOW."""

import json
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any, Final

from pydicom import Dataset
from pydicom.multival import MultiValue
from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from core.dicom.guard import NATIVE
from core.dicom.jsonmodel import to_json
from core.dicom.part10 import Part10
from core.errors import Conflict
from core.models.archive import Instance, Series, Study
from core.queries.archive import name_key

_DATE: Final = re.compile(r"(\d{4})[-./]?(\d{2})[-./]?(\d{2})", re.ASCII)
_INT32: Final = 2**31 - 1
_TAKEN: Final = "Another instance is stored under this SOP Instance UID."


@dataclass(frozen=True)
class Described:
    """An instance as the archive needs it: header attributes, DICOM JSON, frame ranges, and the blob's hash."""

    study: dict[str, Any]
    series: dict[str, Any]
    instance: dict[str, Any]


def describe(part10: Part10, sha256: str, size: int) -> Described:
    """Everything that QIDO and WADO answer from, read once when the instance comes in."""
    ds, pixel = part10.dataset, part10.pixel
    path = f"/dicom-web/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
    native_vr = "OW" if pixel and (pixel.bits_allocated > 8 or NATIVE.get(pixel.transfer_syntax, (0, 0))[0]) else "OB"
    model = to_json(ds, lambda name: f"{path}/bulkdata/{name}", native_vr if pixel else None)
    instance = {
        "sop_instance_uid": _text(ds, "SOPInstanceUID"),
        "sop_class_uid": _text(ds, "SOPClassUID"),
        "transfer_syntax": part10.transfer_syntax,
        "instance_number": _number(ds, "InstanceNumber"),
        "rows": pixel.rows if pixel else None,
        "columns": pixel.columns if pixel else None,
        "frames": pixel.frames if pixel else None,
        "bits_allocated": pixel.bits_allocated if pixel else None,
        "sha256": sha256,
        "size": size,
        "metadata_json": _json(model),
        "frame_ranges": _json(part10.frames),
        "pixel": _pixel(part10),
    }
    return Described(_study_facts(ds), _series_facts(ds, model), instance)


def _study_facts(ds: Dataset) -> dict[str, Any]:
    name, physician = _text(ds, "PatientName"), _text(ds, "ReferringPhysicianName")
    return {
        "study_uid": _text(ds, "StudyInstanceUID"),
        "patient_id": _text(ds, "PatientID"),
        "patient_name": name,
        "patient_name_key": name_key(name),
        "patient_birth_date": _date(ds, "PatientBirthDate"),
        "patient_sex": _text(ds, "PatientSex")[:16],
        "study_date": _date(ds, "StudyDate"),
        "study_time": _time(ds, "StudyTime"),
        "accession_number": _text(ds, "AccessionNumber"),
        "study_id": _text(ds, "StudyID"),
        "study_description": _text(ds, "StudyDescription"),
        "referring_physician_name": physician,
        "referring_physician_key": name_key(physician),
    }


def _series_facts(ds: Dataset, model: dict[str, Any]) -> dict[str, Any]:
    requests = ds.get("RequestAttributesSequence") or ()
    return {
        "series_uid": _text(ds, "SeriesInstanceUID"),
        "modality": _text(ds, "Modality")[:16],
        "series_number": _number(ds, "SeriesNumber"),
        "series_description": _text(ds, "SeriesDescription"),
        "performed_date": _date(ds, "PerformedProcedureStepStartDate"),
        "performed_time": _time(ds, "PerformedProcedureStepStartTime"),
        "scheduled_step_ids": _distinct(_text(item, "ScheduledProcedureStepID") for item in requests),
        "requested_procedure_ids": _distinct(_text(item, "RequestedProcedureID") for item in requests),
        "request_json": _json(model["00400275"]) if requests else "",
    }


def _pixel(part10: Part10) -> str:
    """What `core.queries.archive.Stored.format` reads: the pixel format, and the first window of the image."""
    if part10.pixel is None:
        return ""
    window = [_real(part10.dataset, keyword) for keyword in ("WindowCenter", "WindowWidth")]
    usable = None not in window and (window[1] or 0) >= 1
    return _json(
        {"fmt": asdict(part10.pixel), "swapped": part10.are_words_swapped, "window": window if usable else None}
    )


def _json(model: object) -> str:
    text = json.dumps(model, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()  # a lone surrogate has no place in the database


def _distinct(texts: Any) -> list[str]:  # noqa: ANN401 - a generator of strings
    return [text for text in dict.fromkeys(texts) if text]


def _text(ds: Dataset, keyword: str) -> str:
    """The first value without padding and without what PostgreSQL cannot hold."""
    value = ds.get(keyword)
    if isinstance(value, MultiValue):
        value = value[0] if len(value) else None
    text = "" if value is None else str(value)
    return text.replace("\0", "").strip().encode("utf-8", "replace").decode()


def _date(ds: Dataset, keyword: str) -> str:
    found = _DATE.fullmatch(_text(ds, keyword))
    return "".join(found.groups()) if found else ""


def _time(ds: Dataset, keyword: str) -> str:
    text = _text(ds, keyword).replace(":", "")
    return text if re.fullmatch(r"\d{2,6}(\.\d{1,6})?", text, re.ASCII) else ""


def _real(ds: Dataset, keyword: str) -> float | None:
    try:
        return float(_text(ds, keyword))
    except ValueError:
        return None


def _number(ds: Dataset, keyword: str) -> int | None:
    value = _real(ds, keyword)
    return int(value) if value is not None and abs(value) <= _INT32 else None


def store_row(session: Session, found: Described, domain: str | None = None) -> bool:
    """Add the instance to the archive; False when the same bytes are there. Raises Conflict for other bytes under a known UID."""
    study = _study(session, found, domain)
    uid = found.instance["sop_instance_uid"]
    known = session.exec(select(Instance.sha256).where(Instance.sop_instance_uid == uid)).first()
    if known is not None:
        if known != found.instance["sha256"]:
            raise Conflict(_TAKEN)
        return False
    try:
        series = _series(session, study, found)
        session.add(Instance(series_id=series.id, **found.instance))
        series.instance_count += 1
        study.instance_count += 1
        if series.modality and series.modality not in study.modalities:
            study.modalities = [*study.modalities, series.modality]
        session.flush()
    except IntegrityError:  # the same UID at the same moment in another study
        session.rollback()
        raise Conflict(_TAKEN) from None
    return True


def _study(session: Session, found: Described, domain: str | None) -> Study:
    """The study's row, locked: its counts change with each instance."""
    held = select(Study).where(Study.study_uid == found.study["study_uid"]).with_for_update()
    study = session.exec(held).first()
    if study is None:
        row = Study(**found.study, domain=domain).model_dump()
        # another transaction may make it at the same time
        session.execute(insert(Study).values(**row).on_conflict_do_nothing(index_elements=["study_uid"]))
        study = session.exec(held).one()
    return study


def _series(session: Session, study: Study, found: Described) -> Series:
    uid = found.series["series_uid"]
    series = session.exec(select(Series).where(col(Series.series_uid) == uid).with_for_update()).first()
    if series is None:
        series = Series(study_id=study.id, **found.series)
        session.add(series)
        study.series_count += 1
        session.flush()
    if series.study_id != study.id:
        raise Conflict("This Series Instance UID belongs to another study.")
    return series


def hide(session: Session, sop_instance_uids: Collection[str]) -> int:
    """Take these instances out of every answer, and their series and studies when nothing else is in them; how many."""
    statement = select(Instance).where(col(Instance.sop_instance_uid).in_(sop_instance_uids))
    found = session.exec(statement.where(col(Instance.hidden).is_(False)).with_for_update()).all()
    for instance in found:
        instance.hidden = True
    session.flush()
    series_ids = {instance.series_id for instance in found}
    touched = session.exec(select(Series).where(col(Series.id).in_(series_ids))).all()
    for series in touched:
        visible = select(func.count()).where(col(Instance.series_id) == series.id, col(Instance.hidden).is_(False))
        series.instance_count = session.exec(visible).one()
    session.flush()
    for study_id in {series.study_id for series in touched}:
        _recount(session, study_id)
    return len(found)


def _recount(session: Session, study_id: object) -> None:
    study = session.exec(select(Study).where(Study.id == study_id).with_for_update()).one()
    statement = select(Series).where(Series.study_id == study_id, Series.instance_count > 0)
    visible = session.exec(statement.order_by(col(Series.id))).all()
    study.series_count, study.instance_count = len(visible), sum(series.instance_count for series in visible)
    study.modalities = _distinct(series.modality for series in visible)
    session.flush()

"""QIDO-RS matching on the archive's columns (PS3.4 C.2.2.2), and one page of what matches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, false, func, or_, select
from sqlalchemy.orm import defer
from sqlalchemy.sql.elements import True_
from sqlmodel import Session, col

from core.dicom.query import Level, Match, Query
from core.models.archive import Instance, Series, Study
from core.permissions import Actor
from core.queries.archive import is_uid, name_key, readable

COUNTED: Final = 10_000

_HEAVY: Final[tuple[Any, ...]] = (Instance.metadata_json, Instance.frame_ranges, Instance.pixel)

Row = tuple[Study, Series | None, Instance | None]
Condition = ColumnElement[bool]


@dataclass(frozen=True)
class Page:
    """Rows in their lasting order, and how many more there are (counted up to COUNTED)."""

    rows: list[Row]
    remaining: int


def search(
    session: Session, actor: Actor, query: Query, most: int, study_uid: str | None = None, series_uid: str | None = None
) -> Page:
    """At most `most` of what the actor may read and matches; study_uid and series_uid are those of the path."""
    if not all(uid is None or is_uid(uid) for uid in (study_uid, series_uid)):
        return Page([], 0)
    limit = most if query.limit is None else min(query.limit, most)
    base = _matching(actor, query, study_uid, series_uid)
    if limit == 0:
        return Page([], 0)
    ordered = base.order_by(*_order(query.level, study_uid, series_uid)).limit(limit + 1).offset(query.offset)
    ids: list[UUID] = [row[0] for row in session.execute(ordered)]
    remaining = 0
    if len(ids) > limit:
        counted = base.limit(query.offset + limit + COUNTED).subquery()
        remaining = session.execute(select(func.count()).select_from(counted)).scalar_one() - query.offset - limit
    return Page(_rows(session, query.level, ids[:limit]), max(remaining, len(ids) - limit, 0))


def _matching(actor: Actor, query: Query, study_uid: str | None, series_uid: str | None) -> Select[Any]:
    """The ids that match; a table is only joined when something is asked of it."""
    study: list[Condition] = [readable(actor)]
    series: list[Condition] = []
    instance: list[Condition] = []
    if study_uid is not None:
        study.append(col(Study.study_uid) == study_uid)
    if series_uid is not None:
        series.append(col(Series.series_uid) == series_uid)
    for match in query.matches:
        if match.kind != "empty":
            table, condition = _condition(match)
            {Study: study, Series: series, Instance: instance}[table].append(condition)
    if query.level == "study":
        return select(col(Study.id)).where(col(Study.instance_count) > 0, *study)
    needs_study = len(study) > 1 or not isinstance(study[0], True_)
    if query.level == "series":
        statement = select(col(Series.id)).where(col(Series.instance_count) > 0, *series)
        join = statement.join(Study, col(Study.id) == col(Series.study_id)).where(*study)
        return join if needs_study else statement
    statement = select(col(Instance.id)).where(col(Instance.hidden).is_(False), *instance)
    if needs_study or series or study_uid is not None:
        statement = statement.join(Series, col(Series.id) == col(Instance.series_id)).where(*series)
    return statement.join(Study, col(Study.id) == col(Series.study_id)).where(*study) if needs_study else statement


def _order(level: Level, study_uid: str | None, series_uid: str | None) -> list[Any]:
    """Newest studies first; within a study by the numbers of series and instances; else as they came."""
    if level == "study":
        return [col(Study.id).desc()]
    if level == "series":
        return [col(Series.series_number), col(Series.id)] if study_uid else [col(Series.id)]
    if series_uid:
        return [col(Instance.instance_number), col(Instance.id)]
    if study_uid:
        return [col(Series.series_number), col(Series.id), col(Instance.instance_number), col(Instance.id)]
    return [col(Instance.id)]


def _rows(session: Session, level: Level, ids: Sequence[UUID]) -> list[Row]:
    if not ids:
        return []
    if level == "study":
        studies = {study.id: study for study in session.execute(select(Study).where(col(Study.id).in_(ids))).scalars()}
        return [(studies[key], None, None) for key in ids if key in studies]
    if level == "series":
        joined = (
            select(Study, Series).join(Series, col(Series.study_id) == col(Study.id)).where(col(Series.id).in_(ids))
        )
        series = {row[1].id: row for row in session.execute(joined)}
        return [(series[key][0], series[key][1], None) for key in ids if key in series]
    statement = (
        select(Study, Series, Instance)
        .join(Series, col(Series.study_id) == col(Study.id))
        .join(Instance, col(Instance.series_id) == col(Series.id))
        .where(col(Instance.id).in_(ids))
        .options(*(defer(heavy) for heavy in _HEAVY))
    )
    instances = {row[2].id: row for row in session.execute(statement)}
    return [(row[0], row[1], row[2]) for key in ids if (row := instances.get(key))]


def samples(session: Session, level: Level, rows: Sequence[Row]) -> list[str]:
    """For each row the metadata of one visible instance in it: where attributes that have no column come from."""
    if level == "instance":
        ids = [instance.id for _, _, instance in rows if instance is not None]
        chosen = select(col(Instance.id), col(Instance.metadata_json)).where(col(Instance.id).in_(ids))
    else:
        key = col(Series.study_id) if level == "study" else col(Series.id)
        ids = [study.id if series is None else series.id for study, series, _ in rows]
        chosen = (
            select(key, col(Instance.metadata_json))
            .join(Instance, col(Instance.series_id) == col(Series.id))
            .where(key.in_(ids), col(Instance.hidden).is_(False))
            .distinct(key)
            .order_by(key, col(Instance.id))
        )
    held = {row[0]: row[1] for row in session.execute(chosen)}
    return [held.get(key, "{}") for key in ids]


Table = type[Study] | type[Series] | type[Instance]
Build = Callable[[Any, Match], Condition]


def _condition(match: Match) -> tuple[Table, Condition]:
    table, column, build = _COLUMNS[match.keyword]
    return table, build(column, match)


def pattern(value: str) -> str:
    """DICOM's wild cards as those of LIKE."""
    for special in ("\\", "%", "_"):
        value = value.replace(special, f"\\{special}")
    return value.replace("*", "%").replace("?", "_")


def _text(column: Any, match: Match) -> Condition:  # noqa: ANN401 - an instrumented column
    value = str(match.value)
    found: Condition = column.like(pattern(value), escape="\\") if match.kind == "wildcard" else column == value
    return found


def _name(column: Any, match: Match) -> Condition:  # noqa: ANN401 - an instrumented column
    """One component group, or the whole name when the value holds several."""
    key = name_key(str(match.value))
    keys = [key, key.removesuffix("^*=") + "="] if key.endswith("^*=") else [key]  # empty components are not kept
    return or_(*(column.like(f"%{pattern(key)}%", escape="\\") for key in keys))


def _uid(column: Any, match: Match) -> Condition:  # noqa: ANN401 - an instrumented column
    found: Condition = column.in_(match.value) if match.kind == "uid-list" else column == match.value
    return found


def _date(column: Any, match: Match) -> Condition:  # noqa: ANN401 - an instrumented column
    if match.kind != "range":
        return _text(column, match)
    start, end = tuple(match.value)
    return and_(column != "", *([column >= start] if start else []), *([column <= end] if end else []))


def _time(column: Any, match: Match) -> Condition:  # noqa: ANN401 - an instrumented column
    """Times may be cut off on the right: 12, 1200 and 120000 are the same, and a range ends after its last unit."""
    if match.kind != "range":
        found: Condition = column.in_(times(str(match.value)))
        return found
    start, end = tuple(match.value)
    lower = or_(column >= start, column.in_(times(start))) if start else column != ""
    return and_(lower, column <= end + "235959.999999"[len(end) :]) if end else and_(lower)


def times(value: str) -> list[str]:
    """Every way to write this time of day (PS3.5 TM)."""
    whole, _, fraction = value.partition(".")
    whole, fraction = whole.ljust(6, "0"), fraction.rstrip("0")
    if fraction:
        return [f"{whole}.{fraction.ljust(digits, '0')}" for digits in range(len(fraction), 7)]
    spelled = [whole, *(f"{whole}.{'0' * digits}" for digits in range(1, 7))]
    while len(whole) > 2 and whole.endswith("00"):
        whole = whole[:-2]
        spelled.append(whole)
    return spelled


def _number(column: Any, match: Match) -> Condition:  # noqa: ANN401 - an instrumented column
    number = float(str(match.value))
    if not number.is_integer() or abs(number) >= 2**31:
        return false()
    found: Condition = column == int(number)
    return found


def _member(column: Any, match: Match) -> Condition:  # noqa: ANN401 - an instrumented column
    """One of the values of an array."""
    value = str(match.value)
    if match.kind != "wildcard":
        found: Condition = column.contains([value])
        return found
    one = func.unnest(column).column_valued("one")
    return select(one).where(one.like(pattern(value), escape="\\")).exists()


_COLUMNS: Final[dict[str, tuple[Table, Any, Build]]] = {
    "StudyInstanceUID": (Study, col(Study.study_uid), _uid),
    "PatientID": (Study, col(Study.patient_id), _text),
    "PatientName": (Study, col(Study.patient_name_key), _name),
    "PatientBirthDate": (Study, col(Study.patient_birth_date), _date),
    "PatientSex": (Study, col(Study.patient_sex), _text),
    "StudyDate": (Study, col(Study.study_date), _date),
    "StudyTime": (Study, col(Study.study_time), _time),
    "AccessionNumber": (Study, col(Study.accession_number), _text),
    "StudyID": (Study, col(Study.study_id), _text),
    "StudyDescription": (Study, col(Study.study_description), _text),
    "ReferringPhysicianName": (Study, col(Study.referring_physician_key), _name),
    "ModalitiesInStudy": (Study, col(Study.modalities), _member),
    "SeriesInstanceUID": (Series, col(Series.series_uid), _uid),
    "Modality": (Series, col(Series.modality), _text),
    "SeriesNumber": (Series, col(Series.series_number), _number),
    "SeriesDescription": (Series, col(Series.series_description), _text),
    "PerformedProcedureStepStartDate": (Series, col(Series.performed_date), _date),
    "PerformedProcedureStepStartTime": (Series, col(Series.performed_time), _time),
    "RequestAttributesSequence.ScheduledProcedureStepID": (Series, col(Series.scheduled_step_ids), _member),
    "RequestAttributesSequence.RequestedProcedureID": (Series, col(Series.requested_procedure_ids), _member),
    "SOPInstanceUID": (Instance, col(Instance.sop_instance_uid), _uid),
    "SOPClassUID": (Instance, col(Instance.sop_class_uid), _uid),
    "InstanceNumber": (Instance, col(Instance.instance_number), _number),
}

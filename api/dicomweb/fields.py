"""The attributes of QIDO-RS answers (PS3.18 tables 10.6.3-3 to 10.6.3-5), and which more an includefield gives."""

import json
from typing import Any, Final

from pydicom.datadict import tag_for_keyword

from core.dicom.query import Level, Query
from core.ids import uuid7
from core.models.archive import Instance, Series, Study
from core.queries.archive_search import Row

Model = dict[str, Any]
LEVELS: Final[dict[Level, int]] = {"study": 0, "series": 1, "instance": 2}
_BULK: Final = frozenset({"7FE00008", "7FE00009", "7FE00010"})

# Attributes of the modules Patient, General Study, Patient Study and Clinical Trial Subject / Study (PS3.3 C.7.1, C.7.2)
_STUDY_TEXT: Final = """
    00080005 00080020 00080030 00080050 00080051 00080090 00080096 0008009C 0008009D 00080201 00081030 00081032
    00081048 00081049 00081060 00081062 00081080 00081084 00081110 00081120 00100010 00100020 00100021 00100022 00100024
    00100026 00100027 00100028 00100030 00100032 00100033 00100034 00100035 00100040 00100042 00100212 00100213 00100214
    00100215 00100216 00100217 00100218 00100219 00100221 00100222 00100223 00101000 00101001 00101002 00101005 00101010
    00101020 00101021 00101022 00101030 00101060 00102000 00102110 00102160 00102180 001021A0 001021B0 001021C0 001021D0
    00102201 00102202 00102203 00102292 00102293 00102294 00102295 00102296 00102297 00102298 00102299 00104000 00120010
    00120020 00120021 00120022 00120030 00120031 00120040 00120042 00120050 00120051 00120052 00120053 00120062 00120063
    00120064 00120081 00120082 00120083 00120084 00120085 0020000D 00200010 00321033 00321034 00321060 00380010 00380014
    00380060 00380062 00380500 00401012"""
_STUDY_TAGS: Final = frozenset(_STUDY_TEXT.split())
# General Series, General Equipment, Frame of Reference and Clinical Trial Series (C.7.3.1, C.7.5.1, C.7.4.1)
_SERIES_TEXT: Final = """
    00080021 00080031 00080060 00080070 00080080 00080081 00081010 0008103E 0008103F 00081040 00081050 00081052
    00081070 00081072 00081090 00081111 00081250 00120060 00120071 00120072 00180015 00181000 00181002 00181008 00181009
    0018100A 00181016 00181018 00181019 00181020 00181030 00181050 00181200 00181201 00185100 0020000E 00200011 00200052
    00200060 00201040 00280108 00280109 00280120 00400244 00400245 00400250 00400251 00400253 00400254 00400260 00400275
    00400280 22000002"""
_SERIES_TAGS: Final = frozenset(_SERIES_TEXT.split())


def levels_of(level: Level, has_study: bool, has_series: bool) -> tuple[Level, ...]:
    """The levels whose attributes an answer carries: those above that the path does not name (section 10.6.3.3)."""
    above: list[Level] = []
    if level != "study" and not has_study:
        above.append("study")
    if level == "instance" and not has_series:
        above.append("series")
    return (*above, level)


def wanted(query: Query, levels: tuple[Level, ...]) -> frozenset[str] | None:
    """The tags that the columns do not answer; None for all that the metadata have. Not of a level below this one."""
    if query.includefield is None:
        return None
    tags = {_tag(path) for path in query.includefield}
    in_columns = frozenset().union(*(_IN_COLUMNS[level] for level in levels))
    return frozenset(tag for tag in tags - in_columns if _belongs(tag, query.level))


def pick(held: Model, tags: frozenset[str] | None, level: Level) -> Model:
    """The elements of one instance's metadata that were asked for and are the same all over this level."""
    if tags is None:
        return {tag: element for tag, element in held.items() if _belongs(tag, level)}
    return {tag: held[tag] for tag in tags if tag in held}


def _tag(path: str) -> str:
    first = path.split(".")[0]
    tag = tag_for_keyword(first)
    return f"{tag:08X}" if tag is not None else first


def _belongs(tag: str, level: Level) -> bool:
    if level == "instance":
        return tag not in _BULK
    return tag in _STUDY_TAGS or (level == "series" and tag in _SERIES_TAGS)


def model(base_url: str, row: Row, levels: tuple[Level, ...]) -> Model:
    """The attributes of these levels, and the UIDs of all levels above."""
    study, series, instance = row
    url = f"{base_url}/dicom-web/studies/{study.study_uid}"
    found: Model = {"00080005": _element("CS", "ISO_IR 192"), "00080056": _element("CS", "ONLINE")}
    found["0020000D"] = _element("UI", study.study_uid)
    if "study" in levels:
        found |= _study(study)
    if series is not None:
        url += f"/series/{series.series_uid}"
        found["0020000E"] = _element("UI", series.series_uid)
        if "series" in levels:
            found |= _series(series)
    if instance is not None:
        url += f"/instances/{instance.sop_instance_uid}"
        found |= _instance(instance)
    found["00081190"] = _element("UR", url)
    return found


def _element(vr: str, *values: str | int | None) -> Model:
    kept = [value for value in values if value not in {None, ""}]
    return {"vr": vr, "Value": kept} if kept else {"vr": vr}


def _name(name: str) -> Model:
    groups = zip(("Alphabetic", "Ideographic", "Phonetic"), name.split("="), strict=False)
    value = {key: text for key, text in groups if text}
    return {"vr": "PN", "Value": [value]} if value else {"vr": "PN"}


def _study(study: Study) -> Model:
    return {
        "00080020": _element("DA", study.study_date),
        "00080030": _element("TM", study.study_time),
        "00080050": _element("SH", study.accession_number),
        "00080061": _element("CS", *study.modalities),
        "00080090": _name(study.referring_physician_name),
        "00081030": _element("LO", study.study_description),
        "00100010": _name(study.patient_name),
        "00100020": _element("LO", study.patient_id),
        "00100030": _element("DA", study.patient_birth_date),
        "00100040": _element("CS", study.patient_sex),
        "00200010": _element("SH", study.study_id),
        "00201206": _element("IS", study.series_count),
        "00201208": _element("IS", study.instance_count),
    }


def _series(series: Series) -> Model:
    request = json.loads(series.request_json) if series.request_json else {"vr": "SQ"}
    return {
        "00080060": _element("CS", series.modality),
        "0008103E": _element("LO", series.series_description),
        "00200011": _element("IS", series.series_number),
        "00201209": _element("IS", series.instance_count),
        "00400244": _element("DA", series.performed_date),
        "00400245": _element("TM", series.performed_time),
        "00400275": request,
    }


def _instance(instance: Instance) -> Model:
    found = {
        "00080016": _element("UI", instance.sop_class_uid),
        "00080018": _element("UI", instance.sop_instance_uid),
        "00083002": _element("UI", instance.transfer_syntax),
        "00200013": _element("IS", instance.instance_number),
    }
    if instance.rows is not None:
        found |= {
            "00280008": _element("IS", instance.frames),
            "00280010": _element("US", instance.rows),
            "00280011": _element("US", instance.columns),
            "00280100": _element("US", instance.bits_allocated),
        }
    return found


_IN_COLUMNS: Final[dict[Level, frozenset[str]]] = {
    "study": frozenset(_study(Study(study_uid="1"))),
    "series": frozenset(_series(Series(study_id=uuid7(), series_uid="1"))),
    "instance": frozenset(
        {"00080016", "00080018", "00083002", "00200013", "00280008", "00280010", "00280011", "00280100"}
    ),
}

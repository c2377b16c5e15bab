"""Debian's Orthanc as the PACS, filled with real ultrasound: what was flagged goes through the whole chain, the rest never moves."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from commands import orthanc
from commands.demo import Running, running
from commands.demo_person import Person
from core.db import make_engine, reading
from core.dicom.facts import needles, read_identity
from core.dicom.part10 import open_part10
from tests.nodes import free_layout, logs_of, until
from tests.rawsearch import hits

pytestmark = pytest.mark.slow
SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "dicom"
ANSWERS: dict[str, Any] = {
    "diagnosis": "LIV-CYST", "basis": ["DX-MULTI"], "image_mode": "399009009", "image_quality": "IQ-LIM", "examiner_class": "EX-OTHER",
    "lesion_count": "N1", "segment": ["277956007"], "size_long_mm": 20.0, "size_short_mm": 10.0, "earlier_treatment": "TX-NAIVE",
    "background": "BG-NORMAL",
}  # fmt: skip
ENDED = {"REPLICATED", "HELD"}


@dataclass
class Study:
    chart_id: str
    files: dict[str, bytes]
    needles: set[str]


def real_studies() -> dict[str, Study]:
    found: dict[str, Study] = {}
    for path in sorted(SHARED.rglob("*.dcm")):
        content = path.read_bytes()
        who = read_identity(open_part10(io.BytesIO(content), len(content)).dataset)
        study = found.setdefault(who.study_uid or "", Study(who.patient_id or "", {}, set()))
        study.files.setdefault(who.sop_uid or "", content)
        study.needles |= {n for n in needles(who) if len(n) > 7}
    return {uid: study for uid, study in found.items() if study.chart_id.strip()}


@dataclass
class Ended:
    nodes: Running
    who: Person
    cases: dict[str, str]
    flagged: dict[str, Study]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    if orthanc.program() is None:
        pytest.skip("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
    if not SHARED.exists():
        pytest.skip("../shared/data is absent: the real ultrasound files to fill the PACS with")
    folder = tmp_path_factory.mktemp("orthanc")
    studies = real_studies()
    flagged = {uid: studies[uid] for uid in sorted(studies)[::2]}
    layout = free_layout(folder / "nodes")
    layout.sites[0].env.update({"SONOBANK_CHART_ID_WIDTH": "32", "SONOBANK_PURGE_DAYS": "0"})
    with orthanc.running(folder / "orthanc") as pacs, running(layout) as nodes:
        pacs.store(content for study in studies.values() for content in study.files.values())
        peers = [{"name": "orthanc", "url": pacs.dicom_web}]
        (layout.keys("site") / "peers.json").write_text(json.dumps(peers))
        who = person(nodes, "admin")
        cases = {uid: flag(who, uid, study) for uid, study in flagged.items()}
        for case_id in cases.values():
            curate(who, case_id)
        yield Ended(nodes, who, cases, flagged)
        who.close()


def person(nodes: Running, name: str) -> Person:
    paper = nodes.papers["site"]
    return Person(paper["url"], name, paper["users"][name])


def flag(who: Person, uid: str, study: Study) -> str:
    body = {"chart_id": study.chart_id, "study_uid": uid, "domain": "liver"}
    return str(who.call("POST", "/api/v1/cases", json=body)["id"])


def curate(who: Person, case_id: str) -> None:
    """A person's work on images that no generator knows: own rectangles where nothing is left to see, an ROI in what is left."""

    def arrived() -> dict[str, Any] | None:
        case = who.call("GET", f"/api/v1/cases/{case_id}")
        return case if case["state"] == "CURATING" else None

    case = until(arrived, "retrieval")
    form = who.call("GET", f"/api/v1/cases/{case_id}/form")["values"]
    answers = ANSWERS | {"sex": "U", "age_years": 50, "transducer_type": "LINEAR"}
    manual = {field: value for field, value in answers.items() if form.get(field, {}).get("source") != "tag"}
    who.call("PUT", f"/api/v1/cases/{case_id}/form", json={"values": manual, "version": 0})
    for image in case["images"]:
        look_at(who, image)
    who.call("POST", f"/api/v1/cases/{case_id}/register")


def look_at(who: Person, image: dict[str, Any]) -> None:
    path = f"/api/v1/images/{image['id']}"

    def written() -> dict[str, Any] | None:
        mask = who.call("GET", f"{path}/mask")
        assert mask["hold"] is None, mask["hold"]
        return mask if mask["digest"] and mask["text_read"] else None

    mask = until(written, "candidate")
    rows, columns = image["rows"], image["columns"]
    box = free_box(mask["rects"], rows, columns)
    if box is None:
        rects = [[0, 0, columns, rows // 4], [0, rows - rows // 8, columns, rows // 8]]
        who.call("PUT", f"{path}/mask", json={"rects": rects, "revision": mask["revision"]})
        mask = until(written, "candidate")
        box = free_box(mask["rects"], rows, columns)
    while waiting := [str(number) for number, text in enumerate(mask["texts"]) if text["answer"] is None]:
        said = {"answers": dict.fromkeys(waiting, "mask"), "revision": mask["revision"]}
        who.call("POST", f"{path}/mask/texts", json=said)
        mask = until(written, "candidate")
        box = free_box(mask["rects"], rows, columns)
    assert box is not None
    who.call("PUT", f"{path}/pick", json={"picked": True, "version": 0})
    roi = dict(zip(("x", "y", "width", "height"), box, strict=True)) | {"frame": 1, "label": "LIV-CYST", "margin": 4}
    who.call("POST", f"{path}/rois", json=roi)
    digest = ""
    for frame in mask["to_show"]:
        digest = who.send("GET", f"{path}/candidate/frames/{frame}").headers["Sonobank-Digest"]
    who.call("POST", f"{path}/mask/confirm", json={"digest": digest})


def free_box(rects: list[list[int]], rows: int, columns: int) -> tuple[int, int, int, int] | None:
    """A small box that no rectangle cuts."""
    size = 12
    for y in range(rows // 3, rows - size, 4):
        for x in range(columns // 4, columns - size, 4):
            if not any(rx < x + size and x < rx + rw and ry < y + size and y < ry + rh for rx, ry, rw, rh in rects):
                return x, y, size, size
    return None


def test_flagged_studies_come_bit_identical_and_unflagged_never(ended: Ended) -> None:
    engine = make_engine(ended.nodes.urls["site"])
    with reading(engine) as session:
        images = session.execute(text("SELECT count(*) FROM site_image WHERE state = 'STAGED'")).scalar_one()
    engine.dispose()
    assert images == sum(len(study.files) for study in ended.flagged.values())
    # That the staged bytes are the PACS's own is shown in test_retrieve, where the test may open the vault.


def test_the_chain_ends_for_every_flagged_study(ended: Ended) -> None:
    who = ended.who
    ends: dict[str, str] = {}
    for uid, case_id in ended.cases.items():

        def end(i: str = case_id) -> dict[str, Any] | None:
            found = who.call("GET", "/api/v1/packages", params={"case_id": i})
            return found[0] if found and found[0]["state"] in ENDED else None

        package = until(end, f"the end of a case\n{logs_of(ended.nodes)}", 120)
        assert package["state"] == "REPLICATED" or package["reason"]
        ends[uid] = package["state"]
    assert list(ends.values()).count("REPLICATED") >= len(ends) - 2, ends


def test_no_value_of_the_real_files_is_left_anywhere(ended: Ended) -> None:
    values = {needle for study in ended.flagged.values() for needle in study.needles}
    folder = ended.nodes.layout.folder
    for name in ("site", "relay", "central", "bucket"):
        assert hits(folder / name, values) == [], name


def test_identified_files_are_purged_once_central_has_accepted(ended: Ended) -> None:
    def purged() -> bool | None:
        cases = [ended.who.call("GET", f"/api/v1/cases/{case_id}") for case_id in ended.cases.values()]
        sent = [case for case in cases if case["state"] == "REGISTERED"]
        return True if sent and all(case["purged"] for case in sent) else None

    until(purged, "the purge", 60)
    case = next(c for c in (ended.who.call("GET", f"/api/v1/cases/{i}") for i in ended.cases.values()) if c["purged"])
    kept = {path.name.split(".")[0] for path in (ended.nodes.layout.folder / "site" / "staging").rglob("*.sealed")}
    assert not kept & {image["id"] for image in case["images"]}

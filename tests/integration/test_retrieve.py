"""Retrieval from a real Orthanc and from a PACS that misbehaves: complete, bit-identical, or said plainly and tried again."""

import hashlib
import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import orthanc
from core.dicom.facts import read_identity
from core.dicom.part10 import open_part10
from core.errors import Refused
from core.models.people import Role
from core.models.sitecase import CaseState, ImageState
from core.node import SiteNode
from ml.phantom import make_study, to_bytes
from tests.pacs_twin import BadPacs, running
from tests.sites import case_of, flag, images, open_site, person, pull

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteNode]:
    with open_site(tmp_path_factory.mktemp("site"), "http://127.0.0.1:1", chart_id_width=32) as node:
        person(node)
        yield node


def point_to(node: SiteNode, url: str) -> None:
    assert node.settings.peers_file is not None
    text = node.settings.peers_file.read_text()
    old = text.split('"url": "')[1].split('"')[0]
    node.settings.peers_file.write_text(text.replace(old, url))


def ana(node: SiteNode, name: str) -> object:
    return person(node, name, Role.EXAM, Role.CUR, Role.REG)


@pytest.fixture
def bad() -> Iterator[BadPacs]:
    study = make_study(3, "liver", "epiq", 2, 0)
    pacs = BadPacs(
        study.patient.patient_id, study.accession, study.study_uid, str(study.instances[0].dataset.SeriesInstanceUID)
    )
    pacs.instances = {str(i.dataset.SOPInstanceUID): to_bytes(i) for i in study.instances}
    with running(pacs):
        yield pacs


def staged(node: SiteNode, image_id: object) -> bytes:
    with node.staging.open(image_id, "original") as reader:  # type: ignore[arg-type]
        return reader.read()


def test_flagged_studies_of_orthanc_come_complete_and_bit_identical(site: SiteNode, tmp_path: Path) -> None:
    if orthanc.program() is None:
        pytest.skip("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
    if not SHARED.exists():
        pytest.skip("../shared/data is absent: the real ultrasound files to fill the PACS with")
    files = [path.read_bytes() for path in sorted((SHARED / "dicom").rglob("*.dcm"))]
    by_study: dict[str, dict[str, bytes]] = {}
    charts: dict[str, str] = {}
    for content in files:
        who = read_identity(open_part10(io.BytesIO(content), len(content)).dataset)
        by_study.setdefault(who.study_uid or "", {}).setdefault(who.sop_uid or "", content)
        charts[who.study_uid or ""] = who.patient_id or ""
    with orthanc.running(tmp_path / "orthanc") as pacs:
        pacs.store(files)
        point_to(site, pacs.dicom_web)
        actor = ana(site, "orthanc")
        flagged = [uid for uid in sorted(by_study) if charts[uid].strip()][::2]
        assert len(flagged) >= 4
        done: set[str] = set()
        for uid in flagged:
            case = pull(site, flag(site, actor, chart_id=charts[uid], study_uid=uid))  # type: ignore[arg-type]
            assert case.state == CaseState.CURATING, case.reason
            found = images(site, case.id)
            assert len(found) == case.expected == len(by_study[uid])
            hashes = {hashlib.sha256(staged(site, image.id)).hexdigest() for image in found}
            assert hashes <= {hashlib.sha256(content).hexdigest() for content in files}
            assert len(hashes) == len(found)
            done |= hashes
        never = {hashlib.sha256(c).hexdigest() for uid in set(by_study) - set(flagged) for c in by_study[uid].values()}
        assert not done & never


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("html", "page instead of DICOM JSON"),
        ("redirect", "another address"),
        ("error", "error 500"),
        ("slow", "too slow"),
        ("missing", "does not know"),
        ("cut", "broke off"),
    ],
)
def test_a_pacs_that_fails_is_said_plainly_and_asked_again(
    site: SiteNode, bad: BadPacs, fault: str, words: str
) -> None:
    point_to(site, bad.url)
    actor = ana(site, f"fault-{fault}")
    bad.fault = fault
    case_id = flag(site, actor, chart_id=bad.patient_id, accession=f"{bad.accession}-{fault}")  # type: ignore[arg-type]
    case = pull(site, case_id)
    assert case.state == CaseState.QUEUED
    assert words in (case.reason or "")
    assert case.not_before is not None
    bad.fault = ""
    assert pull(site, case_id).state == CaseState.CURATING
    assert len(images(site, case_id)) == 2
    site.vault.forget_patient(case_id)


def test_a_pacs_that_is_down_is_said_and_asked_again(site: SiteNode) -> None:
    point_to(site, "http://127.0.0.1:1")
    case = pull(site, flag(site, ana(site, "down"), chart_id="77", accession="DOWN"))  # type: ignore[arg-type]
    assert case.state == CaseState.QUEUED
    assert "cannot be reached" in (case.reason or "")


def test_what_came_is_not_downloaded_again(site: SiteNode, bad: BadPacs) -> None:
    point_to(site, bad.url)
    bad.fault = "missing"
    case_id = flag(site, ana(site, "resume"), chart_id=bad.patient_id, accession="RESUME")  # type: ignore[arg-type]
    pull(site, case_id)
    first = min(bad.instances)
    assert sum(path.endswith(first) for path in bad.gets) == 1
    bad.fault = ""
    assert pull(site, case_id).state == CaseState.CURATING
    assert sum(path.endswith(first) for path in bad.gets) == 1
    site.vault.forget_patient(case_id)


def test_another_patients_study_is_refused(site: SiteNode, bad: BadPacs) -> None:
    point_to(site, bad.url)
    case = pull(site, flag(site, ana(site, "wrong"), chart_id="99999999", accession="WRONG"))  # type: ignore[arg-type]
    assert case.state == CaseState.RETRIEVE_FAILED
    assert "another chart ID" in (case.reason or "")


def test_an_opted_out_patient_is_neither_flagged_nor_pulled(site: SiteNode, bad: BadPacs) -> None:
    point_to(site, bad.url)
    actor = ana(site, "optout")
    case_id = flag(site, actor, chart_id="4711", accession="OPT")  # type: ignore[arg-type]
    site.vault.opt_out("０００04711")
    assert pull(site, case_id).state == CaseState.RETRIEVE_FAILED
    with pytest.raises(Refused, match="opted out"):
        flag(site, actor, chart_id="00004711", accession="OPT2")  # type: ignore[arg-type]


def test_every_bad_file_is_refused_with_a_reason_and_bounded_memory(site: SiteNode, bad: BadPacs) -> None:
    if not SHARED.exists():
        pytest.skip("../shared/data is absent: the malformed and hostile files")
    paths = [path for path in sorted((SHARED / "dicom_bad").rglob("*")) if path.is_file() and path.suffix != ".tsv"]
    assert len(paths) >= 30
    bad.instances = {f"1.2.3.9.{number}": path.read_bytes() for number, path in enumerate(paths)}
    point_to(site, bad.url)
    case_id = flag(site, ana(site, "badfiles"), chart_id=bad.patient_id, accession="BADFILES")  # type: ignore[arg-type]
    tracemalloc.start()
    case = pull(site, case_id)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 256 << 20
    found = images(site, case_id)
    assert len(found) == len(paths) == case.expected
    # Even a file that opens is not the instance that was asked for.
    assert all(image.state == ImageState.REFUSED and image.reason for image in found)
    assert case.state == CaseState.RETRIEVE_FAILED
    assert "None of the instances" in (case.reason or "")
    assert not any(site.staging.exists(image.id, "original") for image in found)
    assert case_of(site, case_id).expected == len(paths)
    site.vault.forget_patient(case_id)

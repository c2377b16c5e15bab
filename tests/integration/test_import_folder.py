"""A folder that `./run deid` made, brought into a site: proposed masks, one patient one ID, nothing doubled, nothing half."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import pytest
from pydicom.uid import generate_uid
from sqlmodel import select

from commands.import_folder import Line, import_all
from core.db import reading, transaction
from core.errors import Denied
from core.folder import made
from core.folder.places import Places
from core.folder.rules import shipped
from core.folder.run import Options
from core.folder.run import run as run_folder
from core.models.audit import AuditEvent
from core.models.curation import ImageMask, MaskState
from core.models.people import Role
from core.models.sitecase import CaseState, SiteCase, SiteImage
from core.models.transfer import PackageState
from core.node import SiteNode
from core.permissions import Actor
from core.services import bring_in, cases, optouts, record
from ml.phantom import PhantomStudy, make_study, to_bytes
from tests.casework import Case
from tests.postgres_fixture import ScratchPostgres
from tests.sites import open_site, person

ROOT = Path(__file__).resolve().parents[2]


def later(study: PhantomStudy) -> PhantomStudy:
    """Another examination of the same patient: the same pictures under a new study, with new UIDs."""
    study_uid, series_uid = generate_uid(), generate_uid()
    instances = []
    for instance in study.instances:
        ds = deepcopy(instance.dataset)
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = study_uid, series_uid, generate_uid()
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        instances.append(replace(instance, dataset=ds))
    return replace(study, study_uid=study_uid, instances=tuple(instances))


def brought(number: int, device: str = "aplio") -> PhantomStudy:
    return make_study(number, "liver", device, 1, 3, "LIV-HCC")


@dataclass
class Archive:
    """Folders of a run, and the studies in them by name. `one` and `two` are of one patient."""

    places: Places
    studies: dict[str, PhantomStudy]

    @property
    def arguments(self) -> list[str]:
        places = self.places
        return [str(places.out), "--originals", str(places.source), "--keys", str(places.keys), "--domain", "liver"]

    def copy(self, folder: Path) -> "Archive":
        """Another run's folders of the same content, to be spoilt."""
        names = {name: folder / name for name in ("source", "out", "keys")}
        for name, path in names.items():
            shutil.copytree(getattr(self.places, name), path)
        return Archive(Places(**names), self.studies)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    folder = tmp_path_factory.mktemp("archive")
    studies = {"one": brought(301), "other": brought(302, "sequoia")}
    studies["two"] = later(studies["one"])
    for name, study in studies.items():
        (folder / "in" / name).mkdir(parents=True)
        for number, instance in enumerate(study.instances):
            (folder / "in" / name / str(number)).write_bytes(to_bytes(instance))
    (folder / "in" / "notes.txt").write_text("no image")
    places = Places.of(folder / "in", folder / "out", folder / "keys")
    found = run_folder(places, Options(shipped(), 2, "Suzuki Ichiro"), lambda _: None)
    assert [one.reason for one in found if one.status == "candidate"] == [None] * 6, found
    return Archive(places, studies)


@dataclass
class Place:
    node: SiteNode
    ana: Actor
    desk: Actor

    def bring(self, archive: Archive, actor: Actor | None = None) -> dict[str, Line]:
        files = made.read(archive.places, lambda _: None)
        return {line.input: line for line in import_all(self.node, actor or self.ana, "liver", files, lambda _: None)}

    def case(self, line: Line, study: PhantomStudy) -> Case:
        with reading(self.node.engine) as session:
            row = session.exec(select(SiteCase).where(SiteCase.number == line.case)).one()
        return Case(self.node, self.ana, row.id, study)

    def masks_of(self, case_id: UUID) -> list[ImageMask]:
        with reading(self.node.engine) as session:
            ids = list(session.exec(select(SiteImage.id).where(SiteImage.case_id == case_id)))
            return list(session.exec(select(ImageMask).where(ImageMask.image_id.in_(ids))))  # type: ignore[attr-defined]

    def counts(self) -> tuple[int, int, int]:
        with reading(self.node.engine) as session:
            return tuple(len(session.exec(select(kind)).all()) for kind in (SiteCase, SiteImage, ImageMask))  # type: ignore[return-value]


@pytest.fixture
def urls(postgres: ScratchPostgres) -> dict[str, str]:
    """Fresh databases."""
    name = postgres.database()
    return {"database_url": postgres.url(name), "vault_database_url": postgres.vault_url(name)}


@pytest.fixture
def place(urls: dict[str, str], tmp_path: Path) -> Iterator[Place]:
    with open_site(tmp_path / "site", **urls) as node:
        yield Place(node, person(node), person(node, "desk", Role.PTDESK))


def test_a_folder_becomes_cases_that_are_confirmed_registered_and_released(place: Place, archive: Archive) -> None:
    lines = place.bring(archive)
    assert {name: line.status for name, line in lines.items()} == {
        **{f"{study}/{number}": "imported" for study in archive.studies for number in (0, 1)}, "notes.txt": "refused",
    }  # fmt: skip
    assert lines["notes.txt"].reason and lines["notes.txt"].case is None
    assert len({line.case for line in lines.values() if line.case}) == 3
    case = place.case(lines["one/0"], archive.studies["one"])
    assert (case.row.state, case.row.route, case.row.expected) == (CaseState.CURATING, "retrospective", 2)
    assert [image.number for image in case.images()] == [1, 2]
    for mask in place.masks_of(case.id):  # the run's batch confirmation confirms nothing here
        assert (mask.state, mask.revision, mask.confirmed_by) == (MaskState.PROPOSED, 1, None)
        assert mask.rule_id and mask.rule_version and mask.rects and not mask.is_drawn and not mask.must_look
    case.curate()
    case.register()
    package = case.release_and_pack()
    assert (package.state, package.reason) == (PackageState.STAGED, None)
    sent = record.build_record(place.node, package, "0" * 64)
    assert sent.capture_route == "retrospective"
    assert {image.mask.rule_id for image in sent.images} == {mask.rule_id for mask in place.masks_of(case.id)}
    second = place.case(lines["two/0"], archive.studies["two"])
    links = {name: place.node.vault.link(one.id) for name, one in (("one", case), ("two", second))}
    assert links["one"].research_id == links["two"].research_id == sent.research_id
    other = place.case(lines["other/0"], archive.studies["other"])
    assert place.node.vault.link(other.id).research_id != sent.research_id


def test_the_candidate_is_the_very_picture_of_the_folder(place: Place, archive: Archive) -> None:
    case = place.case(place.bring(archive)["one/0"], archive.studies["one"])
    case.make_candidates()
    outcomes = {one.name: one for one in made.read(archive.places, lambda _: None)}
    by_uid = {one.identity.sop_uid: one for one in outcomes.values() if one.file}
    for image in case.images():
        one = by_uid[str(case.instance_of(image).dataset.SOPInstanceUID)]
        mask = case.mask(image)
        assert [tuple(rect) for rect in mask.rects] == list(one.rects)
        assert mask.digest == one.digest
        assert mask.text_read and mask.texts == []


def test_a_second_run_adds_nothing_and_new_files_come_to_their_case(
    place: Place, archive: Archive, tmp_path: Path
) -> None:
    mine = archive.copy(tmp_path / "mine")
    late = mine.places.source / "one" / "1"
    kept = late.read_bytes()
    late.unlink()
    first = place.bring(mine)
    assert place.counts() == (3, 5, 5)
    late.write_bytes(kept)
    second = place.bring(mine)
    assert {line.status for name, line in second.items() if name not in {"one/1", "notes.txt"}} == {"known"}
    assert (second["one/1"].status, second["one/1"].case) == ("imported", first["one/0"].case)
    assert place.counts() == (3, 6, 6)
    assert {line.status for line in place.bring(mine).values()} == {"known", "refused"}
    assert place.counts() == (3, 6, 6)


def test_what_was_changed_since_the_run_is_refused_and_says_why(place: Place, archive: Archive, tmp_path: Path) -> None:
    mine = archive.copy(tmp_path / "mine")
    outputs = {one.name: one for one in made.read(mine.places, lambda _: None)}
    altered, gone = (mine.places.out / str(outputs[name].output) for name in ("one/0", "one/1"))
    altered.write_bytes(altered.read_bytes() + b"\0")
    gone.unlink()
    original = mine.places.source / "two" / "0"
    original.write_bytes(original.read_bytes() + b"\0\0")
    lines = place.bring(mine)
    assert [lines[name].reason for name in ("one/0", "one/1", "two/0")] == [made.ALTERED, made.GONE, made.UNKNOWN]
    assert lines["two/1"].status == "imported" and place.counts() == (2, 3, 3)


def test_an_original_that_changes_between_looking_and_staging_leaves_nothing(place: Place, archive: Archive) -> None:
    files = [one for one in made.read(archive.places, lambda _: None) if one.name == "one/0"]
    spoilt = replace(files[0], sha256=b"\0" * 32)
    (line,) = import_all(place.node, place.ana, "liver", [spoilt], lambda _: None)
    assert (line.status, line.reason, place.counts()) == ("refused", bring_in.CHANGED, (0, 0, 0))
    assert place.node.staging.used_bytes() == 0


def test_who_opted_out_is_not_brought_in_and_others_are(place: Place, archive: Archive) -> None:
    with transaction(place.node.engine, "test") as session:
        optouts.opt_out(place.node, session, place.desk, archive.studies["one"].patient.patient_id)
    lines = place.bring(archive)
    assert {lines[f"{name}/0"].reason for name in ("one", "two")} == {"This patient has opted out; nothing was kept."}
    assert lines["other/0"].status == "imported" and place.counts()[0] == 1


def test_only_who_may_flag_there_brings_in(place: Place, archive: Archive) -> None:
    with pytest.raises(Denied):
        place.bring(archive, place.desk)
    assert place.counts() == (0, 0, 0)


def test_a_study_that_is_on_its_way_from_the_pacs_is_left_to_it(place: Place, archive: Archive) -> None:
    study = archive.studies["one"]
    with transaction(place.node.engine, "test") as session:
        request = cases.FlagRequest(study.patient.patient_id, "liver", study_uid=study.study_uid)
        queued, _ = cases.flag(place.node, session, place.ana, request)
    lines = place.bring(archive)
    assert {lines[f"one/{n}"].reason for n in (0, 1)} == {bring_in.NOT_OPEN}
    assert place.case(lines["two/0"], study).id != queued.id and place.counts() == (3, 4, 4)


def test_the_pacs_is_not_asked_again_for_such_a_case(place: Place, archive: Archive) -> None:
    case = place.case(place.bring(archive)["one/0"], archive.studies["one"])
    with pytest.raises(cases.WrongState, match="came from a folder"), transaction(place.node.engine, "test") as session:
        cases.retry(session, place.ana, case.id)
    with transaction(place.node.engine, "test") as session:
        request = cases.FlagRequest(
            archive.studies["one"].patient.patient_id, "liver", study_uid=archive.studies["one"].study_uid
        )
        merged, is_new = cases.flag(place.node, session, place.ana, request)
    assert (merged.id, is_new) == (case.id, False)


# The command itself, killed at every commit

POINTS = ("vault.seal:after-commit", "vault.seal-instances:after-commit", "import.case:before-commit",
          "import.case:after-commit")  # fmt: skip


def command(site: Path, archive: Archive, **environment: str) -> "subprocess.CompletedProcess[str]":
    own = {
        "SONOBANK_SITE_CODE": "TEST01", "SONOBANK_DATA_DIR": str(site / "data"), "SONOBANK_KEYS_DIR": str(site / "keys"),
        "SONOBANK_DEMO": "true", "SONOBANK_LEAST_FREE_MB": "64", "SONOBANK_CENTRAL_KEYS_FILE": str(site / "central.json"),
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "commands.main", "admin", "import-folder", *archive.arguments, "--by", "ana", "--json"],
        cwd=ROOT, env={**os.environ, **own, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_killed_at_every_commit_it_goes_on_and_a_case_is_whole_or_not_there(
    place: Place, archive: Archive, urls: dict[str, str], tmp_path: Path
) -> None:
    environment = {f"SONOBANK_{name.upper()}": url for name, url in urls.items()}
    site = tmp_path / "site"
    for point in POINTS:
        done = command(site, archive, SONOBANK_FAILPOINT=point, **environment)
        assert done.returncode == -signal.SIGKILL, done.stderr
        with reading(place.node.engine) as session:
            rows = session.exec(select(SiteCase)).all()
        assert {row.state for row in rows} <= {CaseState.CURATING}
        assert all(len(place.masks_of(row.id)) == row.expected == 2 for row in rows)
    done = command(site, archive, **environment)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["counts"], told["cases"]) == ({"imported": 4, "known": 2, "held": 0, "refused": 1}, 3)
    assert place.counts() == (3, 6, 6)
    staged = {path.name.split(".")[0] for path in (site / "data" / "staging").rglob("*.sealed")}
    with reading(place.node.engine) as session:
        assert staged == {str(image.id) for image in session.exec(select(SiteImage))}
        assert len(session.exec(select(AuditEvent).where(AuditEvent.verb == "case.flag")).all()) == 3
    refused = command(site, archive, SONOBANK_DOMAINS='["breast"]', **environment)
    assert refused.returncode == 2 and "does not collect" in refused.stderr


def test_proposals_take_in_what_the_site_s_own_rules_mask_beyond_the_folder() -> None:
    own = ImageMask(
        image_id=UUID(int=1), revision=1, state=MaskState.PROPOSED, rects=[[0, 0, 9, 9], [5, 5, 2, 2]],
        reasons=["the device's rule"] * 2, rule_id="site-1", rule_version="2", must_look=False,
    )  # fmt: skip
    original = bring_in.Original("1.2", "1.3", b"", lambda: (None, 0), ((0, 0, 9, 9), (1, 2, 3, 4)), "cx50", "1")  # type: ignore[arg-type, return-value]
    mask = bring_in.proposed(own, original)
    assert mask.rects == [[0, 0, 9, 9], [1, 2, 3, 4], [5, 5, 2, 2]]
    assert mask.reasons == ["the device's rule", bring_in.FOUND, "the device's rule"]
    assert (mask.rule_id, mask.rule_version, mask.must_look) == ("cx50", "1", True)

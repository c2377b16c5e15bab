"""`./run deid` over the real and the malformed files: what comes out, what does not, killed in the middle and run again."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from core.deid.headers import METHOD
from core.deid.structure import faults
from core.deid.unseen import DEVICE_CONFIRMED, UNSEEN
from core.dicom.display import Frame
from core.dicom.facts import InstanceIdentity, read_identity
from core.dicom.frames import decode_stored
from core.dicom.part10 import frame_bytes, open_part10
from core.errors import AppError
from ml.phantom import make_study, to_bytes
from tests.rawsearch import hits

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
ANY_REGIONS = {"scale": "exact", "outside": True, "software": "", "image_type": "", "aliases": []}
RULES = {
    "format": "sonobank-device-rules-v1",
    "site": "KYOTO01",
    "rules": [
        {"rule": f"local-{number}", "version": 1, "content": ANY_REGIONS | content}
        for number, content in enumerate(
            (
                {"manufacturer": "ALOKA CO., LTD.", "model": "SSD-4000", "rows": 480, "columns": 640,
                 "rects": [[0, 0, 640, 28]]},
                {"manufacturer": "Medistim", "model": "VeriQ C", "rows": 768, "columns": 1024, "rects": []},
                {"manufacturer": "ESAOTE", "model": "6100", "rows": 555, "columns": 800, "rects": []},
            ),
            1,
        )
    ],
}  # fmt: skip


@dataclass
class Ran:
    """One completed run after a killed one: its folders, its summary, and what the killed one had written."""

    source: Path
    out: Path
    keys: Path
    summary: dict[str, Any]
    early: dict[str, bytes]

    def of(self, folder: str) -> list[dict[str, Any]]:
        return [one for one in self.summary["files"] if one["input"].startswith(folder)]

    @property
    def candidates(self) -> list[dict[str, Any]]:
        return [one for one in self.summary["files"] if one["status"] == "candidate"]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "commands.main", "deid", *map(str, arguments)]


def call(*arguments: str | Path, expected: int = 0) -> str:
    done = subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == expected, done.stderr
    return done.stdout if not expected else done.stderr


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.dcm")}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Killed as soon as three files are there, then run to the end."""
    for name in ("dicom", "dicom_bad"):
        if not (SHARED / name).exists():
            pytest.skip(f"../shared/data is absent: no {name}/")
    folder = tmp_path_factory.mktemp("folder")
    source, out, keys, rules = (folder / name for name in ("in", "out", "keys", "rules.json"))
    for name in ("dicom", "dicom_bad"):
        shutil.copytree(SHARED / name, source / name, copy_function=shutil.copyfile)
    (source / "made").mkdir()
    for number, device in enumerate(("aplio", "sequoia"), 1):  # known devices with nothing written in their pictures
        (source / "made" / f"generated-{number}").write_bytes(
            to_bytes(make_study(number, "breast", device, 1, 0).instances[0])
        )
    for path in source.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    rules.write_text(json.dumps(RULES))
    options = (source, out, "--keys", keys, "--jobs", "2", "--rules", rules, "--study-is-patient", "--json",
               "--write-mapping", "--confirm-known-devices", "--confirmed-by", "Suzuki Ichiro")  # fmt: skip
    killed = subprocess.Popen(command(*options), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while len(files_of(out)) < 3 and killed.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    assert killed.poll() is None, "the run ended before it could be killed"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    early = files_of(out)
    summary = json.loads(call(*options).splitlines()[-1])
    return Ran(source, out, keys, summary, early)


def decoded(path: Path) -> tuple[Any, list[Frame]]:
    """The format and every frame, decoded by us."""
    with path.open("rb") as file:
        part10 = open_part10(file, path.stat().st_size)
        assert part10.pixel is not None
        return part10, [
            decode_stored(frame_bytes(file, part10, number), part10.pixel) for number in range(len(part10.frames))
        ]


def identity_of(path: Path) -> InstanceIdentity:
    with path.open("rb") as file:
        return read_identity(open_part10(file, path.stat().st_size).dataset)


def test_every_file_has_a_status_and_every_other_than_a_candidate_a_reason(ran: Ran) -> None:
    inputs = {path.relative_to(ran.source).as_posix() for path in ran.source.rglob("*") if path.is_file()}
    assert {one["input"] for one in ran.summary["files"]} == inputs
    for one in ran.summary["files"]:
        assert list(one) == ["input", "output", "status", "reason", "rule", "masks"]
        assert (one["status"] == "candidate") == (one["output"] is not None) == (one["reason"] is None), one
    assert Counter(one["status"] for one in ran.summary["files"]) == Counter(ran.summary["counts"])


def test_at_least_twenty_of_the_real_files_come_out(ran: Ran) -> None:
    found = Counter(one["status"] for one in ran.of("dicom/"))
    assert found["candidate"] >= 20, found
    assert found["refused"] == 2  # the two tables beside the images


def test_no_malformed_file_comes_out_but_those_that_are_whole_ultrasound(ran: Ran) -> None:
    for one in ran.of("dicom_bad/"):
        is_whole = Path(one["input"]).name in {
            "us_mf_region_out_of_image.dcm", "us_mf_region_inverted.dcm", "us_mf_cp932_name.dcm",
        }  # fmt: skip
        assert one["status"] != "candidate" or is_whole, one


def test_out_holds_the_candidates_whole_and_nothing_else(ran: Ran) -> None:
    found = sorted(path.relative_to(ran.out).as_posix() for path in ran.out.rglob("*") if path.is_file())
    assert found == sorted({one["output"] for one in ran.candidates})
    assert ran.early.items() <= files_of(ran.out).items(), "what the killed run had written was written again otherwise"


def test_each_candidate_says_what_it_is_and_is_valid(ran: Ran) -> None:
    marks = Counter()
    for one in ran.candidates:
        part10, _ = decoded(ran.out / one["output"])
        assert faults(part10, is_candidate=True) == []
        assert one["output"].startswith(f"{part10.dataset.PatientID}/{part10.dataset.StudyInstanceUID}/")
        method, mark = part10.dataset.DeidentificationMethod
        assert method == METHOD and mark in {UNSEEN, DEVICE_CONFIRMED}
        marks[mark] += 1
        dcmread(ran.out / one["output"]).pixel_array  # noqa: B018 - another reader takes it too
    assert marks[UNSEEN] and marks[DEVICE_CONFIRMED]
    (line,) = (ran.keys / "confirmations.jsonl").read_text().splitlines()
    said = json.loads(line)
    assert said["confirmed_by"] == "Suzuki Ichiro"
    confirmed = {one["output"] for one in said["files"]}
    assert confirmed == {
        name for name in files_of(ran.out) if dcmread(ran.out / name).DeidentificationMethod[1] == DEVICE_CONFIRMED
    }


def test_what_was_burned_in_is_black_and_the_rest_untouched(ran: Ran) -> None:
    with (SHARED / "dicom" / "burned_in_truth.tsv").open(encoding="utf-8", newline="") as lines:
        truth = list(csv.DictReader(lines, delimiter="\t"))
    for one in ran.of("dicom/"):
        if one["status"] != "candidate":
            continue
        _, before = decoded(ran.source / one["input"])
        _, after = decoded(ran.out / one["output"])
        assert len(before) == len(after)
        boxes = [row for row in truth if f"dicom/{row['file']}" == one["input"]]
        for old, new in zip(before, after, strict=True):
            for row in boxes:
                x0, y0, x1, y1 = (int(row[name]) for name in ("x0", "y0", "x1", "y1"))
                assert is_flat(new[y0:y1, x0:x1]), f"{one['input']}: {row['kind']}"
            outside = np.ones(old.shape[:2], np.bool_)
            for x, y, width, height in one["masks"]:  # JPEG blocks widen a box by 16 pixels at the most
                outside[max(y - 16, 0) : y + height + 16, max(x - 16, 0) : x + width + 16] = False
            assert psnr(old[outside], new[outside]) >= 45, one["input"]


def is_flat(box: Frame) -> bool:
    return bool((box == box[0, 0]).all())


def psnr(old: Frame, new: Frame) -> float:
    error = float(np.mean((old.astype(np.float64) - new) ** 2)) if old.size else 0.0
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def test_nothing_of_any_patient_is_in_out_and_nothing_in_the_clear_in_keys(ran: Ran) -> None:
    values: set[str] = set()
    for one in ran.summary["files"]:
        try:
            identity = identity_of(ran.source / one["input"])
        except AppError:
            continue
        single = (identity.patient_id, identity.accession, identity.study_uid, identity.series_uid, identity.sop_uid)
        values |= {value for value in single if value and len(value) > 4}
        values |= {value for value in (*identity.patient_name, *identity.staff_names) if len(value) > 5}
        values |= {*identity.institutions, *identity.other_patient_ids, Path(one["input"]).stem}
    values -= {"Philips Healthcare", "Anonymized"}  # the maker's name, and what it is
    assert hits(ran.out, values) == []
    mappings = ran.keys.parent / "mappings"
    mappings.mkdir(exist_ok=True)
    for path in ran.keys.glob("*.csv"):
        path.rename(mappings / path.name)
    assert hits(ran.keys, [*values, *(one["output"].split("/")[0] for one in ran.candidates)]) == [
        "confirmations.jsonl"
    ]
    for path in mappings.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        path.rename(ran.keys / path.name)


def test_a_second_run_writes_nothing(ran: Ran) -> None:
    before = {path: path.stat().st_mtime_ns for path in ran.out.rglob("*")}
    again = json.loads(
        call(
            ran.source, ran.out, "--keys", ran.keys, "--jobs", "2", "--rules", ran.keys.parent / "rules.json",
            "--study-is-patient", "--json",
        ).splitlines()[-1]
    )  # fmt: skip
    assert again["written"] == 0
    assert again["files"] == ran.summary["files"]
    assert {path: path.stat().st_mtime_ns for path in ran.out.rglob("*.dcm")} == {
        path: when for path, when in before.items() if path.suffix == ".dcm"
    }


def test_the_mapping_leads_back(ran: Ran) -> None:
    with (ran.keys / "uid_mapping.csv").open(newline="") as lines:
        uids = {row["new"]: row["original"] for row in csv.DictReader(lines)}
    with (ran.keys / "patid_mapping.csv").open(newline="") as lines:
        people = {row["research_id"]: row["PatientID"] for row in csv.DictReader(lines)}
    for one in ran.candidates:
        original = identity_of(ran.source / one["input"])
        person, study, name = Path(one["output"]).parts
        assert (uids[study], uids[name.removesuffix(".dcm")]) == (original.study_uid, original.sop_uid)
        assert people.get(person) == original.patient_id


def test_files_of_one_patient_share_their_id(ran: Ran) -> None:
    people: dict[str, set[str]] = {}
    for one in ran.candidates:
        if number := identity_of(ran.source / one["input"]).patient_id:
            people.setdefault(number, set()).add(one["output"].split("/")[0])
    assert {len(ids) for ids in people.values()} == {1}
    assert len(set().union(*people.values())) == len(people)


@pytest.mark.parametrize("keys", ["in/keys", "out"])
def test_keys_inside_in_or_out_are_wrong_use(tmp_path: Path, keys: str) -> None:
    (tmp_path / "in").mkdir()
    said = call(tmp_path / "in", tmp_path / "out", "--keys", tmp_path / keys, expected=2)
    assert "must not lie in one another" in said
    assert [path for path in tmp_path.rglob("*") if path.suffix == ".key"] == []


def test_wrong_use_says_why(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)  # mkdir's mode yields to the umask
    (tmp_path / "x.json").write_text("[]")
    folders = (tmp_path / "in", tmp_path / "out")
    assert "0700" in call(*folders, "--keys", tmp_path / "open", expected=2)
    assert "belong together" in call(*folders, "--keys", tmp_path / "k", "--confirm-known-devices", expected=2)
    assert "rules" in call(*folders, "--keys", tmp_path / "k", "--rules", tmp_path / "x.json", expected=2)
    assert not (tmp_path / "k").exists() and not (tmp_path / "out").exists()


def test_an_empty_folder_is_no_failure_and_the_table_is_readable(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("x")
    said = call(tmp_path / "in", tmp_path / "out", "--keys", tmp_path / "keys")
    assert "refused    'notes.txt': This is not a DICOM file" in said
    assert "1 files: 0 candidate, 0 held, 1 refused." in said
    assert list((tmp_path / "out").iterdir()) == []

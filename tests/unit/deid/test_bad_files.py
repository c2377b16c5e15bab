"""Malformed and hostile files end in a sentence: no crash, nothing half written, never a gigabyte of memory."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.deid.conftest import SHARED

ROOT = Path(__file__).resolve().parents[3]


def test_every_bad_file_ends_in_a_sentence(tmp_path: Path) -> None:
    folder = SHARED.parent / "dicom_bad"
    if not folder.exists():
        pytest.skip("../shared/data is absent: malformed files")
    command = [sys.executable, "-W", "error", "-m", "tests.unit.deid.bad_files", str(folder), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    told = json.loads(done.stdout)
    with (folder / "INDEX.tsv").open(encoding="utf-8", newline="") as lines:
        assert {Path(row["path"]).name for row in csv.DictReader(lines, delimiter="\t")} <= set(told["files"])
    assert len(told["files"]) >= 35 and told["peak"] < 1 << 30
    released = {name for name, (status, _) in told["files"].items() if status == "released"}
    assert {path.name for path in tmp_path.iterdir()} == released, "nothing half written"
    for name, (status, reason) in told["files"].items():
        assert status == "released" or (reason[0].isupper() and reason.endswith(".") and Path(name).stem not in reason)
    sound = {"us_mf_cp932_name.dcm", "us_mf_region_inverted.dcm", "us_mf_region_out_of_image.dcm"}  # their pixels are
    assert released <= sound | {"SC_rgb_small_odd.dcm", "SC_rgb_small_odd_jpeg.dcm"}

"""A bundle is signed, the same each time, holds what its runner reproduces, and never a model that may not be passed on."""

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ml.bundle import DOMAIN, make
from ml.model_file import BadModel
from tests import ort_header
from tests.tiny_models import constant_yolo, dark_spots, save

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return save(tmp_path / "run", dark_spots(128, 16), side=128, task="detect", decode="fcos", classes=["lesion"],
                threshold=0.3, nms_iou=0.2)  # fmt: skip


def ran(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "runner.py"], cwd=folder, capture_output=True, text=True, check=False)


def test_the_runner_reproduces_the_vectors(run: Path, tmp_path: Path) -> None:
    make(run, tmp_path / "one.zip", KEY)
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        archive.extractall(folder)
    vectors = json.loads((folder / "vectors.json").read_text())["vectors"]
    assert sum(len(one["boxes"]) for one in vectors) > 3
    done = ran(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT" not in done.stdout and "research use only" in done.stdout
    vectors[1]["boxes"][0]["box"][0] += 3
    (folder / "vectors.json").write_text(
        json.dumps({"pixel_tolerance": 0.5, "score_tolerance": 1e-3, "vectors": vectors})
    )
    assert "vectors.json is not the file" in ran(folder).stderr
    sums = [line for line in (folder / "SHA256SUMS").read_text().splitlines() if not line.endswith("vectors.json")]
    (folder / "SHA256SUMS").write_text("\n".join(sums) + "\n")
    assert ran(folder).returncode == 1 and "NOT as bundled" in ran(folder).stdout


def unpacked(run: Path, folder: Path) -> Path:
    make(run, folder / "one.zip", KEY)
    with zipfile.ZipFile(folder / "one.zip") as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def built(folder: Path) -> Path:
    """The C++ runner of a bundle, compiled as its first lines say."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("c++ is not installed: apt install g++")
    ort_header.write(folder)
    (folder / "libonnxruntime.so.1").symlink_to(ort_header.library())
    told = [compiler, "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "runner.cpp", "-I", ".", "libonnxruntime.so.1",
            "-Wl,-rpath,$ORIGIN", "-o", "runner"]  # fmt: skip
    subprocess.run(told, cwd=folder, check=True)
    return folder / "runner"


@pytest.mark.parametrize("decode", ["fcos", "yolo"])
def test_the_runner_in_c_reproduces_the_vectors(run: Path, tmp_path: Path, decode: str) -> None:
    if decode == "yolo":
        rows = [[20, 20, 16, 8, 0.9, 0.1], [21, 20, 16, 8, 0.2, 0.8], [70, 40, 14, 4, 0.55, 0.3]]
        run = save(tmp_path / "a", constant_yolo(rows, 64), side=64, task="detect", decode="yolo", classes=["a", "b c"])
    folder = unpacked(run, tmp_path)
    runner = built(folder)
    done = subprocess.run([runner], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == ran(folder).stdout and "NOT" not in done.stdout
    lines = (folder / "vectors.txt").read_text().splitlines()
    box = next(number for number, line in enumerate(lines) if number and not line.startswith("vectors/"))
    lines[box] = " ".join(["99", *lines[box].split()[1:]])
    (folder / "vectors.txt").write_text("\n".join(lines))
    again = subprocess.run([runner], cwd=folder, capture_output=True, text=True, check=False)
    assert again.returncode == 1 and again.stdout.count("NOT as bundled") == 1
    assert len((folder / "runner.cpp").read_text().splitlines()) <= 100


def test_it_is_signed_and_the_same_each_time(run: Path, tmp_path: Path) -> None:
    names = make(run, tmp_path / "one.zip", KEY)
    make(run, tmp_path / "two.zip", KEY)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        files = {name: archive.read(name) for name in names}
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(files["public.key"].decode().strip()))
    public.verify(files["SHA256SUMS.sig"], DOMAIN + files["SHA256SUMS"])
    with pytest.raises(InvalidSignature):
        public.verify(files["SHA256SUMS.sig"], DOMAIN + files["SHA256SUMS"] + b"\n")
    listed = dict(reversed(line.split("  ")) for line in files["SHA256SUMS"].decode().splitlines())
    assert listed == {name: hashlib.sha256(files[name]).hexdigest() for name in names if "SHA256SUMS" not in name}
    assert json.loads(files["engine.json"])["notice"] == "research use only"


def test_what_may_not_be_passed_on_is_not_bundled(tmp_path: Path) -> None:
    content = constant_yolo([[9, 9, 4, 4, 0.9]], 64)
    kept = save(tmp_path / "a", content, side=64, task="detect", decode="yolo", classes=["a"], shippable=False)
    with pytest.raises(BadModel, match="not shippable"):
        make(kept, tmp_path / "x.zip", KEY)
    assert not (tmp_path / "x.zip").exists()


def test_a_yolo_output_is_reproduced_too(tmp_path: Path) -> None:
    rows = [[20, 20, 16, 8, 0.9, 0.1], [21, 20, 16, 8, 0.2, 0.8], [70, 40, 14, 4, 0.55, 0.3]]
    run = save(tmp_path / "a", constant_yolo(rows, 64), side=64, task="detect", decode="yolo", classes=["a", "b"])
    make(run, tmp_path / "x.zip", KEY)
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        archive.extractall(tmp_path / "x")
    assert ran(tmp_path / "x").returncode == 0

"""Measures de-identification: headers and pixels beside peers, text, and `./run deid` over a folder and a long cine."""

import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames

from commands.memory import Peak
from core.errors import Malformed
from ml.phantom import make_study, to_bytes, wheel_ultrasound

ROOT: Final = Path(__file__).resolve().parent.parent
SHARED: Final = ROOT.parent / "shared" / "data" / "dicom"
LONG_CINE: Final = 3000
BANNERS: Final = 144


def measure(rounds: int) -> dict[str, Any]:
    """Everything, one after the other, so that nothing measured disturbs another; raw samples and their medians.

    What is under way is said on stderr. About ten minutes on 2 idle cores, whatever the number of rounds is given for:
    what takes longest is done once."""
    cores = len(os.sched_getaffinity(0))
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "headers": lambda: _headers(rounds),
        "pixels": lambda: _part("commands.bench_pixels", "pixels")(rounds),
        "text": lambda: _part("commands.bench_text", "banners")(BANNERS, 1, cores),
        "folder": lambda: folder(rounds),
        "long_cine": long_cine,
    }
    result: dict[str, Any] = {"when": time.strftime("%F %T"), "rounds": rounds, "cores": cores, "parts": {}}
    for name, part in parts.items():
        begun, load = time.monotonic(), os.getloadavg()[0]
        print(f"{time.strftime('%T')} {name} ...", file=sys.stderr, flush=True)
        result[name] = part()
        result["parts"][name] = {"seconds": round(time.monotonic() - begun, 1), "load_before": round(load, 2)}
    return result


def _headers(rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        return _part("commands.bench_headers", "bench_headers")(rounds, Path(scratch))


def _part(module: str, name: str) -> Callable[..., dict[str, Any]]:
    """Raises Malformed when this installation cannot measure it."""
    try:
        found: Callable[..., dict[str, Any]] = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise Malformed(f"{error.name} is missing: ./run bench needs the packages of the tests.") from error
    return found


def folder(rounds: int, source: Path | None = None) -> dict[str, Any]:
    """`./run deid` over a folder of real files, of generated ones where those are not here; a new OUT each round."""
    with tempfile.TemporaryDirectory() as scratch:
        given = source or (SHARED if SHARED.is_dir() else _generated(Path(scratch) / "generated"))
        runs = [_run(given, Path(scratch) / str(number)) for number in range(rounds)]
    rates = [one["files_per_second"] for one in runs]
    return {
        "files": "real" if given == SHARED else "given" if source else "generated",
        "runs": runs,
        "medians": {
            "files_per_second": statistics.median(rates),
            "peak_mb": statistics.median(one["peak_mb"] for one in runs),
        },
    }


def long_cine(frames: int = LONG_CINE) -> dict[str, Any]:
    """One JPEG cine of a known device, its 30 frames again and again."""
    cine = dcmread(wheel_ultrasound()[2])
    assert isinstance(cine, Dataset)
    own = list(generate_frames(cine.PixelData, number_of_frames=int(cine.NumberOfFrames)))
    cine.NumberOfFrames = frames
    cine.PixelData = encapsulate([own[number % len(own)] for number in range(frames)])
    content = BytesIO()
    cine.save_as(content, enforce_file_format=True)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "in"
        source.mkdir()
        (source / "cine").write_bytes(content.getvalue())
        done = _run(source, Path(scratch))
    return done | {"frames": frames, "frames_per_second": round(frames / done["seconds"], 1)}


def _run(source: Path, scratch: Path) -> dict[str, Any]:
    """One run of the command, from its start to its end, and the most memory of it and its children."""
    scratch.mkdir(exist_ok=True)
    arguments = [str(source), str(scratch / "out"), "--keys", str(scratch / "keys"), "--study-is-patient", "--json"]
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "commands.main", "deid", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with Peak(process.pid) as peak:
        said, _ = process.communicate()
    wall = time.monotonic() - begun
    if process.returncode:
        raise Malformed(f"./run deid ended with {process.returncode}.")
    summary = json.loads(said.splitlines()[-1])
    worked = summary["counts"]["candidate"] + summary["counts"]["held"]
    return {
        "seconds": summary["seconds"],
        "wall_seconds": round(wall, 2),
        "files_per_second": round(worked / summary["seconds"], 2),
        "counts": summary["counts"],
        "peak_mb": peak.mb,
    }


def _generated(target: Path) -> Path:
    target.mkdir()
    for seed in range(4):
        for number, instance in enumerate(make_study(seed, "liver", "epiq", 4, 20 if seed == 0 else 0).instances):
            (target / f"{seed}-{number}").write_bytes(to_bytes(instance))
    return target

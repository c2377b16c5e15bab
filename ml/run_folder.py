"""RUN, the folder of one training: run.json, progress.jsonl, seen.json, resume.pt, cancel. Standard library only.

Whatever line a training is killed at, the same command goes on from the last epoch that was kept, and ends the same."""

import hashlib
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ml.data import Folder, Item

FORMAT = 1
STATES = ("running", "done", "cancelled", "failed")
_HERE = Path(__file__).resolve().parent


class BadRun(ValueError):
    """The run folder is not one, or holds another run."""


class Cancelled(Exception):
    """Somebody asked the training to stop."""


@dataclass(frozen=True)
class Run:
    """A run folder that this process writes."""

    path: Path

    @property
    def resume(self) -> Path:
        return self.path / "resume.pt"

    def is_asked_to_stop(self) -> bool:
        """Whether the file `cancel` is there."""
        return (self.path / "cancel").exists()

    def stop_if_asked(self) -> None:
        """Raises Cancelled when it is there; called after every batch."""
        if self.is_asked_to_stop():
            raise Cancelled

    def log(self, line: Mapping[str, Any]) -> None:
        """Append one epoch to progress.jsonl; it is on the disk when this returns."""
        with (self.path / "progress.jsonl").open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(line) + "\n")
            handle.flush()
            os.fsync(handle.fileno())

    def rewind(self, epochs: int) -> None:
        """Keep the lines of the first `epochs` epochs only: what came after them is trained again."""
        kept = [line for line in progress(self.path) if line["epoch"] <= epochs]
        replace(self.path / "progress.jsonl", "".join(json.dumps(line) + "\n" for line in kept).encode())

    def keep(self, write: Callable[[Path], object]) -> None:
        """Put a new resume.pt in place of the old one in one move; `write` fills the file it is given."""
        part = self.path / "resume.pt.part"
        write(part)
        _flush(part)
        part.replace(self.resume)

    def write(self, name: str, document: Mapping[str, Any]) -> None:
        """One JSON file of the run, in one move."""
        replace(self.path / name, (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())

    def saw(self, items: Iterable[Item], pixels: Iterable[str] = ()) -> None:
        """Add to seen.json every image, its pixels' digest and its unit that training or choosing looks at.

        Called before the first look, so that a run that was killed has told what it saw."""
        held = seen(self.path)
        for item in items:
            held["images"].add(item.sha256)
            held["units"].update({item.unit} | ({f"group:{item.group}"} if item.group else set()))
        held["pixels"].update(pixels)
        self.write("seen.json", {key: sorted(values) for key, values in held.items()})

    @contextmanager
    def ending(self) -> Iterator[None]:
        """What run.json says last: done, cancelled (which is no error here), or failed, which goes on to the caller."""
        try:
            yield
        except Cancelled:
            self.end("cancelled")
        except BaseException as wrong:
            self.end("failed", type(wrong).__name__)
            raise
        else:
            self.end("done")

    def end(self, state: str, note: str = "") -> None:
        """The last word in run.json; a run that is done needs no resume.pt any more."""
        document = read(self.path)
        ended = datetime.now(UTC)
        seconds = float(document.get("seconds_before", 0.0)) + time.time() - float(document["began"])
        document |= {"state": state, "ended": ended.isoformat(timespec="seconds"), "seconds": round(seconds, 1)}
        self.write("run.json", document | ({"note": note} if note else {}))
        if state == "done":
            self.resume.unlink(missing_ok=True)


def begin(path: Path, task: str, recipe: Mapping[str, Any], seed: int, folder: Folder, splits: Iterable[str]) -> Run:
    """Make the run folder, or take up the same run where it was killed, cancelled or failed.

    Raises BadRun when the folder holds something else, or a run that is done."""
    data = {"name": folder.name, "version": folder.version, "hash": folder.hash, "splits": list(splits)}
    same: dict[str, Any] = {"task": task, "recipe": json.loads(json.dumps(recipe)), "seed": seed, "data": data}
    before: dict[str, Any] = {}
    if (path / "run.json").exists():
        before = read(path)
        if {key: before.get(key) for key in same} != same:
            raise BadRun("The folder holds another run: choose another --out.")
        if before["state"] == "done":
            raise BadRun("This run is done already: choose another --out.")
    elif path.is_dir() and any(path.iterdir()):
        raise BadRun("The folder is not empty and holds no run: choose another --out.")
    path.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        (path / "cancel").unlink()
    run, now = Run(path), datetime.now(UTC).isoformat(timespec="seconds")
    first = {"started": before.get("started", now), "seconds_before": before.get("seconds", 0.0) or 0.0}
    told = {"ended": None, "seconds": None, "began": time.time(), "code": code(), "environment": environment()}
    run.write("run.json", {"format": FORMAT, **same, "state": "running", **first, **told})
    return run


def read(path: Path) -> dict[str, Any]:
    """run.json of a run folder; raises BadRun."""
    document = _json(path / "run.json")
    if document.get("format") != FORMAT or document.get("state") not in STATES:
        raise BadRun("run.json is not a run of this format.")
    return document


def progress(path: Path) -> list[dict[str, Any]]:
    """The whole lines of progress.jsonl; a line that was cut off by a kill is left out."""
    lines = []
    with suppress(FileNotFoundError):
        for text in (path / "progress.jsonl").read_text("utf-8", errors="replace").splitlines():
            with suppress(ValueError):
                line = json.loads(text)
                if isinstance(line, dict) and isinstance(line.get("epoch"), int):
                    lines.append(line)
    return lines


def seen(path: Path) -> dict[str, set[str]]:
    """What the run looked at: images (SHA-256 of files), pixels (digests of what they show), units. Empty if not told."""
    if not (path / "seen.json").exists():
        return {"images": set(), "pixels": set(), "units": set()}
    document = _json(path / "seen.json")
    found = {}
    for key in ("images", "pixels", "units"):
        values = document.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise BadRun("seen.json does not list what the run saw.")
        found[key] = set(values)
    return found


def code() -> str:
    """The commit that runs, or a digest of the training code where there is no git."""
    command = ["git", "-C", str(_HERE), "describe", "--always", "--dirty", "--abbrev=12"]
    with suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
        if told:
            return told
    digest = hashlib.sha256()
    for source in sorted(_HERE.rglob("*.py")):
        digest.update(source.relative_to(_HERE).as_posix().encode() + source.read_bytes())
    return f"sha256:{digest.hexdigest()}"


def environment() -> dict[str, str]:
    """Versions of what computes, and the processor's kind."""
    found = {"python": platform.python_version(), "system": platform.system(), "cpu": _processor()}
    for package in ("torch", "torchvision", "numpy", "onnxruntime"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def replace(path: Path, content: bytes) -> None:
    """Write a file in one move."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    _flush(part)
    part.replace(path)


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _flush(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def _json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadRun(f"{path.name} is absent or cannot be read.") from error
    if not isinstance(document, dict):
        raise BadRun(f"{path.name} is not an object.")
    return document

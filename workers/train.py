"""Train from a frozen dataset version: the job `train`, which runs `./run ml train` as a child and follows its run folder.

The networks live in the child; this process never loads PyTorch. A worker that dies takes its child with it, and the
next one starts the same command, which goes on after the last epoch that was kept."""

import fcntl
import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from core.db import reading, transaction
from core.errors import AppError, NotFound, Refused, Unavailable
from core.models.training import TrainingState
from core.node import CentralNode
from core.services import datasets, training
from core.services.training import Line
from ml import run_folder
from ml.annotations import read_json
from workers.train_folder import materialise

log = logging.getLogger(__name__)
LOOK_SECONDS: Final = 1.0
GRACE_SECONDS: Final = 60.0
KEPT: Final = ("run.json", "progress.jsonl", "seen.json", "metrics.json", "model.json", "card.md")
NO_TORCH: Final = "Training needs PyTorch on the machine of the worker: ./run setup --ml installs it."
GONE: Final = "A file of the dataset is no longer in the store."
KILLED: Final = "The training process was killed twice in the same epoch: is there enough memory?"
STOPPED: Final = "The training process ended with an error; its last words say which."
NO_MODEL: Final = "The training ended without a whole model."
_ROOT: Final = Path(__file__).resolve().parent.parent
_PASSED: Final = ("PATH", "HOME", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "TMPDIR")


def train(node: CentralNode, run_id: UUID) -> None:
    """QUEUED or RUNNING -> DONE, FAILED or CANCELLED. May run twice. Raises Unavailable when this worker is to end."""
    place = node.folder("training") / str(run_id)
    with _alone(place):
        with transaction(node.engine, "train.begin") as session:
            line = training.line_of(session, run_id) if training.begin(session, run_id) else None
        if line is not None:
            _forget_others(node)
            _run(node, line, place)
        shutil.rmtree(place, ignore_errors=True)


def _run(node: CentralNode, line: Line, place: Path) -> None:
    run_id = line.run.id
    try:
        _work(node, line, place)
    except Refused as trouble:
        _end(node, run_id, TrainingState.FAILED, trouble.message, _words(place))
    except run_folder.Cancelled:
        _end(node, run_id, TrainingState.CANCELLED)
    else:
        _keep(node, run_id, place / "run")


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """One thread of one worker of this machine trains in a folder. Raises Unavailable for the others."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable("This training is under way already.") from None
        yield


def _work(node: CentralNode, line: Line, place: Path) -> None:
    """The child, again for as long as it is killed in a new epoch each time. Raises Refused, Cancelled or Unavailable."""
    if importlib.util.find_spec("torch") is None:
        raise Refused(NO_TORCH)
    chosen, run = training.preset(line.run.task, line.run.recipe), place / "run"
    with reading(node.engine) as session:
        files = datasets.files_of(session, line.version)
    try:
        data = materialise(node, line, files, chosen.boxes, place / "data")
    except (NotFound, KeyError):
        raise Refused(GONE) from None
    arguments = ["ml", "train", line.run.task, "--data", str(data), "--out", str(run), "--seed", str(line.run.seed)]
    arguments += [*chosen.arguments, "--budget-minutes", str(line.run.budget_minutes), "--json"]
    epochs = -1
    while _state(run) != "done":
        if _is_cancelled(node, line.run.id):
            raise run_folder.Cancelled
        with _child(arguments, place / "output.txt") as child:
            code = _follow(node, line.run.id, child, run)
        if code and _is_cancelled(node, line.run.id):
            raise run_folder.Cancelled
        if code < 0 and len(run_folder.progress(run)) > epochs:
            epochs = len(run_folder.progress(run))
            log.warning("a training process was killed and is started again")
        elif code:
            raise Refused(KILLED if code < 0 else STOPPED)
        elif _state(run) != "done":
            break
    if not all((run / name).is_file() for name in ("model.json", "metrics.json")):
        raise Refused(NO_MODEL)


@contextmanager
def _child(arguments: list[str], output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The training process in a group of its own, with nothing of this node in its environment; killed at the end."""
    environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
    environment |= {"LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    with output.open("ab") as words:
        child = subprocess.Popen(
            [sys.executable, "-m", "workers.train_child", str(os.getpid()), *arguments],
            stdin=subprocess.DEVNULL, stdout=words, stderr=words, cwd=_ROOT, env=environment, start_new_session=True,
        )  # fmt: skip
    try:
        yield child
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _follow(node: CentralNode, run_id: UUID, child: subprocess.Popen[bytes], run: Path) -> int:
    """Watch one child to its end, epoch by epoch; its exit code. Raises Unavailable when this worker is to end."""
    told, asked = 0, 0.0
    while True:
        code = _waited(child)
        lines = run_folder.progress(run)
        if len(lines) != told:
            _tell(node, run_id, lines)
            told = len(lines)
        if code is not None:
            return code
        if node.stopping.is_set():
            raise Unavailable("The worker ends; the training goes on with the next one.")
        if not asked and _is_cancelled(node, run_id):
            asked = time.monotonic()
            run.mkdir(exist_ok=True)
        if asked:
            (run / "cancel").touch()  # each time: a child that only now begins takes an old one away
            if time.monotonic() - asked > GRACE_SECONDS:
                return -signal.SIGKILL


def _waited(child: subprocess.Popen[bytes]) -> int | None:
    try:
        return child.wait(LOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _tell(node: CentralNode, run_id: UUID, lines: list[dict[str, Any]]) -> None:
    """A database that is away for a moment does not end a training: the next look tells all epochs again."""
    try:
        with transaction(node.engine, "train.progress") as session:
            training.follow(session, run_id, lines)
    except AppError as trouble:
        log.warning("train: %s", trouble.message)


def _is_cancelled(node: CentralNode, run_id: UUID) -> bool:
    try:
        with reading(node.engine) as session:
            return training.is_cancelled(session, run_id)
    except Unavailable:
        return False


def _keep(node: CentralNode, run_id: UUID, run: Path) -> None:
    """What the run left goes into the store, then into the rows."""
    wanted = [run / name for name in KEPT if (run / name).is_file()] + sorted(run.glob("*.onnx"))
    files = [training.kept_file(node, path.name, path.read_bytes()) for path in wanted]
    metrics = read_json(run / "metrics.json")
    card = (run / "card.md").read_text("utf-8") if (run / "card.md").is_file() else ""
    with transaction(node.engine, "train.done") as session:
        training.follow(session, run_id, run_folder.progress(run))
        training.finish(session, run_id, files, metrics if isinstance(metrics, dict) else {}, card)


def _end(node: CentralNode, run_id: UUID, state: TrainingState, reason: str | None = None, output: str = "") -> None:
    with transaction(node.engine, "train.end") as session:
        training.end(session, run_id, state, reason, output)


def _state(run: Path) -> str:
    """What run.json says; "" before there is one."""
    try:
        return str(run_folder.read(run)["state"])
    except run_folder.BadRun:
        return ""


def _words(place: Path) -> str:
    """The last words of the child, without the places of this machine."""
    try:
        text = (place / "output.txt").read_text("utf-8", errors="replace")
    except OSError:
        return ""
    return text.replace(str(place), "").replace(str(_ROOT), "")[-4000:]


def _forget_others(node: CentralNode) -> None:
    """Folders of trainings that have ended, left by a worker that died just then."""
    with reading(node.engine) as session:
        active = training.active_runs(session)
    for folder in node.folder("training").glob("*"):
        if folder.name not in active:
            shutil.rmtree(folder, ignore_errors=True)

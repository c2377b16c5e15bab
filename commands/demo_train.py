"""The demo's `--train`: a small detector of generated liver pictures is trained, judged, registered, promoted and used.

Training and judging are the commands that a developer types; registering, promoting and looking go over public HTTP."""

import io
import json
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from PIL import Image

from commands.demo_nodes import DemoNode, Layout
from commands.demo_person import Person
from core.errors import Unavailable

STAGES: Final = ("train", "evaluate", "register", "infer")
PICTURES: Final = 240
FRAMES: Final = 60
UNSEEN: Final = 1000  # added to the seed: a cine of a liver that no training saw
FIGURES: Final = ("f1", "map50", "recall")
RECIPE: Final = ("--size", "160", "--epochs", "14", "--batch", "8", "--budget-minutes", "5")
PATIENCE: Final = 120.0
_ROOT: Final = Path(__file__).resolve().parent.parent


class Lesson:
    """One training, from generated pictures to boxes on frames. `stages` and `facts` go into the demo's summary."""

    def __init__(self, layout: Layout, papers: dict[str, Any], seed: int, say: Callable[[str], None]) -> None:
        self._layout, self._papers, self._say = layout, papers, say
        self._seed = seed
        self._folder = layout.folder / "lesson" / f"{time.time_ns()}"
        self.stages: dict[str, dict[str, Any]] = {}
        self.facts: dict[str, Any] = {}

    def run(self) -> None:
        """Raises Unavailable when a step fails."""
        with self._stage("train") as stage:
            stage["count"] = self._train()
        with self._stage("evaluate") as stage:
            stage |= self._evaluate()
        with self._stage("register") as stage:
            model = self._register()
            self.facts["model"]["site"] = self._accept(model)
            stage["count"] = 1
        with self._stage("infer") as stage:
            stage |= self._infer(model)

    @contextmanager
    def _stage(self, name: str) -> Iterator[dict[str, Any]]:
        begun = time.monotonic()
        entry = self.stages.setdefault(name, {"count": 0, "seconds": 0.0})
        yield entry
        entry["seconds"] = round(time.monotonic() - begun, 2)
        self._say(f"{name:<9} {entry['count']:>4}   {entry['seconds']:.1f} s")

    def _train(self) -> int:
        data, run = str(self._folder / "data"), str(self._folder / "run")
        made = command("phantoms", "--out", data, "--count", str(PICTURES), "--seed", str(self._seed), "--json")
        command("train", "detect", "--data", data, "--out", run, "--seed", str(self._seed), *RECIPE, "--json")
        return int(made["images"]["train"])

    def _evaluate(self) -> dict[str, Any]:
        """On patients of the test split, which the training never opened."""
        run, data = str(self._folder / "run"), str(self._folder / "data")
        judged = command("evaluate", "--run", run, "--data", data, "--split", "test", "--json")
        found = {name: judged["metrics"][name]["value"] for name in FIGURES}
        self.facts["evaluated"] = {"images": judged["images"], "data": "generated pictures of unseen patients", **found}
        return {"count": judged["images"], **found}

    def _register(self) -> dict[str, Any]:
        """The developer registers the next version, the domain lead promotes it."""
        with self._person("developer") as developer, self._person("lead") as lead:
            known = developer.call("GET", "/api/v1/models")
            told = json.loads((self._folder / "run" / "model.json").read_text("utf-8"))
            told["version"] = 1 + max((one["version"] for one in known if one["name"] == told["name"]), default=0)
            body = packed(self._folder / "run", told)
            model = developer.call("POST", "/api/v1/models", params={"domain": "liver"}, content=body)
            promoted: dict[str, Any] = lead.call("POST", f"/api/v1/models/{model['id']}/promote")
        self.facts["model"] = {key: promoted[key] for key in ("name", "version", "state", "sha256", "licence")}
        return promoted

    def _accept(self, model: dict[str, Any]) -> dict[str, Any]:
        """It comes to the site by the relay, where a person lets it take effect."""
        site = self._layout.sites[0]
        with self._person("admin", site) as head:
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                come = [one for one in head.call("GET", "/api/v1/models") if one["sha256"] == model["sha256"]]
                if come:
                    return {
                        "name": site.name,
                        "state": head.call("POST", f"/api/v1/models/{come[0]['id']}/promote")["state"],
                    }
                time.sleep(0.5)
        raise Unavailable("the model did not reach the site in time")

    def _infer(self, model: dict[str, Any]) -> dict[str, Any]:
        """Every frame of an unseen cine, one after the other, through the process that has one thread for it."""
        frames = _cine(self._seed + UNSEEN)
        with self._person("developer") as developer:
            self._wait_for(developer, model, frames[0])
            answers = [_look(developer, frame) for frame in frames]
        times = sorted(answer["frames"][0]["ms"] for answer in answers)
        found = sum(bool(answer["frames"][0]["boxes"]) for answer in answers)
        p95 = round(times[min(len(times) - 1, int(0.95 * len(times)))], 2)
        told = {"p95_ms": p95, "median_ms": round(statistics.median(times), 2), "frames_with_boxes": found}
        return {"count": len(frames), **told}

    @staticmethod
    def _wait_for(developer: Person, model: dict[str, Any], frame: bytes) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                said = _look(developer, frame)["model"]
                if (said["name"], said["version"]) == (model["name"], model["version"]):
                    return
            except Unavailable:
                pass  # the infer process has only now been started
            time.sleep(0.5)
        raise Unavailable("the model was not loaded in time")

    @contextmanager
    def _person(self, name: str, node: DemoNode | None = None) -> Iterator[Person]:
        where = node or self._layout.central
        person = Person(where.url, name, self._papers[where.name]["users"][name])
        try:
            yield person
        finally:
            person.close()


def command(*words: str) -> dict[str, Any]:
    """`./run ml …`; the JSON of its last line. Raises Unavailable with what it refused."""
    done = subprocess.run(
        [sys.executable, "-m", "commands.main", "ml", *words],
        cwd=_ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise Unavailable(f"./run ml {words[0]}: {last.removeprefix('sonobank: ')}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def packed(run: Path, told: dict[str, Any]) -> bytes:
    """The model of a run folder as a ZIP file, with `told` as its model.json."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("model.json", json.dumps(told, indent=1))
        for name in (*told["files"], "metrics.json", "run.json", "card.md"):
            if (run / name).is_file():
                archive.write(run / name, name)
    return out.getvalue()


def _cine(seed: int) -> list[bytes]:
    from ml.phantom_folder import cine

    found = []
    for frame in cine("liver", seed, FRAMES, "LIV-CYST").frames:
        out = io.BytesIO()
        Image.fromarray(frame).convert("RGB").save(out, "PNG")
        found.append(out.getvalue())
    return found


def _look(developer: Person, frame: bytes) -> dict[str, Any]:
    said: dict[str, Any] = developer.call("POST", "/api/v1/infer", params={"domain": "liver"}, content=frame)
    return said

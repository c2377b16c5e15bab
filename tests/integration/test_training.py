"""Trainings at central: a real worker trains a tiny model from a frozen version, cancelled, killed and gone on with."""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from sqlmodel import col, select
from starlette.testclient import TestClient

from core.db import reading, transaction
from core.models.audit import AuditEvent
from core.models.people import Role
from core.models.training import TrainingRun
from core.node import CentralNode
from core.security import session_cookie_name
from core.services import receive, training
from ml.data import load
from tests.nodes import until
from tests.postgres_fixture import ScratchPostgres
from tests.served import Served, serve
from tests.trained import freeze_phantoms, worker
from workers import train as train_job
from workers.train_folder import materialise

TRIAL = {"dataset": "pilot", "task": "detect", "recipe": "trial", "seed": 1, "budget_minutes": 30}
LONG = TRIAL | {"task": "classify", "recipe": "cnn10-cyst"}
HTML = {"accept": "text/html", "accept-language": "en", "sec-fetch-site": "same-origin"}
PATIENCE = 400


@pytest.fixture(scope="module")
def central(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(postgres, "central") as served:
        served.person("lead", [(Role.DOM, "liver")])
        served.person("developer", [(Role.AIDEV, "liver")])
        served.person("breast", [(Role.AIDEV, "breast")])
        served.person("okada", [(Role.CENOP, "*")])
        freeze_phantoms(served, tmp_path_factory.mktemp("phantoms") / "liver", "lead")
        yield served


def node_of(served: Served) -> CentralNode:
    return cast(CentralNode, served.node)


def call(served: Served, method: str, path: str, who: str = "developer", **more: Any) -> Any:
    answer = served.client.request(method, f"/api/v1/trainings{path}", headers=served.bearer(who), **more)
    assert answer.status_code < 300, answer.text
    return answer.json()


def status(served: Served, who: str, method: str, path: str, **more: Any) -> int:
    answer = served.client.request(method, f"/api/v1/trainings{path}", headers=served.bearer(who), **more)
    return int(answer.status_code)


@contextmanager
def signed_in(served: Served, name: str) -> Iterator[TestClient]:
    served.client.cookies.set(session_cookie_name(served.settings), served.cookie(name))
    try:
        yield served.client
    finally:
        served.client.cookies.clear()


def reaches(served: Served, run_id: str, *states: str, epochs: int = 0) -> dict[str, Any]:
    def ask() -> dict[str, Any] | None:
        found: dict[str, Any] = call(served, "GET", f"/{run_id}")
        assert found["state"] != "FAILED" or "FAILED" in states, output(served, run_id)
        return found if found["state"] in states and len(found["progress"]) >= epochs else None

    return until(ask, f"{' or '.join(states)} with {epochs} epochs", PATIENCE)


def output(served: Served, run_id: str) -> str:
    with reading(served.node.engine) as session:
        run = next(one for one in session.exec(select(TrainingRun)) if str(one.id) == run_id)
        return f"{run.reason}\n{run.output}"


def trainers(served: Served) -> list[int]:
    """The processes that train for this node."""
    mark = str(served.settings.data_dir / "training").encode()
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            line = (place / "cmdline").read_bytes()
        except OSError:
            continue
        if mark in line and b"train" in line.split(b"\0"):
            found.append(int(place.name))
    return found


class TestWho:
    def test_each_trains_from_the_datasets_of_their_domains(self, central: Served) -> None:
        assert status(central, "breast", "POST", "", json=TRIAL) == 404
        assert status(central, "okada", "POST", "", json=TRIAL) == 403
        run = call(central, "POST", "", json=TRIAL)
        assert (run["state"], run["version"], run["domain"], run["progress"]) == ("QUEUED", 1, "liver", [])
        for who, wanted in (("breast", 404), ("okada", 403), ("lead", 200)):
            assert status(central, who, "GET", f"/{run['id']}") == wanted
        assert status(central, "breast", "POST", f"/{run['id']}/cancel") == 404
        assert status(central, "breast", "POST", f"/{run['id']}/register") == 404
        assert call(central, "GET", "", who="breast") == []
        assert status(central, "developer", "POST", f"/{run['id']}/register") == 409
        assert call(central, "POST", f"/{run['id']}/cancel")["state"] == "CANCELLED"  # nobody had begun
        assert status(central, "developer", "POST", f"/{run['id']}/cancel") == 409
        train_job.train(node_of(central), UUID(run["id"]))  # its job finds nothing to do
        assert call(central, "GET", f"/{run['id']}")["state"] == "CANCELLED"

    @pytest.mark.parametrize(
        ("change", "wanted"),
        [
            ({"task": "echo"}, 422),
            ({"recipe": "fcos; rm"}, 422),
            ({"seed": -1}, 422),
            ({"budget_minutes": 0}, 422),
            ({"dataset": "nobody"}, 404),
            ({"version": 7}, 404),
        ],
    )
    def test_what_is_no_training_is_refused(self, central: Served, change: dict[str, Any], wanted: int) -> None:
        assert status(central, "developer", "POST", "", json=TRIAL | change) == wanted


def test_the_folder_holds_train_and_tune_and_never_test(central: Served, tmp_path: Path) -> None:
    run = call(central, "POST", "", json=TRIAL)
    with reading(central.node.engine) as session:
        line = training.line_of(session, UUID(run["id"]))
        assert line is not None
        files = train_job.datasets.files_of(session, line.version)
    places = {
        boxes: materialise(node_of(central), line, files, boxes, tmp_path / boxes) for boxes in ("cyst", "diagnosis")
    }
    call(central, "POST", f"/{run['id']}/cancel")
    test = json.loads(central.node.store.read(next(f.sha256 for f in files if f.path == "coco/test.json")))
    hidden = {image["file_name"] for image in test["images"]}
    assert hidden
    for boxes, classes in (("cyst", ("cyst", "non-cyst")), ("diagnosis", ("LIV-CYST", "LIV-HCC"))):
        folder = load(places[boxes], ("train", "tune", "test"))
        assert folder.categories == classes and folder.of("train") and folder.of("tune") and not folder.of("test")
        assert (folder.name, folder.version, folder.hash) == ("pilot", "1", line.version.hash)
        assert {p.relative_to(places[boxes]).as_posix() for p in places[boxes].rglob("*.png")}.isdisjoint(hidden)
        assert all(item.label == (item.boxes[0].category if item.boxes else "") for item in folder.items)


def test_a_training_runs_shows_its_curve_and_is_registered(central: Served, tmp_path: Path) -> None:
    with worker(central, tmp_path / "log"), signed_in(central, "developer") as client:
        form = {"data": "pilot/1", "recipe": "detect/trial", "seed": "1", "minutes": "30"}
        sent = client.post("/training", data=form, headers=HTML)
        assert sent.status_code == 303, sent.text
        page, run_id = sent.headers["location"], sent.headers["location"].rpartition("/")[2]
        assert "data-poll" in client.get(page, headers=HTML).text
        reaches(central, run_id, "RUNNING", "DONE", epochs=1)
        part = {"hx-request": "true", "hx-target": "progress"}
        curve = client.get(page, headers=HTML | part).text
        assert "<polyline" in curve and "<html" not in curve and re.search("Epoch [12] of 2", curve)
        done = reaches(central, run_id, "DONE")
        assert [line["epoch"] for line in done["progress"]] == [1, 2]
        assert done["metrics"]["threshold"]["chosen"] == "highest F1 at IoU 0.5 on tune"
        assert client.get(page, headers=HTML | part).headers["hx-refresh"] == "true"
        whole = client.get(page, headers=HTML).text
        assert "Register this model" in whole and "data-poll" not in whole and "threshold.value" in whole
        registered = client.post(f"{page}/register", headers=HTML)
        assert registered.headers["location"].startswith("/models/")
        shown = client.get(registered.headers["location"], headers=HTML).text
        assert "pilot-detect" in shown and str(done["version"]) in shown
    again = call(central, "POST", f"/{run_id}/register")
    assert (again["name"], again["version"], again["task"]) == ("pilot-detect", 1, "detect")
    assert again["dataset"]["name"] == "pilot" and again["classes"] == ["cyst", "non-cyst"]
    with transaction(central.node.engine, "test.kept") as session:
        kept = {
            file.path: file.sha256 for file in training.files_of(session, session.get_one(TrainingRun, UUID(run_id)))
        }
        assert {"run.json", "seen.json", "progress.jsonl", "metrics.json", "model.json", "model.onnx"} <= set(kept)
        assert receive.unreferenced_blobs(session, [*kept.values()]) == set()
        verbs = [
            one.verb for one in session.exec(select(AuditEvent).order_by(col(AuditEvent.id))) if one.subject == run_id
        ]
    assert verbs == ["training.start", "training.running", "training.done"]
    assert not list((central.settings.data_dir / "training").iterdir())


def test_one_that_runs_is_cancelled(central: Served, tmp_path: Path) -> None:
    with worker(central, tmp_path / "log"):
        run = call(central, "POST", "", json=LONG)
        reaches(central, run["id"], "RUNNING")
        until(lambda: trainers(central) or None, "a training process", PATIENCE)
        assert call(central, "POST", f"/{run['id']}/cancel", who="lead")["state"] == "RUNNING"
        reaches(central, run["id"], "CANCELLED")
        assert not trainers(central)


def test_a_killed_worker_takes_its_training_along_and_the_next_one_goes_on(central: Served, tmp_path: Path) -> None:
    run = call(central, "POST", "", json=LONG)
    with worker(central, tmp_path / "log") as first:
        before = reaches(central, run["id"], "RUNNING", epochs=1)["progress"]
        os.kill(first.pid, signal.SIGKILL)
        first.wait(30)
        until(lambda: not trainers(central) or None, "the end of the training process", 30)
    time.sleep(1)
    assert call(central, "GET", f"/{run['id']}")["state"] == "RUNNING"
    with worker(central, tmp_path / "log") as second:
        until(lambda: trainers(central) or None, "the training process", PATIENCE)
        second.send_signal(signal.SIGTERM)  # asked to end, it leaves the training to the next one, too
        assert second.wait(60) == 0 and not trainers(central)
    with worker(central, tmp_path / "log"):
        done = reaches(central, run["id"], "DONE")
    assert [line["epoch"] for line in done["progress"]] == [1, 2, 3]
    assert done["progress"][0] == before[0]  # not trained again


def test_without_pytorch_it_fails_with_the_way_out(central: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_job.importlib.util, "find_spec", lambda name: None)
    run = call(central, "POST", "", json=TRIAL)
    train_job.train(node_of(central), UUID(run["id"]))
    failed = call(central, "GET", f"/{run['id']}")
    assert failed["state"] == "FAILED" and "./run setup --ml" in failed["reason"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": "pilot/9"}, "Choose a frozen version"),
        ({"data": "pilot"}, "Choose a frozen version"),
        ({"recipe": "detect/none"}, "Choose a recipe"),
        ({"seed": "-1"}, "whole number"),
        ({"minutes": "100000"}, "1 to 1440"),
    ],
)
def test_the_form_says_what_is_wrong_and_keeps_what_was_typed(
    central: Served, change: dict[str, str], words: str
) -> None:
    form = {"data": "pilot/1", "recipe": "classify/pair", "seed": "77", "minutes": "30"} | change
    with signed_in(central, "developer") as client:
        answer = client.post("/training", data=form, headers=HTML)
        assert answer.status_code == 422 and words in answer.text and 'role="alert"' in answer.text
        assert f'value="{form["seed"]}"' in answer.text

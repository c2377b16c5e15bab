"""A model is trained from the page: started by keyboard, watched as its curve grows, cancelled, registered; every state by axe."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from core.clock import now_utc
from core.db import transaction
from core.models.people import Role
from core.models.training import TrainingRun, TrainingState
from tests.live import Live, chromium, live, violations, visit
from tests.postgres_fixture import ScratchPostgres
from tests.trained import freeze_phantoms, worker

PATIENCE_MS = 400_000
Made = tuple[Live, dict[str, str]]


def lines(task: str, count: int, of: int) -> list[dict[str, Any]]:
    found = []
    for epoch in range(1, count + 1):
        grown = 1 - math.exp(-epoch / 8)
        tune = (
            {"f1": 0.8 * grown, "map50": 0.7 * grown}
            if task == "detect"
            else {"loss": 1.2 - 0.7 * grown, "balanced_accuracy": 0.5 + 0.4 * grown}
        )
        found.append({"epoch": epoch, "of": of, "seconds": 9.1, "loss": 2.1 - 1.7 * grown, "tune": tune})
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def central(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Central with a frozen version and a training in every state."""
    with live(postgres, "central") as node:
        node.person("kaneko", (Role.AIDEV, "liver"), (Role.DOM, "liver"))
        node.person("ito", (Role.AIDEV, "breast"))
        version = freeze_phantoms(node.served, tmp_path_factory.mktemp("phantoms") / "liver", "kaneko")
        by = node.served.people["kaneko"].id
        given: dict[TrainingState, dict[str, Any]] = {
            TrainingState.QUEUED: {"task": "detect", "recipe": "fcos-cyst"},
            TrainingState.RUNNING: {"task": "classify", "recipe": "pair", "progress": lines("classify", 7, 20)},
            TrainingState.DONE: {
                "task": "detect", "recipe": "fcos-lesion", "progress": lines("detect", 40, 40),
                "metrics": {"tune": {"f1": {"value": 0.79}}, "threshold": {"value": 0.41}}, "card": "# A card\n\nResearch.",
            },
            TrainingState.FAILED: {
                "task": "classify", "recipe": "cnn10", "output": "sonobank: The tune part has no image of some class.",
                "reason": "The training process ended with an error; its last words say which.",
            },
            TrainingState.CANCELLED: {"task": "detect", "recipe": "fcos", "cancelled_by": by},
        }  # fmt: skip
        made = {}
        with transaction(node.served.node.engine, "test.runs") as session:
            for state, values in given.items():
                ended = None if state in {TrainingState.QUEUED, TrainingState.RUNNING} else now_utc()
                run = TrainingRun(
                    dataset_version_id=version, state=state, seed=0, budget_minutes=60, created_by=by, ended_at=ended,
                    **values,
                )  # fmt: skip
                session.add(run)
                made[state.value] = str(run.id)
        yield node, made


@pytest.mark.parametrize(("lang", "size"), [("ja", "wide"), ("en", "small")])
def test_every_state_is_a_page_that_anybody_can_use(central: Made, browser: Browser, lang: str, size: str) -> None:
    node, made = central
    with visit(browser, node.url, "kaneko", lang=lang, size=size) as page:
        for path in ("/training", "/training/new", *(f"/training/{run}" for run in made.values())):
            page.goto(path)
            assert violations(page) == [], path
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        page.goto(f"/training/{made['RUNNING']}")
        assert page.locator("polyline").count() == 3  # two losses, one figure
        assert page.locator("details table tbody tr").count() == 7
        page.goto(f"/training/{made['DONE']}")
        expect(page.get_by_role("heading", name="A card")).to_be_visible()
        expect(
            page.get_by_role("button", name={"en": "Register this model", "ja": "このモデルを登録"}[lang])
        ).to_be_visible()
        page.goto(f"/training/{made['FAILED']}")
        words = {"en": "ended with an error", "ja": "学習プロセスがエラーで終わりました"}[lang]
        expect(page.get_by_text(words)).to_be_visible()


def test_who_has_no_data_is_told_what_comes_first(central: Made, browser: Browser) -> None:
    node, _ = central
    with visit(browser, node.url, "ito", lang="en", scripts=False) as page:
        page.goto("/")
        page.get_by_role("navigation").get_by_role("link", name="Training").click()
        expect(page.get_by_text("No trainings yet")).to_be_visible()
        expect(page.get_by_text("needs a frozen dataset version")).to_be_visible()
        page.goto("/training/new")
        expect(page.get_by_text("No frozen version yet")).to_be_visible()


def test_one_is_started_and_cancelled_without_scripts(central: Made, browser: Browser) -> None:
    node, _ = central
    with visit(browser, node.url, "kaneko", lang="en", scripts=False) as page:
        page.goto("/training")
        page.get_by_role("link", name="New training").click()
        page.get_by_label("Recipe").select_option("classify/pair")
        page.get_by_label("Seed").fill("7")
        page.get_by_role("button", name="Start training").click()
        expect(page.get_by_text("The training is queued.")).to_be_visible()
        page.locator("summary", has_text="Stop it for good").click()
        page.get_by_role("button", name="Cancel the training").click()
        expect(page.get_by_text("The training was asked to stop.")).to_be_visible()
        expect(page.locator("#progress .state")).to_contain_text("Cancelled")


def test_a_model_grows_on_the_page_and_goes_into_the_registry(central: Made, browser: Browser, tmp_path: Path) -> None:
    node, _ = central
    with worker(node.served, tmp_path / "log"), visit(browser, node.url, "kaneko", lang="ja") as page:
        page.goto("/training/new")
        page.locator("#recipe").select_option("detect/trial")
        page.locator("#seed").press("Enter")
        expect(page.get_by_text("学習を受け付けました。")).to_be_visible()
        expect(page.locator("#progress .state")).to_contain_text("学習中", timeout=PATIENCE_MS)
        expect(page.locator("#progress polyline").first).to_be_attached(timeout=PATIENCE_MS)  # nobody loads it again
        expect(page.locator("#progress .state")).to_contain_text("終了", timeout=PATIENCE_MS)
        page.get_by_role("button", name="このモデルを登録").press("Enter")
        expect(page).to_have_url(re.compile("/models/[0-9a-f-]+$"))
        expect(page.get_by_role("heading", name="pilot-detect v1")).to_be_visible()
        expect(page.get_by_text("モデルを登録しました。")).to_be_visible()
        page.get_by_role("checkbox").press("Space")
        page.get_by_role("button", name="公開する").press("Enter")
        expect(page.get_by_text("この版が使われるようになりました。")).to_be_visible()

"""How soon a curator can work on a case of 60 images, and how long a step to the next frame takes, in a real browser."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Page

from commands.bench import demo_layout, fill_orthanc
from commands.demo import running
from commands.demo_person import Person
from commands.orthanc import running as orthanc_running
from commands.screens import chromium, sign_in
from core.errors import Unavailable

IMAGES: Final = 60
CINE_FRAMES: Final = 20
READY: Final = "#stage[data-frame='1']"
# Milliseconds from the key to the frame on the canvas, for frames that were fetched before.
STEPS: Final = """async (count) => {
  const stage = document.querySelector("#stage"), took = [];
  for (let i = 0; i < count; i++) {
    const before = stage.dataset.frame, begun = performance.now();
    document.dispatchEvent(new KeyboardEvent("keydown", {code: i % 2 ? "KeyD" : "KeyF", key: i % 2 ? "d" : "f", bubbles: true}));
    while (stage.dataset.frame === before && performance.now() - begun < 1000) await new Promise((go) => setTimeout(go, 0));
    took.push(performance.now() - begun);
  }
  return took;
}"""


def case_page(rounds: int) -> dict[str, Any]:
    """{interactive_ms, first_frame_ms, frame_step_ms}: lists of `rounds`, and the medians of 40 steps."""
    with (
        tempfile.TemporaryDirectory() as folder,
        orthanc_running(Path(folder) / "orthanc") as orthanc,
        running(demo_layout(f"{folder}/nodes")) as nodes,
        chromium() as browser,
    ):
        (nodes.layout.keys("site") / "peers.json").write_text(f'[{{"name": "pacs", "url": "{orthanc.dicom_web}"}}]')
        papers = nodes.papers["site"]
        curator = Person(papers["url"], "curator", papers["users"]["curator"])
        case_id = pulled(curator, fill_orthanc(orthanc, 7, IMAGES, CINE_FRAMES))
        with sign_in(browser, papers["url"], "curator", papers["users"]["curator"]) as page:
            seen = [opened(page, f"/cases/{case_id}") for _ in range(rounds + 1)][1:]
            steps = _cine_steps(page, curator, case_id)
    return {
        "images": IMAGES,
        "interactive_ms": [round(interactive) for interactive, _ in seen],
        "first_frame_ms": [round(first) for _, first in seen],
        "frame_step_ms": round(statistics.median(steps), 2),
    }


def pulled(curator: Person, study: tuple[str, str, str], domain: str = "liver", patience: float = 180) -> str:
    """The case of a study (chart ID, accession, study UID) in curation, every candidate written. Raises Unavailable."""
    body = {"chart_id": study[0], "accession": study[1], "domain": domain}
    case_id: str = curator.call("POST", "/api/v1/cases", json=body)["id"]
    deadline = time.monotonic() + patience
    while curator.call("GET", f"/api/v1/cases/{case_id}")["state"] != "CURATING":
        if time.monotonic() > deadline:
            raise Unavailable(f"the case was not retrieved in {patience:.0f} s")
        time.sleep(0.3)
    for image in curator.call("GET", f"/api/v1/cases/{case_id}")["images"]:
        while not curator.call("GET", f"/api/v1/images/{image['id']}/mask")["digest"]:
            if time.monotonic() > deadline:
                raise Unavailable(f"the candidates were not written in {patience:.0f} s")
            time.sleep(0.3)
    return case_id


def opened(page: Page, path: str) -> tuple[float, float]:
    """(ms until scripts have run and the page answers, ms until the first frame is on the canvas), from the worklist on."""
    page.goto("/worklist")
    begun = time.perf_counter()
    page.goto(path, wait_until="commit")
    page.wait_for_selector(READY)
    first = (time.perf_counter() - begun) * 1000
    interactive = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    return float(interactive), first


def _cine_steps(page: Page, curator: Person, case_id: str) -> list[float]:
    images = curator.call("GET", f"/api/v1/cases/{case_id}")["images"]
    number = next(image["number"] for image in images if image["frames"] > 1)
    page.goto(f"/cases/{case_id}?image={number}")
    page.wait_for_selector(READY)
    page.wait_for_timeout(3000)  # until the frames around are fetched
    steps: list[float] = page.evaluate(STEPS, 40)
    return steps

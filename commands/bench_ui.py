"""How the case page feels: a case of 60 stills and 20 cines, and a long cine of 1024 x 768, in a real browser with raw samples."""

import copy
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page
from pydicom.encaps import generate_frames
from pydicom.uid import UID

from commands.bench import demo_layout
from commands.bench_case import READY, STEPS, opened, pulled
from commands.demo import Running, running
from commands.demo_person import Person
from commands.orthanc import Orthanc
from commands.orthanc import running as orthanc_running
from commands.screens import chromium, sign_in
from core.errors import Unavailable
from ml.phantom import PhantomInstance, PhantomStudy, make_study, to_bytes
from ml.phantom_dicom import store_cine

STILLS: Final = 60
CINES: Final = 20
CINE_FRAMES: Final = 30
LONG_FRAMES: Final = 300
LONG_SIZE: Final = (1024, 768)
LONG_STEP_MS: Final = 1000 / 60
PLAYED_SECONDS: Final = 5
MOVES_APART: Final = 1 / 125  # seconds: a mouse tells where it is so often
PATIENCE: Final = 1200.0  # seconds for the candidates of 80 images
_DISTINCT: Final = 12  # pictures that the cines are made of
# Every frame that comes on the canvas with its time, from now on.
_WATCH: Final = """() => {
  const stage = document.querySelector("#stage"), seen = window.benchFrames = [];
  const note = () => seen.push([performance.now(), Number(stage.dataset.frame)]);
  new MutationObserver(note).observe(stage, {attributes: true, attributeFilter: ["data-frame"]});
}"""
_SAVES: Final = """() => {
  window.benchSaves = [];
  const real = window.fetch;
  window.fetch = async (...asked) => {
    const begun = performance.now(), answer = await real(...asked);
    const isSave = ["POST", "PUT"].includes(asked[1]?.method) && /rois/.test(String(asked[0]));
    if (isSave) window.benchSaves.push([performance.now() - begun, answer.status]);
    return answer;
  };
}"""


def user_interface(rounds: int) -> dict[str, Any]:
    """{case_interactive_s, frame_step_ms, save_ms, cine_first_frame_s, dropped_frames, raw}: medians, and every sample."""
    with (
        tempfile.TemporaryDirectory() as folder,
        orthanc_running(Path(folder) / "orthanc") as orthanc,
        running(demo_layout(f"{folder}/nodes")) as nodes,
        chromium() as browser,
    ):
        papers = nodes.papers["site"]
        (nodes.layout.keys("site") / "peers.json").write_text(f'[{{"name": "pacs", "url": "{orthanc.dicom_web}"}}]')
        many, long = (_stored(nodes, orthanc, study) for study in (_many_images(), _long_cine()))
        with sign_in(browser, papers["url"], "curator", papers["users"]["curator"]) as page:
            raw = _samples(page, many, long, rounds)
    return {
        "images": {"stills": STILLS, "cines": CINES, "frames": CINE_FRAMES, "long_cine": LONG_FRAMES},
        "case_interactive_s": round(statistics.median(raw["case_interactive_s"]), 3),
        "frame_step_ms": round(statistics.median(raw["frame_step_ms"]), 2),
        "frame_step_p95_ms": round(statistics.quantiles(raw["frame_step_ms"], n=20)[-1], 2),
        "save_ms": round(statistics.median(raw["save_ms"]), 1),
        "cine_first_frame_s": round(statistics.median(raw["cine_first_frame_s"]), 3),
        "dropped_frames": statistics.median(one["dropped"] for one in raw["played"]),
        "frames_due": statistics.median(one["due"] for one in raw["played"]),
        "dropped_frames_while_saving": statistics.median(one["dropped"] for one in raw["played_while_saving"]),
        "raw": raw,
    }


def _samples(page: Page, many: str, long: str, rounds: int) -> dict[str, Any]:
    seen = [opened(page, f"/cases/{many}") for _ in range(rounds + 1)][1:]
    first = [opened(page, f"/cases/{long}?image=1")[1] for _ in range(rounds + 1)][1:]
    page.wait_for_timeout(3000)  # until the frames around are fetched
    steps: list[float] = page.evaluate(STEPS, 60)
    played = [_played(page, long, _drawn) for _ in range(rounds)]
    busy = [_played(page, long, _drawn_again) for _ in range(rounds)]
    return {
        "case_interactive_s": [round(max(both) / 1000, 3) for both in seen],
        "cine_first_frame_s": [round(frame / 1000, 3) for frame in first],
        "frame_step_ms": [round(one, 2) for one in steps],
        "save_ms": _saved(page, many, 10 * rounds),
        "played": played,
        "played_while_saving": busy,
    }


def _drag(page: Page, x: float, y: float, dx: float, dy: float, steps: int) -> None:
    page.keyboard.press("Shift+R")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy, steps=steps)
    page.mouse.up()


def _drawn(page: Page, x: float, y: float) -> None:
    """One rectangle, drawn as long as the cine is watched."""
    page.keyboard.press("Shift+R")
    page.mouse.move(x, y)
    page.mouse.down()
    begun = time.perf_counter()
    while (part := (time.perf_counter() - begun) / PLAYED_SECONDS) < 1:
        page.mouse.move(x + 20 + 120 * part, y + 20 + 80 * part)
        time.sleep(MOVES_APART)
    page.mouse.up()


def _drawn_again(page: Page, x: float, y: float) -> None:
    """Rectangle after rectangle, each of them saved, as fast as the page takes them."""
    begun = time.perf_counter()
    while time.perf_counter() - begun < PLAYED_SECONDS:
        _drag(page, x, y, 140, 100, 30)
        page.keyboard.press("Escape")


def _played(page: Page, case_id: str, draw: Callable[[Page, float, float], None]) -> dict[str, Any]:
    """The long cine from its first frame for some seconds, while something is drawn: frames due, shown and left out."""
    page.goto(f"/cases/{case_id}?image=1")
    page.wait_for_selector(READY)
    page.wait_for_timeout(4000)
    box = page.locator("#stage").bounding_box()
    if box is None:
        raise Unavailable("the page shows no picture")
    page.evaluate(_WATCH)
    page.keyboard.press("Space")
    draw(page, box["x"] + box["width"] / 2 - 80, box["y"] + box["height"] / 2 - 60)
    seen: list[list[float]] = page.evaluate("window.benchFrames")
    if len(seen) < 2:
        return {"due": PLAYED_SECONDS * 60, "shown": len(seen), "dropped": PLAYED_SECONDS * 60, "at": seen}
    due = round((seen[-1][0] - seen[0][0]) / LONG_STEP_MS) + 1
    return {"due": due, "shown": len(seen), "dropped": max(due - len(seen), 0), "at": seen}


def _saved(page: Page, case_id: str, count: int) -> list[float]:
    """Milliseconds from asking to the answer for every save of a drawn ROI, as the page sends it."""
    page.goto(f"/cases/{case_id}?image=1")
    page.wait_for_selector(READY)
    page.wait_for_timeout(1500)
    box = page.locator("#stage").bounding_box()
    if box is None:
        raise Unavailable("the page shows no picture")
    page.evaluate(_SAVES)
    for number in range(count):
        _drag(page, box["x"] + box["width"] / 2 - 100, box["y"] + box["height"] / 2 - 40, 60 + number, 50, 5)
        page.wait_for_function("count => window.benchSaves.length >= count", arg=number + 1, timeout=5000)
    saves: list[tuple[float, int]] = page.evaluate("window.benchSaves")
    if any(status >= 400 for _, status in saves):
        raise Unavailable("the server refused a save of the bench")
    return [round(took, 1) for took, _ in saves]


def _stored(nodes: Running, orthanc: Orthanc, study: PhantomStudy) -> str:
    """The study in curation with every candidate written; the case's id."""
    orthanc.store([to_bytes(instance) for instance in study.instances])
    papers = nodes.papers["site"]
    with closing(Person(papers["url"], "curator", papers["users"]["curator"])) as curator:
        return pulled(curator, (study.patient.patient_id, study.accession, study.study_uid), study.domain, PATIENCE)


def _many_images() -> PhantomStudy:
    """60 stills and 20 cines, of few distinct pictures."""
    study = make_study(4001, "liver", "epiq", _DISTINCT, CINE_FRAMES)
    cine = next(one for one in study.instances if one.dataset.get("NumberOfFrames", 1) > 1)
    stills = [one for one in study.instances if one is not cine]
    chosen = [stills[number % len(stills)] for number in range(STILLS)] + [cine] * CINES
    return replace(study, instances=tuple(_renamed(study, one, number) for number, one in enumerate(chosen, 1)))


def _long_cine() -> PhantomStudy:
    """One cine of 300 frames of 1024 x 768 at 60 frames a second."""
    study = make_study(4002, "liver", "epiq", 0, _DISTINCT)
    cine = study.instances[0]
    pictures = [_grown(frame) for frame in generate_frames(cine.dataset.PixelData, number_of_frames=_DISTINCT)]
    region = cine.dataset.SequenceOfUltrasoundRegions[0]
    factor = LONG_SIZE[0] / cine.dataset.Columns
    for corner in ("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1"):
        setattr(region, corner, int(getattr(region, corner) * factor))
    region.PhysicalDeltaX, region.PhysicalDeltaY = region.PhysicalDeltaX / factor, region.PhysicalDeltaY / factor
    screens = [pictures[number % _DISTINCT] for number in range(LONG_FRAMES)]
    dataset = store_cine(cine.dataset, screens, LONG_STEP_MS)
    return replace(study, instances=(replace(cine, dataset=dataset),))


def _grown(frame: bytes) -> NDArray[np.uint8]:
    """A frame at 1024 x 768: (rows, columns, 3) uint8."""
    with Image.open(io.BytesIO(frame)) as picture:
        return np.asarray(picture.convert("RGB").resize(LONG_SIZE), np.uint8)


def _renamed(study: PhantomStudy, instance: PhantomInstance, number: int) -> PhantomInstance:
    """A copy of the instance under a UID and number of its own."""
    dataset = copy.deepcopy(instance.dataset)
    uid = UID(f"{study.study_uid[:55]}.{number}")
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    dataset.InstanceNumber = number
    return replace(instance, dataset=dataset)

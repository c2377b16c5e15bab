"""Make docs/screens again: every page with generated patients, in both languages and two sizes."""

import io
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from commands.bench import demo_layout
from commands.demo import Running, running
from commands.demo_journey import Journey
from commands.demo_person import Person
from core.errors import Unavailable

FOLDER: Final = Path(__file__).resolve().parent.parent / "docs" / "screens"
SIZES: Final = {"1440": (1440, 900), "1024": (1024, 768)}
_SETTLED_MS: Final = 1500
_COLOURS: Final = 192  # grey pictures and flat pages: a palette is a third of the size


_UNKNOWN: Final = (
    "maker=Hakusan+Medical+Works&model=EchoView+300&columns=768&rows=576"  # the console that no rule knows
)


@dataclass(frozen=True)
class Shot:
    """One picture: what it is called, whose it is, and the address; keys are pressed once the page is there."""

    name: str
    node: str
    person: str
    path: str
    keys: tuple[str, ...] = ()


SHOTS: Final = (
    Shot("sign-in", "site", "", "/sign-in"),
    Shot("home", "site", "admin", "/"),
    Shot("worklist", "site", "curator", "/worklist"),
    Shot("flag", "site", "examiner", "/flag"),
    Shot("case", "site", "curator", "/cases/{open}"),
    Shot("case-cine", "site", "curator", "/cases/{open}", ("j", "j", "j", "j")),
    Shot("case-mask", "site", "curator", "/cases/{open}", ("m",)),
    Shot("case-report", "site", "curator", "/cases/{done}/report"),
    Shot("history", "site", "curator", "/cases/{done}/history"),
    Shot("heart", "site", "curator", "/cases/{heart}", ("m", "m")),
    Shot("my", "site", "curator", "/my"),
    Shot("reads", "site", "admin", "/reads"),
    Shot("agreement", "site", "admin", "/agreement"),
    Shot("contact-sheet", "site", "curator", "/cases/{open}/contact-sheet"),
    Shot("case-registered", "site", "curator", "/cases/{done}"),
    Shot("sheet", "site", "curator", "/cases/{open}/sheet"),
    Shot("schedule", "site", "it", "/schedule"),
    Shot("peers", "site", "it", "/peers"),
    Shot("devices", "site", "curator", "/devices"),
    Shot("device-rule", "site", "admin", f"/devices/rules/new?{_UNKNOWN}"),
    Shot("transfers", "site", "transfer", "/transfers"),
    Shot("transfer", "site", "transfer", "/transfers/{package}"),
    Shot("opt-outs", "site", "desk", "/opt-outs"),
    Shot("people", "site", "admin", "/people"),
    Shot("account", "site", "curator", "/account"),
    Shot("audit", "site", "auditor", "/audit"),
    Shot("health", "site", "it", "/health"),
    Shot("live", "site", "curator", "/live"),
    Shot("models", "site", "curator", "/models"),
    Shot("central-home", "central", "lead", "/"),
    Shot("central-cases", "central", "lead", "/cases"),
    Shot("central-case", "central", "lead", "/cases/{bank}"),
    Shot("datasets", "central", "lead", "/datasets"),
    Shot("dataset", "central", "developer", "/datasets/liver"),
    Shot("dataset-new", "central", "lead", "/datasets/new"),
    Shot("training", "central", "lead", "/training"),
    Shot("api", "central", "developer", "/api/docs"),
)


def screens(
    only: Annotated[str, typer.Option(help="names to make, separated by commas; all without it")] = "",
    out: Annotated[Path, typer.Option(help="where the pictures go")] = FOLDER,
) -> None:
    """Start the demo, open every page as the person whose page it is, and keep a picture of each."""
    wanted = [shot for shot in SHOTS if not only or shot.name in only.split(",")]
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, running(demo_layout(folder)) as nodes, chromium() as browser:
        values = _prepare(nodes)
        for lang in ("ja", "en"):
            for size in SIZES:
                for shot in wanted:
                    papers = nodes.papers[shot.node]
                    password = papers["users"].get(shot.person, "")
                    with sign_in(browser, papers["url"], shot.person, password, lang, size) as page:
                        _take(page, shot, values, out / f"{shot.name}-{lang}-{size}.png")
                print(f"{lang} {size}: {len(wanted)} pages", file=sys.stderr)


def _prepare(nodes: Running) -> dict[str, str]:
    """The chain for some studies, and two cases that wait for hands; the names that addresses need."""
    with Journey(nodes.layout, nodes.papers, 1, 5, say=lambda text: None) as journey:
        summary = journey.run()
        if not summary["ok"]:
            raise Unavailable(f"the demo did not come through: {summary['error']}")
        hands = journey.leave_for_hands()
        return places(nodes, hands[0], hands[-1])


def places(nodes: Running, open_case: str, heart_case: str) -> dict[str, str]:
    """What the addresses of SHOTS name, once the candidates of the open case are written."""
    with closing(_person(nodes, "site", "curator")) as curator, closing(_person(nodes, "central", "lead")) as lead:
        done = curator.call("GET", "/api/v1/cases", params={"state": "REGISTERED"})["cases"][0]["id"]
        cases = [curator.call("GET", f"/api/v1/cases/{case}") for case in (open_case, heart_case)]
        for image in (image for case in cases for image in case["images"]):
            while not curator.call("GET", f"/api/v1/images/{image['id']}/mask")["digest"]:
                time.sleep(0.3)
        package = curator.call("GET", "/api/v1/packages", params={"case_id": done})[0]["id"]
        bank = lead.call("GET", "/api/v1/cases")[0]["id"]
    return {"open": open_case, "heart": heart_case, "done": done, "package": package, "bank": bank}


def _person(nodes: Running, node: str, name: str) -> Person:
    papers = nodes.papers[node]
    return Person(papers["url"], name, papers["users"][name])


# Every picture in sight has come, or will not.
SEEN: Final = (
    """() => [...document.images].every(one => one.complete || one.getBoundingClientRect().top > innerHeight)"""
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium without a window."""
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
        yield browser
        browser.close()


@contextmanager
def sign_in(
    browser: Browser, url: str, name: str, password: str, lang: str = "en", size: str = "1440"
) -> Iterator[Page]:
    """A fresh window at a node; nobody signs in where no name is given."""
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, locale=lang, base_url=url)
    page = context.new_page()
    page.goto(f"/sign-in?lang={lang}")
    if name:
        page.fill("input[name=name]", name)
        page.fill("input[name=password]", password)
        page.click("form[action^='/sign-in'] button[type=submit]")
        page.wait_for_url(lambda address: "/sign-in" not in address)
    yield page
    context.close()


def _take(page: Page, shot: Shot, values: dict[str, str], path: Path) -> None:
    page.goto(shot.path.format(**values))
    page.wait_for_timeout(_SETTLED_MS)  # a page that plays or asks how a job goes is never idle
    for key in shot.keys:
        page.keyboard.press(key)
        page.wait_for_timeout(800)
    if not re.search(r"/sign-in$", shot.path) and "/sign-in" in page.url:
        raise Unavailable(f"{shot.name} led to the sign-in page")
    page.wait_for_function(SEEN, timeout=60_000)
    whole = io.BytesIO()
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(whole, "PNG", optimize=True)
    path.write_bytes(whole.getvalue())

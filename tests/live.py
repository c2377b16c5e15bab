"""A node in this process that a real browser can open, and the browser."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.node_parts import installed
from tests.postgres_fixture import ScratchPostgres
from tests.served import Grants, Served, serve

CHROMIUM = "/usr/bin/chromium"
PASSWORD = "correct horse battery"
PATIENCE_MS = 30_000  # of whoever waits for a page: a machine that has other work is not a fault
SIZES = {"wide": (1440, 900), "small": (1024, 768)}
# WCAG A and AA, and what axe calls best practice.
_AXE = "() => axe.run(document, {resultTypes: ['violations']})"


@dataclass
class Live:
    """A served node and its address; `served.node` is the same node, for what its workers would do."""

    served: Served
    url: str
    port: int

    def up(self) -> None:
        """Answer at the address, from now or again."""
        config = uvicorn.Config(
            self.served.app, port=self.port, lifespan="off", log_level="warning", log_config=None, server_header=False
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def down(self, *, is_cut: bool = True) -> None:
        """Nobody answers any more; what is under way is cut off, or ends first."""
        self._server.force_exit = is_cut
        self._server.should_exit = True
        self._thread.join(10)

    def person(self, name: str, *grants: Any) -> None:
        given: Grants = [grant if isinstance(grant, tuple) else (grant, "*") for grant in grants]
        self.served.person(name, given, password=PASSWORD)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def live(postgres: ScratchPostgres, role: str, **changes: object) -> Iterator[Live]:
    """A node of this role behind a real port of loopback."""
    port = free_port()
    with serve(postgres, role, port=port, **changes) as served:
        node = Live(served, f"http://127.0.0.1:{port}", port)
        node.up()
        try:
            yield node
        finally:
            node.down(is_cut=False)


@contextmanager
def chromium(*more: str) -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", *more]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


def eventually(page: Page, is_so: Callable[[], bool]) -> None:
    """Wait until what the page saves by itself is with the server."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not is_so():
        assert time.monotonic() < deadline, "it was not saved"
        page.wait_for_timeout(50)


@contextmanager
def visit(
    browser: Browser, url: str, name: str | None = None, *, lang: str = "ja", size: str = "wide", scripts: bool = True
) -> Iterator[Page]:
    """A fresh browser window, signed in as `name`; a script error or a refused resource fails the test."""
    width, height = SIZES[size]
    context: BrowserContext = browser.new_context(
        viewport={"width": width, "height": height}, locale=lang, java_script_enabled=scripts, base_url=url
    )
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.goto("/sign-in")
    if name:
        page.fill("input[name=name]", name)
        page.fill("input[name=password]", PASSWORD)
        with page.expect_navigation():
            page.click("form[action^='/sign-in'] button[type=submit]")
    try:
        yield page
    finally:
        context.close()
    assert not wrong, wrong


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it is now."""
    page.evaluate((installed() / "axe-core" / "axe.min.js").read_text("utf-8"))
    found = page.evaluate(_AXE)["violations"]
    return [f"{entry['id']}: {node['html'][:120]}" for entry in found for node in entry["nodes"]]


def shoot(
    browser: Browser, url: str, name: str, paths: Sequence[str], folder: Path, theme: str = "light"
) -> list[Path]:
    """Each page in both languages and both sizes, as PNG files; returns where they are."""
    made = []
    for lang in ("ja", "en"):
        for size in SIZES:
            with visit(browser, url, name, lang=lang, size=size) as page:
                for path in paths:
                    page.goto(f"{path}{'&' if '?' in path else '?'}lang={lang}&theme={theme}")
                    page.wait_for_load_state("networkidle")
                    made.append(
                        folder / f"{path.strip('/').replace('/', '-').split('?')[0] or 'home'}-{lang}-{size}.png"
                    )
                    page.screenshot(path=made[-1])
    return made

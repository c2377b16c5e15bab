"""How long a page of the worklist takes the server when a site has 5,000 cases with 100,000 images."""

import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final

import httpx2
import uvicorn
from sqlalchemy import text
from sqlmodel import Session

from api.main import create_app
from core.models.people import Role
from core.node import Node
from core.opening import open_node
from core.permissions import SYSTEM
from core.security import session_cookie_name
from core.services import accounts
from core.settings import Settings
from core.vault import create_keys

CASES, IMAGES = 5000, 20
# The first page, the sorts and filters that read most, a page far behind, and the first page of the node.
PATHS: Final = (
    "/worklist",
    "/worklist?state=CURATING",
    "/worklist?sort=images",
    "/worklist?masks=1&domain=liver",
    "/worklist?arrived=1",
    "/worklist?page=90",
    "/",
)
# States in turn: most cases are in curation, which costs the page most (their gaps are counted).
_FILL: Final = (
    """INSERT INTO site_case (id, domain, state, route, revision, failures, failed_nights, flagged_by, created_at, reason)
       SELECT gen_random_uuid(), (ARRAY['liver', 'breast'])[1 + n % 2],
              (ARRAY['CURATING', 'CURATING', 'CURATING', 'REGISTERED', 'QUEUED', 'RETRIEVE_FAILED'])[1 + n % 6], 'rest',
              1, 0, 0, :user, now() - make_interval(hours => :cases - n),
              CASE WHEN n % 6 = 5 THEN 'None of the instances can be used; each says why.' END
       FROM generate_series(1, :cases) AS n""",
    """INSERT INTO site_image (id, case_id, number, state, size, facts, frames, rows, columns, created_at)
       SELECT gen_random_uuid(), site_case.id, n, 'STAGED', 500000, '{"manufacturer": "GE"}',
              CASE WHEN n % 4 = 0 THEN 60 ELSE 1 END, 768, 1024, site_case.created_at + interval '9 hours'
       FROM site_case, generate_series(1, :images) AS n WHERE site_case.state IN ('CURATING', 'REGISTERED')""",
    """INSERT INTO image_mask (id, image_id, revision, state, rects, reasons, must_look, candidate, to_show, texts,
                               text_read, is_drawn, created_at)
       SELECT gen_random_uuid(), id, 1, CASE WHEN number % 3 = 0 THEN 'PROPOSED' ELSE 'CONFIRMED' END,
              '[[0, 0, 1024, 40]]', '["device rule"]', true, '{}', '[1]', '[]', true, false, created_at
       FROM site_image""",
    """INSERT INTO pick (image_id, picked, reason, version)
       SELECT id, number % 5 > 0, CASE WHEN number % 5 = 0 THEN 'duplicate' END, 1 FROM site_image WHERE number < 16""",
    """INSERT INTO roi (id, image_id, lesion_id, frame, x, y, width, height, margin, label, kind, use, keyframes,
                        out_of_view, uncertain, deleted, version)
       SELECT gen_random_uuid(), id, gen_random_uuid(), 1, 300, 200, 90, 80, 8, 'LIV-HCC', 'rectangle', 'lesion',
              '[[1, [[300, 200], [390, 280]]]]', '[]', '[]', false, 1
       FROM site_image WHERE number IN (1, 4, 7)""",
    """INSERT INTO form (case_id, values, version)
       SELECT id, '{"diagnosis": {"value": "LIV-HCC", "source": "manual", "tag": null},
                    "malignancy": {"value": "malignant", "source": "derived", "tag": null}}', 1
       FROM site_case WHERE state = 'CURATING'""",
    "ANALYZE",
)


def worklist_seconds(rounds: int) -> dict[str, float]:
    """The median seconds of GET by path, over HTTP on loopback, for a person with every right at the site."""
    with tempfile.TemporaryDirectory() as folder:
        settings = _settings(Path(folder))
        with open_node(settings) as node:
            cookie = _filled(node)
            with (
                _served(node) as url,
                httpx2.Client(base_url=url, cookies=cookie, trust_env=False, timeout=60) as client,
            ):
                return {path: _median(client, path, rounds) for path in PATHS}


def _median(client: httpx2.Client, path: str, rounds: int) -> float:
    """One look without the clock, then `rounds` with it."""
    seconds = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        client.get(path, headers={"Accept": "text/html"}).raise_for_status()
        seconds.append(time.perf_counter() - begun)
    return round(statistics.median(seconds[1:]), 4)


def _settings(folder: Path) -> Settings:
    create_keys(folder / "keys" / "site", demo=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Settings(
        role="site", site_code="BENCH01", data_dir=folder / "data", keys_dir=folder / "keys", port=port, demo=True,
        _env_file=None,
    )  # fmt: skip


def _filled(node: Node) -> dict[str, str]:
    """A person's session cookie, after the tables were filled."""
    with Session(node.engine) as session:
        grants: list[tuple[Role, str]] = [(role, "*") for role in Role if role != Role.MACHINE]
        user = accounts.create_user(session, SYSTEM, "bench", None, grants)
        secret = accounts.open_session(session, user)
        session.flush()
        for statement in _FILL:
            given = {"user": user.id, "cases": CASES, "images": IMAGES}
            session.execute(text(statement), {name: value for name, value in given.items() if f":{name}" in statement})
        session.commit()
    return {session_cookie_name(node.settings): secret}


@contextmanager
def _served(node: Node) -> Iterator[str]:
    config = uvicorn.Config(
        create_app(node.settings, lambda: nullcontext(node)), port=node.settings.listen_port, log_level="warning"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield node.settings.base_url
    finally:
        server.should_exit = True
        thread.join(10)

"""A site with a PACS behind it, for tests that look at pulled cases on its pages."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import time
from pathlib import Path
from typing import Any

from core.models.people import Role
from core.node import SiteNode
from core.permissions import Actor
from core.settings import Window
from ml.phantom import PhantomStudy
from tests.casework import Case, pulled
from tests.pacs_twin import BadPacs, running
from tests.served import Served
from tests.sites import person


class Hospital:
    """The PACS and the settings of a site that may ask it at any time."""

    def __init__(self, pacs: BadPacs, peers: Path) -> None:
        always = (Window(begin=time(0), end=time(12)), Window(begin=time(12), end=time(0)))
        self.pacs = pacs
        self.changes: dict[str, Any] = {"peers_file": peers, "windows": always, "least_free_mb": 64}
        self._curators: dict[int, Actor] = {}

    def pull(self, served: Served, study: PhantomStudy) -> Case:
        """A study in staging, flagged by somebody who may do everything with it; nothing is decided yet."""
        node = served.node
        assert isinstance(node, SiteNode)
        if id(node) not in self._curators:
            self._curators[id(node)] = person(node, "flagger", Role.EXAM, Role.CUR, Role.REG)
        return pulled(node, self._curators[id(node)], self.pacs, study)


@contextmanager
def hospital(folder: Path) -> Iterator[Hospital]:
    with running(BadPacs()) as pacs:
        peers = folder / "peers.json"
        peers.write_text(json.dumps([{"name": "pacs", "url": pacs.url, "timeout_seconds": 3}]))
        yield Hospital(pacs, peers)

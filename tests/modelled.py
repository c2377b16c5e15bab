"""A served node whose infer process runs a tiny model that somebody let take effect."""

import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.db import transaction
from core.inference import folder as model_folder
from core.permissions import Actor
from core.services import accounts, registry
from tests.served import Served
from workers.infer_keeper import Keeper


def zipped(folder: Path) -> bytes:
    """The folder as it is sent to POST /api/v1/models."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return out.getvalue()


def person_of(served: Served, name: str) -> Actor:
    with transaction(served.node.engine, "test.actor") as session:
        return accounts.actor_of(session, served.people[name])


def put_in_effect(served: Served, folder: Path, by: str, domain: str = "liver") -> str:
    """Register and accept (or promote) a model; returns its id."""
    actor, told = person_of(served, by), model_folder.read(model_folder.from_folder(folder))
    registry.keep_files(served.node, told)
    with transaction(served.node.engine, "test.model") as session:
        model = registry.register(session, actor, told, domain)
        registry.take_effect(served.node, session, actor, model.id)
    return str(model.id)


@contextmanager
def kept(served: Served) -> Iterator[Keeper]:
    """The keeper that a worker of this node runs."""
    keeper = Keeper(served.node)
    thread = threading.Thread(target=keeper.run)
    thread.start()
    try:
        yield keeper
    finally:
        keeper.stop()
        thread.join(30)


def boxes(answer: dict[str, Any]) -> list[tuple[float, ...]]:
    return [(one["x"], one["y"], one["width"], one["height"]) for one in answer["boxes"]]

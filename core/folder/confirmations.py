"""One person's word for all images of known devices in a run: a line in the key folder that names each by its digests."""

import json
import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from core.clock import now_utc
from core.errors import Unavailable
from core.folder.linkage import Linkage

FILE: Final = "confirmations.jsonl"


def confirm(
    folder: Path, linkage: Linkage, done: MutableMapping[bytes, Mapping[str, Any]], confirmed_by: str | None
) -> None:
    """Log the files that say of themselves that their device was confirmed and stand in no line yet.

    The line is on disk before the files are known as confirmed: a run that is killed between logs them again."""
    fresh = {key: one for key, one in done.items() if one.get("is_confirmed") and not one.get("batch")}
    if confirmed_by is None or not fresh:
        return
    batch = str(uuid4())
    files = [
        {name: one[name] for name in ("output", "sha256", "digest", "rule", "rule_version")} for one in fresh.values()
    ]
    line = {"batch": batch, "time": now_utc().isoformat(), "confirmed_by": confirmed_by, "files": files}
    _append(folder / FILE, json.dumps(line))
    for key, one in fresh.items():
        done[key] = {**one, "batch": batch}
        linkage.remember(key, done[key])


def _append(path: Path, line: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Unavailable("The key folder cannot be written: is the disk full?") from error

"""Blobs between stores: verified copies, and the sweeper for what no row names."""

import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine
from sqlmodel import Session

from core.db import transaction
from core.errors import Unavailable
from core.store import BlobReader, Store

SWEEP_AGE_SECONDS = 24 * 3600
_BATCH = 500


def copy_verified(source: Store, target: Store, sha256: str) -> None:
    """Copy one blob and read the copy back. Raises Unavailable when the copy's hash does not agree."""
    if _intact(target, sha256):
        return
    target.delete(sha256)  # a damaged copy would stay: put never overwrites
    target.put(BlobReader(source, sha256), sha256)
    if not _intact(target, sha256):
        target.delete(sha256)
        raise Unavailable("A copied file came back with another hash; it is copied again.")


def _intact(store: Store, sha256: str) -> bool:
    if store.size(sha256) is None:
        return False
    digest = hashlib.sha256()
    for piece in store.pieces(sha256):
        digest.update(piece)
    return digest.hexdigest() == sha256


def sweep_scratch(folder: Path, age_seconds: float = SWEEP_AGE_SECONDS) -> int:
    """Delete what killed processes left in this node's scratch folder; returns how many."""
    oldest, removed = time.time() - age_seconds, 0
    for path in folder.iterdir():
        try:
            if path.stat().st_mtime > oldest:
                continue
        except FileNotFoundError:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        removed += 1
    return removed


def sweep(
    engine: Engine,
    store: Store,
    unreferenced: Callable[[Session, list[str]], set[str]],
    age_seconds: float = SWEEP_AGE_SECONDS,
) -> int:
    """Delete blobs older than `age_seconds` that no row names; the age protects what is being built. Returns how many."""
    oldest = time.time() - age_seconds
    old = [sha256 for sha256, changed in store.listing() if changed <= oldest]
    removed = 0
    for start in range(0, len(old), _BATCH):
        with transaction(engine, "sweep") as session:
            lost = unreferenced(session, old[start : start + _BATCH])
        for sha256 in lost:
            store.delete(sha256)
        removed += len(lost)
    return removed

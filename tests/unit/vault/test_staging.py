"""Staging: sealed files by instance and kind, deleted by case, swept when no row knows them."""

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from core.errors import Conflict, Malformed, NotFound, Refused, Unavailable
from core.ids import uuid7
from core.vault.keys import Key
from core.vault.staging import Staging

KEYS = [Key("seal", 1, b"\x01" * 32)]


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(tmp_path / "staging", KEYS)


def files(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "staging").rglob("*") if path.is_file())


def stored(staging: Staging, kind: str = "original") -> UUID:
    instance_id = uuid7()
    staging.put(instance_id, kind, [b"DI", b"CM"])
    return instance_id


def test_bytes_come_back_under_a_name_that_says_nothing(staging: Staging, tmp_path: Path) -> None:
    instance_id = uuid7()
    assert not staging.exists(instance_id, "original")
    assert staging.put(instance_id, "original", [b"DI", b"", b"CM"]) == 4
    assert staging.exists(instance_id, "original")
    assert staging.open(instance_id, "original").read() == b"DICM"
    assert [path.name for path in files(tmp_path)] == [f"{instance_id}.original.sealed"]
    assert staging.used_bytes() == files(tmp_path)[0].stat().st_size
    assert {path.stat().st_mode & 0o777 for path in files(tmp_path)[0].parents[:2]} == {0o700}
    with pytest.raises(NotFound):
        staging.open(instance_id, "candidate-1")
    for kind in ("", "../x", "A", "a.b"):
        with pytest.raises(Malformed):
            staging.exists(instance_id, kind)


def test_an_original_stays_and_what_is_made_from_it_may_be_made_again(staging: Staging) -> None:
    instance_id = stored(staging)
    with pytest.raises(Conflict):
        staging.put(instance_id, "original", [b"other"])
    for content in (b"one", b"two"):
        staging.put(instance_id, "candidate-1", [content])
    assert staging.open(instance_id, "candidate-1").read() == b"two"
    assert staging.open(instance_id, "original").read() == b"DICM"
    assert staging.delete(instance_id, "candidate-1")
    assert not staging.delete(instance_id, "candidate-1")


def test_files_of_two_kinds_or_instances_cannot_be_exchanged(staging: Staging, tmp_path: Path) -> None:
    instance_id = stored(staging)
    original = files(tmp_path)[0]
    original.rename(original.with_name(f"{instance_id}.candidate-1.sealed"))
    with pytest.raises(Refused, match="damaged"):
        staging.open(instance_id, "candidate-1")


def test_a_source_that_breaks_off_leaves_nothing(staging: Staging, tmp_path: Path) -> None:
    def broken(error: OSError) -> Iterator[bytes]:
        yield b"x" * 200_000
        raise error

    with pytest.raises(ConnectionResetError):
        staging.put(uuid7(), "original", broken(ConnectionResetError()))
    with pytest.raises(Unavailable, match="free some space"):
        staging.put(uuid7(), "original", broken(OSError(errno.ENOSPC, "full")))
    assert files(tmp_path) == []


def test_a_full_disk_is_said_before_anything_is_written(tmp_path: Path) -> None:
    staging = Staging(tmp_path / "staging", KEYS, least_free_bytes=1 << 62)
    with pytest.raises(Unavailable, match="almost full"):
        staging.put(uuid7(), "original", [b"x"])
    assert files(tmp_path) == []


def test_a_case_goes_with_all_its_files(staging: Staging, tmp_path: Path) -> None:
    mine, other = stored(staging), stored(staging)
    staging.put(mine, "candidate-1", [b"x"])
    draft = files(tmp_path)[0].with_name(f".{mine}.original.sealed.00.part")
    shard = tmp_path / "staging" / mine.hex[-2:]
    (shard / draft.name).write_bytes(b"")
    assert staging.delete_case([mine, uuid7()]) == 3
    assert [path.name for path in files(tmp_path)] == [f"{other}.original.sealed"]
    assert staging.delete_case([mine]) == 0


def test_the_sweep_takes_old_drafts_and_old_files_without_a_row(staging: Staging, tmp_path: Path) -> None:
    known, orphan, fresh = (stored(staging) for _ in range(3))
    folder = tmp_path / "staging" / known.hex[-2:]
    (folder / f".{known}.original.sealed.aa.part").write_bytes(b"")
    (folder / "README").write_text("not ours")
    week_ago = time.time() - 7 * 86400
    for path in files(tmp_path):
        if str(fresh) not in path.name:
            os.utime(path, (week_ago, week_ago))
    assert staging.sweep({known}) == 2
    assert staging.exists(known, "original") and staging.exists(fresh, "original")
    assert not staging.exists(orphan, "original")
    assert staging.sweep({known}, older_than_seconds=-1) == 1
    assert {path.name for path in files(tmp_path)} == {f"{known}.original.sealed", "README"}

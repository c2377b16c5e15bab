"""The file store on real S3 (SeaweedFS): created once, read in ranges, listed, copied with a proof, and plain words in trouble."""

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from core.errors import BadConfiguration, NotFound, Refused, Unavailable
from core.services.blobs import copy_verified
from core.store import PIECE, SMALL, Store, open_store
from tests.seaweed import S3, seaweed

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with seaweed(tmp_path_factory.mktemp("seaweed")) as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", running.key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", running.secret)
        yield running


@pytest.fixture
def bucket(s3: S3) -> str:
    name = f"bank-{uuid4().hex[:12]}"
    client = s3.client()
    client.create_bucket(Bucket=name)
    client.close()
    return name


@pytest.fixture
def store(s3: S3, bucket: str) -> Store:
    return open_store(s3.url(bucket), "store")


def blob(size: int) -> tuple[bytes, str]:
    content = os.urandom(min(size, 1 << 16)) * (size // (1 << 16) + 1)
    return content[:size], hashlib.sha256(content[:size]).hexdigest()


def key(sha256: str) -> str:
    return f"sha256/{sha256[:2]}/{sha256}"


def damage(s3: S3, bucket: str, sha256: str, content: bytes) -> None:
    client = s3.client()
    client.put_object(Bucket=bucket, Key=key(sha256), Body=content)
    client.close()


@pytest.mark.parametrize("size", [0, 1, PIECE, 3 * PIECE + 7])
def test_what_is_put_is_read_whole_and_in_ranges(store: Store, size: int) -> None:
    content, sha256 = blob(size)
    assert store.size(sha256) is None
    store.put(io.BytesIO(content), sha256)
    assert store.size(sha256) == size
    assert store.read(sha256) == content
    assert all(len(piece) <= PIECE for piece in store.pieces(sha256))
    start, length = size // 3, size // 2
    assert b"".join(store.pieces(sha256, start, length)) == content[start : start + length]
    assert b"".join(store.pieces(sha256, size, 10)) == b""
    assert [found for found, _ in store.listing()] == [sha256]
    store.delete(sha256)
    store.delete(sha256)
    assert store.size(sha256) is None and list(store.listing()) == []
    with pytest.raises(NotFound):
        store.read(sha256)


def test_a_blob_is_created_once_and_never_overwritten(s3: S3, bucket: str, store: Store) -> None:
    content, sha256 = blob(1000)
    damage(s3, bucket, sha256, b"was here before")
    store.put(io.BytesIO(content), sha256)
    assert store.read(sha256) == b"was here before"
    store.put_named("audit/head", b"first")
    store.put_named("audit/head", b"second")
    store.put_named("audit/other", b"third")
    assert dict(store.named("audit")) == {"audit/head": b"first", "audit/other": b"third"}
    assert [found for found, _ in store.listing()] == [sha256]


@pytest.mark.parametrize("size", [100, SMALL + 3 * PIECE])
def test_bytes_with_another_hash_are_refused_and_leave_nothing(store: Store, size: int) -> None:
    with pytest.raises(Refused):
        store.put(io.BytesIO(bytes(size)), "ab" * 32)
    assert list(store.listing()) == []


def test_a_large_file_goes_there_and_back_in_flat_memory(s3: S3, bucket: str) -> None:
    most_mb = 160
    done = subprocess.run(
        [sys.executable, "-c", _LARGE, s3.url(bucket)], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    grown_mb = int(done.stdout)
    assert grown_mb < most_mb


_LARGE = """
import hashlib, io, resource, sys
from core.store import open_store
store, size = open_store(sys.argv[1], "store"), 240
class Zeros(io.RawIOBase):
    left = size << 20
    def read(self, count=-1):
        count = min(count, self.left)
        self.left -= count
        return bytes(count)
digest = hashlib.sha256()
for _ in range(size):
    digest.update(bytes(1 << 20))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
store.put(Zeros(), digest.hexdigest())
again = hashlib.sha256()
for piece in store.pieces(digest.hexdigest()):
    again.update(piece)
assert again.digest() == digest.digest()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def test_a_copy_is_proven_and_a_damaged_one_is_replaced(s3: S3, bucket: str, store: Store, tmp_path: Path) -> None:
    source = open_store(f"file://{tmp_path / 'source'}", "store")
    content, sha256 = blob(2 * PIECE + 5)
    source.put(io.BytesIO(content), sha256)
    copy_verified(source, store, sha256)
    assert store.read(sha256) == content
    for wrong in (content[:-1] + b"x", content[:100], b""):
        damage(s3, bucket, sha256, wrong)
        copy_verified(source, store, sha256)
        assert store.read(sha256) == content
    copy_verified(store, source, sha256)
    missing = "cd" * 32
    with pytest.raises(NotFound):
        copy_verified(source, store, missing)
    assert store.size(missing) is None


def test_a_damaged_source_is_not_copied(store: Store, tmp_path: Path) -> None:
    source = open_store(f"file://{tmp_path / 'source'}", "store")
    content, sha256 = blob(1000)
    source.put(io.BytesIO(content), sha256)
    path = tmp_path / "source" / key(sha256)
    path.write_bytes(content[:-1] + b"x")
    with pytest.raises(Refused):
        copy_verified(source, store, sha256)
    assert store.size(sha256) is None


def verbs(store: Store) -> list[str]:
    """What each verb says when it fails."""
    content, sha256 = blob(10)
    said = []
    for work in (
        lambda: store.put(io.BytesIO(content), sha256),
        lambda: store.size(sha256),
        lambda: store.read(sha256),
        lambda: store.delete(sha256),
        lambda: list(store.listing()),
        lambda: store.put_named("audit/x", b"x"),
        lambda: list(store.named("audit")),
    ):
        with pytest.raises(Unavailable) as told:
            work()
        said.append(told.value.message)
    return said


def test_wrong_keys_are_said_in_words(s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    said = verbs(open_store(s3.url(bucket), "store"))
    assert set(said) == {"The file store refuses our keys: check AWS_ACCESS_KEY_ID and what they may do."}


def test_a_store_that_is_away_is_said_in_words_and_soon(bucket: str) -> None:
    said = verbs(open_store(f"s3://{bucket}?endpoint=http://127.0.0.1:1", "store"))
    assert set(said) == {
        "The file store does not answer.",
        "The file store does not take the file: is it reachable and is there room?",
    }
    assert not any("127.0.0.1" in text or bucket in text for text in said)


def test_an_address_is_a_folder_or_a_bucket() -> None:
    with pytest.raises(BadConfiguration, match="file:/// or s3://"):
        open_store("ftp://somewhere", "store")

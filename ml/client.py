"""Fetching a frozen dataset: `Sonobank(url, token).dataset("liver", version=3).pull("data/")`. Standard library only.

On the command line: `SONOBANK_TOKEN=… python -m ml.client URL NAME [--version N] DEST`. A pull that was cut off goes on
where it stopped; files that are already right are not fetched again."""

import argparse
import hashlib
import json
import os
import ssl
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from ml.connection import Connection, PullFailed, TryAgain
from ml.manifest import MANIFEST, BadManifest, File, Manifest, digest_of, load, parse, save

__all__ = ["Dataset", "PullFailed", "Pulled", "Sonobank"]
THREADS = 4
TRIES = 7
FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 15.0
_JSON_LIMIT = 1 << 29
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Pulled:
    """What a pull did: `fetched` and `kept` count files, `bytes_fetched` is what came over the line for files."""

    name: str
    version: int
    hash: str
    folder: Path
    files: int
    fetched: int
    kept: int
    bytes_fetched: int
    seconds: float


class Sonobank:
    """A central node: `url` is its address (http or https), `token` an access token that may read datasets.

    The token goes to this origin only; redirects are not followed. `context` sets what https trusts.
    Raises PullFailed for an address or token that is not one."""

    def __init__(self, url: str, token: str, context: ssl.SSLContext | None = None) -> None:
        self._url, self._token, self._context = url, token, context
        self.connect().close()

    def connect(self) -> Connection:
        return Connection(self._url, self._token, self._context)

    def dataset(self, name: str, version: int | None = None) -> "Dataset":
        """A dataset by its name; without a version the latest one."""
        return Dataset(self, name, version)


class Dataset:
    """One dataset, at one version or at its latest."""

    def __init__(self, sonobank: Sonobank, name: str, version: int | None) -> None:
        self._sonobank = sonobank
        self._name = name
        self._at = f"/api/v1/datasets/{quote(name, safe='')}/versions/"
        self._version = "latest" if version is None else str(int(version))

    def info(self) -> dict[str, object]:
        """Name, version, hash and counts, as the server says them."""
        connection = self._sonobank.connect()
        try:
            return self._info(connection)
        finally:
            connection.close()

    def pull(self, folder: str | os.PathLike[str]) -> Pulled:
        """Make `folder` hold exactly this version; manifest.json is written last, when everything is there and right.

        A folder with another version of the same dataset is brought to this one. Raises PullFailed."""
        started, place = time.monotonic(), Path(folder)
        before = self._before(place)
        connection = self._sonobank.connect()
        try:
            manifest = self._manifest(connection)
        finally:
            connection.close()
        transfer = _Transfer(self._sonobank, f"{self._at}{manifest.version}/files/", place)
        transfer.run(manifest)
        for old in {file.path for file in before} - {file.path for file in manifest.files}:
            (place / old).unlink(missing_ok=True)
        save(place, manifest)
        seconds = time.monotonic() - started
        counts = (len(manifest.files), transfer.fetched, transfer.kept, transfer.bytes_fetched)
        return Pulled(manifest.name, manifest.version, manifest.hash, place, *counts, seconds)

    def _info(self, connection: Connection) -> dict[str, object]:
        info = _json(connection, self._at + self._version)
        if not isinstance(info, dict) or not isinstance(info.get("version"), int):
            raise PullFailed("The server's answer is not a dataset version.")
        return info

    def _manifest(self, connection: Connection) -> Manifest:
        info = self._info(connection)
        document = _json(connection, f"{self._at}{info['version']}/manifest")
        try:
            manifest = parse(document)
        except BadManifest as error:
            raise PullFailed(f"The server's manifest is not to be trusted. {error}") from error
        asked = self._version in ("latest", str(manifest.version))
        told = (info.get("name"), info.get("version"), info.get("hash"))
        if not asked or manifest.name != self._name or told != (manifest.name, manifest.version, manifest.hash):
            raise PullFailed("The server's manifest is of another dataset or version.")
        return manifest

    def _before(self, place: Path) -> tuple[File, ...]:
        """The files of a version that the folder already holds; raises PullFailed if it belongs to another dataset."""
        if not (place / MANIFEST).is_file():
            return ()
        try:
            held = load(place)
        except BadManifest as error:
            raise PullFailed("The folder holds a manifest that cannot be read; choose another folder.") from error
        if held.name != self._name:
            raise PullFailed("The folder holds another dataset; choose another folder.")
        return held.files


class _Transfer:
    """One pull's files, fetched by a few threads with a connection each."""

    def __init__(self, sonobank: Sonobank, at: str, folder: Path) -> None:
        self.fetched = self.kept = self.bytes_fetched = 0
        self._sonobank, self._at, self._folder = sonobank, at, folder
        self._lock, self._stop = threading.Lock(), threading.Event()

    def run(self, manifest: Manifest) -> None:
        for parent in sorted({(self._folder / file.path).parent for file in manifest.files} | {self._folder}):
            parent.mkdir(parents=True, exist_ok=True)
        queue = iter(sorted(manifest.files))
        with ThreadPoolExecutor(THREADS, "sonobank-pull") as pool:
            futures = [pool.submit(self._work, queue) for _ in range(THREADS)]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                self._stop.set()
            for future in done:
                future.result()

    def _work(self, queue: Iterator[File]) -> None:
        connection = self._sonobank.connect()
        try:
            while (file := self._next(queue)) is not None:
                self._one(connection, file)
        finally:
            connection.close()

    def _next(self, queue: Iterator[File]) -> File | None:
        with self._lock:
            return None if self._stop.is_set() else next(queue, None)

    def _one(self, connection: Connection, file: File) -> None:
        target = self._folder / file.path
        if target.is_file() and digest_of(target) == (file.sha256, file.size):
            with self._lock:
                self.kept += 1
            return
        part = target.with_name(target.name + ".part")
        tries = 0
        while True:
            before = part.stat().st_size if part.is_file() else 0
            try:
                self._fetch(connection, file, part)
                break
            except TryAgain as error:
                # A line that keeps breaking but still carries something is not given up.
                tries = 0 if part.is_file() and part.stat().st_size > before else tries + 1
                if tries >= TRIES or self._stop.is_set():
                    raise PullFailed(f"{error} Gave up after {TRIES} tries; pull again to go on.") from error
                self._stop.wait(_pause(tries))
        part.replace(target)
        with self._lock:
            self.fetched += 1

    def _fetch(self, connection: Connection, file: File, part: Path) -> None:
        """Complete the partial file; raises TryAgain when it is still short, and drops it when it is wrong."""
        digest, have = hashlib.sha256(), 0
        if part.is_file() and part.stat().st_size <= file.size:
            with part.open("rb") as handle:
                while piece := handle.read(_CHUNK):
                    digest.update(piece)
                    have += len(piece)
        else:
            part.unlink(missing_ok=True)
        if have < file.size or not part.is_file():
            have, digest = self._receive(connection, file, part, have, digest)
        if have < file.size:
            raise TryAgain("The connection to the server broke.")
        if have > file.size or digest.hexdigest() != file.sha256:
            part.unlink()
            raise TryAgain("A file arrived damaged.")

    def _receive(
        self, connection: Connection, file: File, part: Path, have: int, digest: "hashlib._Hash"
    ) -> tuple[int, "hashlib._Hash"]:
        with connection.get(self._at + file.sha256, have) as response:
            on_from_here = response.status == 206 and _starts_at(response.headers.get("Content-Range")) == have
            if response.status == 416 or (response.status == 206 and not on_from_here):
                part.unlink(missing_ok=True)
                raise TryAgain("The server could not go on where the file stopped.")
            if not on_from_here:
                have, digest = 0, hashlib.sha256()
            with part.open("ab" if on_from_here else "wb") as handle:
                while have <= file.size and (piece := response.read(_CHUNK)) and not self._stop.is_set():
                    handle.write(piece)
                    digest.update(piece)
                    have += len(piece)
                    with self._lock:
                        self.bytes_fetched += len(piece)
        return have, digest


def _json(connection: Connection, path: str) -> object:
    """A JSON answer, tried again while the fault may pass; raises PullFailed."""
    for tries in range(1, TRIES + 1):
        try:
            with connection.get(path) as response:
                length, body = response.length, response.read(_JSON_LIMIT)
            if length is not None and len(body) < length:
                raise TryAgain("The connection to the server broke.")
            return json.loads(body)
        except TryAgain as error:
            if tries == TRIES:
                raise PullFailed(f"{error} Gave up after {TRIES} tries.") from error
            time.sleep(_pause(tries))
        except ValueError as error:
            raise PullFailed("The server's answer is not JSON: is this the address of a Sonobank?") from error
    raise PullFailed


def _pause(tries: int) -> float:
    return float(min(FIRST_WAIT_S * 2**tries, LONGEST_WAIT_S))


def _starts_at(content_range: str | None) -> int | None:
    """The first byte of `bytes 5-9/10` (RFC 9110, 14.4)."""
    first = (content_range or "").removeprefix("bytes ").partition("-")[0].strip()
    return int(first) if first.isascii() and first.isdigit() else None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ml.client", description="Fetch a frozen dataset; the access token is read from SONOBANK_TOKEN."
    )
    parser.add_argument("url", help="address of the central node")
    parser.add_argument("name", help="name of the dataset")
    parser.add_argument("dest", type=Path, help="folder to fetch into")
    parser.add_argument("--version", type=int, help="version, otherwise the latest")
    options = parser.parse_args(arguments)
    try:
        dataset = Sonobank(options.url, os.environ.get("SONOBANK_TOKEN", "")).dataset(options.name, options.version)
        pulled = dataset.pull(options.dest)
    except PullFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    summary = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(pulled).items()}
    sys.stdout.write(json.dumps(summary) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

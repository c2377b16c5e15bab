"""Raw search of whole folders for a patient's values, in every encoding and as plain hashes, and for files that decode."""

import base64
import hashlib
import os
import subprocess
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from PIL import Image, UnidentifiedImageError

ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "shift_jis", "euc_jp", "iso2022_jp")
SHORTEST = 5
LONG = 10  # digits: fewer occur by chance within the hexadecimal text of a digest and the fraction of a second


def patterns(values: Iterable[str]) -> set[bytes]:
    """Each value in every encoding, percent, base64, and its MD5, SHA-1 and SHA-256 in hex. A newline cannot be searched."""
    found: set[bytes] = set()
    for value in values:
        forms = {value, unicodedata.normalize("NFKC", value), value.replace("^", " "), value.upper()}
        for form in forms:
            if len(form) < SHORTEST and form.isascii():
                continue
            found |= set(_spellings(form))
    return {pattern for pattern in found if b"\n" not in pattern and len(pattern) >= SHORTEST}


def _spellings(text: str) -> Iterator[bytes]:
    for encoding in ENCODINGS:
        try:
            raw = text.encode(encoding)
        except UnicodeEncodeError:
            continue
        yield raw
        for algorithm in ("md5", "sha1", "sha256"):
            digest = hashlib.new(algorithm, raw, usedforsecurity=False)
            yield digest.hexdigest().encode()
            yield digest.digest()
    yield quote(text, safe="").encode()
    yield base64.b64encode(text.encode()).rstrip(b"=")


def hits(folder: Path, values: Iterable[str]) -> list[str]:
    """The files below `folder`, by relative path, that hold one of the values in some form."""
    wanted = patterns(values)
    short = {pattern for pattern in wanted if pattern.isdigit() and len(pattern) < LONG}
    plain = sorted(wanted - short)
    alone = [rb"(?<![0-9a-f.])(?:" + b"|".join(sorted(short)) + rb")(?![0-9a-f]{2})"] if short else []
    found = _grep(folder, "-F", plain) | _grep(folder, "-P", alone)
    return sorted(str(Path(os.fsdecode(line)).relative_to(folder)) for line in found)


def _grep(folder: Path, kind: str, lines: list[bytes]) -> set[bytes]:
    listing = folder.parent / f".patterns-{os.getpid()}"
    listing.write_bytes(b"".join(line + b"\n" for line in lines))
    try:
        command = ["grep", "-r", "-l", "-a", kind, "-f", str(listing), str(folder)]
        done = subprocess.run(
            command, env={"LC_ALL": "C", "PATH": os.environ["PATH"]}, capture_output=True, check=False
        )
    finally:
        listing.unlink()
    for (
        trouble
    ) in done.stderr.splitlines():  # a server that runs takes files away meanwhile; nothing else may be left out
        assert trouble.endswith((b"No such file or directory", b"No such device or address")), trouble
    return set(done.stdout.splitlines())


def decodable(folder: Path, allowed: tuple[str, ...] = ()) -> list[str]:
    """Files below `folder` that a program would open as DICOM or as a picture, outside the allowed top folders."""
    found = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        if path.is_file() and not relative.startswith(allowed) and (_is_dicom(path) or _is_picture(path)):
            found.append(relative)
    return found


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _is_picture(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            picture.load()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return False
    return True

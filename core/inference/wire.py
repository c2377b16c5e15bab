"""Messages on the local socket between a node's doors and its `infer` process: a JSON head and, of a frame, its pixels.

A message is two lengths of 4 bytes (big endian: head, body), the head as UTF-8 JSON, then the body."""

import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

MOST_HEAD: Final = 4 << 20
MOST_BODY: Final = 64 << 20
_LENGTHS: Final = struct.Struct(">II")
_LONGEST_ADDRESS: Final = 100  # of sun_path, which has 108 bytes on Linux and 104 elsewhere


class WireBroken(Exception):
    """The other end is gone, late or talks nonsense."""


class TooLarge(WireBroken):
    """The other end announces more than is read."""


def send(connection: socket.socket, head: dict[str, Any], body: bytes | memoryview = b"") -> None:
    """Raises WireBroken when the other end does not take it."""
    text = json.dumps(head).encode()
    try:
        connection.sendall(_LENGTHS.pack(len(text), len(body)) + text)
        if body:
            connection.sendall(body)
    except OSError as error:
        raise WireBroken from error


def receive(connection: socket.socket) -> tuple[dict[str, Any], bytearray]:
    """The next message. Raises WireBroken, and TooLarge before anything large is read."""
    head_length, body_length = _LENGTHS.unpack(_exactly(connection, _LENGTHS.size))
    if head_length > MOST_HEAD or body_length > MOST_BODY:
        raise TooLarge
    try:
        head = json.loads(_exactly(connection, head_length))
    except (ValueError, RecursionError) as error:
        raise WireBroken from error
    if not isinstance(head, dict):
        raise WireBroken
    return head, _exactly(connection, body_length)


@contextmanager
def address_of(path: Path) -> Iterator[str]:
    """What to bind or connect to: the path, or a shorter way to it where it is too long for a socket's address."""
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _exactly(connection: socket.socket, count: int) -> bytearray:
    data = bytearray(count)
    view = memoryview(data)
    while view:
        try:
            read = connection.recv_into(view)
        except OSError as error:
            raise WireBroken from error
        if not read:
            raise WireBroken
        view = view[read:]
    return data

"""Identifiers: uuid7 inside a node (sorts by time), uuid4 for whatever leaves it (carries no clock)."""

import os
import time
from uuid import UUID, uuid4


def uuid7() -> UUID:
    """A time-ordered UUID (RFC 9562, version 7), for rows that never leave this node."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def outward_id() -> UUID:
    """A random UUID for what leaves a node."""
    return uuid4()

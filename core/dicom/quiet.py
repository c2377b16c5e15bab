"""Keeps what pydicom says about values out of warnings and logs, and names what its parser may raise."""

import binascii
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

import pydicom.config
from pydicom.errors import BytesLengthException

# What pydicom 3 lets through from a value, a character set or a sequence that is not as it should be.
PARSER_ERRORS: Final = (
    ArithmeticError, AssertionError, AttributeError, BytesLengthException, EOFError, LookupError, NotImplementedError,
    OSError, RecursionError, StopIteration, TypeError, ValueError, binascii.Error, struct.error,
)  # fmt: skip

# pydicom's checks and log, and Python's warnings, are global: one parse at a time changes them.
_parsing = Lock()


@contextmanager
def quietly() -> Iterator[None]:
    """Within it pydicom neither warns nor logs nor checks values: its messages quote them. Not re-entrant."""
    with _parsing, warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        pydicom.config.logger.disabled = True
        try:
            yield
        finally:
            pydicom.config.logger.disabled = False

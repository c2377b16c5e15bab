"""The palette of an image as it is kept in the index of its candidate."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from core.dicom.display import Palette


def palette_as_dict(palette: Palette | None) -> dict[str, Any] | None:
    """JSON-able; None for none."""
    if palette is None:
        return None
    lut = base64.b64encode(np.ascontiguousarray(palette.lut).tobytes()).decode("ascii")
    return {"first": palette.first, "dtype": palette.lut.dtype.name, "lut": lut}


def palette_from(stored: Mapping[str, Any] | None) -> Palette | None:
    """From `palette_as_dict`. Raises KeyError, TypeError, ValueError or binascii.Error for what is none."""
    if stored is None:
        return None
    kind = {"uint8": np.uint8, "uint16": np.uint16}[stored["dtype"]]
    lut = np.frombuffer(base64.b64decode(stored["lut"], validate=True), kind).reshape(-1, 3)
    return Palette(int(stored["first"]), lut)

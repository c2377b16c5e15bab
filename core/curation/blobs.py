"""A classical detector: dark round areas in an ultrasound picture, by differences of Gaussians over scales.

T. Lindeberg, Feature detection with automatic scale selection, Int J Comput Vis 30:79-116 (1998). It finds cysts; what
differs from the tissue round it in texture only it does not, and vessels and shadows it takes for cysts: a person rejects them."""

from dataclasses import asdict, dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from core.dicom.display import to_rgb
from core.dicom.frames import decode_stored, sent_palette
from core.dicom.pixel_format import PixelFormat

Plane = NDArray[np.float32]
Box = tuple[float, float, float, float]

_WIDEST: Final = 384  # columns that are looked at: larger pictures are made smaller
_STEP: Final = 1.26  # from one Gaussian to the next; a difference is of one and the next but one
_SIGMAS: Final = tuple(5 * _STEP**step for step in range(9))  # pixels of the smaller picture
_REACH: Final = 1.7  # half a side of the box, in sigmas: there a disk answers most
_LEAST: Final = 0.2  # contrast against the brightness round it that a finding must have
_FAINTEST: Final = 16
_DARK: Final = 10  # of 255: masked, or outside the sector
_SEEN: Final = 0.9  # of a box must be picture
_OVERLAP: Final = 0.2  # intersection over union from which the weaker of two goes
MOST: Final = 5


@dataclass(frozen=True)
class Blob:
    """A box in pixels of the stored frame (x, y, width, height) and how sure the detector is, 0 to 1."""

    x: float
    y: float
    width: float
    height: float
    score: float


def find(rgb: NDArray[np.uint8], regions: list[Box] | None = None) -> list[Blob]:
    """The surest dark blobs of an (H, W, 3) picture, best first; only within the regions (x, y, width, height) if given."""
    height, width = rgb.shape[:2]
    scale = min(1.0, _WIDEST / width)
    small = cv2.resize(rgb, (max(round(width * scale), 1), max(round(height * scale), 1)), interpolation=cv2.INTER_AREA)
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.float32)
    seen = _picture(grey, [tuple(side * scale for side in one) for one in regions] if regions else None)
    # Normalised convolution: what lies outside the picture neither darkens nor brightens.
    means = [_mean(grey, seen, sigma) for sigma in (*_SIGMAS, _SIGMAS[-1] * _STEP, _SIGMAS[-1] * _STEP**2)]
    depths = [np.where(seen > 0, outer - inner, 0) for inner, outer in zip(means, means[2:], strict=False)]
    found = []
    for place, (sigma, depth) in enumerate(zip(_SIGMAS, depths, strict=True)):
        side = 2 * round(sigma) + 1
        highest = cv2.dilate(depth, np.ones((side, side), np.uint8))
        for other in (depths[place - 1] if place else None, depths[place + 1] if place + 1 < len(depths) else None):
            highest = highest if other is None else np.maximum(highest, cv2.dilate(other, np.ones((5, 5), np.uint8)))
        contrast = depth / np.maximum(means[place + 2], _FAINTEST)
        found += [
            _blob(int(x), int(y), sigma, float(contrast[y, x]), scale)
            for y, x in np.argwhere((depth >= highest) & (contrast >= _LEAST))
            if _is_inside(seen, int(x), int(y), sigma)
        ]
    return _apart(sorted(found, key=lambda one: one.score, reverse=True))


def sandboxed_find(params: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """For `core.sandbox`: blobs on stored frames.

    Params: `fmt` (the fields of PixelFormat), `frames` (their numbers from 1, one blob each), `regions`
    [[x, y, width, height], ...], `palette` {first, dtype} with its lut as the last blob, or none.
    Returns `found`: [{frame, x, y, width, height, score}]. Raises Refused for a frame that cannot be decoded."""
    fmt = PixelFormat(**params["fmt"])
    palette = sent_palette(params.get("palette"), blobs[-1])
    regions = [(float(x), float(y), float(w), float(h)) for x, y, w, h in params.get("regions", ())]
    found: list[dict[str, Any]] = []
    for number, blob in zip(params["frames"], blobs, strict=False):
        rgb = to_rgb(decode_stored(blob, fmt), fmt, palette)
        found += [{"frame": int(number)} | asdict(one) for one in find(rgb, regions or None)]
    return {"found": found}, []


def _picture(grey: Plane, regions: list[tuple[float, ...]] | None) -> Plane:
    """1 where there is ultrasound: the closed area of what is not black, within the regions."""
    lit = (cv2.GaussianBlur(grey, (0, 0), 3) > _DARK).astype(np.uint8)
    seen = cv2.morphologyEx(lit, cv2.MORPH_CLOSE, np.ones((31, 31), np.uint8))
    if regions is not None:
        allowed = np.zeros_like(seen)
        for x, y, width, height in regions:
            allowed[max(int(y), 0) : int(y + height) + 1, max(int(x), 0) : int(x + width) + 1] = 1
        seen = seen * allowed
    return seen.astype(np.float32)


def _mean(grey: Plane, seen: Plane, sigma: float) -> Plane:
    weight = cv2.GaussianBlur(seen, (0, 0), sigma)
    return np.asarray(cv2.GaussianBlur(grey * seen, (0, 0), sigma) / np.maximum(weight, 1e-3), np.float32)


def _is_inside(seen: Plane, x: int, y: int, sigma: float) -> bool:
    reach = round(_REACH * sigma)
    part = seen[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
    return bool(part.size and part.sum() >= _SEEN * (2 * reach + 1) ** 2)


def _blob(x: int, y: int, sigma: float, contrast: float, scale: float) -> Blob:
    reach = _REACH * sigma
    score = round(min(contrast / 0.6, 1.0), 3)
    return Blob((x - reach) / scale, (y - reach) / scale, 2 * reach / scale, 2 * reach / scale, score)


def _apart(found: list[Blob]) -> list[Blob]:
    """The best of those that overlap."""
    kept: list[Blob] = []
    for one in found:
        if all(_iou(one, other) < _OVERLAP for other in kept):
            kept.append(one)
        if len(kept) == MOST:
            break
    return kept


def _iou(one: Blob, other: Blob) -> float:
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    shared = max(width, 0) * max(height, 0)
    return shared / (one.width * one.height + other.width * other.height - shared)

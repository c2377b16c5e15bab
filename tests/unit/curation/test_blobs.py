"""The blob detector finds cysts of generated livers, and says nothing where there is nothing to see."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray

from core.curation.blobs import MOST, Blob, find
from core.dicom.display import palette_of, to_rgb
from core.dicom.frames import decode_stored
from core.dicom.part10 import frame_bytes, open_part10
from ml.phantom import PhantomInstance, make_study, to_bytes

Box = tuple[float, float, float, float]


def picture(instance: PhantomInstance) -> tuple[NDArray[np.uint8], Box]:
    """The screen of a still, and its ultrasound region."""
    content = to_bytes(instance)
    source = io.BytesIO(content)
    part10 = open_part10(source, len(content))
    assert part10.pixel is not None
    rgb = to_rgb(decode_stored(frame_bytes(source, part10, 0), part10.pixel), part10.pixel, palette_of(part10.dataset))
    region = instance.dataset.SequenceOfUltrasoundRegions[0]
    x, y = region.RegionLocationMinX0, region.RegionLocationMinY0
    return rgb, (x, y, region.RegionLocationMaxX1 - x, region.RegionLocationMaxY1 - y)


def iou(one: Blob, box: Box) -> float:
    x, y, w, h = box
    shared_w = min(one.x + one.width, x + w) - max(one.x, x)
    shared_h = min(one.y + one.height, y + h) - max(one.y, y)
    shared = max(shared_w, 0) * max(shared_h, 0)
    return shared / (one.width * one.height + w * h - shared)


@pytest.mark.parametrize("seed", [40, 44, 48])
def test_a_cyst_is_among_the_surest(seed: int) -> None:
    instance = make_study(seed, "liver", "epiq", 1, 0, "LIV-CYST").instances[0]
    rgb, region = picture(instance)
    truth = instance.truth.boxes[0]
    assert truth is not None
    found = find(rgb, [region])
    assert max(iou(one, truth[:4]) for one in found[:3]) >= 0.5
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert len(found) <= MOST and all(0 < one.score <= 1 for one in found)


def test_nothing_is_found_where_nothing_differs() -> None:
    assert find(np.zeros((300, 400, 3), np.uint8)) == []
    assert find(np.full((300, 400, 3), 90, np.uint8)) == []


def test_a_masked_area_is_no_blob() -> None:
    grey = np.full((300, 400, 3), 90, np.uint8)
    grey[:40] = 0
    grey[100:140, 350:] = 0
    assert find(grey) == []


def test_what_lies_outside_the_regions_is_not_looked_at() -> None:
    grey = np.full((300, 400, 3), 120, np.uint8)
    rows, columns = np.ogrid[:300, :400]
    for x in (100, 300):
        grey[(rows - 150) ** 2 + (columns - x) ** 2 < 30**2] = 20
    assert len(find(grey)) == 2
    (one,) = find(grey, [(0.0, 0.0, 200.0, 299.0)])
    assert abs(one.x + one.width / 2 - 100) < 3 and abs(one.y + one.height / 2 - 150) < 3
    assert 48 <= one.width <= 84

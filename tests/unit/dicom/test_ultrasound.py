"""Regions, scale and frame times."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from core.dicom.part10 import open_part10
from core.dicom.ultrasound import Region, frame_time_ms, frame_times_ms, region_at, regions


def image(*boxes: tuple[int, int, int, int], **values: object) -> Dataset:
    ds, items = Dataset(), []
    for x0, y0, x1, y1 in boxes:
        item = Dataset()
        item.RegionLocationMinX0, item.RegionLocationMinY0 = x0, y0
        item.RegionLocationMaxX1, item.RegionLocationMaxY1 = x1, y1
        for keyword, value in values.items():
            setattr(item, keyword, value)
        items.append(item)
    ds.SequenceOfUltrasoundRegions = items
    return ds


def boxes_of(found: tuple[Region, ...]) -> list[tuple[int, int, int, int]]:
    return [(one.x0, one.y0, one.x1, one.y1) for one in found]


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ((10, 20, 50, 60), [(10, 20, 50, 60)]),
        ((10, 20, 500, 600), [(10, 20, 99, 79)]),
        ((50, 20, 10, 60), []),
        ((10, 60, 50, 20), []),
        ((0, 0, 0, 0), []),
        ((100, 0, 200, 50), []),
        ((0, 80, 50, 100), []),
    ],
)
def test_boxes_keep_nothing_outside(box: tuple[int, int, int, int], kept: list[tuple[int, int, int, int]]) -> None:
    assert boxes_of(regions(image(box), rows=80, columns=100)) == kept


@given(st.lists(st.tuples(*[st.integers(0, 2**32 - 1)] * 4), max_size=5), st.integers(1, 300), st.integers(1, 300))
def test_every_region_lies_inside(boxes: list[tuple[int, int, int, int]], rows: int, columns: int) -> None:
    for one in regions(image(*boxes), rows, columns):
        assert 0 <= one.x0 <= one.x1 < columns
        assert 0 <= one.y0 <= one.y1 < rows


def test_scale_needs_centimetres_in_both_directions() -> None:
    units = {
        "PhysicalUnitsXDirection": 3,
        "PhysicalUnitsYDirection": 3,
        "PhysicalDeltaX": -0.02,
        "PhysicalDeltaY": 0.03,
    }
    (scaled,) = regions(image((0, 0, 9, 9), **units), 10, 10)
    assert scaled.mm_per_px == pytest.approx((0.2, 0.3))
    for change in ({"PhysicalUnitsXDirection": 4}, {"PhysicalDeltaY": 0.0}, {"PhysicalDeltaX": float("nan")}):
        (plain,) = regions(image((0, 0, 9, 9), **(units | change)), 10, 10)
        assert plain.mm_per_px is None


def test_the_region_at_a_pixel() -> None:
    found = regions(image((0, 0, 90, 70), (10, 10, 20, 20)), 80, 100)
    assert region_at(found, 15, 15) == found[1]
    assert region_at(found, 50, 50) == found[0]
    assert region_at(found, 95, 75) is None
    low = Region(0, 0, 5, 5, is_low_priority=True)
    assert region_at((low, Region(0, 0, 90, 90)), 3, 3) == Region(0, 0, 90, 90)


def test_a_broken_sequence_has_no_regions() -> None:
    ds = image((0, 0, 9, 9))
    del ds.SequenceOfUltrasoundRegions[0].RegionLocationMinX0
    assert regions(ds, 10, 10) == ()
    assert regions(Dataset(), 10, 10) == ()


def test_frame_times() -> None:
    ds = Dataset()
    assert (frame_time_ms(ds), frame_times_ms(ds)) == (None, (0.0,))
    ds.NumberOfFrames = 4
    assert frame_times_ms(ds) == ()
    ds.CineRate = 25
    assert frame_time_ms(ds) == 40
    ds.FrameTimeVector = ["0", "10", "20", "30"]
    assert frame_time_ms(ds) == 20
    assert frame_times_ms(ds) == (0, 10, 30, 60)
    ds.FrameTime = "33.3"
    assert frame_time_ms(ds) == pytest.approx(33.3)
    ds.FrameTimeVector = ["0", "10"]
    assert frame_times_ms(ds)[-1] == pytest.approx(99.9)


def test_bad_regions_of_real_files(data_folder: Path) -> None:
    folder = data_folder / "dicom_bad/derived_here"
    for name, kept in [("us_mf_region_inverted.dcm", 0), ("us_mf_region_out_of_image.dcm", 1)]:
        path = folder / name
        with path.open("rb") as fp:
            found = regions(open_part10(fp, path.stat().st_size).dataset, 240, 320)
        assert len(found) == kept
        assert all(one.x1 < 320 and one.y1 < 240 for one in found)

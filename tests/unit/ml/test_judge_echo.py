"""Judging of hearts: true masks are right, shifted ends count frames, what is not measurable is not hidden."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.annotations import BadFolder, Box
from ml.clips import Clip, clips_of
from ml.data import Item
from ml.ejection import NO_BEAT, Beat, Measured
from ml.heart import Seen
from ml.judge.echo import Judged, confusion, figures, judged

SQUARE = (2.0, 2.0, 6.0, 2.0, 6.0, 6.0, 2.0, 6.0)


def item(place: int, patient: str = "p", phase: str = "", outline: tuple[float, ...] = SQUARE, **facts: str) -> Item:
    told = {"video": f"{patient}-1", "frame": str(place), "ef_percent": "55", "frame_ms": "40", **facts}
    told |= {"phase": phase} if phase else {}
    box = Box(2, 2, 4, 4, "LV", "", outline)
    return Item(Path("x"), f"{patient}{place}", f"{patient}{place}", 10, 10, patient, "", "test", "", (box,), told)


def clip(patient: str = "p") -> Clip:
    phases = {2: "ED", 5: "ES"}
    (found,) = clips_of([item(frame, patient, phases.get(frame, "")) for frame in (3, 1, 2, 5, 4)])
    return found


def said(fraction: float | None, diastole: int = 1, systole: int = 4) -> Measured:
    if fraction is None:
        return Measured(reason=NO_BEAT)
    return Measured((Beat(diastole, systole, fraction, None, None),), fraction)


def test_a_clip_is_in_order_and_knows_its_ends() -> None:
    found = clip()
    assert [one.facts["frame"] for one in found.items] == ["1", "2", "3", "4", "5"]
    assert (found.ends("ED"), found.ends("ES"), found.ef_percent, found.mm_per_px) == ((1,), (4,), 55, None)


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([item(1), item(1)], "same frame twice"),
        ([item(1, video="")], "which frame of which video"),
        ([item(1, frame="one")], "which frame of which video"),
        ([item(1), item(2, ef_percent="60")], "do not agree on ef_percent"),
        ([item(1, ef_percent="much")], "not a number"),
        ([item(1, ef_percent="120")], "above 100"),
        ([item(1, frame_ms="-1")], "not above zero"),
        ([item(1), replace(item(2), width=11)], "not of one size"),
        ([item(1, phase="middle")], "neither ED nor ES"),
    ],
)
def test_clips_that_do_not_hold_together(items: list[Item], words: str) -> None:
    with pytest.raises(BadFolder, match=words):
        clips_of(items)


def test_masks_and_ends_are_compared() -> None:
    true = np.zeros((10, 10), np.uint8)
    true[2:6, 2:6] = 1
    half = true * 0
    half[2:6, 4:8] = 1
    found = judged(clip(), Seen((true, half, true, true, true), said(50, 3, 4)))
    assert found.dices == (1, 0.5, 1, 1, 1) and found.ends == (2, 0) and found.difference == -5


def test_figures_and_the_confusion() -> None:
    fractions = [57.0, 48.0, None, 55.0]
    found = [Judged(clip(f"p{n}"), (1.0,), (1.0, 0.0), said(ef)) for n, ef in enumerate(fractions)]
    told = figures(found, 200)
    assert told["measured"].value == 0.75 and told["ef_class_accuracy"].value == 0.5
    assert told["ef_mae"].value == pytest.approx(3) and told["ef_bias"].value == pytest.approx(-5 / 3)
    assert told["ed_error_ms"].value == 40 and told["es_error_frames"].value == 0
    low, high = told["ef_mae"].low, told["ef_mae"].high
    assert low is not None and high is not None and low <= 3 <= high
    assert confusion(found)["rows_are_truth"][2] == [0, 1, 2, 1]

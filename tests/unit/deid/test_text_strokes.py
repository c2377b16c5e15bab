"""Strokes in a row: what a mask left of a line is found at its edge, and nowhere else made a question of."""

import cv2
import numpy as np
import pytest

from core.deid.text_judge import Kind, judge
from core.deid.text_line import STUMP, Box, Text
from core.deid.text_match import Identifiers
from core.deid.text_strokes import cut_lines
from core.dicom.display import Rgb

ROWS, COLUMNS, BASE = 120, 400, 40  # pixels; the row on which the line stands
WHOLE: Box = (0, 0, COLUMNS, ROWS)


def screen(light: int = 200, noise: int = 0) -> Rgb:
    picture = np.random.default_rng(1).integers(0, noise + 1, (ROWS, COLUMNS, 3), np.uint8)
    cv2.putText(picture, "SUZUKI 0045123", (30, BASE), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (light,) * 3, 1, cv2.LINE_AA)
    return picture


def masked(picture: Rgb, top: int) -> Rgb:
    picture = picture.copy()
    picture[:top] = 0
    return picture


@pytest.mark.parametrize("light", [70, 120, 255])
@pytest.mark.parametrize("left", [3, 5, 8])
def test_the_rest_of_a_line_under_a_mask_is_found_whole_and_goes(left: int, light: int) -> None:
    top = BASE + 1 - left
    boxes = cut_lines(masked(screen(light), top), WHOLE)
    letters = np.argwhere(masked(screen(light), top).max(axis=2) >= 40)
    assert boxes and min(box[1] for box in boxes) == top
    for y, x in letters:
        assert any(x0 - 3 <= x < x1 + 3 and y0 <= y < y1 + 1 for x0, y0, x1, y1 in boxes), (x, y)
    texts = [Text(1, box, "", STUMP) for box in boxes]
    at_edge = judge(texts, Identifiers([]), [(0, top, COLUMNS, ROWS)])
    elsewhere = judge(texts, Identifiers([]), [(0, 0, COLUMNS, ROWS)])
    assert {(one.kind, one.what) for one in at_edge} == {(Kind.IDENTIFIER, "cut")}
    assert {one.kind for one in elsewhere} == {Kind.LABEL}


def test_what_is_left_over_a_mask_is_found_too() -> None:
    picture = screen()
    picture[30:] = 0
    ends = {box[3] for box in cut_lines(picture, WHOLE)}
    assert ends == {30}


def test_an_area_knows_what_is_above_it() -> None:
    top = BASE - 4
    assert cut_lines(masked(screen(), top), (0, top, COLUMNS, ROWS))


def test_a_ruled_line_at_the_edge_hides_nothing() -> None:
    top = BASE - 4
    picture = masked(screen(), top)
    picture[top] = np.maximum(picture[top], 60)
    assert cut_lines(picture, WHOLE)


def test_a_whole_line_and_a_ruled_line_are_no_rest() -> None:
    ruled = np.zeros((ROWS, COLUMNS, 3), np.uint8)
    ruled[50:52, 20:380] = 200
    for picture in (screen(), screen(noise=6), ruled, np.zeros((ROWS, COLUMNS, 3), np.uint8)):
        assert cut_lines(picture, WHOLE) == []


def test_tissue_that_begins_at_the_mask_is_no_rest() -> None:
    rough = np.random.default_rng(2).normal(0, 1, (ROWS, COLUMNS))
    speckle = np.clip(np.abs(cv2.GaussianBlur(rough, (0, 0), 1.5)) * 400, 0, 255).astype(np.uint8)
    picture = masked(np.repeat(speckle[:, :, None], 3, axis=2), 30)
    assert cut_lines(picture, WHOLE) == []

"""A box goes into a network's input and comes back where it was; a crop shows what its box holds, unsqueezed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ml.images import Input, Rgb, checked, crop, fitted, letterbox, normalised, prepared, prepared_crop, read, window

sides = st.integers(1, 400)


@given(sides, sides, st.integers(8, 200), st.integers(8, 200), st.data())
def test_a_box_comes_back_where_it_was(rows: int, columns: int, height: int, width: int, data: st.DataObject) -> None:
    boxed, placed = letterbox(np.full((rows, columns, 3), 200, np.uint8), height, width, 114)
    x = sorted(data.draw(st.tuples(st.floats(0, columns, width=32), st.floats(0, columns, width=32))))
    y = sorted(data.draw(st.tuples(st.floats(0, rows, width=32), st.floats(0, rows, width=32))))
    box = np.asarray([[x[0], y[0], x[1], y[1]]], np.float32)
    inside = placed.into(box)
    assert np.allclose(placed.back(inside), box, atol=0.01)
    assert (
        (inside >= -1e-3).all() and (inside[:, ::2] <= width + 1e-3).all() and (inside[:, 1::2] <= height + 1e-3).all()
    )
    assert boxed.shape == (height, width, 3)
    seen = np.argwhere((boxed == 200).all(axis=2))
    whole = placed.into(np.asarray([[0, 0, columns, rows]], np.float32))[0]
    assert (*seen.min(axis=0)[::-1], *(seen.max(axis=0)[::-1] + 1)) == tuple(whole.round().astype(int))


@given(sides, sides, st.integers(8, 200), st.integers(8, 200))
def test_the_picture_keeps_its_form_and_lies_in_the_middle(rows: int, columns: int, height: int, width: int) -> None:
    _, placed = letterbox(np.zeros((rows, columns, 3), np.uint8), height, width, 0)
    drawn = placed.scale_x * columns, placed.scale_y * rows
    assert abs(drawn[0] - width) < 1e-6 or abs(drawn[1] - height) < 1e-6
    assert all(
        abs(one - min(height / rows, width / columns) * side) <= 1
        for one, side in zip(drawn, (columns, rows), strict=True)
    )
    assert abs(width - drawn[0] - 2 * placed.left) <= 1.001 and abs(height - drawn[1] - 2 * placed.top) <= 1.001


@given(
    st.floats(-50, 500), st.floats(-50, 500), st.floats(0, 300), st.floats(0, 300), st.floats(0, 1), st.floats(0.25, 4)
)
def test_a_window_holds_its_box_and_margin(
    x: float, y: float, width: float, height: float, margin: float, aspect: float
) -> None:
    x0, y0, x1, y1 = window((x, y, width, height), margin, aspect)
    assert x0 <= x - margin * width + 1.01 and x1 >= x + (1 + margin) * width - 1.01
    assert y0 <= y - margin * height + 1.01 and y1 >= y + (1 + margin) * height - 1.01
    assert abs((y1 - y0) - aspect * (x1 - x0)) <= 0.51 + 0.51 * aspect + (aspect if width * height < 4 else 0) + 1


def test_a_crop_is_what_lies_in_the_box() -> None:
    rgb = np.zeros((60, 80, 3), np.uint8)
    rgb[20:40, 30:50] = (200, 100, 50)
    assert (crop(rgb, (30, 20, 20, 20), 0, 32, 32, 9) == (200, 100, 50)).all()
    wider = crop(rgb, (30, 20, 20, 20), 0.5, 40, 40, 9)
    assert (wider[10:30, 10:30] == (200, 100, 50)).all() and not wider[:9].any() and not wider[:, :9].any()


def test_a_crop_over_the_edge_is_filled() -> None:
    rgb = np.full((40, 40, 3), 77, np.uint8)
    over = crop(rgb, (-10, -10, 20, 20), 0, 20, 20, 9)
    assert (over[10:, 10:] == 77).all() and (over[:10] == 9).all() and (over[:, :10] == 9).all()
    assert (crop(rgb, (100, 100, 5, 5), 0.25, 16, 16, 9) == 9).all()


@given(st.integers(0, 255), st.floats(0.1, 2), st.floats(-1, 1))
def test_normalised_is_what_model_json_says(value: int, std: float, mean: float) -> None:
    spec = Input(8, 8, mean=(mean, 0, 1), std=(std, 1, 2))
    planes = normalised(np.full((8, 8, 3), value, np.uint8), spec)
    assert planes.shape == (1, 3, 8, 8) and planes.dtype == np.float32 and planes.flags["C_CONTIGUOUS"]
    assert np.allclose(planes[0, :, 0, 0], [(value / 255 - mean) / std, value / 255, (value / 255 - 1) / 2], atol=1e-4)


def test_channels_stay_red_green_blue() -> None:
    rgb = np.zeros((10, 20, 3), np.uint8)
    rgb[..., 0] = 255
    assert prepared(rgb, Input(16, 16, fill=0))[0][0, :, 8, 8].tolist() == [1, 0, 0]
    assert prepared_crop(rgb, None, Input(16, 16, fill=0))[0, :, 8, 8].tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (np.zeros((4, 4), np.uint8), "RGB"),
        (np.zeros((4, 4, 3), np.uint16), "8 bits"),
        (np.zeros((4, 4, 4), np.uint8), "RGB"),
        (np.zeros((0, 4, 3), np.uint8), "one pixel"),
        (np.broadcast_to(np.uint8(0), (1 << 14, 1 << 13, 3)), "at most"),
        ("frame", "RGB"),
    ],
)
def test_what_is_no_frame_is_said(wrong: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        checked(wrong)


def test_picture_files_are_read_as_stored(tmp_path: Path) -> None:
    rgb: Rgb = np.random.default_rng(1).integers(0, 255, (9, 7, 3), np.uint8)
    Image.fromarray(rgb).save(tmp_path / "colour.png")
    Image.fromarray(rgb[..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(rgb[..., 0].astype(np.uint16) * 256 + 3).save(tmp_path / "deep.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "colour.png").read_bytes()[:40])
    assert (read(tmp_path / "colour.png") == rgb).all()
    for name in ("grey.png", "deep.png"):
        assert np.abs(read(tmp_path / name).astype(int) - rgb[..., :1]).max() <= 1
    for name in ("broken.png", "missing.png"):
        with pytest.raises(ValueError, match="cannot be read"):
            read(tmp_path / name)


def test_a_fitted_crop_shows_the_form_of_its_box() -> None:
    rgb = np.full((100, 100, 3), 200, np.uint8)
    tall = fitted(rgb, (40, 20, 10, 40), 0.25, 64, 64, 0)
    columns = np.flatnonzero(tall[32, :, 0])
    assert tall.shape == (64, 64, 3) and len(np.flatnonzero(tall[:, 32, 0])) == 64 and len(columns) == 16
    assert columns[0] == 24 and fitted(rgb, (40, 20, 0.1, 0.1), 0, 64, 64, 0).any()
    assert np.array_equal(fitted(rgb, (30, 30, 20, 20), 0.25, 64, 64, 0), crop(rgb, (30, 30, 20, 20), 0.25, 64, 64, 0))

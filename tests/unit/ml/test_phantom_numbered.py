"""Numbered cines: the number is read back at every size, after JPEG and window, and nothing else is taken for one."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.pixels import pixel_array

from core.errors import Malformed
from ml.phantom import to_bytes
from ml.phantom_numbered import LARGEST, numbered_study, read_number, stamped

RNG = np.random.default_rng(2)
SPECKLE = np.repeat(RNG.integers(0, 256, (300, 420, 1), dtype=np.uint8), 3, axis=2)
BLACK = np.zeros((300, 420, 3), dtype=np.uint8)
X, Y = 40, 60


def scaled(picture: np.ndarray, factor: float, how: Image.Resampling = Image.Resampling.BILINEAR) -> np.ndarray:
    rows, columns = picture.shape[:2]
    return np.asarray(Image.fromarray(picture).resize((round(columns * factor), round(rows * factor)), how))


def through_jpeg(picture: np.ndarray, quality: int = 90) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, LARGEST), st.floats(0.5, 2.0), st.booleans())
def test_every_number_is_read_at_half_to_twice_its_size(number: int, factor: float, noisy: bool) -> None:
    picture = stamped(SPECKLE if noisy else BLACK, number, X, Y)
    assert read_number(through_jpeg(scaled(through_jpeg(picture), factor))) == number


@pytest.mark.parametrize("factor", [0.5, 0.61, 0.77, 1.25, 2.0])
@pytest.mark.parametrize("how", [Image.Resampling.NEAREST, Image.Resampling.BICUBIC])
def test_sizes_of_screens_and_ways_of_scaling(factor: float, how: Image.Resampling) -> None:
    for number in (0, 170, 21_845, LARGEST):
        assert read_number(scaled(stamped(SPECKLE, number, X, Y), factor, how)) == number


def test_a_page_round_the_canvas_and_a_window_over_it() -> None:
    picture = stamped(SPECKLE, 1234, X, Y).astype(np.float64)
    for low, high in ((0, 255), (40, 255), (0, 160), (60, 200)):
        page = np.full((500, 700, 3), 250, dtype=np.uint8)
        page[120:420, 133:553] = np.rint(low + picture * (high - low) / 255)
        assert read_number(page) == 1234
    assert read_number(picture[..., 0].astype(np.uint8)) == 1234


def test_what_carries_no_number_or_two_is_refused() -> None:
    for picture in (SPECKLE, BLACK, stamped(SPECKLE, 7, X, Y)[:, 200:], stamped(SPECKLE, 7, X, Y)[:, ::-1]):
        with pytest.raises(Malformed, match="no number"):
            read_number(picture)
    both = np.concatenate([stamped(BLACK, 7, X, Y), stamped(BLACK, 8, X, Y)])
    with pytest.raises(Malformed, match="two numbers"):
        read_number(both)


def test_a_torn_frame_is_not_read_as_either() -> None:
    """Half of one code and half of another, side by side or one over the other."""
    for one, other in ((255, 256), (4095, 4096), (21_845, 10_922)):
        first, second = (stamped(BLACK, number, X, Y, digits=False) for number in (one, other))
        beside, below = first.copy(), first.copy()
        beside[:, 200:], below[Y + 16 :] = second[:, 200:], second[Y + 16 :]
        for torn in (beside, below):
            with pytest.raises(Malformed):
                read_number(torn)


def test_a_picture_that_is_too_small_is_refused() -> None:
    with pytest.raises(Malformed):
        stamped(BLACK, 1, 200, 60)
    with pytest.raises(Malformed):
        stamped(BLACK, LARGEST + 1, X, Y)


@pytest.mark.parametrize("device", ["logiq-e9", "sequoia"])
def test_each_stored_frame_of_a_cine_carries_its_number(device: str) -> None:
    study = numbered_study(3, device, 4)
    (cine,) = study.instances
    frames = pixel_array(io.BytesIO(to_bytes(cine)))
    assert cine.dataset.NumberOfFrames == 4 and len(cine.truth.boxes) == 4
    assert [read_number(frame) for frame in frames] == [1, 2, 3, 4]
    assert [read_number(scaled(frame, 0.5)) for frame in frames] == [1, 2, 3, 4]


def test_the_same_seed_gives_the_same_cine_and_no_frames_none() -> None:
    one, again = (numbered_study(3, "sequoia", 2, "breast", digits=False).instances[0] for _ in range(2))
    assert to_bytes(one) == to_bytes(again)
    for frames in (0, LARGEST + 1):
        with pytest.raises(Malformed):
            numbered_study(3, "sequoia", frames)

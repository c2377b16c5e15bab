"""Writing on one frame of a cine is found among moving speckle; what stands still is read once; memory stays flat."""

from dataclasses import asdict

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.deid.overlays import MEMORY, Overlays, sandboxed_scan
from core.dicom.pixel_format import PixelFormat
from core.errors import Refused
from ml.phantom_screens import font

Picture = NDArray[np.uint8]
ROWS, COLUMNS = 240, 320
WHOLE = [(0, 0, COLUMNS, ROWS)]


def _smooth(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    fy, fx = np.fft.fftfreq(ROWS)[:, None], np.fft.rfftfreq(COLUMNS)[None]
    filtered = np.fft.irfft2(np.fft.rfft2(noise) * np.exp(-20 * (fy**2 + 3 * fx**2)), (ROWS, COLUMNS))
    return filtered / filtered.std()


_RNG = np.random.default_rng(11)
_FIELDS = [_smooth(_RNG.standard_normal((ROWS, COLUMNS))) for _ in range(8)]


def speckle(number: int) -> Picture:
    """Frame of a cine whose speckle comes and goes in four frames, below a still black band of 30 rows."""
    turn = number / 4
    near, share = int(turn), np.sin((turn % 1) * np.pi / 2)
    rest = np.sqrt(1 - share**2)
    real, other = (_FIELDS[(near + k) % 8] * rest + _FIELDS[(near + k + 1) % 8] * share for k in (0, 3))
    grey = (95 + 28 * np.log(np.hypot(real, other) + 1e-3)).clip(0, 255)
    grey[:30] = 0
    return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)


def written(picture: Picture, words: str, x: int, y: int, colour: tuple[int, int, int] = (235, 235, 235)) -> Picture:
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text((x, y), words, fill=colour, font=font(14))
    return np.asarray(image, np.uint8)


def reads(
    frames: dict[int, Picture], count: int, areas: list[list[int]] | None = None
) -> dict[int, list[tuple[int, ...]]]:
    overlays = Overlays(ROWS, COLUMNS, 0, areas)
    found = {number: overlays.add(number, frames.get(number, speckle(number))) for number in range(1, count + 1)}
    return {number: boxes for number, boxes in found.items() if boxes}


@pytest.mark.parametrize("number", [2, 9, MEMORY, MEMORY + 1, 70, 97])
@pytest.mark.parametrize(
    ("words", "colour"), [("SATO TARO", (235, 235, 235)), ("山田 花子", (240, 230, 90)), ("00451237", (110, 220, 240))]
)
def test_text_on_one_frame_inside_the_moving_picture_is_found(
    number: int, words: str, colour: tuple[int, int, int]
) -> None:
    found = reads({number: written(speckle(number), words, 120, 130, colour)}, 100)
    assert set(found) == {1, number}
    x0, y0, x1, y1 = found[number][0]
    assert x0 <= 122 and x1 >= 165 and y0 <= 136 and y1 >= 146 and (x1 - x0) * (y1 - y0) < 0.3 * ROWS * COLUMNS


def test_black_writing_on_a_bright_field_is_found() -> None:
    bright = np.full((ROWS, COLUMNS, 3), 220, np.uint8)
    frames = dict.fromkeys(range(1, 41), bright) | {20: written(bright, "SATO TARO", 100, 100, (10, 10, 10))}
    assert set(reads(frames, 40)) == {1, 20}


def test_a_still_overlay_is_read_once() -> None:
    frames = {number: written(speckle(number), "HR 72 bpm", 10, 8) for number in range(1, 81)}
    assert reads(frames, 80) == {1: WHOLE}


def test_the_middle_and_the_last_frame_are_read_whole_where_the_count_is_known() -> None:
    overlays = Overlays(ROWS, COLUMNS, 60)
    whole = [number for number in range(1, 61) if overlays.add(number, speckle(number)) == WHOLE]
    assert whole == [1, 30, 60]


def test_what_is_blank_in_the_result_is_not_looked_at() -> None:
    frames = {40: written(speckle(40), "SATO TARO", 10, 8)}
    assert 40 in reads(frames, 50)
    below = [[0, 40, COLUMNS, ROWS]]
    assert reads(frames, 50, below) == {1: [(0, 40, COLUMNS, ROWS)]}


def test_calls_in_pieces_find_the_same_and_the_state_stays_flat() -> None:
    frames = [speckle(number) for number in range(1, 81)]
    frames[66] = written(frames[66], "SATO TARO", 120, 130)
    fmt = PixelFormat("1.2.840.10008.1.2.1", ROWS, COLUMNS, 3, 8, 8, 0, "RGB", 0, 80)
    found, state, sizes = [], [], set()
    for first in range(1, 81, 16):
        blobs = [frame.tobytes() for frame in frames[first - 1 : first + 15]]
        params = {
            "fmt": asdict(fmt),
            "first": first,
            "count": 16,
            "palette": None,
            "areas": None,
            "has_state": bool(state),
        }
        answer, state = sandboxed_scan(params, [*blobs, *state])
        found += answer["reads"]
        sizes.add(len(state[0]))
    assert [read["frame"] for read in found] == [1, 40, 67, 80]
    assert len(sizes) == 1 and sizes.pop() < 7 * ROWS * COLUMNS


def test_the_state_of_another_cine_is_refused() -> None:
    overlays = Overlays(ROWS, COLUMNS, 5)
    with pytest.raises(Refused):
        Overlays(ROWS, COLUMNS, 6).load(overlays.dump())
    with pytest.raises(Refused):
        overlays.load(b"")

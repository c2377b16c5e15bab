"""The reader finds and reads writing on real models, in the sandbox too, and leaves alone what is none."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.deid.text import TextReader, _regions
from core.deid.text_line import TEXT_MEMORY, TEXT_SECONDS
from core.deid.text_strokes import rows_of_strokes
from core.dicom.pixel_format import PixelFormat
from core.sandbox import Sandbox
from ml.phantom_banners import banner
from ml.phantom_screens import font

Picture = NDArray[np.uint8]
SIZE = (200, 480)


@pytest.fixture(scope="module")
def reader() -> TextReader:
    return TextReader()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(1, memory_bytes=TEXT_MEMORY, wall_seconds=TEXT_SECONDS) as pool:
        yield pool


def screen(*lines: tuple[int, int, int, str]) -> Picture:
    """Speckle below a dark banner of 40 rows, with lines (x, y, size, words)."""
    rng = np.random.default_rng(7)
    grey = rng.rayleigh(34, SIZE).clip(0, 255).astype(np.uint8)
    grey[:40] = 12
    image = Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2))
    for x, y, size, words in lines:
        ImageDraw.Draw(image).text((x, y), words, fill=(235, 235, 235), font=font(size))
    return np.asarray(image, np.uint8)


def fmt(frames: int = 1, samples: int = 3) -> PixelFormat:
    photometric = "RGB" if samples == 3 else "PALETTE COLOR"
    return PixelFormat("1.2.840.10008.1.2.1", *SIZE, samples, 8, 8, 0, photometric, 0, frames)


def test_latin_and_japanese_lines_are_read_where_they_stand(reader: TextReader) -> None:
    found = reader.read(
        screen((10, 2, 13, "YAMADA HANAKO"), (250, 2, 16, "山田 花子"), (150, 120, 18, "Dist 12.3 mm")), frame=3
    )
    words = {text.words.replace(" ", ""): text for text in found}
    assert {"YAMADAHANAKO", "山田花子", "Dist12.3mm"} <= set(words)
    name = words["YAMADAHANAKO"]
    assert name.frame == 3 and name.score > 0.8
    x0, y0, x1, y1 = name.box
    assert 0 <= x0 <= 12 and y0 >= 0 and 100 < x1 < 150 and y1 <= 40


def test_small_letters_over_tissue_are_found_by_a_closer_look(
    reader: TextReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A generated screen whose name, 8 pixels high over speckle, the first look passes by; of tissue nothing is taken."""
    shown = banner(5, 1)
    name = next(one for one in shown.written if one.box[1] > 200 and one.identifies)
    area = [(name.box[0] - 200, name.box[1] - 120, name.box[2] + 200, name.box[3] + 120)]
    assert [text.words for text in reader.read(shown.picture, area)] == ["HAYASHITETSUYA"]
    whole = reader.read(shown.picture)
    assert any(text.words == "HAYASHITETSUYA" and _holds(text.box, name.box) for text in whole)
    monkeypatch.setattr("core.deid.text.rows_of_strokes", lambda *_: [])
    assert len(reader.read(shown.picture)) == len(whole) - 1


def test_a_name_in_a_region_of_which_nothing_could_be_read_is_looked_at_again(reader: TextReader) -> None:
    shown = banner(41, 288)
    name = next(one for one in shown.written if one.box[1] > 200 and one.identifies)
    texts = reader.read(shown.picture, [(name.box[0] - 120, name.box[1] - 100, name.box[2] + 120, name.box[3] + 100)])
    assert any(text.words.startswith("NAKAMURA") and _holds(text.box, name.box) for text in texts)


def _holds(outer: Sequence[int], inner: Sequence[int]) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


def test_rows_of_bright_strokes_are_found_and_speckle_is_none() -> None:
    shown = screen((150, 120, 12, "YAMADA HANAKO"))
    (box,) = rows_of_strokes(shown, (0, 40, SIZE[1], SIZE[0]), [])
    assert box[0] < 150 and box[1] < 121 and box[2] > 240 and box[3] > 132
    assert rows_of_strokes(shown, (0, 40, SIZE[1], SIZE[0]), [(140, 115, 300, 140)]) == []
    assert rows_of_strokes(shown, (10, 10, 10, 50), []) == []


def test_nothing_outside_the_areas_is_read(reader: TextReader) -> None:
    picture = screen((10, 5, 16, "YAMADA"), (250, 120, 18, "LIVER"))
    found = reader.read(picture, [(200, 100, 480, 200)])
    assert [text.words for text in found] == ["LIVER"]
    assert all(text.box[0] >= 200 and text.box[1] >= 100 for text in found)


def test_flat_areas_cost_nothing_and_say_nothing(reader: TextReader) -> None:
    assert reader.read(np.full((300, 400, 3), 40, np.uint8)) == []
    assert reader.read(screen(), [(0, 0, 480, 38), (5, 5, 5, 9), (470, 190, 900, 900)]) == []


def test_a_box_over_the_whole_frame_is_no_text(reader: TextReader) -> None:
    for seed in range(2):
        noise = np.random.default_rng(seed).rayleigh(40, (160, 200, 1)).clip(0, 255).astype(np.uint8)
        for text in reader.read(np.repeat(noise, 3, axis=2)):
            x0, y0, x1, y1 = text.box
            assert (x1 - x0) * (y1 - y0) < 0.6 * 160 * 200


def test_the_slanting_side_of_a_sector_is_no_line_but_writing_on_it_is() -> None:
    chances = np.zeros((200, 300), np.float32)
    for row in range(200):
        chances[row, row : row + 12] = 0.55
    assert list(_regions(chances, 40)) == []
    chances[100:114, 110:190] = 0.95
    ((x0, y0, x1, y1),) = _regions(chances, 40)
    assert x0 < 110 and x1 > 190 and y0 < 100 and 114 < y1 < 140


def test_frames_are_read_in_the_sandbox(sandbox: Sandbox) -> None:
    frames = [screen((10, 2, 15, "SATO TARO")), screen((10, 120, 15, "HR 72 bpm"))]
    params = {"fmt": asdict(fmt(9)), "frames": [2, 7], "palette": None, "areas": None}
    answer, blobs = sandbox.call("core.deid.text:sandboxed_read", params, [frame.tobytes() for frame in frames])
    texts = {(text["frame"], text["words"].replace(" ", "")) for text in answer["texts"]}
    assert texts >= {(2, "SATOTARO"), (7, "HR72bpm")} and blobs == []


def test_palette_frames_are_read_through_their_palette(sandbox: Sandbox) -> None:
    index = 255 - screen((10, 2, 15, "SATO TARO"))[:, :, 0]
    lut = np.repeat(np.arange(255, -1, -1, dtype=np.uint8)[:, None], 3, axis=1)
    params = {
        "fmt": asdict(fmt(1, 1)),
        "frames": [1],
        "palette": {"first": 0, "dtype": "uint8"},
        "areas": [[0, 0, 480, 40]],
    }
    answer, _ = sandbox.call("core.deid.text:sandboxed_read", params, [index.tobytes(), lut.tobytes()])
    assert [text["words"].replace(" ", "") for text in answer["texts"]] == ["SATOTARO"]

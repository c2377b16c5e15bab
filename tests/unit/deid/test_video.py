"""H.264: masked on every frame, near to what it was outside, and nothing beside its pictures in what leaves."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from core.deid import candidate, verify, video_candidate
from core.deid.candidate import Index, frame_bytes, redigest
from core.deid.masks import Rect
from core.deid.pixels import RECODED, UNTOUCHED
from core.deid.video import grown
from core.deid.video_candidate import masked_video
from core.dicom import h264, mp4
from core.dicom.codestream import H264
from core.dicom.frames import decode_stored, sandboxed_render
from core.dicom.part10 import frame_bytes as file_frame
from core.dicom.part10 import open_part10
from core.dicom.ultrasound import regions
from core.dicom.video import NOT_INSTALLED
from core.dicom.video_source import read_source, sandboxed_frame
from core.errors import Held, Refused
from core.sandbox import Sandbox
from tests.videos import (
    BANNER,
    COLUMNS,
    COUNT,
    RATE,
    ROWS,
    SECRET,
    SYNTAX,
    Here,
    Make,
    blob_x,
    cine,
    decoded,
    read_movie,
    stream,
)

CONTAINERS = ("mp4", "mpegts", "h264")


def psnr(one: Any, two: Any) -> float:
    error = np.square(one.astype(float) - two.astype(float)).mean()
    return float(10 * np.log10(255**2 / error)) if error else 99.0


@pytest.mark.parametrize(("container", "fragments"), [("mp4", 1), ("mpegts", 3), ("h264", 2)])
def test_every_frame_is_black_inside_and_near_outside(
    make_video: Make, film: list[Any], container: str, fragments: int
) -> None:
    made = make_video(stream(film, container), fragments=fragments)
    after = decoded(made.movie)
    assert len(after) == len(made.before) == COUNT
    for number, (old, new) in enumerate(zip(made.before, after, strict=True)):
        assert new[:16].max() <= 16 + 8 and old[:16].max() > 200
        assert psnr(old[16:], new[16:]) >= 45
        assert abs(int(new[70].argmax()) - 10 - blob_x(number, COUNT)) < 12  # in the order shown
    assert made.index.methods == (RECODED,) and made.index.format.transfer_syntax == SYNTAX


@pytest.mark.parametrize("rects", [(BANNER,), ()], ids=["masked", "clean"])
@pytest.mark.parametrize("container", CONTAINERS)
def test_nothing_rides_along(make_video: Make, film: list[Any], container: str, rects: tuple[Rect, ...]) -> None:
    data = stream(film, container)
    data += SECRET if container == "mp4" else b""
    made = make_video(data, rects=rects)
    assert SECRET in data or container == "mpegts"
    assert b"x264" in data and (container == "h264" or b"mp4a" in data or container == "mpegts")
    for hidden in (SECRET, b"x264", b"mp4a", b"soun", b"Lavf", b"udta"):
        assert hidden not in made.file
    kinds = {h264.kind(unit) for unit in h264.prefixed(read_movie(made.movie)[1])}
    assert kinds <= {h264.SLICE, h264.KEY_SLICE}


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_clean_video_is_not_coded_again(make_video: Make, film: list[Any], container: str) -> None:
    data = stream(film, container)
    made = make_video(data, rects=())
    movie, samples = read_movie(made.movie)
    assert samples == b"".join(read_source(data).samples) and made.index.methods == (UNTOUCHED,)
    assert movie.shown != tuple(range(COUNT)) and movie.rate == (RATE, 1)
    for old, new in zip(made.before, decoded(made.movie), strict=True):
        assert np.array_equal(old, new)


@pytest.mark.parametrize("rects", [(BANNER,), ()], ids=["masked", "clean"])
def test_the_whole_way(make_video: Make, film: list[Any], rects: tuple[Rect, ...]) -> None:
    made = make_video(stream(film, "mp4"), rects=rects)
    index = Index.of(json.loads(json.dumps(made.index.as_dict())))
    coded = io.BytesIO(made.stream)
    assert redigest(coded, index, decode_stored) == index.digest
    index.check_digest(coded, index.digest)
    verify.check_released(
        io.BytesIO(made.file), len(made.file), ["Yamada", "70012345"], made.source.dataset, decode_stored
    )
    again = open_part10(io.BytesIO(made.file), len(made.file))
    verify.frames_decode(io.BytesIO(made.file), again, Here())
    assert again.pixel == index.format and len(again.frames) == COUNT and not again.is_one_stream
    for number in (0, 7, COUNT - 1):
        assert file_frame(io.BytesIO(made.file), again, number) == frame_bytes(coded, index, number)
    assert made.stream in made.file
    ratios = 2 if rects else 1
    read = dcmread(io.BytesIO(made.file))
    assert read.LossyImageCompression == "01" and read.NumberOfFrames == COUNT
    method = read.LossyImageCompressionMethod
    assert (list(method) if ratios == 2 else [method]) == ["ISO_14496_10"] * ratios
    assert read.PhotometricInterpretation == "YBR_PARTIAL_420" and read.PlanarConfiguration == 0


@pytest.mark.parametrize("rects", [(BANNER,), ()], ids=["masked", "clean"])
def test_a_frame_is_shown_by_its_number(make_video: Make, film: list[Any], rects: tuple[Rect, ...]) -> None:
    made = make_video(stream(film, "mp4"), rects=rects)
    luma = decoded(made.movie)
    for number in (COUNT - 1, 0, 13, 12, 14, 5):  # in any order
        params, blobs = made.index.render_request(frame_bytes(io.BytesIO(made.stream), made.index, number))
        shown = decode_stored(blobs[0], made.index.format)
        full = ((luma[number].astype(float) - 16) * 255 / 219).round().clip(0, 255)
        assert np.array_equal(shown[:, :, 0], full.astype(np.uint8))
        assert sandboxed_render(params, blobs)[0]["columns"] == COLUMNS


def test_a_frame_of_the_source_is_shown_by_its_number(make_video: Make, film: list[Any]) -> None:
    data = stream(film, "mpegts")
    made = make_video(data)
    assert made.source.is_one_stream and made.source.pixel is not None
    for number in (0, 11, 12, 29):
        params = {"fmt": made.source.pixel.__dict__, "frame": number}
        found, blobs = sandboxed_frame(params, [data])
        full = ((made.before[number].astype(float) - 16) * 255 / 219).round().clip(0, 255)
        assert np.array_equal(np.frombuffer(blobs[0], np.uint8).reshape(ROWS, COLUMNS, 3)[:, :, 0], full)
        assert found["fmt"]["photometric"] == "YBR_FULL"
    with pytest.raises(Refused, match="no such frame"):
        sandboxed_frame({"fmt": made.source.pixel.__dict__, "frame": COUNT}, [data])


def test_long_groups_are_cut_and_short_ones_joined(make_video: Make) -> None:
    frames = cine(110)
    for keyint, count, groups in ((200, 110, 3), (5, 110, 3), (200, 49, 2)):
        made = make_video(stream(frames[:count], "mp4", keyint=keyint, plant=False), count=count)
        movie, _ = read_movie(made.movie)
        assert len(movie.keys) == groups and len(movie.sizes) == count
        after = decoded(made.movie)
        assert min(psnr(old[16:], new[16:]) for old, new in zip(made.before, after, strict=True)) >= 45


def test_the_sandbox_gives_the_same(make_video: Make, film: list[Any]) -> None:
    data = stream(film, "mp4")
    made = make_video(data)
    assert made.source.pixel is not None
    plan = candidate.plan(made.source.dataset, made.source.pixel, [BANNER], regions(made.source.dataset, ROWS, COLUMNS))
    with Sandbox(2) as sandbox:
        pieces, index = masked_video(sandbox, data, plan, 2)
        assert b"".join(pieces) == made.stream and index == made.index
        again = open_part10(io.BytesIO(made.file), len(made.file))
        verify.frames_decode(io.BytesIO(made.file), replace(again, frames=again.frames[:3]), sandbox)


def test_the_frames_that_differ_must_be_shown(make_video: Make, film: list[Any]) -> None:
    """The region holds all below row 20: what counts is the banner, which here comes up for one frame only."""
    quiet = [np.where(np.arange(ROWS)[:, None] < 20, 40, frame).astype(np.uint8) for frame in film]
    quiet[20][:16] = film[0][:16]
    made = make_video(stream(quiet, "h264", bframes=0, plant=False), rects=())
    assert 21 in made.index.distinct_frames and len(made.index.distinct_frames) < COUNT // 2
    assert make_video(stream(quiet, "h264", bframes=0), rects=(Rect(0, 0, COLUMNS, 20),)).index.distinct_frames == [1]
    trembling = make_video(stream(quiet, "mp4"), rects=(Rect(COLUMNS - 16, 0, 16, 16),)).index.distinct_frames
    assert 21 in trembling and len(trembling) < COUNT // 2


@pytest.mark.parametrize(("count", "message"), [(COUNT - 1, "more frames"), (COUNT + 1, "fewer frames")])
def test_a_number_of_frames_that_lies_is_refused(make_video: Make, film: list[Any], count: int, message: str) -> None:
    with pytest.raises(Refused, match=message):
        make_video(stream(film, "mp4"), count=count)


@pytest.mark.parametrize("container", CONTAINERS)
def test_broken_streams_are_refused(make_video: Make, film: list[Any], container: str) -> None:
    data = stream(film, container, plant=False)
    with pytest.raises(Refused):
        make_video(data[: len(data) // 2])
    broken = bytearray(data)
    for at in range(len(data) // 3, len(data) // 2, 40):
        broken[at] ^= 0x55
    with pytest.raises(Refused):
        make_video(bytes(broken))
    with pytest.raises(Refused, match="container"):
        make_video(b"RIFF" + data[8:])


def test_other_kinds_of_video_are_held(make_video: Make, film: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match="another size"):
        make_video(stream([frame[:, :128] for frame in film], "mp4"))
    wide = [np.zeros((ROWS, COLUMNS), np.uint8)] * 300
    data = stream(wide, "mp4", keyint=300)
    with pytest.raises(Held, match=r"key frames .* mask something"):
        make_video(data, rects=(), count=300)
    monkeypatch.setattr(video_candidate, "_MOST_PIXELS_A_GROUP", 299 * ROWS * COLUMNS)
    with pytest.raises(Held, match=r"key frames .* apart\."):
        make_video(data, count=300)


def test_without_the_part_it_is_held(make_video: Make, film: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    data = stream(film, "mp4")
    made = make_video(data)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(Held) as held:
        make_video(data)
    assert held.value.message == NOT_INSTALLED and "./run setup --video" in NOT_INSTALLED
    with pytest.raises(Held, match="run setup --video"):
        verify.frames_decode(io.BytesIO(made.file), open_part10(io.BytesIO(made.file), len(made.file)), Here())


def test_dcmtk_reads_it(make_video: Make, film: list[Any], tmp_path: Any) -> None:
    path = tmp_path / "video.dcm"
    path.write_bytes(make_video(stream(film, "mp4")).file)
    told = subprocess.run(["dcmdump", "-q", str(path)], capture_output=True, text=True, check=True).stdout
    assert "MPEG4HighProfile/Level4.1" in told and "YBR_PARTIAL_420" in told
    subprocess.run(["dcmftest", str(path)], capture_output=True, check=True)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=30),
    rate=st.tuples(st.integers(1, 240), st.integers(1, 1001)),
    keys=st.sets(st.integers(1, 29)),
    random=st.randoms(),
)
@settings(max_examples=60)
def test_a_head_is_read_as_it_was_written(sizes: list[int], rate: tuple[int, int], keys: set[int], random: Any) -> None:
    shown = list(range(len(sizes)))
    random.shuffle(shown)
    config = h264.config_of(b"\x67\x64\0\x29\xac", [b"\x68\xee\x3c\x80"])
    starts = (0, *sorted(key for key in keys if key < len(sizes)))
    movie = mp4.Movie(64, 48, rate, config, tuple(sizes), starts, tuple(shown))
    head = movie.head()
    assert mp4.is_ours(head[:40]) and mp4.head_size(head[:40]) == len(head) and mp4.read_head(head) == movie
    for cut in (head[:-1], head[:-9] + b"x" + head[-8:], head + b"\0"):
        read = mp4.read_head(cut)
        assert read is None or read.head() == cut


def test_rectangles_grow_to_whole_macroblocks() -> None:
    assert grown([Rect(3, 17, 14, 1)], 100, 100) == [(0, 16, 32, 32)]
    assert grown([Rect(-5, 90, 200, 50), Rect(120, 0, 9, 9)], 100, 100) == [(0, 80, 100, 100)]


def test_every_syntax_of_the_family_is_known() -> None:
    assert SYNTAX in H264 and SYNTAX + ".1" in H264 and "1.2.840.10008.1.2.4.106" not in H264

"""Videos that come from another node: taken only in the very form that is written here, with nothing that no frame shows."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from core.deid import verify
from core.dicom import mp4
from core.dicom.frames import decode_stored
from core.dicom.part10 import Part10, open_part10
from core.errors import Held
from tests.videos import COUNT, SECRET, Here, Made, Make, read_movie, stream


def _tampered(made: Made, change: Callable[[bytes], bytes], count: int = COUNT) -> tuple[io.BytesIO, Part10]:
    movie = made.movie
    changed = change(movie)
    changed += b"\0" * (len(changed) % 2)
    at = made.file.index(movie) - 4
    length = len(changed).to_bytes(4, "little")
    data = made.file[:at] + length + changed + made.file[at + 4 + len(movie) :]
    said = b"\x28\0\x08\0IS\x02\0"  # Number of Frames
    data = data.replace(said + b"%d" % COUNT, said + b"%d" % count)
    return io.BytesIO(data), open_part10(io.BytesIO(data), len(data))


@pytest.mark.parametrize(
    "change",
    [
        lambda movie: movie + b"\0\0\0\x1efree" + SECRET,
        lambda movie: movie.rstrip(b"\0") + b"\0\1",
        lambda movie: movie.replace(b"isomiso2", b"isomYAMA", 1),
        lambda movie: movie.replace(b"vide" + bytes(12), b"videYAMADA HANAK", 1),
    ],
    ids=["box", "end", "brand", "handler"],
)
def test_the_gate_takes_only_what_is_written_here(
    make_video: Make, film: list[Any], change: Callable[[bytes], bytes]
) -> None:
    made = make_video(stream(film, "mp4"))
    fp, part10 = _tampered(made, change)
    with pytest.raises(Held, match="form that this system writes"):
        verify.frames_decode(fp, part10, Here())


def test_the_gate_finds_a_note_among_the_slices(make_video: Make, film: list[Any]) -> None:
    made = make_video(stream(film, "mp4"))
    movie, samples = read_movie(made.movie)
    note = b"\6\5" + bytes([len(SECRET)]) + SECRET + b"\x80"
    first = len(note).to_bytes(4, "big") + note
    longer = replace(movie, sizes=(movie.sizes[0] + len(first), *movie.sizes[1:]))
    fp, part10 = _tampered(made, lambda _: longer.head() + first + samples)
    with pytest.raises(Held, match="beside its image"):
        verify.frames_decode(fp, part10, Here())
    with pytest.raises(Held, match="beside its image"):
        verify.check_released(fp, len(fp.getvalue()), [], None, decode_stored)


def test_a_picture_that_no_frame_shows_is_found(make_video: Make, film: list[Any]) -> None:
    made = make_video(stream(film, "mp4"), count=COUNT)
    movie, samples = read_movie(made.movie)
    fewer = replace(movie, sizes=(movie.sizes[0] + movie.sizes[1], *movie.sizes[2:]), shown=movie.shown[:-1])
    fp, part10 = _tampered(made, lambda _: fewer.head() + samples, COUNT - 1)
    assert len(part10.frames) == COUNT - 1
    with pytest.raises(Held, match="more frames"):
        verify.frames_decode(fp, part10, Here())
    with pytest.raises(Held, match="interlaced"):
        make_video(fewer.head() + samples, count=COUNT - 1)


def test_boxes_in_boxes_end(film: list[Any]) -> None:
    nested = b"".join((8 * (99_999 - depth)).to_bytes(4, "big") + b"moov" for depth in range(99_999))
    assert mp4.read_head(nested + bytes(8)) is None

"""The candidate: what is written is what was masked, its digest moves with every change, and memory stays flat."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

from core.deid import candidate
from core.deid.candidate import Index, MaskedFrame, Plan, Writer, frame_bytes, redigest, write_candidate
from core.deid.masks import Rect
from core.dicom.frames import decode_stored, sandboxed_render
from core.dicom.pixel_format import PixelFormat
from core.dicom.ultrasound import Region
from core.errors import Held, Refused

NATIVE = PixelFormat("1.2.840.10008.1.2.1", 9, 11, 1, 8, 8, 0, "MONOCHROME2", 0, 3)
RLE = replace(NATIVE, transfer_syntax="1.2.840.10008.1.2.5")


def plan_of(fmt: PixelFormat, *regions: Region) -> Plan:
    return candidate.plan(Dataset(), fmt, [Rect(0, 0, 11, 2)], regions)


def stored(fmt: PixelFormat, number: int) -> bytes:
    frame = np.random.default_rng(number).integers(0, 256, (9, 11), np.uint8)
    if fmt.transfer_syntax == NATIVE.transfer_syntax:
        return frame.tobytes()
    from core.deid.lossless import encode

    return encode(frame, fmt, fmt.transfer_syntax)[0]


def masked(plan: Plan) -> Iterator[MaskedFrame]:
    for number in range(plan.format.frames):
        params, blobs = plan.request(stored(plan.format, number))
        yield plan.response(*candidate.sandboxed_mask(json.loads(json.dumps(params)), blobs))


@pytest.mark.parametrize("fmt", [NATIVE, RLE], ids=["native", "encapsulated"])
def test_what_is_written_can_be_read_and_proven(fmt: PixelFormat) -> None:
    plan, stream = plan_of(fmt), BytesIO()
    index = write_candidate(masked(plan), plan, stream)
    assert index.stream_size == len(stream.getvalue()) and index.stream_size % 2 == 0
    again = Index.of(json.loads(json.dumps(index.as_dict())))
    assert again == index and redigest(stream, again, decode_stored) == index.digest
    again.check_digest(stream, index.digest)
    for number in range(3):
        frame = decode_stored(frame_bytes(stream, index, number), index.format)
        before = decode_stored(stored(fmt, number), fmt)
        assert not frame[:2].any() and np.array_equal(frame[2:], before[2:])
    if fmt is RLE:
        frames = list(generate_frames(b"\xfe\xff\x00\xe0\0\0\0\0" + stream.getvalue(), number_of_frames=3))
        assert [one.rstrip(b"\0") for one in frames] == [
            frame_bytes(stream, index, number).rstrip(b"\0") for number in range(3)
        ]


def test_the_digest_moves_with_stream_and_picture() -> None:
    plan, stream = plan_of(NATIVE), BytesIO()
    index = write_candidate(masked(plan), plan, stream)
    changed = bytearray(stream.getvalue())
    changed[50] ^= 1
    with pytest.raises(Held):
        index.check_digest(BytesIO(bytes(changed)), index.digest)
    with pytest.raises(Held):
        index.check_digest(BytesIO(stream.getvalue() + b"\0\0"), index.digest)
    with pytest.raises(Held):
        index.check_digest(stream, "0" * 64)
    assert redigest(BytesIO(bytes(changed)), index, decode_stored) != index.digest
    for field, value in (("photometric", "MONOCHROME1"), ("rows", 8), ("frames", 2), ("bits_stored", 7)):
        stored_index = index.as_dict()
        stored_index["format"][field] = value
        with pytest.raises(Refused):
            Index.of(stored_index)
    other = index.as_dict() | {"frame_sha256": index.as_dict()["frame_sha256"][::-1]}
    with pytest.raises(Refused):
        Index.of(other)


@pytest.mark.parametrize("broken", [{}, {"format": {}}, {"palette": 3}, {"offsets": 7}])
def test_a_broken_index_is_refused(broken: dict[str, object]) -> None:
    plan = plan_of(NATIVE)
    index = write_candidate(masked(plan), plan, BytesIO()).as_dict()
    with pytest.raises(Refused):
        Index.of({**index, **broken} if broken else {})


def test_frames_with_a_distinct_overlay() -> None:
    """Without a region every frame that differs is to be seen; with one, only what differs outside it."""
    fan = Region(0, 2, 10, 8, data_type=1)
    whole, kept = plan_of(NATIVE), plan_of(NATIVE, fan)
    assert write_candidate(masked(whole), whole, BytesIO()).distinct_frames == [1, 2, 3]
    assert write_candidate(masked(kept), kept, BytesIO()).distinct_frames == [1]


def test_frames_must_all_be_there_and_alike() -> None:
    plan = plan_of(NATIVE)
    frames = list(masked(plan))
    for wrong in (frames[:2], [*frames, frames[0]], [*frames[:2], replace(frames[2], format=RLE)], []):
        writer = Writer(plan)
        with pytest.raises(Held):
            list(writer.stream(wrong))
        with pytest.raises(Held):
            writer.index()


@pytest.mark.parametrize("change", [{"rows": 8}, {"frames": 4}, {"samples": 3}])
def test_an_answer_about_another_image_is_held(change: dict[str, int]) -> None:
    plan = plan_of(NATIVE)
    result, blobs = candidate.sandboxed_mask(*plan.request(stored(NATIVE, 0)))
    result["frames"][0]["fmt"] |= change
    with pytest.raises(Held):
        plan.response(result, blobs)
    with pytest.raises(Held):
        plan.response({}, blobs)
    with pytest.raises(Held):
        plan.response(*candidate.sandboxed_mask(*plan.request(stored(NATIVE, 0), stored(NATIVE, 1))))


def test_memory_does_not_grow_with_the_frames() -> None:
    """The stream is asked for piece by piece: no more than one frame is held."""
    many = replace(NATIVE, frames=500)
    plan = plan_of(many)
    one = next(masked(plan_of(NATIVE)))
    frame = replace(one, format=many)
    writer, alive = Writer(plan), []

    def frames() -> Iterator[MaskedFrame]:
        for _ in range(500):
            alive.append(len(alive))
            yield frame

    for asked, _ in enumerate(writer.stream(frames())):
        assert len(alive) <= asked + 1
    assert writer.index().stream_size == 500 * 99


def test_the_darkest_entry_is_black_and_shown_black(
    ultrasound: Dataset, part10: Callable[..., bytes], release_file: Callable[..., object]
) -> None:
    ultrasound.SamplesPerPixel, ultrasound.PhotometricInterpretation = 1, "PALETTE COLOR"
    del ultrasound.PlanarConfiguration
    ramp = np.arange(255, -1, -1, dtype="<u2") * 257
    for colour in ("Red", "Green", "Blue"):
        setattr(ultrasound, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(ultrasound, f"{colour}PaletteColorLookupTableData", ramp.tobytes())
    ultrasound.PixelData = bytes(48 * 64)
    released = release_file(part10(ultrasound), (Rect(0, 0, 64, 9),))
    frame = frame_bytes(BytesIO(released.stream), released.index, 0)
    assert set(frame[: 9 * 64]) == {255} and set(frame[9 * 64 :]) == {0}
    params, blobs = released.index.render_request(frame)
    head, _ = sandboxed_render(params, blobs)
    assert (head["rows"], head["columns"]) == (48, 64)
    table = released.header.RedPaletteColorLookupTableData
    assert np.array_equal(np.frombuffer(table, "<u2"), ramp)

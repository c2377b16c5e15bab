"""The machine code does what its plain source does, on broken streams too, where the plain one would say what it reads beyond."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.deid import native, native_source
from core.deid.jpeg import splice
from core.deid.jpeg_lossless import encode
from core.deid.native_source import WINDOW
from core.errors import Refused

_FORMS: list[dict[str, Any]] = [
    {"subsampling": 0},
    {"subsampling": 1},
    {"subsampling": 2, "optimize": True},
    {"subsampling": 1, "restart_marker_blocks": 2},
    {"quality": 100, "subsampling": 0},
    {"quality": 5, "optimize": True},
]
_SHAPES = {
    "jpeg_walk": lambda a: native_source.walk(
        a[0], a[2], a[3], a[5], a[7], a[8], a[9], a[10], a[11], a[12], a[13], a[15]
    ),
    "jpeg_join": lambda a: native_source.join(*a),
    "jpeg_count": lambda a: native_source.count(a[0], a[2], a[3]),
    "jpeg_pack": lambda a: native_source.pack(a[0], a[2], a[3]),
}


def plainly(name: str, *arguments: Any) -> int:
    """`native.call` by the source itself; numpy raises where it would read or write outside."""
    return int(_SHAPES[name](arguments))


def coded(seed: int, rows: int, columns: int, form: dict[str, Any]) -> bytes:
    rng, out = np.random.default_rng(seed), BytesIO()
    picture = rng.integers(0, 256, (rows // 4 + 1, columns // 4 + 1, 3)).repeat(4, 0).repeat(4, 1)[:rows, :columns]
    picture = (picture + rng.integers(-30, 31, picture.shape)).clip(0, 255).astype(np.uint8)
    Image.fromarray(picture).save(out, "JPEG", **{"quality": 80, **form})
    return out.getvalue()


def outcome(data: bytes, box: tuple[int, int, int, int]) -> bytes | str:
    try:
        return splice(data, [box], is_rgb=False)[0]
    except Refused as refused:
        return f"{type(refused).__name__}: {refused.message}"


@given(st.integers(0, 1 << 30), st.sampled_from(_FORMS), st.integers(8, 40), st.integers(8, 40), st.data())
@settings(max_examples=60, deadline=None)
def test_any_stream_whole_or_broken_comes_out_alike(
    seed: int, form: dict[str, Any], rows: int, columns: int, data: st.DataObject
) -> None:
    stream = bytearray(coded(seed, rows, columns, form))
    box = (data.draw(st.integers(0, columns - 1)), data.draw(st.integers(0, rows - 1)), columns, rows)
    start = stream.index(b"\xff\xda") + 14
    for place in data.draw(st.lists(st.integers(start, len(stream) - 3), max_size=3)):
        stream[place] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.none(), st.integers(start, len(stream) - 2)))
    if end is not None:
        stream = stream[:end] + b"\xff\xd9"
    quick = outcome(bytes(stream), box)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "call", plainly)
        assert outcome(bytes(stream), box) == quick


def test_codes_of_ones_and_noise_end() -> None:
    """Entropy of nothing but one kind of byte, or of noise, is refused or ends, and nothing is read beyond it."""
    stream = coded(1, 40, 40, {"subsampling": 2})
    start = stream.index(b"\xff\xda") + 14
    rng = np.random.default_rng(4)
    bodies = [bytes([value]) * size for value in (0, 1, 0x55, 0xAA, 0xFE) for size in (0, 1, 7, 300)]
    bodies += [rng.integers(0, 255, 400).astype(np.uint8).tobytes() for _ in range(20)]
    for body in bodies:
        broken = stream[:start] + body + b"\xff\xd9"
        quick = outcome(broken, (0, 0, 40, 20))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native, "call", plainly)
            assert outcome(broken, (0, 0, 40, 20)) == quick


@pytest.mark.parametrize("bits", [2, 8, 12, 16])
def test_lossless_code_comes_out_alike(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = np.uint8 if bits <= 8 else np.uint16
    samples = np.random.default_rng(bits).integers(0, 1 << bits, (19, 7)).astype(kind)
    quick = encode(samples, bits)
    monkeypatch.setattr(native, "call", plainly)
    assert encode(samples, bits) == quick


def test_too_little_room_is_said_and_not_written_over() -> None:
    guard = np.full(64, 7, np.uint8)
    numbers = np.arange(200, dtype=np.uint16)
    coded = np.full(1 << 16, 0x1FFFF << 5 | 17, np.int64)
    assert native.call("jpeg_pack", numbers, len(numbers), coded, guard, 32) == -1
    assert (guard[32:] == 7).all()


def test_it_is_kept_and_made_anew_where_it_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(
        native.subprocess, "run", lambda *_, **__: made.append(1) or subprocess.CompletedProcess([], 0, b"code")
    )
    monkeypatch.setattr(native, "kept_at", lambda: tmp_path / "folder" / "code.o")
    assert native.machine_code() == native.machine_code() == b"code" and len(made) == 1
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["code.o"]
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(native, "kept_at", lambda: tmp_path / "file" / "code.o")
    assert native.machine_code() == native.machine_code() == b"code" and len(made) == 3


def test_no_service_loads_the_compiler() -> None:
    """Not by importing what masks, and not by masking either."""
    code = (
        "import sys, core.deid.candidate as c; assert 'llvmlite' not in sys.modules; c.prepare(); "
        "assert 'llvmlite' in sys.modules and 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_steps_pass_whole_codes() -> None:
    """Of one code of one bit that ends the block, a window passes one block."""
    table = np.zeros(1 << 16, np.uint16)
    table[: 1 << 15] = 1 << 8
    steps = np.zeros(1 << WINDOW, np.uint16)
    native.call("jpeg_join", table, steps)
    assert (
        set(steps[: 1 << (WINDOW - 1)].tolist()) == {native_source.ENDED << 5 | 1}
        and not steps[1 << (WINDOW - 1) :].any()
    )

"""Every real file beside the checkout goes the whole way, or is held with a reason that names no value."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from core.deid import verify
from core.deid.candidate import frame_bytes as candidate_frame
from core.deid.masks import Rect
from core.deid.pixels import IN_PLACE, RECODED, mask_frame
from core.dicom.facts import needles, read_identity
from core.dicom.frames import decode_stored
from core.dicom.part10 import frame_bytes, open_part10
from core.errors import Held, Refused

KEPT = {"1.2.840.10008.1.2.2": "1.2.840.10008.1.2.1"}  # all but big endian comes back as it was
JPEG = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"}


def test_the_whole_way(shared_file: Path, release_file: Callable[..., Any]) -> None:
    data = shared_file.read_bytes()
    source = open_part10(BytesIO(data), len(data))
    values = needles(read_identity(source.dataset))
    released = release_file(data, needles=values)
    out = BytesIO(released.file)
    verify.check_released(out, len(released.file), values, source.dataset, decode_stored)
    again = pydicom.dcmread(BytesIO(released.file))
    assert again.PatientIdentityRemoved == "YES" and again.PatientID == again.PatientName
    assert again.get("Manufacturer") == source.dataset.get("Manufacturer")
    assert again.file_meta.TransferSyntaxUID == released.index.format.transfer_syntax
    stream = BytesIO(released.stream)
    coded = [candidate_frame(stream, released.index, number) for number in range(released.index.format.frames)]
    assert released.stream in released.file and len(coded) == len(source.frames)


def test_outside_the_mask_nothing_changes(shared_file: Path) -> None:
    """Half of one rectangle lies off the image; the samples are compared in the stored colour space."""
    data = shared_file.read_bytes()
    fp = BytesIO(data)
    source = open_part10(fp, len(data))
    fmt = source.pixel
    assert fmt is not None
    rects = [Rect(0, 0, fmt.columns, 13), Rect(fmt.columns - 20, 30, 40, 11)]
    for number in range(min(len(source.frames), 3)):
        coded = frame_bytes(fp, source, number)
        masked = mask_frame(coded, fmt, rects, fill=3)
        before, after = decode_stored(coded, fmt), decode_stored(masked.data, masked.format)
        is_recoded = masked.method == RECODED
        outside = np.ones((fmt.rows, fmt.columns), bool)
        ring = 1 if masked.method == IN_PLACE else 0
        for x0, y0, x1, y1 in masked.boxes:
            outside[max(y0 - ring, 0) : y1 + ring, max(x0 - ring, 0) : x1 + ring] = False
        squares = (before[outside].astype(float) - after[outside]) ** 2
        assert squares.mean() <= 255**2 / 10**4.5 if is_recoded else not squares.any()
        assert len(masked.data) <= 1.05 * len(coded) and masked.format.transfer_syntax == KEPT.get(
            fmt.transfer_syntax, fmt.transfer_syntax
        )
        assert outside[-1].any() and (masked.method == IN_PLACE) == (fmt.transfer_syntax in JPEG)
        assert is_recoded or len(np.unique(after[:13].reshape(-1, fmt.samples), axis=0)) == 1


def test_black_is_black_to_another_decoder(shared_file: Path, release_file: Callable[..., Any]) -> None:
    data = shared_file.read_bytes()
    try:
        released = release_file(data, (Rect(0, 0, 10_000, 20),))
    except Held:
        return
    ds = pydicom.dcmread(BytesIO(released.file))
    raw = pydicom.pixels.pixel_array(ds, index=0, raw=False)
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        raw = pydicom.pixels.apply_color_lut(raw, ds)
        assert raw[:20].max() <= max(int(raw.min()), 1)
    else:
        assert raw[:20].max() <= (8 if RECODED in released.index.methods else 0)


def test_malformed_files_are_refused_with_a_reason() -> None:
    folder = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "dicom_bad"
    if not folder.exists():
        pytest.skip("../shared/data is absent: malformed files")
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix == ".dcm":
            data = path.read_bytes()
            try:
                source = open_part10(BytesIO(data), len(data))
                if source.pixel is None:
                    continue
                fp = BytesIO(data)
                for number in range(len(source.frames)):
                    mask_frame(frame_bytes(fp, source, number), source.pixel, [Rect(0, 0, 40, 9)], 0)
            except Refused as refused:
                assert refused.message and path.stem not in refused.message

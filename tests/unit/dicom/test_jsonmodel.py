"""The DICOM JSON model, both ways."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from core.dicom.jsonmodel import from_json, to_json
from core.dicom.part10 import open_part10
from core.errors import Malformed


def uri(path: str) -> str:
    return f"https://host/bulk/{path}"


def test_values_have_their_json_types() -> None:
    ds = Dataset()
    ds.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    ds.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    ds.PatientSize, ds.PatientWeight, ds.InstanceNumber = "1.65", "60", "7"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "", "0001"]
    ds.FrameIncrementPointer = 0x00181063
    ds.PhysicalDeltaX = float("nan")
    ds.AdditionalPatientHistory = "a\\b"
    ds.AccessionNumber = ""
    ds.add_new(0x00091001, "UN", b"\1\2")
    ds.add_new(0x00090000, "UL", 12)
    out = json.loads(json.dumps(to_json(ds, None), allow_nan=False))
    assert out["00100010"]["Value"] == [
        {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    ]
    assert out["00101020"] == {"vr": "DS", "Value": [1.65]}
    assert out["00101030"]["Value"] == [60]
    assert out["00200013"]["Value"] == [7]
    assert out["00080008"]["Value"] == ["ORIGINAL", "PRIMARY", None, "0001"]
    assert out["00280009"]["Value"] == ["00181063"]
    assert out["0018602C"]["Value"] == [None]
    assert out["001021B0"]["Value"] == ["a\\b"]
    assert out["00080050"] == {"vr": "SH"}
    assert out["00091001"] == {"vr": "UN", "InlineBinary": "AQI="}
    assert out["00080005"]["Value"] == ["ISO_IR 192"]
    assert "00090000" not in out
    assert list(out) == sorted(out)


def test_long_values_and_pixels_become_bulk() -> None:
    inner = Dataset()
    inner.add_new(0x00091001, "OB", bytes(5000))
    ds = Dataset()
    ds.RequestAttributesSequence = [Dataset(), inner]
    ds.add_new(0x7FE00010, "OW", b"\0\0")
    out = to_json(ds, uri)
    assert out["00400275"]["Value"][1]["00091001"] == {"vr": "OB", "BulkDataURI": uri("00400275/1/00091001")}
    assert out["7FE00010"]["BulkDataURI"] == uri("7FE00010")
    assert to_json(Dataset(), uri, "OB") == {"7FE00010": {"vr": "OB", "BulkDataURI": uri("7FE00010")}}


def test_inline_words_are_little_endian() -> None:
    ds = Dataset()
    ds.set_original_encoding(False, False)
    ds.add_new(0x00091001, "OW", b"\1\2")
    assert to_json(ds, None)["00091001"]["InlineBinary"] == "AgE="


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C"], exclude_characters="\\=^"), max_size=12)


@settings(deadline=None)
@given(TEXT, st.floats(-1e6, 1e6), st.integers(-(2**31), 2**31 - 1), st.binary(max_size=30), st.integers(0, 5))
def test_there_and_back(text: str, number: float, whole: int, binary: bytes, depth: int) -> None:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.StudyDescription, ds.PhysicalDeltaX, ds.ReferencePixelX0 = text.strip(), number, whole
    ds.add_new(0x00091001, "OB", binary)
    for _ in range(depth):
        outer = Dataset()
        outer.RequestAttributesSequence = [ds]
        ds = outer
    once = to_json(ds, None)
    assert to_json(from_json(once), None) == once


def test_real_files_survive(data_folder: Path) -> None:
    for path in sorted((data_folder / "dicom").rglob("*.dcm")):
        data = path.read_bytes()
        part10 = open_part10(BytesIO(data), len(data))
        out = json.loads(json.dumps(to_json(part10.dataset, uri, "OW"), allow_nan=False))
        assert out["0020000D"]["Value"] == [part10.dataset.StudyInstanceUID]
        assert "BulkDataURI" in out["7FE00010"]
        assert from_json(out).StudyInstanceUID == part10.dataset.StudyInstanceUID


def test_bulk_is_fetched_or_left_out() -> None:
    model = {"00091001": {"vr": "OB", "BulkDataURI": "here"}, "00100020": {"vr": "LO", "Value": ["P"]}}
    assert from_json(model, lambda where: where.encode())[0x00091001].value == b"here"
    assert 0x00091001 not in from_json(model)


def deep(levels: int) -> dict[str, object]:
    model: dict[str, object] = {}
    for _ in range(levels):
        model = {"00400275": {"vr": "SQ", "Value": [model]}}
    return model


@pytest.mark.parametrize(
    "model",
    [
        [], {"00100020": 3}, {"00100020": {"Value": ["x"]}}, {"00100020": {"vr": "LO", "Value": "x"}},
        {"xx": {"vr": "LO"}}, {"0010002G": {"vr": "LO", "Value": ["x"]}}, deep(40),
        {"00400275": {"vr": "SQ", "Value": ["x"]}}, {"00091001": {"vr": "OB", "InlineBinary": "?"}},
        {"00280010": {"vr": "US", "Value": ["x"]}}, {"00100010": {"vr": "PN", "Value": [3]}},
    ],
)  # fmt: skip
def test_what_is_not_the_model_is_malformed(model: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        from_json(model)


def test_pixels_of_an_image(make_image: Callable[..., Any], written: Callable[..., bytes]) -> None:
    data = written(make_image(np.zeros((2, 2), np.uint8)))
    part10 = open_part10(BytesIO(data), len(data))
    assert "7FE00010" not in to_json(part10.dataset, uri)

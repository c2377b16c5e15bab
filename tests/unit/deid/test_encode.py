"""The header's bytes are, letter by letter, those that pydicom writes, in every encoding and for every real file."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import UID

from core.deid.release import header_bytes
from core.dicom.guard import NATIVE
from core.errors import Held
from tests.planted import read, written

SYNTAXES = sorted(NATIVE.keys() - {"1.2.840.10008.1.2.1.99"})


def by_pydicom(header: Dataset) -> bytes:
    out = BytesIO()
    implicit, little = NATIVE.get(str(header.file_meta.TransferSyntaxUID), (False, True))
    header.preamble = bytes(128)
    dcmwrite(out, header, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
    return out.getvalue()


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_kind_of_value(
    ultrasound: Dataset, part10: Callable[..., bytes], release_file: Callable[..., Any], syntax: str
) -> None:
    header = release_file(part10(ultrasound)).header
    header.file_meta.TransferSyntaxUID = UID(syntax)
    header.SeriesDescription, header.StudyDescription = "腹部エコー", "LIVER 肝臓"
    header.RWaveTimeVector, header.SteeringAngle = [1.5, 2.25, -3.0], 0.1
    header.FrameIncrementPointer, header.EventElapsedTimes = [0x00181063, 0x00181065], ["1.50", "2", "-3e-2"]
    header.FrameNumbersOfInterest, header.ImageType = [1, 2, 65535], ["ORIGINAL", "PRIMARY", "", "0001"]
    region = header.SequenceOfUltrasoundRegions[0]
    region.ReferencePixelX0, region.TableOfPixelValues = -7, list(range(5))
    table = Dataset()
    table.LUTDescriptor = [3, -2, 8]
    table["LUTDescriptor"].VR = "SS"
    table.add_new(0x00283006, "OW", b"\1\2\3")
    header.VOILUTSequence = Sequence([table, table])
    header.ViewCodeSequence = Sequence()
    assert header_bytes(header) == by_pydicom(header)


def test_every_real_file(shared_file: Path, release_file: Callable[..., Any]) -> None:
    header = release_file(written(read(shared_file.read_bytes()))).header
    assert header_bytes(header) == by_pydicom(header)


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [(0x00081030, "UN", b"x"), (0x00280010, "US", 70_000), (0x00280010, "US", "x"), (0x00081030, "LO", "x" * 70_000)],
)
def test_what_does_not_fit_is_held(
    ultrasound: Dataset,
    part10: Callable[..., bytes],
    release_file: Callable[..., Any],
    tag: int,
    vr: str,
    value: object,
) -> None:
    header = release_file(part10(ultrasound)).header
    header.add(DataElement(tag, vr, value, already_converted=True))
    with pytest.raises(Held, match="cannot be written"):
        header_bytes(header)

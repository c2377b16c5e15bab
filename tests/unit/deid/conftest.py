"""What the tests of de-identification share: one ultrasound object made here, and the whole way through to a file."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import UID

from core.deid import candidate, headers, release
from core.deid.candidate import Index
from core.deid.masks import DeviceFacts, Rect, propose
from core.deid.pseudonyms import Pseudonyms
from core.dicom.facts import read_facts
from core.dicom.part10 import Part10, frame_bytes, open_part10
from core.dicom.ultrasound import regions

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "dicom"
EXPLICIT = "1.2.840.10008.1.2.1"


@dataclass(frozen=True)
class Released:
    """One image after the whole way."""

    source: Part10
    header: Dataset
    index: Index
    stream: bytes
    file: bytes


@pytest.fixture(scope="session")
def pseudonyms() -> Pseudonyms:
    return Pseudonyms("5f7dd9c5-6f0b-4d66-a6f7-27e8a5d30001", b"k" * 32, -700, datetime(2019, 5, 6, 9, 30, 15))


def _ultrasound() -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.826.0.1.3680043.8.498.1"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.2", "1.2.826.0.1.3680043.8.498.3"
    ds.SpecificCharacterSet, ds.Modality, ds.ImageType = (
        "ISO_IR 192",
        "US",
        ["ORIGINAL", "PRIMARY", "ABDOMINAL", "0001"],
    )
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = "Yamada^Hanako=山田^花子=やまだ^はなこ", "70012345", "19500102"
    ds.PatientSex, ds.PatientSize, ds.PatientWeight = "F", "1.58", "51.5"
    ds.StudyDate, ds.StudyTime, ds.ContentDate, ds.ContentTime = "20190506", "093015", "20190506", "094115.25"
    ds.AccessionNumber, ds.StudyID, ds.ReferringPhysicianName = "A4711-22", "S99", "Suzuki^Ichiro"
    ds.SeriesNumber, ds.InstanceNumber = "1", "7"
    ds.Manufacturer, ds.ManufacturerModelName, ds.SoftwareVersions = "Philips Medical Systems", "CX50", "CX50_3.1"
    ds.TransducerData, ds.TransducerType, ds.MechanicalIndex, ds.DepthOfScanField = (
        ["C5-1"],
        "CURVED LINEAR",
        "0.9",
        "150",
    )
    ds.HeartRate, ds.FrameTime = "61", "33.3"
    ds.SequenceOfUltrasoundRegions = Sequence([_region(12, 24, 51, 39)])
    ds.AnatomicRegionSequence = Sequence([_code("10200004", "SCT", "Liver")])
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 48, 64, 8, 8, 7, 0
    ds.PixelData = np.random.default_rng(1).integers(1, 255, 48 * 64 * 3, np.uint8).tobytes()
    ds["PixelData"].VR = "OB"
    return ds


def _region(x0: int, y0: int, x1: int, y1: int) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 1, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = x0, y0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = x1, y1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = 0.02
    return item


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _part10(ds: Dataset, syntax: str = EXPLICIT, preamble: bytes = b"\0" * 128) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID, meta.ImplementationClassUID = UID(syntax), UID("1.2.3.4")
    meta.SourceApplicationEntityTitle = "OLDSCANNER"
    ds.file_meta, ds.preamble = meta, preamble
    out = BytesIO()
    dcmwrite(out, ds, implicit_vr=syntax == "1.2.840.10008.1.2", little_endian=True, enforce_file_format=True)
    return out.getvalue()


@pytest.fixture
def ultrasound() -> Dataset:
    """A new US image of 48 x 64 RGB pixels with one region; the test may change it."""
    return _ultrasound()


@pytest.fixture(scope="session")
def part10() -> Callable[..., bytes]:
    return _part10


@pytest.fixture(scope="session")
def release_file(pseudonyms: Pseudonyms) -> Callable[..., Released]:
    """The bytes of a file through proposal or given rectangles, candidate, header and new file."""

    def run(data: bytes, rects: tuple[Rect, ...] | None = None, needles: tuple[str, ...] = ()) -> Released:
        fp = BytesIO(data)
        source = open_part10(fp, len(data))
        assert source.pixel is not None
        found = regions(source.dataset, source.pixel.rows, source.pixel.columns)
        if rects is None:
            rects = propose(DeviceFacts.of(asdict(read_facts(source.dataset))), found).rects
        plan = candidate.plan(source.dataset, source.pixel, rects, found)
        stream = BytesIO()
        index = candidate.write_candidate(_masked(fp, source, plan), plan, stream)
        header = headers.deidentify(source.dataset, pseudonyms, index, revision=1, needles=needles)
        out = BytesIO()
        release.write_file(header, stream, index, out)
        return Released(source, header, index, stream.getvalue(), out.getvalue())

    return run


@pytest.fixture
def make_video(ultrasound: Dataset, part10: Callable[..., bytes], pseudonyms: Pseudonyms) -> Callable[..., Any]:
    """An H.264 stream as a DICOM file through the whole way: `tests.videos.Made`."""
    from tests import videos  # here, for what it needs is slow to load

    def run(
        data: bytes, rects: tuple[Rect, ...] = (videos.BANNER,), count: int = videos.COUNT, fragments: int = 1
    ) -> videos.Made:
        file = part10(videos.describe(ultrasound, data, count, fragments), videos.SYNTAX)
        return videos.whole_way(file, rects, pseudonyms)

    return run


@pytest.fixture(scope="session")
def film() -> list[Any]:
    """What the tests of videos show: COUNT frames (H, W)."""
    from tests import videos

    return videos.cine(videos.COUNT)


def _masked(fp: BytesIO, source: Part10, plan: candidate.Plan) -> Iterator[candidate.MaskedFrame]:
    for number in range(len(source.frames)):
        yield plan.response(*candidate.sandboxed_mask(*plan.request(frame_bytes(fp, source, number))))


def shared_rows() -> list[dict[str, str]]:
    if not SHARED.exists():
        return []
    with (SHARED / "INDEX.tsv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`shared_file` runs a test once for each real file beside the checkout."""
    if "shared_file" in metafunc.fixturenames:
        paths = [row["path"] for row in shared_rows()]
        metafunc.parametrize(
            "shared_file", paths or [None], indirect=True, ids=[Path(path).stem for path in paths] or None
        )


@pytest.fixture
def shared_file(request: pytest.FixtureRequest) -> Path:
    if request.param is None:
        pytest.skip("../shared/data is absent: real ultrasound files")
    return SHARED / request.param

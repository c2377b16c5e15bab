"""Nothing that is planted in a real file is left in the released one, and what the product needs is."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import gdcm
import pytest
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence

from core.deid import headers, profile
from core.deid.masks import Rect
from core.deid.pseudonyms import Pseudonyms
from core.errors import Refused
from tests.planted import Planter, planted, read, table, with_comment, written
from tests.unit.deid.conftest import SHARED, shared_rows

# The attributes of ultrasound that de-identification must not cost (deid.md section 2, last item, and section 3): where
# a file has none, this value is put in. The anatomic region codes are three sequences of codes.
NEEDED: dict[str, object] = {
    "Manufacturer": "ACME Medical", "ManufacturerModelName": "US-9", "SoftwareVersions": ["9.1", "9.2b"],
    "TransducerData": ["C5-1", "FOCUS", "1"], "TransducerType": "CURVED LINEAR", "SequenceOfUltrasoundRegions": None,
    "FrameTime": "33.3", "CineRate": "30", "PatientAge": "044Y", "PatientSex": "F", "HeartRate": "61",
    "AnatomicRegionSequence": ("10200004", "SCT", "Liver"),
    "PrimaryAnatomicStructureSequence": ("64739004", "SCT", "Spleen"),
    "ViewCodeSequence": ("399214001", "SCT", "apical four chamber"),
}  # fmt: skip
MASK = (Rect(0, 0, 8, 8),)


@dataclass(frozen=True)
class Case:
    """A real file with what was planted, and what came out."""

    path: Path
    planter: Planter
    needed: dict[str, str]
    given: bytes
    header: Dataset
    file: bytes


def files() -> list[Path]:
    paths = [SHARED / row["path"] for row in shared_rows()]
    if not paths:
        pytest.skip("../shared/data is absent: real ultrasound files")
    return paths


def with_needed(path: Path) -> Dataset:
    ds = read(path.read_bytes())
    for keyword, value in NEEDED.items():
        if ds.get(keyword):
            continue
        if dictionary_VR(keyword) != "SQ":
            setattr(ds, keyword, value)
        else:
            setattr(ds, keyword, Sequence([_code(*value) if isinstance(value, tuple) else _region()]))
    if not str(ds.PatientAge).endswith("Y"):
        ds.PatientAge = "001Y"
    return ds


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _region() -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 1, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0, item.RegionLocationMaxX1, item.RegionLocationMaxY1 = (
        9,
        9,
        99,
        99,
    )
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = 0.02
    return item


@pytest.fixture(scope="module")
def cases(release_file: Callable[..., Any]) -> list[Case]:
    """Every real file, planted and released; none of them is held without the patient's own values."""
    found = []
    for turn, path in enumerate(files()):
        ds = with_needed(path)
        needed = {keyword: _plain(ds, keyword) for keyword in NEEDED}
        data, planter = planted(ds, turn)
        released = release_file(data, MASK)
        found.append(Case(path, planter, needed, data, released.header, released.file))
    return found


def test_nothing_planted_is_left(cases: list[Case]) -> None:
    assert min(case.planter.count for case in cases) > 1400
    for case in cases:
        assert len(case.planter.left(case.given)) > 0.9 * case.planter.count, "the search finds what is there"
        assert case.planter.left(case.file) == [], case.path.name


def test_every_attribute_of_the_table_was_planted_everywhere(cases: list[Case]) -> None:
    """At the top level of each file, and over the files at every depth in sequences of the table and outside it."""
    wanted = {tag for tag, vr in table() if vr not in {"US", "AS"}}  # too small to be unique
    assert len(wanted) > 550
    places = set().union(*(case.planter.places for case in cases))
    for depth, is_in_table in ((0, False), *((depth, kind) for depth in (1, 2, 3) for kind in (False, True))):
        assert not wanted - {tag for tag, *place in places if place == [depth, is_in_table]}, (depth, is_in_table)


def test_nothing_but_the_allow_list_came_out(cases: list[Case]) -> None:
    for case in cases:
        out = read(case.file)
        assert case.file[:128] == bytes(128) and not any(tag.is_private for tag in out)
        assert not any(tag.group & 0xFF00 in {0x5000, 0x6000} for tag in out.keys())  # noqa: SIM118
        for keyword in (
            "IconImageSequence",
            "OriginalAttributesSequence",
            "DigitalSignaturesSequence",
            "AccessionNumber",
        ):
            assert not out.get(keyword)
        assert {item.CodeValue for item in out.DeidentificationMethodCodeSequence} == profile.DEFAULT_OPTIONS
        assert (out.PatientIdentityRemoved, out.BurnedInAnnotation) == ("YES", "NO")
        assert out.StudyDescription == out.SeriesDescription == out.ProtocolName == "US ABDOMEN"


def test_fourteen_of_fourteen_needed_attributes_stay(cases: list[Case]) -> None:
    assert len(NEEDED) == 14
    for case in cases:
        out = read(case.file)
        assert {keyword: _plain(out, keyword) for keyword in NEEDED} == case.needed, case.path.name
        assert all(case.needed.values())


def _plain(ds: Dataset, keyword: str) -> str:
    """The value of an attribute; of codes what they say, of regions every number."""
    if dictionary_VR(keyword) != "SQ":
        return str(ds[keyword].value)
    if keyword != "SequenceOfUltrasoundRegions":
        return str(
            [
                (one.CodeValue, one.CodingSchemeDesignator, one.CodeMeaning)
                for one in ds[keyword].value
                if "CodeValue" in one
            ]
        )
    return str(
        [[str(e.value) for e in item if e.tag.group == 0x18 and e.tag.elem >> 8 == 0x60] for item in ds[keyword]]
    )


def test_other_tools_read_every_file(cases: list[Case], tmp_path: Path) -> None:
    if shutil.which("dcmdump") is None:
        pytest.skip("CONFORMANCE NOT TESTED: dcmdump not installed (apt-get install dcmtk)")
    for case in cases:
        path = tmp_path / "released.dcm"
        path.write_bytes(case.file)
        again = read(case.file)
        assert again.PixelData and again.PatientIdentityRemoved == "YES"
        dump = subprocess.run(["dcmdump", "-q", str(path)], capture_output=True, check=False)
        assert dump.returncode == 0 and b"PatientIdentityRemoved" in dump.stdout, case.path.name
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        assert reader.Read(), case.path.name
        assert tuple(reader.GetImage().GetDimensions())[:2] == (again.Columns, again.Rows)


def test_dciodvfy_says_nothing_new(cases: list[Case], tmp_path: Path) -> None:
    """Every error it finds in a released file it found in the file that was given, letter by letter."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("CONFORMANCE NOT TESTED: dciodvfy not installed (apt-get install dicom3tools)")
    for case in cases:
        path = tmp_path / "released.dcm"
        path.write_bytes(case.file)
        if new := _errors(path) - _errors(case.path):  # then about what was planted
            path.write_bytes(case.given)
            assert new <= _errors(path), case.path.name


def _errors(path: Path) -> set[str]:
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace", check=False)
    return {line.strip() for line in (said.stdout + said.stderr).splitlines() if "Error - " in line}


def test_what_rides_beside_the_pixels_is_gone_or_refused(release_file: Callable[..., Any]) -> None:
    """Comments and tails in coded frames, bytes after the last frame: cleaned, or refused with a reason, never kept."""
    text, refused, cleaned = b"ZQ000000LEAKY hidden", [], []
    for path in files():
        ds = read(path.read_bytes())
        if ds.file_meta.TransferSyntaxUID.is_compressed:
            frames = generate_frames(ds.PixelData, number_of_frames=int(ds.get("NumberOfFrames", 1)))
            ds.PixelData = encapsulate([with_comment(frame, text) for frame in frames])
        else:
            ds.PixelData += text
        try:
            released = release_file(written(ds), MASK)
        except Refused as refusal:
            refused.append(path.name)
            assert refusal.message.endswith(".") and "ZQ" not in refusal.message
            continue
        cleaned.append(path.name)
        assert b"ZQ000000" not in released.file, path.name
    assert len(cleaned) + len(refused) == len(files()) and cleaned


def test_study_intervals_are_exact(ultrasound: Dataset, part10: Callable[..., bytes], release_file: Any) -> None:
    """Three studies at different hours, one of them over midnight: the days between them stay, to the day."""
    index = release_file(part10(ultrasound)).index
    starts = [datetime(2019, 5, 6, 9, 30, 15), datetime(2019, 5, 27, 23, 58, 1), datetime(2021, 2, 28, 0, 0, 3)]
    moved = []
    for start in starts:
        ultrasound.StudyDate, ultrasound.StudyTime = start.strftime("%Y%m%d"), start.strftime("%H%M%S")
        later = start + timedelta(minutes=7)
        ultrasound.ContentDate, ultrasound.ContentTime = later.strftime("%Y%m%d"), later.strftime("%H%M%S")
        header = headers.deidentify(ultrasound, Pseudonyms("a-1", b"s" * 32, -371, start), index)
        moved.append(datetime.strptime(header.StudyDate + header.StudyTime, "%Y%m%d%H%M%S"))
        content = datetime.strptime(header.ContentDate + header.ContentTime, "%Y%m%d%H%M%S")
        assert content - moved[-1] == timedelta(minutes=7) and header.StudyTime == "120000"
    assert [(one - moved[0]).days for one in moved] == [(one.date() - starts[0].date()).days for one in starts]
    assert (starts[0].date() - moved[0].date()).days == 371


SAME_AGAIN = """
import sys
from io import BytesIO
from datetime import datetime
from core.deid.pseudonyms import Pseudonyms
ours = Pseudonyms("a-1", b"s" * 32, -371, datetime(2019, 5, 6, 9, 30, 15))
print([ours.uid(f"1.2.840.113619.{n}", n % 3) for n in range(40)], ours.moved_date("20190506", "101500"))
"""


def test_the_same_identities_in_every_process() -> None:
    """Over restarts and in several workers at once: nothing but the linkage row decides."""
    command = [sys.executable, "-c", SAME_AGAIN]
    root = Path(__file__).resolve().parents[3]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) for _ in range(3)]
    told = {process.communicate()[0] for process in running}
    assert len(told) == 1 and told.pop().count(b"2.25.") == 40

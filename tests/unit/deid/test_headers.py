"""Headers: thousands of planted identifiers are gone at every depth, and what the product needs is there."""

from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from typing import Any

import pydicom
import pytest
from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from core.deid import headers, profile, verify
from core.deid.masks import Rect
from core.deid.pseudonyms import Pseudonyms
from core.dicom.frames import decode_stored
from core.errors import BadConfiguration, Held

TEXT = {"PN": 64, "LO": 64, "SH": 16, "ST": 400, "LT": 400, "UT": 400, "UC": 400, "CS": 16, "AE": 16, "UR": 400}
OWN = {"PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence", "PixelData"}


class Planter:
    """Puts identifiers that occur nowhere else into every attribute of Table E.1-1 that pydicom knows."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.uids: list[str] = []
        self.dates: list[tuple[int, str]] = []

    def fill(self, item: Dataset, keep: frozenset[int] = frozenset()) -> None:
        for row in profile.annex_e():
            if "[" in row.pattern or int(row.pattern, 16) in keep or row.pattern.startswith(("0000", "0002", "0004")):
                continue
            tag = int(row.pattern, 16)
            try:
                vr = dictionary_VR(tag)
            except KeyError:
                continue
            value = self._value(tag, vr)
            if value is not None:
                item.add(DataElement(tag, vr, value))

    def text(self, length: int = 64) -> str:
        self.texts.append(f"ZQ{len(self.texts):06d}LEAKY"[:length])
        return self.texts[-1]

    def _value(self, tag: int, vr: str) -> str | Sequence | None:
        if vr in TEXT:
            return self.text(TEXT[vr])
        if vr == "UI":
            self.uids.append(f"1.2.826.0.1.3680043.9.{7_000_000 + len(self.uids)}")
            return self.uids[-1]
        if vr in {"DA", "DT", "TM"}:
            number = len(self.dates)
            day, clock = (
                f"20{number // 336 % 20:02d}{number // 28 % 12 + 1:02d}{number % 28 + 1:02d}",
                f"0{number % 10}4137",
            )
            self.dates.append((tag, {"DA": day, "DT": day + clock, "TM": clock}[vr]))
            return self.dates[-1][1]
        if vr == "SQ":
            inner = Dataset()
            inner.PatientName, inner.CodeMeaning = self.text(), self.text()
            return Sequence([inner])
        return None


@pytest.fixture
def planted(ultrasound: Dataset) -> tuple[Dataset, Planter]:
    planter = Planter()
    uids = frozenset({0x00080018, 0x0020000D, 0x0020000E})
    for depth in (1, 2):
        holder, inner = Dataset(), Dataset()
        planter.fill(inner)
        if depth == 2:
            holder.ReferencedSeriesSequence = Sequence([inner])
            ultrasound.add(DataElement(0x00081250, "SQ", Sequence([holder])))  # Related Series Sequence
        else:
            ultrasound.add(DataElement(0x00181405, "IS", "1"))
            ultrasound.add(DataElement(0x0008114A, "SQ", Sequence([inner])))  # Referenced Instance Sequence
    region, code = ultrasound.SequenceOfUltrasoundRegions[0], ultrasound.AnatomicRegionSequence[0]
    for item in (region, code):
        planter.fill(item)
        block = item.private_block(0x0019, planter.text(), create=True)
        block.add_new(1, "LO", planter.text())
    planter.fill(ultrasound, keep=uids | {0x00101010, 0x00100040})
    for group in (0x5000, 0x501E, 0x6000, 0x6002):
        ultrasound.add_new(group << 16 | 0x0022, "LO", planter.text())
        ultrasound.add_new(group << 16 | 0x3000, "OB", planter.text().encode())
    for number in range(5):
        block = ultrasound.private_block(0x0009 + 2 * number, planter.text(), create=True)
        block.add_new(1, "LO", planter.text())
        inner = Dataset()
        inner.PatientID = planter.text()
        block.add_new(2, "SQ", Sequence([inner]))
    for keyword in ("StudyDescription", "SeriesDescription", "ImageComments", "ProtocolName", "DerivationDescription"):
        setattr(ultrasound, keyword, f"exam of {planter.text()}")
    ultrasound.add_new(0x00200010, "SH", planter.text(16))
    return ultrasound, planter


def test_nothing_planted_is_left(
    planted: tuple[Dataset, Planter], part10: Callable[..., bytes], release_file: Callable[..., Any]
) -> None:
    ds, planter = planted
    data = part10(ds, preamble=planter.text().encode().ljust(128, b"\0"))
    assert len(planter.texts) > 1000 and len(planter.uids) > 100 and len(planter.dates) > 300
    released = release_file(data)
    left = [one for one in (*planter.texts, *planter.uids, "OLDSCANNER") if one.encode() in released.file]
    assert left == []
    out = pydicom.dcmread(BytesIO(released.file))
    values = {int(element.tag): str(element.value) for element in out.iterall()}
    assert [tag for tag, old in planter.dates if values.get(tag) == old] == []
    assert released.file[:128] == bytes(128) and not out.file_meta.get("SourceApplicationEntityTitle")
    verify.check_released(BytesIO(released.file), len(released.file), ["Yamada", "70012345"], ds, decode_stored)
    assert not any(tag.is_private or tag.group in {0x5000, 0x501E, 0x6000, 0x6002} for tag in out.keys())  # noqa: SIM118


def test_what_the_product_needs_is_kept(
    planted: tuple[Dataset, Planter], part10: Callable[..., bytes], release_file: Callable[..., Any]
) -> None:
    planted[0].PatientAge = "069Y"
    out = pydicom.dcmread(BytesIO(release_file(part10(planted[0])).file))
    assert (out.Manufacturer, out.ManufacturerModelName, out.SoftwareVersions) == (
        "Philips Medical Systems",
        "CX50",
        "CX50_3.1",
    )
    assert (out.TransducerData, out.TransducerType) == ("C5-1", "CURVED LINEAR")
    assert (out.FrameTime, out.HeartRate, out.MechanicalIndex, out.DepthOfScanField) == (33.3, 61, 0.9, 150)
    assert (out.PatientSex, out.PatientAge) == ("F", "069Y")
    region, code = out.SequenceOfUltrasoundRegions[0], out.AnatomicRegionSequence[0]
    assert (region.RegionLocationMinX0, region.RegionLocationMaxY1, region.PhysicalDeltaX) == (12, 39, 0.02)
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("10200004", "SCT") and len(region) == 11 and len(code) == 3
    assert (out.Rows, out.Columns, out.PhotometricInterpretation, out.ImageType[2]) == (48, 64, "RGB", "ABDOMINAL")


def test_statements_and_identities(
    ultrasound: Dataset, part10: Callable[..., bytes], release_file: Callable[..., Any], pseudonyms: Pseudonyms
) -> None:
    released = release_file(part10(ultrasound))
    out = pydicom.dcmread(BytesIO(released.file))
    assert out.PatientName == out.PatientID == pseudonyms.research_id
    assert (out.PatientIdentityRemoved, out.BurnedInAnnotation, out.SpecificCharacterSet) == ("YES", "NO", "ISO_IR 192")
    assert out.LongitudinalTemporalInformationModified == "MODIFIED"
    assert {item.CodeValue for item in out.DeidentificationMethodCodeSequence} == profile.DEFAULT_OPTIONS
    assert out.StudyInstanceUID == pseudonyms.uid("1.2.826.0.1.3680043.8.498.2")
    assert (
        out.SOPInstanceUID
        == pseudonyms.uid("1.2.826.0.1.3680043.8.498.1", 1)
        == out.file_meta.MediaStorageSOPInstanceUID
    )
    assert (out.StudyDate, out.StudyTime, out.ContentTime) == ("20170605", "120000", "121100.250000")
    for keyword in ("PatientBirthDate", "AccessionNumber", "StudyID", "ReferringPhysicianName"):
        assert keyword in out and not out[keyword].value
    assert out.file_meta.ImplementationVersionName == headers.IMPLEMENTATION_VERSION
    verify.uids_are_new(released.header, ultrasound)
    with pytest.raises(Held, match="StudyInstanceUID"):
        verify.uids_are_new(ultrasound, ultrasound)


def test_options_left_out(ultrasound: Dataset, part10: Callable[..., bytes], release_file: Callable[..., Any]) -> None:
    released = release_file(part10(ultrasound))
    pseudonyms = Pseudonyms("x1", b"s" * 32, -70, datetime(2019, 5, 6))
    basic = headers.deidentify(ultrasound, pseudonyms, released.index, options=frozenset({profile.BASIC}))
    assert basic.PatientSex == "" and "PatientSize" not in basic and "PatientAge" not in basic
    assert basic.StudyDate == "" and "ContentDate" not in basic and "BurnedInAnnotation" not in basic
    assert basic.LongitudinalTemporalInformationModified == "REMOVED"
    assert [item.CodeValue for item in basic.DeidentificationMethodCodeSequence] == ["113100"]
    with pytest.raises(BadConfiguration):
        headers.deidentify(ultrasound, pseudonyms, released.index, options=frozenset({"113100", "113109"}))


@pytest.mark.parametrize(
    ("age", "kept"), [("034Y", "034Y"), ("090Y", "090Y"), ("101Y", "090Y"), ("018M", "001Y"), ("003W", "000Y")]
)
def test_ages_are_whole_years_cut_at_90(
    ultrasound: Dataset, part10: Callable[..., bytes], release_file: Callable[..., Any], age: str, kept: str
) -> None:
    ultrasound.PatientAge = age
    assert release_file(part10(ultrasound)).header.PatientAge == kept


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("Manufacturer", "Yamada Clinic"), ("ManufacturerModelName", "for YAMADA"), ("SoftwareVersions", "v70012345"),
        ("TransducerData", "ﾔﾏﾀﾞ probe"), ("ProcessingFunction", "preset^hanako"), ("StageName", "山田"),
    ],
)  # fmt: skip
def test_a_patients_value_in_what_stays_holds_the_file(
    ultrasound: Dataset, part10: Callable[..., bytes], release_file: Callable[..., Any], keyword: str, value: str
) -> None:
    ultrasound.add_new(keyword, dictionary_VR(keyword), value)
    with pytest.raises(Held) as caught:
        release_file(part10(ultrasound), needles=("Yamada", "Hanako", "70012345", "ヤマダ", "山田"))
    assert keyword in caught.value.message and value not in caught.value.message


def test_mary_is_not_found_in_primary(
    ultrasound: Dataset, part10: Callable[..., bytes], release_file: Callable[..., Any]
) -> None:
    """Defined terms, DICOM's own meanings and a station named like its scanner say nothing of this patient."""
    needles = ("MARY", "Smith", "Patient", "US", "CX50", "liver")
    released = release_file(part10(ultrasound), needles=needles)
    verify.check_released(BytesIO(released.file), len(released.file), needles, decode=decode_stored)


@pytest.mark.parametrize(
    "uid", ["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.5.1.4.1.1.88.59", "1.2.3.4"]
)
def test_only_ultrasound_images_are_released(
    ultrasound: Dataset, part10: Callable[..., bytes], release_file: Callable[..., Any], uid: str
) -> None:
    ultrasound.SOPClassUID = uid
    with pytest.raises(Held, match="never released" if ".88." in uid else "Only ultrasound"):
        release_file(part10(ultrasound))


def test_codes_of_private_schemes_go(
    ultrasound: Dataset, part10: Callable[..., bytes], release_file: Callable[..., Any]
) -> None:
    ultrasound.AnatomicRegionSequence[0].CodingSchemeDesignator = "99HOSPITAL"
    assert "AnatomicRegionSequence" not in release_file(part10(ultrasound)).header


def test_deep_nesting_is_walked_without_recursion(
    ultrasound: Dataset, part10: Callable[..., bytes], release_file: Callable[..., Any]
) -> None:
    inner = Dataset()
    inner.PatientName = "Yamada^Hanako"
    for _ in range(28):
        outer = Dataset()
        outer.ReferencedSeriesSequence = Sequence([inner])
        inner = outer
    ultrasound.ReferencedSeriesSequence = Sequence([inner])
    assert b"Yamada" not in release_file(part10(ultrasound)).file


def test_masks_reach_the_file(
    ultrasound: Dataset, part10: Callable[..., bytes], release_file: Callable[..., Any]
) -> None:
    before = pydicom.dcmread(BytesIO(part10(ultrasound))).pixel_array
    after = pydicom.dcmread(BytesIO(release_file(part10(ultrasound), (Rect(0, 0, 64, 9),)).file)).pixel_array
    assert not after[:9].any() and (after[9:] == before[9:]).all()


def test_every_listed_keyword_is_what_pydicom_calls_it() -> None:
    for row in profile.allow_list():
        assert keyword_for_tag(row.tag) == row.keyword and dictionary_VM(row.tag)
        assert frozenset(dictionary_VR(row.tag).split(" or ")) == row.vrs

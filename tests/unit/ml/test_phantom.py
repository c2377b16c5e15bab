"""The generated studies: the same for a seed, true about their lesions, and identifying only where they say."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut

from core.errors import Malformed
from core.vocabulary.domain import load
from ml.phantom import (
    DEVICES,
    NO_LESION,
    PhantomStudy,
    _exam,
    _values,
    demo_studies,
    make_study,
    to_bytes,
    wheel_ultrasound,
    write,
)
from ml.phantom_cine import View
from ml.phantom_lesions import codes, grow
from ml.phantom_people import INSTITUTIONS, make_patient
from ml.phantom_screens import FONT, Screen, font


@pytest.fixture(scope="module")
def study() -> PhantomStudy:
    return make_study(4, "liver", "sequoia", 4, 5, "LIV-CYST")


@pytest.fixture(scope="module")
def demo() -> list[PhantomStudy]:
    return demo_studies(3)


def read(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def grey(ds: Dataset) -> np.ndarray:
    """(frames, rows, columns) grey levels of what a viewer would show."""
    pixels = ds.pixel_array
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        pixels = (apply_color_lut(pixels, ds) >> 8).astype(np.uint8)
    if pixels.shape[-1] == 3:
        pixels = pixels.mean(axis=-1)
    return pixels.reshape(-1, ds.Rows, ds.Columns)


def test_the_same_seed_gives_the_same_bytes_and_another_one_none_of_them(study: PhantomStudy) -> None:
    again = make_study(4, "liver", "sequoia", 4, 5, "LIV-CYST")
    assert [to_bytes(i) for i in study.instances] == [to_bytes(i) for i in again.instances]
    other = make_study(5, "liver", "sequoia", 1, 0, "LIV-CYST")
    assert other.patient != study.patient and other.study_uid != study.study_uid
    assert other.instances[0].dataset.PixelData != study.instances[0].dataset.PixelData
    assert other.instances[0].dataset.SOPInstanceUID != study.instances[0].dataset.SOPInstanceUID


def test_every_way_to_store_pixels_is_there_and_decodes(study: PhantomStudy) -> None:
    files = [read(to_bytes(instance)) for instance in study.instances]
    stored = [(ds.PhotometricInterpretation, ds.file_meta.TransferSyntaxUID.name) for ds in files]
    assert stored == [
        ("RGB", "Explicit VR Little Endian"),
        ("RGB", "RLE Lossless"),
        ("PALETTE COLOR", "Explicit VR Little Endian"),
        ("MONOCHROME2", "Explicit VR Little Endian"),
        ("YBR_FULL_422", "JPEG Baseline (Process 1)"),
    ]
    assert [grey(ds).shape for ds in files] == [(1, 480, 640)] * 4 + [(5, 480, 640)]
    assert all(len(to_bytes(instance)) % 2 == 0 for instance in study.instances)


def test_a_cyst_is_dark_where_the_truth_says_and_moves_with_the_probe(study: PhantomStudy) -> None:
    for instance in study.instances:
        frames = grey(read(to_bytes(instance)))
        assert len(frames) == len(instance.truth.boxes)
        for frame, box, centre in zip(frames, instance.truth.boxes, instance.truth.centres, strict=True):
            assert box is not None and centre is not None
            x, y, width, height = box
            middle = frame[y + height // 3 : y + 2 * height // 3, x + width // 3 : x + 2 * width // 3]
            beside = frame[y + height // 3 : y + 2 * height // 3, x - width // 2 : x - 4]
            assert middle.mean() < 12 and beside.mean() > 40
            assert centre == (x + width / 2, y + height / 2)
    assert len(set(study.instances[-1].truth.boxes)) > 1


def test_the_region_and_its_scale_are_true(study: PhantomStudy) -> None:
    for instance in study.instances:
        ds = instance.dataset
        region = ds.SequenceOfUltrasoundRegions[0]
        assert region.PhysicalUnitsXDirection == 3
        assert region.PhysicalDeltaX * 10 == pytest.approx(instance.truth.mm_per_px)
        x, y, width, height = instance.truth.boxes[0]  # type: ignore[misc]
        assert region.RegionLocationMinX0 <= x and x + width - 1 <= region.RegionLocationMaxX1 < ds.Columns
        assert region.RegionLocationMinY0 <= y and y + height - 1 <= region.RegionLocationMaxY1 < ds.Rows
        face = region.RegionLocationMinY0 + region.ReferencePixelY0
        depth_px = (region.RegionLocationMaxY1 - face) * region.PhysicalDeltaY * 10
        assert depth_px == pytest.approx(ds.DepthOfScanField, abs=1.5)


def values(seed: int) -> Mapping[str, str]:
    rng = np.random.default_rng(seed)
    patient = make_patient(rng, "liver")
    return _values(_exam(rng, patient, "liver", "epiq", INSTITUTIONS[seed % len(INSTITUTIONS)], utf8=True))


@pytest.mark.parametrize("key", [key for key, device in DEVICES.items() if device.banner])
def test_identifying_texts_lie_in_the_part_that_published_rules_blank(key: str) -> None:
    device = DEVICES[key]
    converter = View(np.random.default_rng(1), "breast", None, *device.view[2:]).converter
    for seed in range(12):
        screen = Screen(device, converter, values(seed), "breast")
        for text in (t for t in screen.texts if t.identifying):
            x, y, width, height = text.box
            within = [
                bx <= x and by <= y and x + width <= bx + bw and y + height <= by + bh
                for bx, by, bw, bh in device.banner
            ]
            assert any(within), (text.kind, text.box)
        left, top, width, height = screen.region
        for bx, by, bw, bh in device.banner:
            assert bx + bw <= left or by + bh <= top or bx >= left + width or by >= top + height


@pytest.mark.parametrize("key", DEVICES)
def test_texts_do_not_run_into_each_other(key: str) -> None:
    device = DEVICES[key]
    converter = View(np.random.default_rng(1), "liver", None, *device.view[2:]).converter
    for seed in range(12):
        boxes = [t.box for t in Screen(device, converter, values(seed), "liver").texts]
        for n, (x, y, width, height) in enumerate(boxes):
            assert x >= 0 and y >= 0 and x + width <= device.columns and y + height <= device.rows
            for ox, oy, owidth, oheight in boxes[n + 1 :]:
                assert x + width <= ox or ox + owidth <= x or y + height <= oy or oy + oheight <= y


def test_the_font_has_every_sign_that_is_drawn() -> None:
    missing = font(20).getmask("\uffff").getbbox()
    blank = bytes(font(20).getmask("\uffff"))
    sources = [FONT.parents[1] / name for name in ("phantom_people.py", "phantom_devices.py")]
    for sign in sorted({s for source in sources for s in source.read_text("utf-8") if ord(s) > 0x3000}):
        drawn = font(20).getmask(sign)
        assert (drawn.getbbox(), bytes(drawn)) != (missing, blank), sign
    assert FONT.stat().st_size < 200_000
    assert (FONT.parent / "OFL.txt").is_file()


def test_names_are_stored_in_three_groups_in_both_character_sets() -> None:
    for seed, expected in ((2, b"\x1b$B"), (3, None)):
        made = make_study(seed, "breast", "epiq", 1, 0)
        data = to_bytes(made.instances[0])
        ds = read(data)
        assert str(ds.PatientName) == made.patient.person_name()
        assert ds.PatientName.ideographic.replace("^", " ") == made.patient.kanji
        assert expected is None or expected in data
        assert ds.PatientID == made.patient.patient_id and len(ds.PatientID) == 8 and ds.PatientID.startswith("0")
        assert made.patient.kanji.encode("utf-8") in data or expected


def test_there_is_work_for_de_identification(study: PhantomStudy) -> None:
    ds = read(to_bytes(study.instances[0]))
    for keyword in ("PatientBirthDate", "AccessionNumber", "InstitutionName", "OperatorsName", "OtherPatientIDs"):
        assert ds.get(keyword)
    assert study.patient.latin in ds.StudyDescription
    private = [element for element in ds.iterall() if element.tag.is_private]
    assert any(study.patient.latin in str(element.value) for element in private)
    assert any(element.VR == "PN" for element in private)
    assert ds.BurnedInAnnotation == "YES"
    assert {text.text for text in study.instances[0].texts} >= {study.patient.latin, study.patient.kanji}


@pytest.mark.parametrize("domain", ["liver", "breast"])
def test_what_is_drawn_is_in_the_vocabulary(domain: str) -> None:
    known = {option.code for option in load(domain).options["diagnosis"]}
    assert {*codes(domain), NO_LESION[domain]} <= known
    view = {}
    for code in codes(domain):
        lesion = grow(np.random.default_rng(7), code)
        assert lesion.code == code and 0 < lesion.half_height_mm < 30
        view[code] = lesion
    assert len(view) == 4


def test_a_study_without_a_lesion_has_no_box() -> None:
    made = make_study(1, "breast", "unknown", 1, 0, "BR-NONE")
    assert made.instances[0].truth.boxes == (None,) and made.instances[0].truth.centres == (None,)


def test_the_demo_is_six_patients_and_small(demo: list[PhantomStudy]) -> None:
    assert len(demo) == 7 and len({s.patient.patient_id for s in demo}) == 6
    assert [s.domain for s in demo].count("breast") == 2
    assert {s.device for s in demo} >= {"logiq-e9", "aplio", "epiq", "unknown"}
    assert [i.dataset.get("NumberOfFrames", 1) > 1 for i in demo[0].instances] == [False] * 4 + [True]
    assert sum(len(i.dataset.PixelData) for s in demo for i in s.instances) < 40_000_000
    uids = [i.dataset.SOPInstanceUID for s in demo for i in s.instances]
    assert len(set(uids)) == len(uids)


def test_files_are_written_as_they_are(study: PhantomStudy, tmp_path: Path) -> None:
    paths = write([study], tmp_path)
    assert [path.read_bytes() for path in paths] == [to_bytes(instance) for instance in study.instances]


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(Malformed):
        make_study(1, "kidney", "epiq", 1, 0)
    with pytest.raises(Malformed):
        make_study(1, "liver", "toaster", 1, 0)
    with pytest.raises(Malformed):
        make_study(1, "liver", "epiq", 1, 0, "BR-FA")


def test_the_wheel_has_four_real_ultrasound_files() -> None:
    assert [pydicom.dcmread(path).Modality for path in wheel_ultrasound()] == ["US"] * 4

"""Facts apart from identity, and every value to look for."""

import json
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from core.dicom.facts import InstanceFacts, InstanceIdentity, needles, read_facts, read_identity
from core.dicom.part10 import open_part10
from core.dicom.ultrasound import Region


def dataset(**values: object) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    ("values", "age"),
    [
        ({"PatientAge": "041Y"}, 41),
        ({"PatientAge": "095Y"}, 90),
        ({"PatientAge": "018M"}, 1),
        ({"PatientAge": "003W"}, 0),
        ({"PatientBirthDate": "19800301", "StudyDate": "20200229"}, 39),
        ({"PatientBirthDate": "19800301", "StudyDate": "20200301"}, 40),
        ({"PatientBirthDate": "19000101", "StudyDate": "20200301"}, 90),
        ({}, None),
    ],
)
def test_age(values: dict[str, str], age: int | None) -> None:
    assert read_facts(dataset(**values)).age_years == age


def test_nothing_is_known_of_an_empty_data_set() -> None:
    assert read_facts(Dataset()) == InstanceFacts()
    assert read_identity(Dataset()) == InstanceIdentity()
    assert needles(InstanceIdentity()) == ()


def test_bad_values_are_absent() -> None:
    raw = BytesIO(b"\x28\x00\x10\x00US\x03\x00abc" + b"\x10\x00\x20\x00LO\x04\x00P-1 ")
    ds = read_dataset(raw, False, True)
    assert read_facts(ds).rows is None
    assert read_identity(ds).patient_id == "P-1"


def test_facts_of_a_real_cine(data_folder: Path) -> None:
    path = data_folder / "dicom/pydicom-pydicom/examples_ybr_color.dcm"
    with path.open("rb") as fp:
        part10 = open_part10(fp, path.stat().st_size)
    facts = read_facts(part10.dataset, part10.file_meta)
    assert (facts.rows, facts.columns, facts.frames, facts.modality) == (240, 320, 30, "US")
    assert (facts.manufacturer, facts.model) == ("SonoSite, Inc.", "Turbo")
    assert facts.transfer_syntax == "1.2.840.10008.1.2.4.50"
    stored = json.loads(json.dumps(asdict(facts)))
    assert tuple(Region(**one) for one in stored["regions"]) == facts.regions != ()
    assert read_facts(part10.dataset) == facts


def test_a_name_in_three_groups(data_folder: Path) -> None:
    path = data_folder / "dicom_bad/derived_here/us_mf_cp932_name.dcm"
    with path.open("rb") as fp:
        identity = read_identity(open_part10(fp, path.stat().st_size).dataset)
    assert len(identity.patient_name) == 3
    assert all(name.isprintable() and "\ufffd" not in name for name in identity.patient_name)
    found = needles(identity)
    for name in identity.patient_name:
        assert name in found
        assert all(part in found for part in name.split("^") if len(part) > 1)


def test_identity_is_found_in_sequences() -> None:
    inner = dataset(PatientID="OTHER-7", ReferringPhysicianName="House^Greg", InstitutionName="Second")
    ds = dataset(
        PatientName="Doe^Jane=鈴木^花子", PatientID="P-1", InstitutionName="First",
        OtherPatientIDsSequence=[inner], OperatorsName=["Op^A", "Op^B"], OtherPatientNames="Maiden^Jane",
        AccessionNumber="ACC1", StudyDate="20200229",
    )  # fmt: skip
    ds.add_new("PatientBirthDate", "LO", "1980.03.01")  # as older files write it
    identity = read_identity(ds)
    assert identity.patient_name == ("Doe^Jane", "鈴木^花子")
    assert identity.birth_date == "19800301"
    assert identity.other_patient_ids == ("OTHER-7",)
    assert identity.other_patient_names == ("Maiden^Jane",)
    assert set(identity.staff_names) == {"House^Greg", "Op^A", "Op^B"}
    assert set(identity.institutions) == {"First", "Second"}
    found = needles(identity)
    assert {"Doe", "Jane", "Doe^Jane", "鈴木", "花子", "19800301", "P-1", "OTHER-7", "ACC1", "House", "Maiden"} <= set(
        found
    )
    assert "A" not in found
    assert len(found) == len(set(found))
    json.dumps(identity.as_dict())


def test_a_surname_of_one_kanji_is_looked_for() -> None:
    assert "森" in needles(InstanceIdentity(patient_name=("森^鴎外",)))


@pytest.mark.parametrize(
    ("place", "is_one"),
    [
        ("VERIQ", False),
        ("Veri-Q c", False),
        ("MEDISTIM", False),
        ("Ver", True),
        ("VeriQ Clinic", True),
        ("Medistim Ward", True),
    ],
)
def test_a_place_called_like_its_device_is_no_place(place: str, is_one: bool) -> None:
    found = read_identity(dataset(Manufacturer="Medistim", ManufacturerModelName="VeriQ C", StationName=place))
    assert found.institutions == ((place,) if is_one else ())

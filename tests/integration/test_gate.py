"""Relay and central in this process: what they take in, what they refuse, and what the site believes of their answers."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydicom.dataset import Dataset
from pyrage import x25519
from sqlmodel import select

from api.dicomweb.pixels import picture
from core.db import reading, transaction
from core.errors import AppError, Refused, Unavailable
from core.models.bank import BankCase, BankRoi, Site
from core.models.transfer import Package, PackageState, ParcelState, SignedMessage
from core.node import SiteNode
from core.package import archive, envelope, messages, signing
from core.package.contract import CaseRecord, Codes, Keyframe, Number
from core.package.messages import Reason, Replicated
from core.permissions import Actor, Verb
from core.queries import archive as archived
from core.services import forward, originals, receive, replicate, send
from tests.casework import Case, pulled, small_study
from tests.gateway import Change, Door, Gate, Sealed, Source, add_site
from tests.pacs_twin import BadPacs, running
from tests.postgres_fixture import ScratchPostgres
from tests.served import serve
from tests.sites import open_site, person
from tests.troubles import small_disk
from tests.videos import SECRET, SYNTAX, filmed

SITE = "TEST01"


@dataclass
class Chain:
    """A site, the relay and central, and a released case of that site."""

    site: SiteNode
    relay: Door
    gate: Gate
    pacs: BadPacs
    case: Case
    source: Source


@pytest.fixture(scope="module")
def chain(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder, pacs = tmp_path_factory.mktemp("gate"), BadPacs()
    with ExitStack() as stack:
        relay, central = stack.enter_context(serve(postgres, "relay")), stack.enter_context(serve(postgres, "central"))
        gate = Gate(Door.opened(central, SITE, "*"))
        (folder / "central.json").write_text(gate.node.keys.public().dump())
        stack.enter_context(running(pacs))
        site = stack.enter_context(open_site(folder / "site", pacs.url, central_keys_file=folder / "central.json"))
        for served in (relay, central):
            add_site(served, SITE, site.keys.signer())
        case = pulled(site, person(site), pacs, small_study(77, stills=1, cine_frames=2))
        case.curate()
        case.register()
        package = case.release_and_pack()
        assert package.state == PackageState.STAGED, package.reason
        yield Chain(site, Door.opened(relay, SITE), gate, pacs, case, _source(site, gate, package))


def _source(site: SiteNode, gate: Gate, package: Package) -> Source:
    """The package opened with central's key, to be sealed again in other ways."""
    header, plain = envelope.read_header((package.header or "").encode()), io.BytesIO()
    files: dict[str, bytes] = {}
    with site.outbox(package.id).open("rb") as sealed:
        envelope.decrypt_package(sealed, plain, header, gate.node.keys.identity)
    plain.seek(0)
    record = archive.read_archive(plain, header, lambda image, chunks: files.update({image.sha256: b"".join(chunks)}))
    return Source(record, files, site.keys.signer())


# Accepted


def test_a_good_package_is_accepted_once_and_replicated(chain: Chain) -> None:
    gate, source = chain.gate, chain.source.fresh()
    before, sealed = gate.counts(), source.seal(gate.node)
    receipt = gate.judge(sealed)
    assert (receipt.verdict, receipt.reasons, receipt.case_version) == ("ACCEPTED", (), 1)
    assert receipt.ciphertext_sha256 == hashlib.sha256(sealed.ciphertext).hexdigest()
    assert receipt.site_audit_head == source.record.site_audit_head
    replicate.replicate(gate.node, source.record.case_id)
    after = gate.counts()
    grown = {name: after[name] - before[name] for name in after}
    assert grown == {
        "bank_case": 1, "bank_image": 2, "bank_roi": 2, "record_version": 1, "instance": 2, "series": 1, "study": 1,
        "signed_message": 2, "blobs": 2,
    }  # fmt: skip
    told = [message for message in gate.messages() if getattr(message, "package_id", None) == sealed.package_id]
    assert [message.kind for message in told] == ["receipt", "replicated"]
    hashes = sorted(image.sha256 for image in source.record.images)
    assert isinstance(told[1], Replicated) and told[1].count == 2
    assert told[1].list_sha256 == hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    assert all(gate.node.replica.read(sha256) == source.files[sha256] for sha256 in hashes)
    assert not list((gate.node.settings.data_dir / "spool").glob("*"))
    assert not list((gate.node.settings.data_dir / "scratch").glob("*"))
    # The same package again, and every job again: the same receipt, nothing doubled.
    assert gate.door.announce(sealed).json()["state"] == "ACCEPTED"
    assert gate.judge(sealed) == receipt
    replicate.replicate(gate.node, source.record.case_id)
    assert gate.counts() == after


def test_two_workers_with_one_parcel_accept_it_once(chain: Chain) -> None:
    gate, source = chain.gate, chain.source.fresh()
    sealed, before = source.seal(gate.node), gate.counts()
    gate.door.deliver(sealed)
    parcel = gate.door.parcel(sealed)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(receive.receive, gate.node, parcel.id) for _ in range(2)]
    # A job that meets the other's traces is tried again by its worker.
    assert all(run.exception() is None or isinstance(run.exception(), AppError | OSError) for run in runs)
    receive.receive(gate.node, parcel.id)
    after = gate.counts()
    assert (after["bank_case"] - before["bank_case"], after["signed_message"] - before["signed_message"]) == (1, 1)
    assert gate.door.parcel(sealed).state == ParcelState.ACCEPTED


def test_a_newer_version_replaces_the_images_and_keeps_the_older_record(chain: Chain) -> None:
    gate, first = chain.gate, chain.source.fresh()
    assert gate.judge(first.seal(gate.node)).verdict == "ACCEPTED"
    before = gate.counts()
    second = first.again(case_version=2, age_years=64)
    assert gate.judge(second.seal(gate.node)).verdict == "ACCEPTED"
    after = gate.counts()
    assert {name for name in after if after[name] != before[name]} == {"record_version", "signed_message"}
    with reading(gate.node.engine) as session:
        case = session.get_one(BankCase, first.record.case_id)
        assert (case.version, case.package_id, case.replicated_at) == (2, second.record.package_id, None)


def test_a_video_goes_the_whole_way(chain: Chain) -> None:
    """From a PACS in H.264 to frames that central shows; the curator sees the original and the candidate on the way."""
    study = filmed(small_study(78, stills=0, cine_frames=5))
    case = pulled(chain.site, person(chain.site, "vera"), chain.pacs, study)
    case.curate()
    with reading(chain.site.engine) as session:
        image = case.images()[0]
        assert originals.frame(chain.site, session, case.actor, image.id, 5)[:4] == b"\x89PNG"
    case.register()
    package = case.release_and_pack()
    assert package.state == PackageState.STAGED, package.reason
    source = _source(chain.site, chain.gate, package)
    file = next(iter(source.files.values()))
    assert source.record.images[0].transfer_syntax == SYNTAX and source.record.images[0].frames == 5
    assert b"x264" not in file and SECRET not in file
    assert chain.gate.judge(source.seal(chain.gate.node)).verdict == "ACCEPTED"
    said = source.record.images[0]
    reader = Actor("reader", None, ((Verb.DICOM_READ, frozenset({"*"})),))
    with reading(chain.gate.node.engine) as session:
        stored = archived.one(session, reader, said.study_uid, said.series_uid, said.sop_instance_uid)
    shown = [picture(chain.gate.node, stored, number, {"media_type": "image/png"}) for number in range(5)]
    assert len(set(shown)) == 5


# Refused at the door


def test_another_hash_under_a_known_id_is_refused_for_good(chain: Chain) -> None:
    gate, source = chain.gate, chain.source.fresh()
    gate.judge(source.seal(gate.node))
    before = gate.counts()
    for _ in range(2):
        answer = gate.door.announce(source.seal(gate.node))  # age draws a new key: the same content, another hash
        assert answer.status_code == 422 and "for good" in answer.json()["detail"]
    assert gate.counts() == before


def test_only_registered_and_active_sites_are_heard(chain: Chain) -> None:
    gate, stranger = chain.gate, Ed25519PrivateKey.generate()
    unknown_key = replace(chain.source.again(), key=stranger)
    assert gate.door.announce(unknown_key.seal(gate.node)).status_code == 422
    elsewhere = chain.source.again(site="NOWHERE1")
    assert gate.door.announce(elsewhere.seal(gate.node)).status_code == 422
    sealed = chain.source.fresh().seal(gate.node)
    wrong = Sealed(sealed.package_id, sealed.header, "0" * 128, sealed.ciphertext)
    assert gate.door.announce(wrong).status_code == 422


@pytest.fixture
def inactive(chain: Chain) -> Iterator[Callable[[bool], None]]:
    def switch(active: bool) -> None:
        with transaction(chain.gate.node.engine, "test.site") as session:
            session.get_one(Site, SITE).active = active

    yield switch
    switch(True)


def test_an_inactive_site_is_refused(chain: Chain, inactive: Callable[[bool], None]) -> None:
    gate, source = chain.gate, chain.source.fresh()
    late = source.seal(gate.node)
    gate.door.deliver(late)
    inactive(False)
    answer = gate.door.announce(chain.source.fresh().seal(gate.node))
    assert answer.status_code == 422 and "registered" in answer.json()["detail"]
    receive.receive(gate.node, gate.door.parcel(late).id)  # it came before, and is judged after
    assert gate.door.parcel(late).reasons == [Reason.SIGNATURE]


def test_a_machine_speaks_for_its_own_site_only(chain: Chain) -> None:
    sealed = chain.source.fresh().seal(chain.gate.node)
    other = Door.opened(chain.gate.door.served, SITE, "OTHER01")
    assert other.announce(sealed).status_code == 403
    chain.gate.door.announce(sealed)
    assert other.put(sealed, 0, sealed.ciphertext).status_code == 404
    assert other.request("GET", f"/api/v1/parcels/{SITE}/{sealed.package_id}").status_code == 404
    assert other.request("GET", "/api/v1/messages", params={"site": SITE}).status_code == 404


def test_chunks_come_in_their_order_and_end_with_the_signed_hash(chain: Chain) -> None:
    door, sealed = chain.relay, chain.source.fresh().seal(chain.gate.node)
    content, third = sealed.ciphertext, len(sealed.ciphertext) // 3
    door.announce(sealed)
    assert door.put(sealed, 5, content[5:]).status_code == 409
    assert door.put(sealed, 0, b"").status_code == 422
    assert door.put(sealed, 0, content + b"x").status_code == 422
    assert door.put(sealed, 0, content[:third]).json()["received"] == third
    assert door.put(sealed, 0, content[:third]).status_code == 409
    assert door.announce(sealed).json() == door.request("GET", f"/api/v1/parcels/{SITE}/{sealed.package_id}").json()
    damaged = door.put(sealed, third, content[third:-1] + b"x")
    assert damaged.json()["state"] == "RECEIVING" and damaged.json()["received"] == 0
    assert door.put(sealed, 0, content).json()["state"] == "COMPLETE"
    assert door.put(sealed, 0, content).json()["state"] == "COMPLETE"


# Quarantined


def private_tag(dataset: Dataset) -> None:
    dataset.private_block(0x0029, "ACME 1.0", create=True).add_new(0x10, "LO", "x")


def some_code(record: CaseRecord, field: str, code: str) -> dict[str, Any]:
    return {"values": record.values | {field: Codes(kind="codes", codes=(code,), source="manual")}}


FILES: dict[str, tuple[Change, Reason]] = {
    "private tag": (private_tag, Reason.PERSONAL_TAG),
    "operator's name": (lambda ds: setattr(ds, "OperatorsName", "Sato"), Reason.PERSONAL_TAG),
    "birth date": (lambda ds: setattr(ds, "PatientBirthDate", "19700101"), Reason.PERSONAL_TAG),
    "patient's name": (lambda ds: setattr(ds, "PatientName", "Yamada^Taro"), Reason.PERSONAL_TAG),
    "accession": (lambda ds: setattr(ds, "AccessionNumber", "A123"), Reason.PERSONAL_TAG),
    "text": (lambda ds: setattr(ds, "ImageComments", "seen by Dr Sato"), Reason.PERSONAL_TAG),
    "original UID inside": (lambda ds: setattr(ds, "FrameOfReferenceUID", "1.2.840.113619.2.1"), Reason.PERSONAL_TAG),
    "burned in": (lambda ds: setattr(ds, "BurnedInAnnotation", "YES"), Reason.PERSONAL_TAG),
    "another patient": (lambda ds: setattr(ds, "PatientID", str(uuid4())), Reason.IMAGE_DIFFERS),
    "another instance": (lambda ds: setattr(ds, "SOPInstanceUID", f"2.25.{uuid4().int}"), Reason.IMAGE_DIFFERS),
    "rows": (lambda ds: setattr(ds, "Rows", ds.Rows // 2), Reason.UNREADABLE_IMAGE),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_may_not_be_here_is_quarantined(chain: Chain, name: str) -> None:
    change, reason = FILES[name]
    quarantined(chain.gate, chain.source.fresh(change), reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rows": 4096}, Reason.GEOMETRY),
        ({"frames": 7}, Reason.GEOMETRY),
        ({"photometric": "MONOCHROME1"}, Reason.GEOMETRY),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7"}, Reason.IMAGE_DIFFERS),
        ({"transfer_syntax": "1.2.840.10008.1.2.4.90"}, Reason.IMAGE_DIFFERS),
    ],
)
def test_a_record_that_differs_from_its_file_is_quarantined(
    chain: Chain, changes: dict[str, Any], reason: Reason
) -> None:
    source = chain.source.fresh(**changes)
    source.record = source.record.model_copy(update={"rois": ()})
    quarantined(chain.gate, source, reason)


@pytest.mark.parametrize(
    "change",
    [
        lambda record: {"basis": ("DX-INVENTED",)},
        lambda record: some_code(record, "diagnosis", "YAMADA"),
        lambda record: some_code(record, "malignancy", "Taro"),
        lambda record: some_code(record, "invented_field", "Taro"),
        lambda record: {
            "values": record.values | {"invented": Number(kind="number", value=1.0, unit="mm", source="manual")}
        },
        lambda record: {"rois": tuple(roi.model_copy(update={"label": "XYZ"}) for roi in record.rois)},
        lambda record: {"domain": "spleen"},
    ],
)
def test_what_the_vocabulary_does_not_know_is_quarantined(
    chain: Chain, change: Callable[[CaseRecord], dict[str, Any]]
) -> None:
    source = chain.source.fresh()
    source.record = source.record.model_copy(update=change(source.record))
    quarantined(chain.gate, source, Reason.UNKNOWN_CODE)


def test_a_track_is_taken_with_its_keyframes(chain: Chain) -> None:
    source = chain.source.fresh()
    first, *others = source.record.rois
    corners = ((first.x, first.y), (first.x + first.width, first.y), (first.x, first.y + first.height))
    track = {"shape": "polygon", "keyframes": (Keyframe(frame=first.frame, points=corners),)}
    rois = (first.model_copy(update=track), *others)
    source.record = source.record.model_copy(update={"rois": rois})
    assert chain.gate.judge(source.seal(chain.gate.node)).verdict == "ACCEPTED"
    with reading(chain.gate.node.engine) as session:
        row = session.get_one(BankRoi, first.roi_id)
        plain = [session.get_one(BankRoi, roi.roi_id) for roi in others]
    assert (row.kind, row.keyframes) == ("polygon", [[first.frame, [list(point) for point in corners]]])
    assert {roi.kind for roi in plain} <= {"rectangle"} and all(roi.keyframes for roi in plain)


def test_old_versions_and_foreign_claims_are_quarantined(chain: Chain) -> None:
    gate, source = chain.gate, chain.source.fresh()
    assert gate.judge(source.again(case_version=3).seal(gate.node)).verdict == "ACCEPTED"
    for version in (1, 3):
        quarantined(gate, source.again(case_version=version), Reason.OLD_VERSION)
    other_patient = chain.source.fresh()
    claims = other_patient.again(case_id=source.record.case_id, case_version=4)
    quarantined(gate, claims, Reason.OTHER_CONTENT)
    quarantined(gate, source.again(case_id=uuid4()), Reason.DUPLICATE)


def test_an_archive_or_ciphertext_that_is_not_right_is_quarantined(chain: Chain) -> None:
    gate, source = chain.gate, chain.source.fresh()
    quarantined(gate, source, Reason.ARCHIVE, damage=lambda tar: tar + b"more")
    source = chain.source.fresh()
    for_another = x25519.Identity.generate()
    keys = gate.node.keys
    object.__setattr__(gate.node, "keys", type(keys)(for_another, keys.signer))
    try:
        sealed = source.seal(gate.node)
    finally:
        object.__setattr__(gate.node, "keys", keys)
    assert gate.judge(sealed).reasons == (Reason.CIPHERTEXT,)


def quarantined(gate: Gate, source: Source, reason: Reason, **how: Any) -> None:
    """The receipt names the reason, and nothing of the package is kept."""
    sealed, before = source.seal(gate.node, **how), gate.counts()
    receipt = gate.judge(sealed)
    assert (receipt.verdict, receipt.reasons, receipt.site_audit_head) == ("QUARANTINED", (reason,), None)
    after = gate.counts()
    assert after == before | {"signed_message": before["signed_message"] + 1}
    assert gate.door.parcel(sealed).state == ParcelState.QUARANTINED
    for folder in ("spool", "scratch"):
        assert not list((gate.node.settings.data_dir / folder).glob("*"))


# A disk without room


def test_central_without_room_keeps_the_parcel_and_judges_it_later(chain: Chain) -> None:
    gate, sealed = chain.gate, chain.source.fresh().seal(chain.gate.node)
    gate.door.deliver(sealed)
    parcel = gate.door.parcel(sealed)
    with small_disk(gate.node.folder("scratch"), 0.25), pytest.raises(Unavailable, match="room on the disk"):
        receive.receive(gate.node, parcel.id)
    assert gate.door.parcel(sealed).state == ParcelState.COMPLETE
    assert gate.judge(sealed).verdict == "ACCEPTED"


def test_a_relay_without_room_says_so_and_goes_on_where_it_was(chain: Chain) -> None:
    door, sealed = chain.relay, chain.source.fresh().seal(chain.gate.node)
    door.announce(sealed)
    with small_disk(door.served.node.folder("spool"), 0.25):
        answer = door.put(sealed, 0, sealed.ciphertext)
        assert answer.status_code == 503 and "room on the disk" in answer.json()["detail"]
        with pytest.raises(Unavailable):
            door.deliver(sealed)
    assert door.announce(sealed).json()["received"] == 0
    door.deliver(sealed)
    assert door.parcel(sealed).state == ParcelState.COMPLETE


def test_a_site_without_room_packs_later(chain: Chain) -> None:
    case = chain.case
    with transaction(chain.site.engine, "test") as session:
        package = session.get_one(Package, case.package().id)
        package.state = PackageState.DEIDENTIFIED
    with small_disk(chain.site.folder("scratch"), 0.25) as disk:
        with pytest.raises(Unavailable, match="room on the disk"):
            send.pack(chain.site, case.package().id)
        assert not list(disk.iterdir())
    assert case.package().state == PackageState.DEIDENTIFIED
    send.pack(chain.site, case.package().id)
    assert case.package().state == PackageState.STAGED


# What the site believes


def test_the_site_moves_by_signed_messages_in_their_order(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, site, relay = chain.gate, chain.site, chain.relay
    monkeypatch.setattr(send, "next_node", lambda node: relay.courier())
    monkeypatch.setattr(forward, "central_of", lambda node: gate.door.courier())
    package = chain.case.package()
    assert package.state == PackageState.STAGED
    send.send(site, package.id)
    assert chain.case.package().state == PackageState.SENT
    sealed = Sealed(package.id, package.header or "", package.signature or "", b"")
    forward.forward(relay.served.node, relay.parcel(sealed).id)
    assert relay.parcel(sealed).state == ParcelState.FORWARDED
    assert not list((relay.served.node.settings.data_dir / "spool").glob(f"*{package.id}*"))
    receive.receive(gate.node, gate.door.parcel(sealed).id)
    replicate.replicate(gate.node, chain.source.record.case_id)
    assert forward.mirror_messages(relay.served.node) == len(gate.entries())
    believed_nothing_else(chain)
    assert send.poll(site) == len(gate.entries())
    assert chain.case.package().state == PackageState.REPLICATED
    assert chain.case.row.purge_at is not None
    assert send.poll(site) == 0
    assert [entry.n for entry in site_messages(site)] == list(range(1, len(gate.entries()) + 1))


def site_messages(site: SiteNode) -> list[SignedMessage]:
    with reading(site.engine) as session:
        return sorted(session.exec(select(SignedMessage)), key=lambda entry: entry.n)


def believed_nothing_else(chain: Chain) -> None:
    """A relay that lies: forged, altered, foreign, repeated and missing messages change nothing at the site."""
    relay, site = chain.relay.served.node, chain.site
    with reading(relay.engine) as session:
        true = sorted(session.exec(select(SignedMessage)), key=lambda entry: entry.n)
    first = true[0]
    forger, body = Ed25519PrivateKey.generate(), json.loads(first.body)
    lie = json.dumps(
        body | {"verdict": "ACCEPTED", "package_id": str(chain.case.package().id)},
        sort_keys=True,
        separators=(",", ":"),
    )
    forged, signature = messages.seal_message(
        messages.Replicated(
            kind="replicated",
            key_id=_key_id(forger),
            n=1,
            site=SITE,
            package_id=chain.case.package().id,
            count=1,
            list_sha256="0" * 64,
        ),
        forger,
    )
    lies = {
        "altered": (lie, first.signature),
        "forged": (forged.decode(), signature),
        "not signed": (first.body, "0" * 128),
        "not a message": ("{}", first.signature),
        "out of order": (true[1].body, true[1].signature),
        "signed as something else": (true[-1].body, first.signature),
    }
    for name, (text, signed) in lies.items():
        with transaction(relay.engine, "test.lie") as session:
            row = session.get_one(SignedMessage, first.id)
            row.body, row.signature = text, signed
        with pytest.raises(Refused):
            send.poll(site)
        assert chain.case.package().state == PackageState.SENT, name
        assert site_messages(site) == [], name
    with transaction(relay.engine, "test.truth") as session:
        row = session.get_one(SignedMessage, first.id)
        row.body, row.signature = first.body, first.signature


def _key_id(key: Ed25519PrivateKey) -> str:
    return signing.key_id(key.public_key())

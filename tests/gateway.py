"""Relay and central in this process, a site that may send to them, and packages rebuilt for an attack."""

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast
from uuid import UUID, uuid4

import pydicom
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydicom.dataset import Dataset
from sqlalchemy import text
from sqlmodel import col, select

from core.db import reading, transaction
from core.models.bank import Site
from core.models.people import Role
from core.models.transfer import Parcel, SignedMessage
from core.node import CentralNode
from core.package import archive, envelope, messages, signing
from core.package.contract import CaseRecord, ImageRecord
from core.services import receive
from core.services.courier import NextNode
from tests.served import Served

Change = Callable[[Dataset], object]
COUNTED = ("bank_case", "bank_image", "bank_roi", "record_version", "instance", "series", "study", "signed_message")


def uid() -> str:
    return f"2.25.{uuid4().int}"


@dataclass
class Sealed:
    """A package as it travels."""

    package_id: UUID
    header: str
    signature: str
    ciphertext: bytes


@dataclass
class Source:
    """A released case: its record, its files by hash, and the signing key of its site."""

    record: CaseRecord
    files: Mapping[str, bytes]
    key: Ed25519PrivateKey = field(repr=False)

    def again(self, **changes: Any) -> "Source":
        """The same case in another package."""
        return replace(self, record=self.record.model_copy(update={"package_id": uuid4()} | changes))

    def fresh(self, change: Change = lambda dataset: None, **changes: Any) -> "Source":
        """Another patient's case with new identities everywhere; `change` is done to each file, `changes` to each image record."""
        research_id, study, series = uuid4(), uid(), uid()
        images: list[ImageRecord] = []
        files: dict[str, bytes] = {}
        outward = {image.image_id: uuid4() for image in self.record.images}
        for image in self.record.images:
            instance = uid()
            names = {"SOPInstanceUID": instance, "StudyInstanceUID": study, "SeriesInstanceUID": series}
            content = _rewritten(self.files[image.sha256], names, str(research_id), change)
            sha256 = hashlib.sha256(content).hexdigest()
            files[sha256] = content
            facts: dict[str, object] = {"sop_instance_uid": instance, "study_uid": study, "series_uid": series}
            facts |= {"image_id": outward[image.image_id], "sha256": sha256, "size": len(content)}
            images.append(image.model_copy(update=facts | changes))
        rois = tuple(
            roi.model_copy(update={"roi_id": uuid4(), "image_id": outward[roi.image_id]}) for roi in self.record.rois
        )
        record = self.record.model_copy(
            update={
                "package_id": uuid4(),
                "case_id": uuid4(),
                "research_id": research_id,
                "images": tuple(images),
                "rois": rois,
            }
        )
        return replace(self, record=record, files=files)

    def seal(self, central: CentralNode, damage: Callable[[bytes], bytes] = lambda tar: tar) -> Sealed:
        """Archive, encrypt to central and sign, as a site does; `damage` is done to the plain archive."""
        record, recipient = self.record, central.keys.identity.to_public()
        address = envelope.Address(
            contract_version=1,
            site=record.site,
            site_key_id=signing.key_id(self.key.public_key()),
            recipient_key_id=envelope.recipient_key_id(recipient),
            package_id=record.package_id,
            case_version=record.case_version,
        )
        plain, ciphertext = io.BytesIO(), io.BytesIO()
        archive.write_archive(plain, record, address, lambda sha256: io.BytesIO(self.files[sha256]))
        size, sha256 = envelope.encrypt(io.BytesIO(damage(plain.getvalue())), ciphertext, recipient)
        header = envelope.make_header(address, size, sha256)
        return Sealed(record.package_id, header.decode(), envelope.sign_header(header, self.key), ciphertext.getvalue())


def _rewritten(content: bytes, names: Mapping[str, str], research_id: str, change: Change) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(content))
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(dataset, keyword, names[keyword])
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PatientID = dataset.PatientName = research_id
    change(dataset)
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


@dataclass
class Door:
    """A relay or central, and the machine of a site (`*` for the relay's own) that may deliver there."""

    served: Served
    site: str
    headers: dict[str, str] = field(repr=False)

    @classmethod
    def opened(cls, served: Served, site: str, speaks_for: str | None = None) -> "Door":
        """A door for a new machine."""
        name = f"machine-{uuid4().hex[:8]}"
        served.person(name, [(Role.MACHINE, "*")], site=speaks_for or site)
        return cls(served, site, served.bearer(name))

    def request(self, method: str, path: str, **options: Any) -> Any:
        return self.served.client.request(method, path, headers=self.headers, **options)

    def close(self) -> None:
        """As httpx's client; the node stays."""

    def courier(self) -> NextNode:
        """What a node behind this door uses instead of a connection."""
        made = NextNode("http://in-process.example", "unused")
        made._client.close()
        made._client = cast(Any, self)
        return made

    def announce(self, sealed: Sealed) -> Any:
        return self.request("POST", "/api/v1/parcels", json={"header": sealed.header, "signature": sealed.signature})

    def put(self, sealed: Sealed, offset: int, chunk: bytes) -> Any:
        path = f"/api/v1/parcels/{self.site}/{sealed.package_id}/content"
        return self.request("PUT", path, params={"offset": offset}, content=chunk)

    def deliver(self, sealed: Sealed) -> None:
        with self.courier() as next_node:
            next_node.deliver(
                self.site, sealed.package_id, sealed.header, sealed.signature,
                lambda offset, length: sealed.ciphertext[offset : offset + length], len(sealed.ciphertext),
            )  # fmt: skip

    def parcel(self, sealed: Sealed) -> Parcel:
        with reading(self.served.node.engine) as session:
            return session.exec(select(Parcel).where(Parcel.package_id == sealed.package_id)).one()


def add_site(served: Served, code: str, key: Ed25519PrivateKey) -> None:
    public = signing.write_public(key.public_key())
    with transaction(served.node.engine, "test.site") as session:
        session.add(Site(code=code, name=code, keys={signing.key_id(key.public_key()): public}))


@dataclass
class Gate:
    """Central with one door, and what it answered."""

    door: Door

    @property
    def node(self) -> CentralNode:
        return cast(CentralNode, self.door.served.node)

    def judge(self, sealed: Sealed) -> messages.Receipt:
        """Deliver, run central's job, and give the receipt, its signature checked."""
        self.door.deliver(sealed)
        receive.receive(self.node, self.door.parcel(sealed).id)
        found = [message for message in self.messages() if getattr(message, "package_id", None) == sealed.package_id]
        receipts = [message for message in found if isinstance(message, messages.Receipt)]
        assert len(receipts) == 1
        return receipts[0]

    def entries(self) -> list[SignedMessage]:
        with reading(self.node.engine) as session:
            statement = select(SignedMessage).where(SignedMessage.site == self.door.site).order_by(col(SignedMessage.n))
            return list(session.exec(statement))

    def messages(self) -> list[messages.Message]:
        """Everything that central signed for the site, verified, in its order without a gap."""
        last, found = 0, []
        for entry in self.entries():
            key = self.node.keys.signer.public_key()
            message = messages.open_message(entry.body.encode(), entry.signature, key, site=self.door.site)
            last = messages.accept_in_order(last, message)
            found.append(message)
        return found

    def counts(self) -> dict[str, int]:
        """Rows of every table that a package may fill, and the blobs in the store."""
        with reading(self.node.engine) as session:
            rows = {name: int(session.execute(text(f"SELECT count(*) FROM {name}")).scalar_one()) for name in COUNTED}
        return rows | {"blobs": len(list(self.node.store.listing()))}

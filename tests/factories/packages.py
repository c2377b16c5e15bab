"""Valid records, archives and whole packages with full defaults; each test says only what it changes."""

import hashlib
import io
from dataclasses import dataclass
from typing import Any, BinaryIO
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pyrage import x25519

from core.package import archive, envelope, signing
from core.package.contract import (
    Boolean,
    CaseRecord,
    Codes,
    Device,
    ImageRecord,
    Integer,
    Mask,
    Number,
    Point,
    RoiRecord,
    Scale,
)
from core.package.envelope import Address, Header

SITE = "KYOTO01"


def make_uid() -> str:
    return f"2.25.{uuid4().int}"


def make_file(frames: int = 1) -> bytes:
    """Bytes that stand for a DICOM file; the package does not look into them."""
    return bytes(128) + b"DICM" + uuid4().bytes * 40 * frames


def make_image(file: bytes | None = None, **changes: object) -> ImageRecord:
    data = make_file() if file is None else file
    facts: dict[str, Any] = {
        "image_id": uuid4(),
        "study_uid": make_uid(),
        "series_uid": make_uid(),
        "sop_instance_uid": make_uid(),
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.3.1",
        "transfer_syntax": "1.2.840.10008.1.2.4.50",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "rows": 480,
        "columns": 640,
        "frames": 3,
        "photometric": "YBR_FULL_422",
        "device": Device(
            manufacturer="GE Healthcare",
            model="LOGIQ E9",
            software=("R6.1",),
            transducer=("C5-1",),
            transducer_type="CURVED LINEAR",
        ),
        "mask": Mask(rule_id="ge-logiq-e9", rule_version="3", rects=((0, 0, 640, 40),), revision=1),
        "candidate_digest": hashlib.sha256(b"candidate").hexdigest(),
        "mm_per_px": Scale(x=0.25, y=0.25),
        "quality": "diagnostic",
        "values": {"image_mode": Codes(kind="codes", codes=("399009009",), source="manual")},
    }
    return ImageRecord(**facts | changes)


def make_roi(image: ImageRecord, **changes: object) -> RoiRecord:
    facts: dict[str, Any] = {
        "roi_id": uuid4(),
        "image_id": image.image_id,
        "lesion_id": uuid4(),
        "frame": 1,
        "x": 100.0,
        "y": 200.5,
        "width": 60.0,
        "height": 41.0,
        "margin": 16.0,
        "centre_px": Point(x=130.0, y=221.0),
        "centre_mm": Point(x=32.5, y=55.25),
        "shape": "rectangle",
        "label": "LIV-HCC",
        "drawn_by": "specialist",
        "source": "manual",
    }
    return RoiRecord(**facts | changes)


def make_record(**changes: object) -> CaseRecord:
    images: Any = changes.pop("images", None) or (make_image(),)
    facts: dict[str, Any] = {
        "contract_version": 1,
        "package_id": uuid4(),
        "site": SITE,
        "case_id": uuid4(),
        "case_version": 1,
        "research_id": uuid4(),
        "domain": "liver",
        "capture_route": "flag",
        "sex": "F",
        "age_years": 63,
        "height_m": 1.58,
        "weight_kg": 52.5,
        "values": {
            "diagnosis": Codes(kind="codes", codes=("LIV-HCC",), source="manual"),
            "size_long_mm": Number(kind="number", value=23.5, unit="mm", source="manual"),
            "heart_rate": Integer(kind="integer", value=72, unit="1/min", source="(0018,1088)"),
            "contrast": Boolean(kind="boolean", value=False, source="derived"),
        },
        "images": images,
        "rois": (make_roi(images[0]),),
        "basis": ("DX-HIST-SURG", "MR"),
        "site_audit_head": hashlib.sha256(b"head").hexdigest(),
    }
    return CaseRecord(**facts | changes)


def make_address(record: CaseRecord, site_key_id: str = "a" * 32, recipient_key_id: str = "b" * 32) -> Address:
    return Address(
        contract_version=1,
        site=record.site,
        site_key_id=site_key_id,
        recipient_key_id=recipient_key_id,
        package_id=record.package_id,
        case_version=record.case_version,
    )


@dataclass
class Packed:
    """A whole package and both ends' keys."""

    record: CaseRecord
    files: dict[str, bytes]
    address: Address
    tar: bytes
    ciphertext: bytes
    header: bytes
    signature: str
    site_key: Ed25519PrivateKey
    identity: x25519.Identity

    @property
    def site_keys(self) -> dict[tuple[str, str], Ed25519PublicKey]:
        return {(self.address.site, self.address.site_key_id): self.site_key.public_key()}

    @property
    def facts(self) -> Header:
        return envelope.read_header(self.header)

    def open_image(self, sha256: str) -> BinaryIO:
        return io.BytesIO(self.files[sha256])


def make_packed(images: int = 2, site: str = SITE, identity: x25519.Identity | None = None) -> Packed:
    files = [make_file() for _ in range(images)]
    record = make_record(images=tuple(make_image(file) for file in files), site=site)
    key, identity = Ed25519PrivateKey.generate(), identity or x25519.Identity.generate()
    recipient = identity.to_public()
    address = make_address(record, signing.key_id(key.public_key()), envelope.recipient_key_id(recipient))
    by_hash = {hashlib.sha256(file).hexdigest(): file for file in files}
    tar, ciphertext = io.BytesIO(), io.BytesIO()
    archive.write_archive(tar, record, address, lambda sha256: io.BytesIO(by_hash[sha256]))
    size, sha256 = envelope.encrypt(io.BytesIO(tar.getvalue()), ciphertext, recipient)
    header = envelope.make_header(address, size, sha256)
    signature = envelope.sign_header(header, key)
    return Packed(
        record, by_hash, address, tar.getvalue(), ciphertext.getvalue(), header, signature, key, identity
    )  # fmt: skip

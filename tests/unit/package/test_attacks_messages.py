"""Attacks on what central says: forged, moved, replayed, reordered and delayed messages."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import Refused
from core.package import messages, signing
from core.package.messages import Erased, Heartbeat, Message, Reason, Receipt, Replicated, Tombstone
from core.package.signing import Domain

KEY = Ed25519PrivateKey.generate()
SIGNED_BY = signing.key_id(KEY.public_key())
SITE = "KYOTO01"
HASH = hashlib.sha256(b"x").hexdigest()
NOW = datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC)


def receipt(n: int = 1, **changes: object) -> Receipt:
    facts: dict[str, Any] = {
        "kind": "receipt",
        "site": SITE,
        "key_id": SIGNED_BY,
        "n": n,
        "package_id": uuid4(),
        "case_version": 1,
        "ciphertext_sha256": HASH,
        "verdict": "ACCEPTED",
        "reasons": (),
        "site_audit_head": HASH,
    }
    return Receipt(**facts | changes)


def heartbeat(n: int = 1, at: datetime = NOW) -> Heartbeat:
    return Heartbeat(kind="heartbeat", site=SITE, key_id=SIGNED_BY, n=n, minute=messages.minute_text(at))


ALL: list[Message] = [
    receipt(),
    receipt(verdict="QUARANTINED", reasons=(Reason.PERSONAL_TEXT, Reason.GEOMETRY)),
    receipt(verdict="REFUSED", reasons=(Reason.CIPHERTEXT,), site_audit_head=None),
    Replicated(kind="replicated", site=SITE, key_id=SIGNED_BY, n=2, package_id=uuid4(), list_sha256=HASH, count=3),
    Erased(
        kind="erased",
        site=SITE,
        key_id=SIGNED_BY,
        n=3,
        tombstone_id=uuid4(),
        tombstone_sha256=HASH,
        place="cloud",
        count=3,
    ),
    Tombstone(
        kind="tombstone",
        site=SITE,
        key_id=SIGNED_BY,
        n=4,
        tombstone_id=uuid4(),
        reason="withdrawal",
        case_ids=(uuid4(), uuid4()),
    ),
    heartbeat(),
]
IDS = [str(place) + message.kind for place, message in enumerate(ALL)]


@pytest.mark.parametrize("message", ALL, ids=IDS)
def test_a_message_comes_back(message: Message) -> None:
    data, signature = messages.seal_message(message, KEY)
    assert messages.open_message(data, signature, KEY.public_key(), site=SITE) == message


@pytest.mark.parametrize("message", ALL, ids=IDS)
@given(draw=st.data())
@settings(max_examples=20, deadline=None)
def test_a_changed_byte_is_refused(message: Message, draw: st.DataObject) -> None:
    data, signature = messages.seal_message(message, KEY)
    body = bytearray(data)
    body[draw.draw(st.integers(0, len(body) - 1))] ^= draw.draw(st.integers(1, 255))
    with pytest.raises(Refused):
        messages.open_message(bytes(body), signature, KEY.public_key(), site=SITE)


@pytest.mark.parametrize("message", ALL, ids=IDS)
def test_a_forged_or_moved_signature_is_refused(message: Message) -> None:
    data, signature = messages.seal_message(message, KEY)
    forger = Ed25519PrivateKey.generate()
    fits = []
    for domain in Domain:
        with pytest.raises(Refused, match="does not fit"):
            messages.open_message(data, signing.sign(domain, data, forger), KEY.public_key(), site=SITE)
        moved = signing.sign(domain, data, KEY)
        if moved == signature:
            fits.append(domain)
            continue
        with pytest.raises(Refused, match="does not fit"):
            messages.open_message(data, moved, KEY.public_key(), site=SITE)
    assert len(fits) == 1 and fits != [Domain.PACKAGE]
    with pytest.raises(Refused, match="another signing key"):
        messages.open_message(data, signature, forger.public_key(), site=SITE)
    with pytest.raises(Refused, match="another signing key"):
        messages.seal_message(message, forger)


def test_a_message_for_another_site_is_refused() -> None:
    data, signature = messages.seal_message(receipt(site="OSAKA01"), KEY)
    with pytest.raises(Refused, match="another site"):
        messages.open_message(data, signature, KEY.public_key(), site=SITE)


def test_a_verdict_turned_round_is_refused() -> None:
    quarantined = receipt(verdict="QUARANTINED", reasons=(Reason.GEOMETRY,))
    data, signature = messages.seal_message(quarantined, KEY)
    turned = json.loads(data) | {"verdict": "ACCEPTED", "reasons": []}
    body = json.dumps(turned, sort_keys=True, separators=(",", ":")).encode("ascii")
    with pytest.raises(Refused, match="does not fit"):
        messages.open_message(body, signature, KEY.public_key(), site=SITE)


def test_replays_gaps_and_other_orders_are_refused() -> None:
    last = 0
    for n in (1, 2, 3):
        last = messages.accept_in_order(last, receipt(n))
    for n in (1, 3):
        with pytest.raises(Refused, match="replay"):
            messages.accept_in_order(last, receipt(n))
    with pytest.raises(Refused, match="missing"):
        messages.accept_in_order(last, receipt(5))
    assert messages.accept_in_order(last, receipt(4)) == 4


def test_a_heartbeat_tells_of_missing_messages_and_takes_no_number() -> None:
    assert messages.accept_in_order(3, heartbeat(3)) == 3
    with pytest.raises(Refused, match="missing"):
        messages.accept_in_order(3, heartbeat(4))
    with pytest.raises(Refused, match="replay"):
        messages.accept_in_order(3, heartbeat(2))


def test_an_old_heartbeat_cannot_silence_the_alarm() -> None:
    seen = messages.accept_heartbeat(None, heartbeat(), NOW)
    assert seen == NOW.replace(second=0)
    with pytest.raises(Refused, match="replay"):
        messages.accept_heartbeat(seen, heartbeat(), NOW)
    assert messages.accept_heartbeat(seen, heartbeat(at=NOW + timedelta(minutes=1)), NOW) > seen
    for hours in (-25, 25):
        with pytest.raises(Refused, match="24 hours"):
            messages.accept_heartbeat(None, heartbeat(at=NOW + timedelta(hours=hours)), NOW)


@pytest.mark.parametrize("minute", ["2025-02-30T05:06Z", "2025-03-04T05:06:07Z", "2025-03-04T05:06+09:00", "soon"])
def test_a_minute_that_is_none_is_refused(minute: str) -> None:
    with pytest.raises(ValidationError):
        Heartbeat(kind="heartbeat", site=SITE, key_id=SIGNED_BY, n=1, minute=minute)


def test_a_verdict_and_its_reasons_belong_together() -> None:
    for changes in (
        {"reasons": (Reason.GEOMETRY,)},
        {"site_audit_head": None},
        {"verdict": "REFUSED"},
        {"verdict": "QUARANTINED"},
    ):
        with pytest.raises(ValidationError):
            receipt(**changes)


def test_a_tombstone_of_a_site_opens_with_its_own_key_only() -> None:
    tombstone = ALL[5]
    data, signature = messages.seal_message(tombstone, KEY)
    assert messages.open_tombstone(data, signature, KEY.public_key(), site=SITE) == tombstone
    with pytest.raises(Refused, match="another site"):
        messages.open_tombstone(data, signature, KEY.public_key(), site="OSAKA01")
    with pytest.raises(Refused, match="another signing key"):
        messages.open_tombstone(data, signature, Ed25519PrivateKey.generate().public_key(), site=SITE)
    other, its_signature = messages.seal_message(receipt(), KEY)
    with pytest.raises(Refused, match="breaks the contract"):
        messages.open_tombstone(other, its_signature, KEY.public_key(), site=SITE)


@pytest.mark.parametrize("number", ["1.0", "1e0", "0", "-1", "true", "NaN", '"1"', "9" * 30, "9" * 5000])
def test_a_strange_number_is_refused_without_being_quoted(number: str) -> None:
    data, _ = messages.seal_message(receipt(), KEY)
    body = data.replace(b'"n":1', b'"n":' + number.encode("ascii"))
    with pytest.raises(Refused) as refusal:
        messages.open_message(body, signing.sign(Domain.RECEIPT, body, KEY), KEY.public_key(), site=SITE)
    assert "99" not in refusal.value.message


def test_an_unknown_kind_is_refused_without_being_quoted() -> None:
    data, signature = messages.seal_message(receipt(), KEY)
    body = data.replace(b'"kind":"receipt"', b'"kind":"Yamada"')
    with pytest.raises(Refused) as refusal:
        messages.open_message(body, signature, KEY.public_key(), site=SITE)
    assert "Yamada" not in refusal.value.message

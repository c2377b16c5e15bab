"""Mask rules as JSON, from one site to another: what comes in is a draft until a person publishes it here."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlmodel import Session

from core import audit
from core.deid.local_rules import Content
from core.errors import Malformed
from core.models.devices import DeviceRule
from core.permissions import Actor, Verb, check
from core.queries import device_rules as queries
from core.services import device_rules

FORMAT: Final = "sonobank-device-rules-v1"
MOST: Final = 200


def export(session: Session, actor: Actor, site: str) -> dict[str, Any]:
    """Every rule in use with the counts of its test. It names devices, and no patient, person or image."""
    check(actor, Verb.DEVICE_RULES)
    found = [
        {
            "rule": rule.code, "version": version.number, "sha256": version.sha256, "note": version.note,
            "tested": {name: count for name, count in version.tested.items() if name != "sha256"},
            "content": version.content,
        }
        for rule, version in queries.newest(session)
    ]  # fmt: skip
    audit.record(session, actor, "device-rule.export", rules=len(found))
    return {"format": FORMAT, "site": site, "rules": found}


def take_in(session: Session, actor: Actor, given: Sequence[Mapping[str, Any]], site: str) -> list[DeviceRule]:
    """A draft of each rule that is not here yet with the same content; all of them or none. Raises Malformed."""
    check(actor, Verb.DEVICE_RULES)
    if len(given) > MOST:
        raise Malformed("At most 200 rules at once.")
    known = {queries.content_of(rule).sha256 for rule in queries.all_rules(session)}
    made = []
    for one in given:
        content = Content.of(one["content"])
        if content.sha256 not in known:
            known.add(content.sha256)
            made.append(device_rules.draft(session, actor, content.as_dict(), source=f"{site} {one.get('rule', '')}"))
    audit.record(session, actor, "device-rule.import", rules=len(made))
    return made

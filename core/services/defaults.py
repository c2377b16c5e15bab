"""A curator's usual answers, such as the class of the examiner: remembered per person and organ, offered, never filled in.

Which fields they are says the organ's file (`remember`); what belongs to the diagnosis is never among them."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlmodel import Session, col, delete, select

from core.clock import now_utc
from core.models.defaults import FormDefault
from core.permissions import Actor
from core.vocabulary.answers import check_value
from core.vocabulary.domain import Domain


def offered(session: Session, actor: Actor, organ: Domain, entries: Mapping[str, Any]) -> dict[str, Any]:
    """{field: the person's usual answer} of the fields that have none in this case and can take it."""
    known = select(FormDefault).where(FormDefault.user_id == actor.user_id, FormDefault.domain == organ.code)
    usual = {row.field: row.value for row in session.exec(known)}
    found = {}
    for spec in organ.fields:
        if not spec.remember or spec.code not in usual or entries.get(spec.code, {}).get("value") is not None:
            continue
        value, _ = check_value(spec, organ.options, usual[spec.code])
        if value is not None:  # a list may have changed since
            found[spec.code] = value
    return found


def remember(
    session: Session, actor: Actor, organ: Domain, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    """Keep what this save changed by hand, of the fields that are remembered; the last answer counts."""
    for spec in organ.fields:
        entry = after.get(spec.code)
        if not spec.remember or entry is None or entry["source"] != "manual" or actor.user_id is None:
            continue
        if before.get(spec.code, {}).get("value") == entry["value"]:
            continue
        row = session.get(FormDefault, (actor.user_id, organ.code, spec.code))
        row = row or FormDefault(user_id=actor.user_id, domain=organ.code, field=spec.code, value=None)
        row.value, row.saved_at = entry["value"], now_utc()
        session.add(row)


def forget(session: Session, actor: Actor, domain: str, fields: Collection[str]) -> None:
    """These answers are not offered any more; one that is not kept is no error."""
    own = delete(FormDefault).where(col(FormDefault.user_id) == actor.user_id, col(FormDefault.domain) == domain)
    session.exec(own.where(col(FormDefault.field).in_(fields)))

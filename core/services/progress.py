"""What people say about the way of curation: a case waits for a result, the site's targets, where reminders go."""

from collections.abc import Mapping
from datetime import date, timedelta
from email.errors import HeaderParseError
from email.headerregistry import Address
from typing import Final
from uuid import UUID

from sqlmodel import Session

from core import audit
from core.clock import now_utc
from core.errors import Malformed, NotFound, WrongState
from core.models.progress import WAIT_REASONS, CaseWait, Reminder, Target
from core.models.sitecase import CaseState
from core.permissions import Actor, Verb, check
from core.services.cases import locked_for
from core.vocabulary import domain as vocabulary

LONGEST_WAIT: Final = timedelta(days=730)
MOST_CASES: Final = 1_000_000
LONGEST_ADDRESS: Final = 254


def wait(session: Session, actor: Actor, case_id: UUID, until: date, reason: str) -> CaseWait:
    """A case waits for a result until a day: whoever says so is reminded. Its state stays what it is."""
    case = locked_for(session, actor, Verb.CURATE, case_id)
    if case.state != CaseState.CURATING:
        raise WrongState(f"A case that is {case.state} cannot be edited.")
    if reason not in WAIT_REASONS:
        raise Malformed("A case waits for pathology or for the diagnosis.")
    today = now_utc().date()
    if not today <= until <= today + LONGEST_WAIT:
        raise Malformed("Choose a day from today on, within two years.")
    if actor.user_id is None:
        raise NotFound
    row = session.get(CaseWait, case.id) or CaseWait(case_id=case.id, until=until, reason=reason, by=actor.user_id)
    row.until, row.reason, row.by, row.at = until, reason, actor.user_id, now_utc()
    session.add(row)
    audit.record(session, actor, "case.wait", case.id, until=until.isoformat(), reason=WAIT_REASONS[reason])
    return row


def end_wait(session: Session, actor: Actor, case_id: UUID) -> None:
    """The result is there, or nobody waits any more."""
    case = locked_for(session, actor, Verb.CURATE, case_id)
    row = session.get(CaseWait, case.id)
    if row is not None:
        session.delete(row)
        audit.record(session, actor, "case.wait-over", case.id)


def set_targets(session: Session, actor: Actor, domain: str, amounts: Mapping[str, int | None]) -> None:
    """{diagnosis code, "" for the whole organ: how many cases}; None takes a target away. Raises Malformed."""
    check(actor, Verb.ASSIGN, domain)
    organ = vocabulary.load(domain)
    known = {"", *(option.code for option in organ.options[organ.source])}
    if not set(amounts) <= known:
        raise Malformed("A target is for a diagnosis of the organ.")
    for code, amount in amounts.items():
        row = session.get(Target, (domain, code))
        if amount is None:
            if row is not None:
                session.delete(row)
        elif not 0 < amount <= MOST_CASES:
            raise Malformed("A target is a number of cases from 1 to a million.")
        else:
            row = row or Target(domain=domain, code=code, amount=amount)
            row.amount = amount
            session.add(row)
    audit.record(session, actor, "targets.set", domain, targets=sum(amount is not None for amount in amounts.values()))


def set_address(session: Session, actor: Actor, address: str) -> None:
    """Where this person's reminders go; an empty address ends them. Raises Malformed for what is no address."""
    if actor.user_id is None:
        raise NotFound
    row = session.get(Reminder, actor.user_id)
    if not address.strip():
        if row is not None:
            session.delete(row)
        return
    plain = _address(address.strip())
    row = row or Reminder(user_id=actor.user_id, address=plain)
    row.address = plain
    session.add(row)


def _address(text: str) -> str:
    wrong = Malformed("This is not a mail address.")
    if len(text) > LONGEST_ADDRESS or not text.isascii() or not text.isprintable():
        raise wrong
    try:
        found = Address(addr_spec=text)
    except (HeaderParseError, ValueError, IndexError):
        raise wrong from None
    if not found.username or ("." not in found.domain and found.domain != "localhost"):
        raise wrong
    return found.addr_spec

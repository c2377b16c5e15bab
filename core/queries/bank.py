"""Reads of central's accepted cases; the getter is the gate."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, func, select
from sqlmodel.sql.expression import SelectOfScalar

from core.errors import NotFound
from core.models.bank import BankCase, BankImage, BankRoi, RecordVersion
from core.models.transfer import Parcel, SignedMessage
from core.permissions import ALL_DOMAINS, Actor, Verb
from core.queries.bank_facets import Choices, Chosen, choose
from core.queries.bank_facts import lines, moment_of


def readable_bank_cases(actor: Actor) -> SelectOfScalar[BankCase]:
    """The only place where a query of accepted cases begins: cases of the actor's domains that are not hidden."""
    domains = actor.domains(Verb.SEE_BANK)
    statement = select(BankCase).where(col(BankCase.hidden).is_(False))
    return statement if ALL_DOMAINS in domains else statement.where(col(BankCase.domain).in_(domains))


def page(
    session: Session, actor: Actor, site: str | None, domain: str | None, after: UUID | None, limit: int
) -> Sequence[BankCase]:
    statement = readable_bank_cases(actor)
    if site:
        statement = statement.where(BankCase.site == site)
    if domain:
        statement = statement.where(BankCase.domain == domain)
    if after:
        statement = statement.where(BankCase.id > after)
    return session.exec(statement.order_by(col(BankCase.id)).limit(limit)).all()


def one(session: Session, actor: Actor, case_id: UUID) -> BankCase:
    found = session.exec(readable_bank_cases(actor).where(BankCase.id == case_id)).first()
    if found is None:
        raise NotFound
    return found


def images_of(session: Session, case_id: UUID) -> Sequence[BankImage]:
    return session.exec(
        select(BankImage).where(BankImage.case_id == case_id).order_by(col(BankImage.sop_instance_uid))
    ).all()


def rois_of(session: Session, case_id: UUID) -> Sequence[BankRoi]:
    statement = (
        select(BankRoi).join(BankImage, col(BankImage.id) == BankRoi.image_id).where(BankImage.case_id == case_id)
    )
    return session.exec(statement.order_by(col(BankRoi.id))).all()


def record_of(session: Session, case: BankCase) -> RecordVersion:
    statement = select(RecordVersion).where(RecordVersion.case_id == case.id, RecordVersion.version == case.version)
    return session.exec(statement).one()


def counts(session: Session, actor: Actor) -> list[tuple[str, str, int]]:
    """(domain, site, cases) of what the actor may see."""
    readable = readable_bank_cases(actor).subquery()
    statement = select(readable.c.domain, readable.c.site, func.count()).group_by(readable.c.domain, readable.c.site)
    return [
        (domain, site, count)
        for domain, site, count in session.exec(statement.order_by(readable.c.domain, readable.c.site))
    ]


def browse(session: Session, actor: Actor, choices: Choices) -> Chosen:
    """The actor's cases that fit these choices, with what each facet would give."""
    return choose(lines(session, readable_bank_cases(actor)), choices)


def versions_of(session: Session, case: BankCase) -> list[tuple[int, datetime | None, RecordVersion]]:
    """(version, when it was taken in, its record) of a case, the newest first."""
    statement = select(RecordVersion).where(RecordVersion.case_id == case.id)
    found = session.exec(statement.order_by(col(RecordVersion.version).desc()))
    return [(row.version, moment_of(row.id), row) for row in found]


@dataclass(frozen=True)
class Arrival:
    """How the newest version of a case came: its parcel, and what central signed about it, by kind of message."""

    parcel: Parcel | None
    messages: dict[str, tuple[SignedMessage, dict[str, Any]]]


def arrival_of(session: Session, case: BankCase) -> Arrival:
    statement = select(Parcel).where(Parcel.site == case.site, Parcel.package_id == case.package_id)
    about = select(SignedMessage).where(
        SignedMessage.site == case.site, col(SignedMessage.body).contains(str(case.package_id))
    )
    told = [(message, json.loads(message.body)) for message in session.exec(about.order_by(col(SignedMessage.n)))]
    return Arrival(session.exec(statement).first(), {body["kind"]: (message, body) for message, body in told})

"""Reminders by mail: which cases are due, by their numbers, at most one mail a day for each person. No patient is in them."""

import logging
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from email.message import EmailMessage
from typing import Final
from uuid import UUID

from sqlmodel import Session, col, select

from core.clock import now_utc
from core.db import transaction
from core.errors import Unavailable
from core.models.people import User
from core.models.progress import CaseWait, Reminder
from core.models.reads import OPEN, Read
from core.models.sitecase import CaseState, SiteCase
from core.node import Node
from core.permissions import Verb
from core.queries.reads import READABLE
from core.services.accounts import actor_of
from core.settings import Settings, read_secret

log = logging.getLogger(__name__)
# On the site's clock: nobody is woken.
FROM_HOUR: Final = 7
TIMEOUT_SECONDS: Final = 20
_DAY: Final = timedelta(days=1)
_WORDS: Final = {
    "pathology": "病理の結果待ち / waits for pathology",
    "diagnosis": "確定診断待ち / waits for the diagnosis",
    "read": "二次読影 / second reading",
}


@dataclass(frozen=True)
class Due:
    """One line of a mail."""

    number: int
    day: date
    what: str
    link: str


@dataclass(frozen=True)
class Letter:
    """One mail; `before` is the day of the one before, to be put back if this one cannot be sent."""

    user_id: UUID
    address: str
    lines: tuple[Due, ...]
    before: date | None


def send_due(node: Node, now: datetime | None = None) -> int:
    """Remind everybody who has something due and was not reminded today; returns how many mails were sent.

    A person is claimed before their mail is sent, so that two workers never send it twice. Raises Unavailable when the
    mail server does not take one; then it is tried again."""
    here = (now or now_utc()).astimezone(node.settings.zone)
    if node.settings.smtp_host is None or here.hour < FROM_HOUR:
        return 0
    with transaction(node.engine, "remind.claim") as session:
        letters = _claim(session, node.settings, here.date())
    sent = 0
    for letter in letters:
        try:
            _send(node.settings, _mail(node.settings, letter))
        except (smtplib.SMTPException, OSError):
            with transaction(node.engine, "remind.failed") as session:
                session.get_one(Reminder, letter.user_id).sent_on = letter.before
        else:
            sent += 1
    if sent < len(letters):
        raise Unavailable("The mail server does not take our reminders; they are sent later.")
    return sent


def _claim(session: Session, settings: Settings, today: date) -> list[Letter]:
    waiting = select(Reminder, User).join(User, col(User.id) == Reminder.user_id)
    open_ones = waiting.where(col(User.disabled_at).is_(None), col(Reminder.sent_on).is_distinct_from(today))
    letters = []
    for row, user in session.exec(open_ones.with_for_update(of=Reminder, skip_locked=True)).all():
        lines = due_for(session, settings, user, today)
        if lines:
            letters.append(Letter(user.id, row.address, tuple(lines), row.sent_on))
            row.sent_on = today
            session.add(row)
    return letters


def due_for(session: Session, settings: Settings, user: User, today: date) -> list[Due]:
    """What this person said they wait for, and what they are to read by tomorrow; as far as they may still see it."""
    actor = actor_of(session, user)
    waits = session.exec(
        select(CaseWait, SiteCase)
        .join(SiteCase, col(SiteCase.id) == CaseWait.case_id)
        .where(CaseWait.by == user.id, col(CaseWait.until) <= today, SiteCase.state == CaseState.CURATING)
    ).all()
    reads = session.exec(
        select(Read, SiteCase)
        .join(SiteCase, col(SiteCase.id) == Read.case_id)
        .where(Read.reader_id == user.id, col(Read.state).in_(OPEN), col(Read.due) <= today + _DAY)
        .where(col(SiteCase.state).in_(READABLE))
    ).all()
    found = [
        Due(case.number, wait.until, wait.reason, f"{settings.base_url}/cases/{case.id}")
        for wait, case in waits
        if actor.may(Verb.SEE_CASES, case.domain)
    ]
    found += [
        Due(case.number, read.due or today, "read", f"{settings.base_url}/reads/{read.id}")
        for read, case in reads
        if actor.may(Verb.READ, case.domain)
    ]
    return sorted(found, key=lambda due: (due.day, due.number))


def _mail(settings: Settings, letter: Letter) -> EmailMessage:
    mail = EmailMessage()
    count = len(letter.lines)
    mail["Subject"] = f"Sonobank {settings.site_code}: 期限の症例 {count} 件 / {count} due"
    mail["From"], mail["To"] = settings.smtp_from, letter.address
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n".join([*_lines(letter.lines), "", f"{settings.base_url}/my"]) + "\n", charset="utf-8")
    return mail


def _lines(lines: Sequence[Due]) -> list[str]:
    return [f"症例 / case {due.number}  {due.day.isoformat()}  {_WORDS[due.what]}\n  {due.link}" for due in lines]


def _send(settings: Settings, mail: EmailMessage) -> None:
    host, port = settings.smtp_host or "", settings.smtp_port
    context = ssl.create_default_context()
    if settings.smtp_security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_SECONDS, context=context)
    else:
        server = smtplib.SMTP(host, port, timeout=TIMEOUT_SECONDS)
    with server:
        if settings.smtp_security == "starttls":
            server.starttls(context=context)
        if settings.smtp_user is not None:
            server.login(settings.smtp_user, read_secret(settings.smtp_password_file, "SONOBANK_SMTP_PASSWORD_FILE"))
        server.send_message(mail)

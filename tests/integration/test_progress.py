"""A person's own page, the site's targets, what waits for a result, and reminders to a real mail server."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import cast

import pytest
from sqlmodel import select

from core.clock import now_utc
from core.db import reading, transaction
from core.errors import Denied, Malformed, Unavailable
from core.models.audit import AuditEvent
from core.models.curation import Edit
from core.models.people import Role
from core.models.progress import CaseWait, Reminder
from core.models.sitecase import CaseState, SiteCase
from core.permissions import Actor
from core.queries import progress as queries
from core.services import progress, reads, reminders
from tests.postgres_fixture import ScratchPostgres
from tests.reading_site import DeskCase, actor_of, make_case, signed_in
from tests.served import Served, serve

GRANTS = {"curator": [Role.CUR], "lead": [Role.CUR, Role.REG], "reader": [Role.CUR], "looker": [Role.EXAM]}
MORNING = datetime(2026, 12, 1, 9, tzinfo=UTC)


@dataclass
class MailServer:
    """A mail server of this machine (RFC 5321, as far as smtplib goes); `refuses` makes it take no mail."""

    port: int = 0
    taken: list[EmailMessage] = field(default_factory=list)
    refuses: bool = False


@contextmanager
def mail_server() -> Iterator[MailServer]:
    known = MailServer()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while line := self.rfile.readline():
                verb = line[:4].upper()
                if verb == b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                if verb == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    self.take()
                elif verb == b"MAIL" and known.refuses:
                    self.wfile.write(b"451 not now\r\n")
                else:
                    self.wfile.write(b"250 ok\r\n")

        def take(self) -> None:
            body = b""
            while (line := self.rfile.readline()) != b".\r\n":
                body += line
            known.taken.append(cast(EmailMessage, message_from_bytes(body, policy=default)))
            self.wfile.write(b"250 taken\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        known.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield known
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def post() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture(scope="module")
def served(postgres: ScratchPostgres, post: MailServer) -> Iterator[Served]:
    mail = {
        "smtp_host": "127.0.0.1", "smtp_port": post.port, "smtp_security": "none", "smtp_from": "bank@hospital.example",
    }  # fmt: skip
    with serve(postgres, "site", **mail) as made:
        for name, roles in GRANTS.items():
            made.person(name, [(role, "*") for role in roles])
        yield made


def actor(served: Served, name: str) -> Actor:
    return actor_of(served, GRANTS, name)


def wait(served: Served, case: DeskCase, until: date, by: str = "curator") -> None:
    with transaction(served.node.engine, "test.wait") as session:
        progress.wait(session, actor(served, by), case.id, now_utc().date() + timedelta(days=1), "pathology")
        session.get_one(CaseWait, case.id).until = until


def set_address(served: Served, name: str, address: str) -> None:
    with transaction(served.node.engine, "test.address") as session:
        progress.set_address(session, actor(served, name), address)


@pytest.fixture
def clean(served: Served, post: MailServer) -> Iterator[None]:
    yield
    post.taken.clear()
    post.refuses = False
    with transaction(served.node.engine, "test.clean") as session:
        for row in [*session.exec(select(Reminder)), *session.exec(select(CaseWait))]:
            session.delete(row)


def test_a_reminder_names_cases_and_days_and_goes_once_a_day(served: Served, post: MailServer, clean: None) -> None:
    due, later = make_case(served, "curator"), make_case(served, "curator")
    wait(served, due, date(2026, 12, 1))
    wait(served, later, date(2026, 12, 9))
    set_address(served, "curator", "curator@hospital.example")
    set_address(served, "lead", "lead@hospital.example")  # has nothing due
    assert reminders.send_due(served.node, MORNING) == 1
    assert reminders.send_due(served.node, MORNING + timedelta(hours=2)) == 0
    (mail,) = post.taken
    assert (mail["To"], mail["From"]) == ("curator@hospital.example", "bank@hospital.example")
    text = mail.get_content()
    assert f"case {due.number} " in text and "2026-12-01" in text and "病理" in text
    assert f"{served.settings.base_url}/cases/{due.id}" in text and str(later.id) not in text
    assert reminders.send_due(served.node, MORNING + timedelta(days=1)) == 1


def test_nobody_is_woken_and_nobody_who_left_is_written_to(served: Served, post: MailServer, clean: None) -> None:
    case = make_case(served, "curator")
    wait(served, case, date(2026, 12, 1))
    set_address(served, "curator", "curator@hospital.example")
    night = datetime(2026, 12, 1, 20, tzinfo=UTC)  # five in the morning in Tokyo
    assert reminders.send_due(served.node, night) == 0
    with transaction(served.node.engine, "test.registered") as session:
        session.get_one(SiteCase, case.id).state = CaseState.REGISTERED
    assert reminders.send_due(served.node, MORNING) == 0 and post.taken == []


def test_a_mail_that_is_not_taken_is_sent_later(served: Served, post: MailServer, clean: None) -> None:
    wait(served, make_case(served, "curator"), date(2026, 12, 1))
    set_address(served, "curator", "curator@hospital.example")
    post.refuses = True
    with pytest.raises(Unavailable, match="later"):
        reminders.send_due(served.node, MORNING)
    post.refuses = False
    assert reminders.send_due(served.node, MORNING + timedelta(minutes=10)) == 1
    assert len(post.taken) == 1


def test_a_reading_is_reminded_of_a_day_before(served: Served, post: MailServer, clean: None) -> None:
    case = make_case(served, "curator")
    with transaction(served.node.engine, "test.assign") as session:
        (read,) = reads.assign(session, actor(served, "lead"), case.id, [served.people["reader"].id], None)
        read.due = date(2026, 12, 2)
        session.add(read)
    set_address(served, "reader", "reader@hospital.example")
    assert reminders.send_due(served.node, MORNING) == 1
    assert f"/reads/{read.id}" in post.taken[0].get_content()


@pytest.mark.parametrize(
    "address", ["nobody", "a@b@c.example", "x@y\nBcc: z@evil.example", "a@nodot", "ü@hospital.example"]
)
def test_what_is_no_address_is_refused(served: Served, address: str) -> None:
    with transaction(served.node.engine, "test.address") as session, pytest.raises(Malformed):
        progress.set_address(session, actor(served, "curator"), address)


def test_waiting_is_said_on_the_page_of_the_case_and_on_ones_own(served: Served, clean: None) -> None:
    case = make_case(served, "curator")
    until = (now_utc() + timedelta(days=14)).date()
    with signed_in(served, "curator") as client:
        done = client.post(f"/cases/{case.id}/wait", data={"until": until.isoformat(), "wait": "pathology"})
        assert done.status_code == 303
        assert "Waits: Pathology" in client.get(f"/cases/{case.id}").text
        assert f'href="/cases/{case.id}"' in client.get("/my").text
        assert client.post(f"/cases/{case.id}/wait", data={"until": "", "wait": "pathology"}).status_code == 422
        assert (
            client.post(f"/cases/{case.id}/wait", data={"until": "2001-01-01", "wait": "pathology"}).status_code == 422
        )
        assert client.post(f"/cases/{case.id}/wait/end").status_code == 303
    with reading(served.node.engine) as session:
        assert session.get(CaseWait, case.id) is None
        events = session.exec(select(AuditEvent).where(AuditEvent.subject == str(case.id))).all()
        assert {"case.wait", "case.wait-over"} <= {event.verb for event in events}


def test_targets_are_set_by_the_registrar_and_counted(served: Served) -> None:
    for _ in range(3):
        case = make_case(served, "curator")
        case.answer(actor(served, "curator"), diagnosis="LIV-CYST")
        with transaction(served.node.engine, "test.registered") as session:
            session.get_one(SiteCase, case.id).state = CaseState.REGISTERED
    with signed_in(served, "lead") as client:
        wrong = client.post("/my/targets/liver", data={"target-LIV-CYST": "many"})
        assert wrong.status_code == 422 and "number of cases" in wrong.text and 'value="many"' in wrong.text
        done = client.post("/my/targets/liver", data={"target-": "100", "target-LIV-CYST": "12", "target-LIV-HCC": ""})
        assert done.status_code == 303
        assert 'value="12"' in client.get("/my/targets").text
        assert "25 % of the target" in client.get("/my").text
    with signed_in(served, "curator") as client:
        assert client.get("/my/targets").status_code == 403
    with reading(served.node.engine) as session:
        (liver,) = queries.counts(session, actor(served, "looker"), ["liver"])
        assert [(line.code, line.count, line.target) for line in liver.lines] == [("LIV-CYST", 3, 12)]
        assert (liver.total.target, liver.lines[0].part) == (100, 0.25) and liver.total.count >= 3
        with pytest.raises(Denied):
            progress.set_targets(session, actor(served, "curator"), "liver", {"LIV-CYST": 1})


def test_a_day_is_what_was_done_since_midnight(served: Served) -> None:
    me, zone = actor(served, "reader"), served.settings.zone
    now = datetime(2026, 11, 20, 6, tzinfo=UTC)  # three in the afternoon in Tokyo
    one, two = make_case(served, "curator"), make_case(served, "curator")
    assert me.user_id is not None
    with transaction(served.node.engine, "test.day") as session:
        for n, (minutes, case) in enumerate(
            [(-60, one), (-59, one), (-57, one), (-20, two), (-19, two), (-16 * 60, two)]
        ):
            moment = now + timedelta(minutes=minutes)
            session.add(
                Edit(
                    case_id=case.id,
                    kind="pick",
                    object_id=case.images[0],
                    version=n + 1,
                    body={},
                    by=me.user_id,
                    at=moment,
                )
            )
        for case, minutes in ((one, -56), (two, -18)):
            at = now + timedelta(minutes=minutes)
            session.add(
                AuditEvent(actor=me.name, user_id=me.user_id, verb="case.registered", subject=str(case.id), at=at)
            )
    with reading(served.node.engine) as session:
        day = queries.day(session, me, zone, now)
        assert (day.registered, day.cases) == (2, 2)
        assert day.worked == timedelta(minutes=6)  # four on the first, two on the second; the pause is none
        assert day.typical == timedelta(minutes=3)
        assert day.recent[-1] == (date(2026, 11, 20), 2) and len(day.recent) == queries.DAYS
        queue = queries.queue(session, me, now)
        assert {case.id for case in queue.drafts} == {one.id, two.id}


def test_what_came_back_stands_first(served: Served) -> None:
    me = actor(served, "curator")
    back, draft = make_case(served, "curator"), make_case(served, "curator")
    for case in (back, draft):
        case.answer(me, diagnosis="LIV-HCC")
    with transaction(served.node.engine, "test.back") as session:
        session.get_one(SiteCase, back.id).reason = "The candidate is not ready yet."
    with reading(served.node.engine) as session:
        queue = queries.queue(session, me, now_utc())
        assert back.id in {case.id for case in queue.given_back} and draft.id in {case.id for case in queue.drafts}
    for lang in ("en", "ja"):
        with signed_in(served, "curator", lang) as client:
            assert client.get("/my").status_code == 200

"""PACS peers, the patients' desk, the audit trail and the health of a node, as pages over a real database."""

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text as sql
from sqlmodel import col, select

from core import audit, jobs
from core.clock import now_utc
from core.db import reading, transaction
from core.models.audit import AuditEvent
from core.models.people import Role
from core.models.sitecase import CaseState
from core.models.transfer import Package, PackageState
from core.permissions import SYSTEM
from core.vault import Identity
from tests.desk import Desk
from tests.pacs_twin import BadPacs, running
from tests.postgres_fixture import ScratchPostgres
from tests.served import serve

PEOPLE: dict[str, list[tuple[Role, str]]] = {
    "tech": [(Role.SITEIT, "*")],
    "curator": [(Role.CUR, "*")],
    "clerk": [(Role.PTDESK, "*")],
    "auditor": [(Role.AUD, "*")],
    "admin": [(Role.ADMIN, "*")],
    "lead": [(Role.DOM, "*")],
}
CHART = "90210777"


@pytest.fixture(scope="module")
def desk(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    peers = tmp_path_factory.mktemp("peers") / "peers.json"
    peers.write_text("[]")
    with serve(postgres, "site", peers_file=peers) as served:
        yield Desk.opened(served, PEOPLE)


def set_peers(desk: Desk, *peers: dict[str, object]) -> None:
    assert desk.node.settings.peers_file is not None
    desk.node.settings.peers_file.write_text(json.dumps(peers))


def test_without_a_peer_the_page_says_how_to_add_one(desk: Desk) -> None:
    set_peers(desk)
    page = desk.get("tech", "/peers")
    assert "No PACS is set yet" in page and "SONOBANK_PEERS_FILE" in page and "&#34;token_file&#34;" not in page
    assert '"password_file"' in page


def test_a_peers_file_that_cannot_be_used_is_said(desk: Desk) -> None:
    assert desk.node.settings.peers_file is not None
    desk.node.settings.peers_file.write_text("{")
    page = desk.get("tech", "/peers")
    assert "The file of the peers cannot be used" in page and "is not a JSON list of peers" in page
    answer = desk.post("/peers/main/test", {})
    assert answer.status_code == 200


def test_a_peer_is_shown_without_its_secret_and_tested(desk: Desk) -> None:
    secret = desk.node.folder("peers") / "token"
    secret.write_text("a-very-secret-token")
    with running(BadPacs()) as pacs:
        main = {"name": "main", "url": pacs.url, "token_file": str(secret)}
        set_peers(desk, main, {"name": "gone", "url": "http://127.0.0.1:1/dicom-web", "user": "sono"})
        page = desk.get("tech", "/peers")
        assert pacs.url in page and "By a token" in page and "As sono" in page
        assert "a-very-secret-token" not in page and str(secret) not in page
        found = desk.ask("tech", "POST", "/peers/main/test", part="peers", data={}).text
        assert found.lstrip().startswith("<div") and "Studies can be retrieved from this PACS." in found
        assert re.search(r"Answers a search of one study.*?\d+ ms", found, re.DOTALL)
        assert any(path.startswith("/studies?limit=1") for path in pacs.gets)
        pacs.fault = "html"
        assert "page instead of DICOM JSON" in desk.post("/peers/main/test", {}).text
    away = desk.post("/peers/gone/test", {}).text
    assert "Not connected" in away and "The PACS cannot be reached" in away and "not tried" in away


def test_peers_are_the_it_desks(desk: Desk) -> None:
    assert desk.ask("curator", "GET", "/peers").status_code == 403
    assert desk.ask("curator", "POST", "/peers/main/test", data={}).status_code == 403


def test_a_refusal_is_checked_confirmed_and_receipted(desk: Desk) -> None:
    unsent, sent = desk.add_case(CaseState.QUEUED), desk.add_case(CaseState.REGISTERED)
    for case_id, accession in ((unsent, "A1"), (sent, "A2")):
        desk.node.vault.seal(case_id, Identity(chart_id=CHART, accession=accession))
    with transaction(desk.node.engine, "test.sent") as session:
        session.add(Package(case_id=sent, case_version=1, state=PackageState.SENT))
    checked = desk.post("/opt-outs/check", {"chart_id": f" {CHART} "}, "clerk")
    assert "1 case that has not been sent is stopped" in checked.text
    assert "1 case has been sent already" in checked.text and str(unsent) not in checked.text
    assert desk.case(unsent).state == CaseState.QUEUED  # checking changed nothing
    done = desk.post("/opt-outs/refuse", {"chart_id": CHART}, "clerk")
    assert done.status_code == 303 and CHART not in done.headers["location"]
    receipt = desk.get("clerk", done.headers["location"])
    assert "Receipt: refusal of use in research" in receipt and "1 case, its images erased" in receipt
    assert "clerk" in receipt and CHART not in receipt
    assert (desk.case(unsent).state, desk.case(sent).state) == (CaseState.WITHDRAWN, CaseState.REGISTERED)
    page = desk.get("clerk", "/opt-outs")
    assert "Refusal recorded" in page and done.headers["location"] in page and CHART not in page
    assert '<p class="figure">1</p>' in page
    again = desk.post("/opt-outs/check", {"chart_id": CHART}, "clerk").text
    assert "This patient has refused" in again and 'action="/opt-outs/lift"' in again
    lifted = desk.post("/opt-outs/lift", {"chart_id": CHART}, "clerk")
    assert "Receipt: refusal lifted" in desk.get("clerk", lifted.headers["location"])
    assert "has not refused" in desk.post("/opt-outs/check", {"chart_id": CHART}, "clerk").text


def test_the_audit_of_the_desk_never_holds_a_chart_id(desk: Desk) -> None:
    with reading(desk.node.engine) as session:
        events = session.exec(select(AuditEvent).where(col(AuditEvent.verb).startswith("opt-out."))).all()
    assert {"opt-out.check", "opt-out.set", "opt-out.lift"} <= {event.verb for event in events}
    assert CHART not in str([event.model_dump() for event in events])


@pytest.mark.parametrize(
    ("chart_id", "words"), [("", "Enter a chart ID"), ("9" * 65, "Enter a chart ID"), ("あ", "letters and digits")]
)
def test_a_chart_id_that_cannot_be_read_is_said_beside_its_field(desk: Desk, chart_id: str, words: str) -> None:
    answer = desk.post("/opt-outs/check", {"chart_id": chart_id}, "clerk")
    assert answer.status_code == 422 and words in answer.text and 'aria-invalid="true"' in answer.text
    assert desk.post("/opt-outs/refuse", {"chart_id": chart_id}, "clerk").status_code == 422


def test_a_receipt_is_of_the_desk_only(desk: Desk) -> None:
    with transaction(desk.node.engine, "test.event") as session:
        audit.record(session, SYSTEM, "case.flag", "x")
        session.flush()
        other = session.exec(select(AuditEvent.id).order_by(col(AuditEvent.id).desc()).limit(1)).one()
    assert desk.ask("clerk", "GET", f"/opt-outs/receipts/{other}").status_code == 404
    assert desk.ask("clerk", "GET", "/opt-outs/receipts/999999").status_code == 404
    assert desk.ask("curator", "GET", "/opt-outs").status_code == 403


def test_the_audit_is_searched_in_words_and_pages(desk: Desk) -> None:
    subject = str(uuid4())
    with transaction(desk.node.engine, "test.events") as session:
        for _ in range(60):
            audit.record(session, SYSTEM, "case.queued", subject, before="FLAGGED", after="QUEUED", n=1)
    page = desk.get("auditor", f"/audit?subject={subject}")
    assert page.count("<tr>") == 51 and "Flagged → Waiting to be fetched" in page
    older = re.search(r'href="(/audit\?[^"]*before=\d+)"', page)
    assert older is not None
    assert desk.get("auditor", older.group(1).replace("&amp;", "&")).count("<tr>") == 11
    assert "Nothing was found" in desk.get("auditor", f"/audit?subject={subject}&verb=case.flag")
    assert "Nothing was found" in desk.get("auditor", f"/audit?subject={subject}&until=2020-01-01")
    today = now_utc().astimezone(desk.node.settings.zone).date().isoformat()
    assert desk.get("auditor", f"/audit?subject={subject}&since={today}&until={today}").count("<tr>") == 51
    wrong = desk.ask("auditor", "GET", "/audit?since=yesterday")
    assert wrong.status_code == 422 and "Check the days" in wrong.text
    assert desk.ask("curator", "GET", "/audit").status_code == 403


def test_the_audit_is_exported_and_runs_nothing_in_a_spreadsheet(desk: Desk) -> None:
    with transaction(desk.node.engine, "test.events") as session:
        audit.record(session, SYSTEM, "case.flag", "=cmd|' /C calc'!A0")
    answer = desk.ask("auditor", "GET", "/audit.csv?verb=case.flag")
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    rows = list(csv.reader(io.StringIO(answer.text.lstrip("\ufeff"))))
    assert rows[0][:4] == ["Seal no.", "When", "Who", "Did what"]
    assert "'=cmd|' /C calc'!A0" in {row[5] for row in rows[1:]} and {row[4] for row in rows[1:]} == {"case.flag"}
    assert desk.ask("curator", "GET", "/audit.csv").status_code == 403


def test_the_chain_is_verified_and_what_is_wrong_with_it_is_said(desk: Desk) -> None:
    audit.seal(desk.node.engine)
    fine = desk.ask("auditor", "POST", "/audit/verify", part="audit-chain", data={}).text
    assert fine.lstrip().startswith("<section") and "nothing is wrong" in fine and "Sealed up to no." in fine
    with transaction(desk.node.engine, "test.tamper") as session:
        event = session.exec(select(AuditEvent).where(AuditEvent.seq == 3)).one()
        before, event.actor = event.actor, "somebody"
    broken = desk.ask("auditor", "POST", "/audit/verify", data={}).text
    assert "The audit trail has been tampered with" in broken and "No. 3 is not what was sealed." in broken
    assert "1 thing wrong" in desk.get("auditor", "/audit")
    with transaction(desk.node.engine, "test.mend") as session:
        session.exec(select(AuditEvent).where(AuditEvent.seq == 3)).one().actor = before


def test_the_health_page_says_what_has_stopped_and_what_to_do(desk: Desk) -> None:
    page = " ".join(desk.get("admin", "/health").split())
    assert "None has ever run" in page and "Start a worker: ./run worker --role site" in page
    assert "Set SONOBANK_RELAY_URL" in page
    with transaction(desk.node.engine, "test.worker") as session:
        session.execute(sql("INSERT INTO procrastinate_workers DEFAULT VALUES"))
        session.add(
            Package(
                case_id=desk.add_case(CaseState.REGISTERED), case_version=1, state=PackageState.SENT,
                changed_at=now_utc() - timedelta(hours=30),
            )
        )  # fmt: skip
    page = " ".join(desk.get("lead", "/health").split())
    assert "1 at work" in page and "1 package has waited longer than 24 hours" in page
    assert desk.ask("curator", "GET", "/health").status_code == 403


def test_a_failed_job_is_run_again_by_who_keeps_the_node(desk: Desk) -> None:
    with transaction(desk.node.engine, "test.job") as session:
        jobs.enqueue(session, "mask", "pixels", key="image:1", image_id=str(uuid4()))
        session.execute(sql("UPDATE procrastinate_jobs SET status = 'doing'"))
        session.execute(sql("UPDATE procrastinate_jobs SET status = 'failed'"))
        job = session.execute(sql("SELECT id FROM procrastinate_jobs")).scalar_one()
    assert "Run again" not in desk.get("lead", "/health")
    page = desk.get("tech", "/health")
    assert "1 job will not be tried again by itself" in page and f"/health/jobs/{job}/again" in page
    assert desk.post(f"/health/jobs/{job}/again", {}, "lead").status_code == 403
    assert desk.post(f"/health/jobs/{job}/again", {}).headers["location"] == "/health"
    with reading(desk.node.engine) as session:
        assert session.execute(sql("SELECT status FROM procrastinate_jobs")).scalar_one() == "todo"
    assert desk.post(f"/health/jobs/{job}/again", {}).status_code == 404


@pytest.mark.parametrize("role", ["central", "pacs"])
def test_the_other_nodes_have_audit_and_health_too(postgres: ScratchPostgres, role: str) -> None:
    with serve(postgres, role, site_code=None) as served:
        other = Desk.opened(served, {"admin": [(Role.ADMIN, "*"), (Role.AUD, "*")]})
        health = other.get("admin", "/health")
        assert ("Quarantined packages" in health) == (role == "central") and "Receipts of central" not in health
        assert "nothing is wrong" in other.post("/audit/verify", {}, "admin").text
        for path in ("/schedule", "/peers", "/opt-outs"):
            assert other.ask("admin", "GET", path).status_code == 404

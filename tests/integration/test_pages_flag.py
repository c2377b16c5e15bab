"""Flagging over a real node: one study by a form, many by a list that is shown first, and what is refused."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlmodel import col, select

from core.clock import now_utc
from core.db import reading, transaction
from core.models.audit import AuditEvent
from core.models.people import Role
from core.models.sitecase import CaseState, SiteCase
from core.node import SiteNode
from core.security import session_cookie_name
from core.services import optouts
from core.services.accounts import actor_of
from tests.postgres_fixture import ScratchPostgres
from tests.served import Served, serve

PEOPLE = {"exam": [(Role.EXAM, "*")], "breast": [(Role.EXAM, "breast")], "it": [(Role.SITEIT, "*")]}
GONE = "00999999"
HEAD = "chart_id,domain,accession,study_uid,deferred_until\n"


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres) -> Iterator[Served]:
    with serve(postgres, "site") as served:
        for name, grants in PEOPLE.items():
            served.person(name, grants)
        node = served.node
        assert isinstance(node, SiteNode)
        with transaction(node.engine, "test.opt-out") as session:
            optouts.opt_out(node, session, actor_of(session, served.people["exam"]), GONE)
        yield served


@pytest.fixture(autouse=True)
def _the_examiner_is_signed_in(site: Served) -> Iterator[None]:
    site.client.headers.update({"Sec-Fetch-Site": "same-origin", "Accept": "text/html", "Accept-Language": "en"})
    enter(site, "exam")
    yield
    site.client.cookies.clear()


def enter(site: Served, name: str) -> None:
    site.client.cookies.clear()
    site.client.cookies.set(session_cookie_name(site.settings), site.cookie(name))


def count(site: Served) -> int:
    with reading(site.node.engine) as session:
        return len(session.exec(select(SiteCase.id)).all())


def newest(site: Served) -> SiteCase:
    with reading(site.node.engine) as session:
        return session.exec(select(SiteCase).order_by(col(SiteCase.number).desc())).first()  # type: ignore[return-value]


def one(**more: str) -> dict[str, str]:
    return {"chart_id": "00000001", "accession": "A1", "study_uid": "", "domain": "liver", "deferred_until": ""} | more


def cells(text: str) -> list[list[str]]:
    rows = re.findall(r"<tr tabindex.*?</tr>", text, re.DOTALL)
    parts = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in rows]
    return [
        [" ".join(re.sub(r"<svg.*?</svg>|<[^>]+>", " ", part, flags=re.DOTALL).split()) for part in row]
        for row in parts
    ]


def test_a_study_is_flagged_once(site: Served) -> None:
    before = count(site)
    answer = site.client.post("/flag", data=one())
    case = newest(site)
    assert answer.status_code == 200 and f"Flagged as case {case.number}." in answer.text
    assert (case.state, case.domain, case.route) == (CaseState.QUEUED, "liver", "rest")
    assert 'value="00000001"' not in answer.text and '<option value="liver" selected>' in answer.text
    again = site.client.post("/flag", data=one(chart_id="1", accession="a1 "))
    assert again.status_code == 200 and f"Flagged already, as case {case.number}." in again.text
    assert count(site) == before + 1


def test_a_study_may_wait_until_a_day_of_the_hospital(site: Served) -> None:
    day = (now_utc() + timedelta(days=30)).date()
    site.client.post("/flag", data=one(accession="A2", deferred_until=day.isoformat()))
    case = newest(site)
    assert case.state == CaseState.DEFERRED and case.not_before is not None
    local = case.not_before.astimezone(site.settings.zone)
    assert (local.date(), local.hour) == (day, 0)


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        (one(chart_id=GONE), 422, "opted out"),
        (one(accession=""), 422, "needs an accession number or a Study Instance UID"),
        (one(chart_id=""), 422, "Missing or wrong: chart_id."),
        (one(chart_id="患者"), 422, "This chart ID cannot be read"),
        (one(study_uid="abc"), 422, "Missing or wrong: study_uid."),
        (one(domain=""), 422, "Missing or wrong: domain."),
        (one(domain="kidney"), 422, "does not collect that organ domain"),
        (one(deferred_until="2020-01-01"), 422, "Choose a day after today"),
        (one(deferred_until="tomorrow"), 422, "Missing or wrong: deferred_until."),
        ({"accession": "A1"}, 422, "Missing or wrong: chart_id, domain."),
    ],
)
def test_what_is_refused_says_why_and_keeps_what_was_typed(
    site: Served, fields: dict[str, str], status: int, words: str
) -> None:
    before = count(site)
    answer = site.client.post("/flag", data=fields)
    assert (answer.status_code, count(site)) == (status, before)
    assert words in answer.text and 'role="alert"' in answer.text
    if fields.get("chart_id"):
        assert f'value="{fields["chart_id"]}"' in answer.text
    assert answer.headers["cache-control"] == "no-store"


def test_the_answer_is_in_japanese_too(site: Served) -> None:
    answer = site.client.post("/flag", data=one(chart_id=GONE), headers={"Accept-Language": "ja"})
    assert "指定できませんでした" in answer.text and "opted out" not in answer.text


def test_nobody_flags_for_another_domain(site: Served) -> None:
    enter(site, "breast")
    assert '<option value="liver"' not in site.client.get("/flag").text
    assert site.client.post("/flag", data=one(accession="A3")).status_code == 403


def test_htmx_gets_the_form_and_everybody_else_a_page(site: Served) -> None:
    part = site.client.post("/flag", data=one(), headers={"HX-Request": "true", "HX-Target": "flag-one"})
    assert part.text.lstrip().startswith("<section") and "<html" not in part.text
    assert site.client.post("/flag", data=one()).text.startswith("<!doctype html>")


def test_a_list_is_shown_before_anything_is_done_and_then_done_as_shown(site: Served) -> None:
    site.client.post("/flag", data=one(accession="L0"))
    known, before = newest(site), count(site)
    text = (
        HEAD + "00000001,liver,L0,,\n00000002,breast,L1,,\n00000003,liver,,1.2.840.3,2099-01-05\n"
        f"{GONE},liver,L2,,\n00000004,kidney,L3,,\n,liver,L4,,\n"
    )
    shown = site.client.post("/flag/preview", data={"text": text}, files={"file": ("", b"")})
    assert shown.status_code == 200 and count(site) == before
    assert "2 studies would be flagged." in shown.text and "1 is flagged already." in shown.text
    assert "3 cannot be flagged." in shown.text
    lines = cells(shown.text)
    assert [line[:3] for line in lines[:3]] == [
        ["2", f"Flagged already (case {known.number})", "00000001"],
        ["3", "New", "00000002"],
        ["4", "New", "00000003"],
    ]
    assert lines[2][3:] == ["1.2.840.3", "Liver tumours", "2099-01-05"]
    assert "opted out" in lines[3][1] and "organ domain" in lines[4][1] and "chart_id" in lines[5][1]

    sent = re.findall(r'<textarea id="sent"[^>]*>\n(.*?)</textarea>', shown.text, re.DOTALL)
    assert sent == [text]
    done = site.client.post("/flag/list", data={"text": sent[0]}, files={"file": ("", b"")})
    assert done.status_code == 200 and "2 studies flagged." in done.text and "3 cannot be flagged." in done.text
    assert count(site) == before + 2
    again = site.client.post("/flag/preview", data={"text": text}, files={"file": ("", b"")})
    assert "0 studies would" in again.text and 'action="/flag/list"' not in again.text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_a_list_may_be_a_file_of_a_spreadsheet(site: Served, encoding: str) -> None:
    content = "chart_id,domain,accession,備考\r\n00000007,liver,F1,肝\r\n".encode(encoding)
    answer = site.client.post("/flag/preview", data={"text": ""}, files={"file": ("list.csv", content, "text/csv")})
    assert answer.status_code == 200 and cells(answer.text)[0][:3] == ["2", "New", "00000007"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "The first line must name the columns"),
        ("name,chart\nA,B\n", "The first line must name the columns"),
        (HEAD + "1,liver,2,,\n" * 501, "At most 500 lines at once."),
        (HEAD + f'"{"x" * 140_000}",liver,2,,\n', "This is not CSV that can be read"),
    ],
    ids=range(4),
)
def test_a_list_that_cannot_be_read_says_why(site: Served, text: str, words: str) -> None:
    for path in ("/flag/preview", "/flag/list"):
        answer = site.client.post(path, data={"text": text}, files={"file": ("", b"")})
        assert answer.status_code == 422 and words in answer.text and 'role="alert"' in answer.text


@pytest.mark.parametrize(
    ("content", "words"), [(b"\xff\xfe\x00\x81", "This file is not text"), (b"x" * 600_000, "This form is too long.")]
)
def test_a_file_that_is_no_list_is_refused(site: Served, content: bytes, words: str) -> None:
    answer = site.client.post("/flag/preview", files={"file": ("list.csv", content, "text/csv")})
    assert answer.status_code == 422 and words in answer.text


def test_a_form_that_is_too_long_is_not_read(site: Served) -> None:
    for size, status in ((600_000, 422), (1_100_000, 413)):
        answer = site.client.post("/flag/preview", data={"text": "x" * size}, files={"file": ("", b"")})
        assert answer.status_code == status


def test_a_list_is_one_form_with_few_parts(site: Served) -> None:
    files = [("file", (f"{n}.csv", b"chart_id,domain\n", "text/csv")) for n in range(3)]
    assert site.client.post("/flag/preview", files=files).status_code == 422


def test_a_list_of_another_domain_is_refused_line_by_line(site: Served) -> None:
    enter(site, "breast")
    text = HEAD + "00000008,liver,B1,,\n00000008,breast,B2,,\n"
    lines = cells(site.client.post("/flag/preview", data={"text": text}, files={"file": ("", b"")}).text)
    assert [line[1] for line in lines] == ["You may not do this.", "New"]


def test_the_template_is_a_list_that_can_be_sent(site: Served) -> None:
    template = site.client.get("/flag/template.csv")
    assert template.headers["content-disposition"] == 'attachment; filename="flag-template.csv"'
    answer = site.client.post("/flag/preview", files={"file": ("t.csv", template.content, "text/csv")})
    assert cells(answer.text)[0][1] == "New"


def test_flagging_is_for_those_who_examine_and_curate(site: Served) -> None:
    enter(site, "it")
    assert [site.client.get("/flag").status_code, site.client.post("/flag", data=one()).status_code] == [403, 403]


def test_what_was_typed_is_in_no_audit_event(site: Served) -> None:
    site.client.post("/flag", data=one(accession="SECRET-7"))
    with reading(site.node.engine) as session:
        told = "".join(event.model_dump_json() for event in session.exec(select(AuditEvent)))
    assert "SECRET-7" not in told and "00000001" not in told and GONE not in told

"""The worklist over a real node: what it shows and to whom, filters, pages, saved views, searches, steps with many, CSV."""

import csv
import io
import re
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from httpx2 import Response
from sqlmodel import Session, col, select

from core.clock import now_utc
from core.db import reading, transaction
from core.models.audit import AuditEvent
from core.models.curation import Form, ImageMask, MaskState, Pick, Roi
from core.models.filters import FoundCases
from core.models.people import Role
from core.models.sitecase import CaseState, ImageState, SiteCase, SiteImage
from core.node import SiteNode
from core.queries import worklist as queries
from core.security import session_cookie_name
from core.services import accounts, bulk, registering, worklist
from core.vault import Identity
from tests.postgres_fixture import ScratchPostgres
from tests.served import Served, serve

CHART, NAME, ACCESSION = "00123456", "YAMADA^TARO", "ACC-77"
PEOPLE = {
    "cur": [(Role.CUR, "*"), (Role.REG, "*")],
    "breast": [(Role.CUR, "breast")],
    "exam": [(Role.EXAM, "*")],
    "it": [(Role.SITEIT, "*")],
    "pi": [(Role.SITEPI, "*")],
    "aud": [(Role.AUD, "*")],
}
HTMX = {"HX-Request": "true", "HX-Target": "worklist"}


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres) -> Iterator[Served]:
    with serve(postgres, "site") as served:
        for name, grants in PEOPLE.items():
            served.person(name, grants)
        yield served


@pytest.fixture(autouse=True)
def _nobody_is_signed_in(site: Served) -> Iterator[None]:
    site.client.headers.update({"Sec-Fetch-Site": "same-origin", "Accept": "text/html", "Accept-Language": "en"})
    yield
    site.client.cookies.clear()


def enter(site: Served, name: str) -> None:
    site.client.cookies.clear()
    site.client.cookies.set(session_cookie_name(site.settings), site.cookie(name))


def node_of(site: Served) -> SiteNode:
    assert isinstance(site.node, SiteNode)
    return site.node


def case(
    site: Served, state: CaseState = CaseState.QUEUED, domain: str = "liver", by: str = "cur", **more: object
) -> SiteCase:
    with transaction(site.node.engine, "test.case") as session:
        row = SiteCase(state=state, domain=domain, route="rest", flagged_by=site.people[by].id, **more)
        session.add(row)
    return row


def image(session: Session, row: SiteCase, number: int, mask: MaskState | None = MaskState.PROPOSED) -> SiteImage:
    made = SiteImage(
        case_id=row.id, number=number, state=ImageState.STAGED, size=10, frames=number, rows=600, columns=800
    )
    session.add(made)
    session.flush()
    if mask:
        session.add(ImageMask(image_id=made.id, revision=1, state=mask, rects=[[0, 0, 800, 40]]))
    return made


def clear(site: Served) -> None:
    with transaction(site.node.engine, "test.clear") as session:
        for table in (Roi, Pick, ImageMask, Form, SiteImage, SiteCase):
            for row in session.exec(select(table)):
                session.delete(row)
            session.flush()


def numbers(answer: Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [int(n) for n in re.findall(r'<a href="/cases/[0-9a-f-]{36}(?:[?][^"]*)?">(\d+)</a></td>', answer.text)]


def test_a_row_says_what_a_person_must_know(site: Served) -> None:
    clear(site)
    row = case(site, CaseState.CURATING, reason="A reason of the test.", revision=3)
    with transaction(site.node.engine, "test.images") as session:
        image(session, row, 1, MaskState.CONFIRMED)
        image(session, row, 2)
        rejected = image(session, row, 3)
        session.add(Pick(image_id=rejected.id, picked=False, reason="duplicate"))
    enter(site, "cur")
    text = re.sub(r"<svg.*?</svg>|<[^>]+>", " ", site.client.get("/worklist").text, flags=re.DOTALL)
    cells = " ".join(text.split())
    assert f"{row.number} To curate A reason of the test. Liver tumours 3 / 6 1/2 not begun" in cells
    assert "cur 3" in cells


def test_a_person_sees_the_cases_of_their_domains(site: Served) -> None:
    clear(site)
    own, other = case(site, domain="breast"), case(site, domain="liver")
    enter(site, "breast")
    answer = site.client.get("/worklist")
    assert numbers(answer) == [own.number] and str(other.id) not in answer.text
    assert numbers(site.client.get("/worklist?domain=liver")) == []


def test_filters_narrow_the_list_and_nonsense_is_left_out(site: Served) -> None:
    clear(site)
    old = case(site, CaseState.QUEUED, created_at=now_utc() - timedelta(days=8), by="exam")
    failed = case(site, CaseState.RETRIEVE_FAILED)
    waits = case(site, CaseState.QUEUED, reason="The PACS does not answer.", domain="breast")
    over = case(site, CaseState.EXCLUDED, reason="It is over.")
    enter(site, "cur")

    def shown(query: str) -> list[int]:
        return numbers(site.client.get(f"/worklist?{query}"))

    assert shown("state=RETRIEVE_FAILED") == [failed.number]
    assert shown("domain=breast") == [waits.number]
    assert shown("stuck=1") == [waits.number, failed.number]
    assert shown("older=7") == [old.number]
    assert shown("mine=1") == [over.number, waits.number, failed.number]
    assert shown("state=QUEUED&stuck=1") == [waits.number]
    everything = [over.number, waits.number, failed.number, old.number]
    assert shown("state=NO&domain=x&older=2&stuck=yes&sort=x&order=x&page=0&found=x") == everything
    assert shown("page=999999999999") == everything


def test_what_came_last_night_and_masks_to_confirm(site: Served) -> None:
    clear(site)
    new, old, done = (case(site, CaseState.CURATING) for _ in range(3))
    with transaction(site.node.engine, "test.images") as session:
        image(session, new, 1)
        image(session, old, 1).created_at = now_utc() - timedelta(days=3)
        image(session, done, 1, MaskState.CONFIRMED).created_at = now_utc() - timedelta(days=3)
    enter(site, "cur")
    assert numbers(site.client.get("/worklist?arrived=1")) == [new.number]
    assert numbers(site.client.get("/worklist?masks=1")) == [old.number, new.number]


@pytest.mark.parametrize(
    ("sort", "order"),
    [("number", [0, 1, 2]), ("state", [1, 0, 2]), ("domain", [1, 2, 0]), ("images", [0, 2, 1]), ("age", [2, 1, 0]),
     ("by", [1, 2, 0])],
)  # fmt: skip
def test_each_column_sorts_both_ways_and_says_so(site: Served, sort: str, order: list[int]) -> None:
    clear(site)
    hour = timedelta(hours=1)
    rows = [
        case(site, CaseState.QUEUED, "liver", "exam", created_at=now_utc() - 3 * hour),
        case(site, CaseState.FLAGGED, "breast", "breast", created_at=now_utc() - 2 * hour),
        case(site, CaseState.CURATING, "breast", "cur", created_at=now_utc() - hour),
    ]
    with transaction(site.node.engine, "test.images") as session:
        for row, count in zip(rows, (0, 3, 2), strict=True):
            for number in range(count):
                image(session, row, number + 1, None)
    rows_by_number = {row.number: place for place, row in enumerate(rows)}
    enter(site, "cur")
    up = site.client.get(f"/worklist?sort={sort}&order=up")
    down = site.client.get(f"/worklist?sort={sort}&order=down")
    found = [rows_by_number[number] for number in numbers(up)]
    if sort == "domain":  # two of one domain: the newer first, whichever way
        assert (found, [rows_by_number[n] for n in numbers(down)]) == ([2, 1, 0], [0, 2, 1])
    else:
        assert (found, [rows_by_number[n] for n in numbers(down)]) == (order, order[::-1])
    assert up.text.count('aria-sort="ascending"') == 1 and down.text.count('aria-sort="descending"') == 1


def test_pages_of_fifty(site: Served) -> None:
    clear(site)
    made = [case(site).number for _ in range(53)]
    enter(site, "cur")
    first, second = site.client.get("/worklist"), site.client.get("/worklist?page=2")
    assert numbers(first) == made[:2:-1] and numbers(second) == made[2::-1]
    assert "1–50 of 53" in first.text and "51–53 of 53" in second.text
    assert 'rel="next" href="/worklist?page=2"' in first.text and 'rel="prev" href="/worklist"' in second.text


def test_a_fragment_for_htmx_and_a_page_for_everybody_else(site: Served) -> None:
    enter(site, "cur")
    whole = site.client.get("/worklist?state=QUEUED")
    part = site.client.get("/worklist?state=QUEUED", headers=HTMX)
    assert whole.text.startswith("<!doctype html>") and '<div id="worklist"' in whole.text
    assert part.text.lstrip().startswith('<div id="worklist"') and "<html" not in part.text
    assert "HX-Target" in part.headers["vary"] and part.headers["cache-control"] == "no-store"


def test_the_list_is_in_japanese_too(site: Served) -> None:
    clear(site)
    case(site, CaseState.RETRIEVE_FAILED)
    enter(site, "cur")
    text = site.client.get("/worklist", headers={"Accept-Language": "ja"}).text
    assert "取得できず" in text and "肝腫瘍" in text and "止まっている" in text


def test_an_empty_list_teaches_the_next_step(site: Served) -> None:
    clear(site)
    enter(site, "exam")
    assert 'href="/flag"' in site.client.get("/worklist").text.split('class="empty"')[1]
    enter(site, "pi")  # who cannot flag is not led there
    assert 'href="/flag"' not in site.client.get("/worklist").text
    assert "No case matches" in site.client.get("/worklist?stuck=1").text


def test_a_view_is_saved_replaced_and_deleted_and_is_ones_own(site: Served) -> None:
    enter(site, "cur")
    answer = site.client.post("/worklist/views?stuck=1&sort=age&order=down&page=3", data={"name": " Mine  first "})
    assert (answer.status_code, answer.headers["location"]) == (303, "/worklist?stuck=1&sort=age&order=down")
    text = site.client.get(answer.headers["location"]).text
    assert "The view is saved." in text and re.search(r'sort=age[^>]+aria-current="true">Mine first<', text)
    site.client.post("/worklist/views?mine=1", data={"name": "Mine first"})
    text = site.client.get("/worklist").text
    assert 'href="/worklist?mine=1" >Mine first<' in text and text.count(">Mine first<") == 2

    delete = re.findall(r'action="(/worklist/views/[0-9a-f-]+/delete)"', text)[0]
    enter(site, "exam")
    assert "Mine first" not in site.client.get("/worklist").text
    assert site.client.post(delete).status_code == 404
    enter(site, "cur")
    assert site.client.post(delete).headers["location"] == "/worklist"
    assert "Mine first" not in site.client.get("/worklist").text


@pytest.mark.parametrize("name", ["", "   ", "x" * 41, "a\0b"])
def test_a_view_without_a_name_is_refused_with_what_was_typed(site: Served, name: str) -> None:
    enter(site, "cur")
    answer = site.client.post("/worklist/views?stuck=1", data={"name": name})
    assert answer.status_code == 422 and "at most 40 characters" in answer.text
    assert 'aria-describedby="view-bad"' in answer.text


def test_nobody_keeps_more_than_twenty_views(site: Served) -> None:
    enter(site, "it")
    answers = [site.client.post("/worklist/views?stuck=1", data={"name": f"view {n}"}) for n in range(21)]
    assert [answer.status_code for answer in answers] == [303] * 20 + [422]


@pytest.fixture
def named(site: Served) -> SiteCase:
    clear(site)
    row = case(site, CaseState.CURATING)
    case(site)
    identity = Identity(chart_id=CHART, accession=ACCESSION, study_uid="1.2.3", names=(NAME, "ヤマダ^タロウ"))
    node_of(site).vault.seal(row.id, identity)
    return row


@pytest.mark.parametrize(
    ("way", "words"),
    [("chart-id", "123456"), ("accession", "acc-77"), ("name", "yamada taro"), ("name", "やまだ")],
)
def test_a_search_answers_with_an_address_that_says_nothing(
    site: Served, named: SiteCase, way: str, words: str
) -> None:
    enter(site, "exam")
    answer = site.client.post("/worklist/search", data={"way": way, "words": words})
    assert answer.status_code == 303 and re.fullmatch(r"/worklist\?found=[0-9a-f-]{36}", answer.headers["location"])
    page = site.client.get(answer.headers["location"])
    assert numbers(page) == [named.number] and "1 case found." in page.text
    assert CHART not in page.text and "YAMADA" not in page.text and words not in page.text
    with reading(site.node.engine) as session:
        found = select(AuditEvent).where(AuditEvent.verb == "case.search").order_by(col(AuditEvent.id).desc())
        event = session.exec(found).first()
    assert event is not None and (event.actor, event.subject) == ("exam", "")
    assert event.detail == {"way": way, "found": 1}


def test_one_search_is_one_audit_event_also_when_it_finds_nothing(site: Served, named: SiteCase) -> None:
    enter(site, "cur")

    def events() -> int:
        with reading(site.node.engine) as session:
            return len(session.exec(select(AuditEvent).where(AuditEvent.verb == "case.search")).all())

    before = events()
    answer = site.client.post("/worklist/search", data={"way": "name", "words": "nobody"})
    page = site.client.get(answer.headers["location"])
    assert "0 cases found." in page.text and numbers(page) == []
    assert events() == before + 1


def test_a_search_finds_only_what_one_may_see(site: Served, named: SiteCase) -> None:
    enter(site, "breast")
    answer = site.client.post("/worklist/search", data={"way": "chart-id", "words": CHART})
    assert "0 cases found." in site.client.get(answer.headers["location"]).text


def test_a_search_is_for_those_who_know_their_patients(site: Served, named: SiteCase) -> None:
    for name, may in (("cur", True), ("exam", True), ("it", False), ("pi", False)):
        enter(site, name)
        assert ('action="/worklist/search"' in site.client.get("/worklist").text) == may
        answer = site.client.post("/worklist/search", data={"way": "chart-id", "words": CHART})
        assert answer.status_code == (303 if may else 403)


@pytest.mark.parametrize(
    ("way", "words"), [("chart-id", ""), ("chart-id", "患者"), ("x", "1"), ("name", "^"), ("name", "y" * 65)]
)
def test_a_search_that_cannot_be_made_says_why_and_keeps_the_words(site: Served, way: str, words: str) -> None:
    enter(site, "cur")
    answer = site.client.post("/worklist/search", data={"way": way, "words": words})
    assert answer.status_code == 422 and 'role="alert"' in answer.text
    assert f'value="{words[:64]}"' in answer.text


def test_a_result_is_one_persons_and_lasts_a_quarter_of_an_hour(site: Served, named: SiteCase) -> None:
    enter(site, "cur")
    address = site.client.post("/worklist/search", data={"way": "chart-id", "words": CHART}).headers["location"]
    enter(site, "exam")
    answer = site.client.get(address)
    assert answer.status_code == 404 and str(named.id) not in answer.text
    with transaction(site.node.engine, "test.late") as session:
        row = session.get_one(FoundCases, UUID(address[-36:]))
        assert timedelta(minutes=14) < row.expires_at - now_utc() <= timedelta(minutes=15)
        row.expires_at = now_utc()
    enter(site, "cur")
    answer = site.client.get(address)
    assert answer.status_code == 404 and "This search is over" in answer.text
    assert site.client.get(f"/worklist?found={uuid4()}").status_code == 404
    site.client.post("/worklist/search", data={"way": "chart-id", "words": CHART})
    with reading(site.node.engine) as session:
        assert session.get(FoundCases, UUID(address[-36:])) is None  # what is over is forgotten


def take(site: Served, step: str, *rows: SiteCase, **more: str) -> Response:
    return site.client.post(
        "/worklist/bulk?domain=liver", data={"step": step, "case": [str(r.id) for r in rows], **more}
    )


def state_of(site: Served, row: SiteCase) -> CaseState:
    with reading(site.node.engine) as session:
        return CaseState(session.get_one(SiteCase, row.id).state)


def test_a_step_with_many_says_what_was_done_and_what_was_refused(site: Served) -> None:
    clear(site)
    failed, waiting, curating = (
        case(site, state) for state in (CaseState.RETRIEVE_FAILED, CaseState.QUEUED, CaseState.REGISTERED)
    )
    enter(site, "cur")
    answer = take(site, "retry", failed, waiting, curating)
    assert answer.status_code == 200
    assert "2 cases will be asked for again." in answer.text and "1 was refused." in answer.text
    assert f"Case {curating.number}: A case that is REGISTERED cannot become QUEUED." in answer.text
    assert '<option value="liver" selected>' in answer.text  # the same filter as before
    assert [state_of(site, row) for row in (failed, waiting, curating)] == ["QUEUED", "QUEUED", "REGISTERED"]


def test_each_step_with_many(site: Served) -> None:
    clear(site)
    rows = [case(site, state) for state in (CaseState.RETRIEVING, CaseState.CURATING, CaseState.FLAGGED)]
    node_of(site).vault.seal(rows[2].id, Identity(chart_id="00777777", accession="A9"))
    enter(site, "cur")
    assert "1 retrieval stopped." in take(site, "cancel", rows[0]).text
    assert "1 case excluded." in take(site, "exclude", rows[1], reason="wrong-study").text
    assert "1 flag taken back." in take(site, "unflag", rows[2]).text
    assert [state_of(site, row) for row in rows] == ["RETRIEVE_FAILED", "EXCLUDED", "EXCLUDED"]


def test_steps_are_for_those_who_may_take_them(site: Served) -> None:
    clear(site)
    row = case(site, CaseState.RETRIEVE_FAILED)
    steps = {"cur": set(bulk.STEPS), "exam": {"unflag"}, "it": {"retry", "cancel"}, "pi": set()}
    for name, may in steps.items():
        enter(site, name)
        text = site.client.get("/worklist").text
        assert set(re.findall(r'name="step" value="(\w+)"', text)) == may
        assert ('name="case"' in text) == bool(may)
    answer = take(site, "retry", row)
    assert "0 cases will" in answer.text and "You may not do this." in answer.text
    assert state_of(site, row) == "RETRIEVE_FAILED"


def test_a_case_of_another_domain_is_one_that_is_not_there(site: Served) -> None:
    clear(site)
    row = case(site, CaseState.CURATING, "liver")
    enter(site, "breast")
    answer = take(site, "exclude", row, reason="wrong-study")
    assert "There is no such thing here" in answer.text and f"Case {row.number}" not in answer.text
    assert state_of(site, row) == "CURATING"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"step": "retry"}, "Mark the cases first."),
        ({"step": "burn", "case": str(uuid4())}, "There is no such step."),
        ({"step": "retry", "case": "x"}, "There is no such step."),
        ({"step": "exclude", "case": str(uuid4())}, "Excluding needs a reason."),
        ({"step": "exclude", "case": str(uuid4()), "reason": "YAMADA"}, "Excluding needs a reason."),
        ({"step": "retry", "case": [str(uuid4()) for _ in range(201)]}, "At most 200 cases at once."),
    ],
)
def test_a_step_that_cannot_be_taken_says_why(site: Served, fields: dict[str, str], words: str) -> None:
    enter(site, "cur")
    answer = site.client.post("/worklist/bulk", data=fields)
    assert answer.status_code == 422 and words in answer.text


def test_the_list_as_csv_runs_nothing_in_a_spreadsheet(site: Served) -> None:
    clear(site)
    row = case(site, CaseState.RETRIEVE_FAILED, reason="=HYPERLINK(1)")
    other = case(site, CaseState.QUEUED)
    enter(site, "cur")
    answer = site.client.get("/worklist.csv?sort=number&order=up")
    assert answer.headers["content-disposition"] == 'attachment; filename="worklist.csv"'
    assert answer.text.startswith("\ufeff")
    head, *rows = csv.reader(io.StringIO(answer.text.removeprefix("\ufeff")))
    assert head[:4] == ["No.", "Version", "State", "Reason"]
    assert [line[0] for line in rows] == [str(row.number), str(other.number)]
    assert rows[0][3] == "'=HYPERLINK(1)" and rows[0][4] == "Liver tumours"
    assert len(list(csv.reader(io.StringIO(site.client.get("/worklist.csv?state=QUEUED").text)))) == 2
    assert "症例" not in answer.text and "状態" in site.client.get("/worklist.csv?lang=ja").text


def test_gaps_are_counted_as_the_registration_finds_them(site: Served) -> None:
    clear(site)
    rows = [case(site, CaseState.CURATING) for _ in range(6)]
    hcc = {"diagnosis": {"value": "LIV-HCC", "source": "manual", "tag": None}}
    forms = [{}, hcc, hcc, {"malignancy": {"value": "no_lesion", "source": "derived", "tag": None}}, hcc, hcc]
    with transaction(site.node.engine, "test.gaps") as session:
        for row, values in zip(rows, forms, strict=True):
            session.add(Form(case_id=row.id, values=values))
        for row in rows[2:]:
            picked = image(session, row, 1, MaskState.CONFIRMED)
            late = image(session, row, 2)
            left = image(session, row, 3, None)
            session.add_all([Pick(image_id=picked.id, picked=True), Pick(image_id=left.id, picked=False)])
            if row is not rows[3]:
                session.add(Pick(image_id=late.id, picked=True))
            for y in {4: (10.0, 300.0), 5: (300.0,)}.get(rows.index(row), ()):
                box = {"x": 10.0, "y": y, "width": 50.0, "height": 50.0, "margin": 4.0}
                session.add(Roi(image_id=picked.id, frame=1, label="LIV-HCC", **box))
                session.add(Roi(image_id=left.id, frame=1, label="LIV-HCC", deleted=True, **box))
        remade = image(session, rows[5], 4, MaskState.VOID)
        session.add_all(
            [ImageMask(image_id=remade.id, revision=2, state=MaskState.PROPOSED), Pick(image_id=remade.id, picked=True)]
        )
    with reading(site.node.engine) as session:
        expected = {row.id: len(registering.gaps(session, session.get_one(SiteCase, row.id))) for row in rows}
        actor = accounts.actor_of(session, site.people["cur"])
        listing = worklist.listing(session, actor, queries.Chosen())
    assert listing.gaps == expected and len(set(expected.values())) >= 3

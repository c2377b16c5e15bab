"""Review comments: threads on a case or an ROI; what was written lies sealed in the vault and nowhere else."""

from collections.abc import Iterator

import pytest
from sqlmodel import Session, select, text

from core.db import reading, transaction
from core.errors import Denied, NotFound, WrongState
from core.models.audit import AuditEvent
from core.models.people import Role
from core.models.reads import ReviewComment
from core.models.sitecase import SiteCase
from core.node import SiteNode
from core.permissions import SYSTEM, Actor
from core.queries import comments as queries
from core.services import cases, comments
from core.vault import Identity
from tests.postgres_fixture import ScratchPostgres
from tests.reading_site import DeskCase, actor_of, make_case, signed_in
from tests.served import Served, serve

GRANTS = {"curator": [Role.CUR], "lead": [Role.REG], "looker": [Role.EXAM]}
WORDS = "山田花子さんの前回画像と比べて、ROI が大きすぎます。 Yamada^Hanako"


@pytest.fixture(scope="module")
def served(postgres: ScratchPostgres) -> Iterator[Served]:
    with serve(postgres, "site") as made:
        for name, roles in GRANTS.items():
            made.person(name, [(role, "*") for role in roles])
        yield made


@pytest.fixture
def case(served: Served) -> DeskCase:
    made = make_case(served, "curator")
    site(served).vault.seal(made.id, Identity(chart_id=f"{made.number:08d}", study_uid=f"1.2.{made.number}"))
    return made


def site(served: Served) -> SiteNode:
    assert isinstance(served.node, SiteNode)
    return served.node


def actor(served: Served, name: str) -> Actor:
    return actor_of(served, GRANTS, name)


def everything(session: Session) -> str:
    """Every row of every table of the main schema, as text."""
    tables = session.exec(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()  # type: ignore[call-overload]
    rows = [session.exec(text(f'SELECT t::text FROM "{name}" t')).all() for (name,) in tables]  # type: ignore[call-overload]
    return str(rows)


def test_a_thread_is_written_answered_resolved_and_opened_again(served: Served, case: DeskCase) -> None:
    roi = case.draw(actor(served, "curator"))
    here = f"/cases/{case.id}/comments"
    with signed_in(served, "lead") as client:
        assert client.get(here).status_code == 200
        assert client.post(here, data={"text": WORDS, "roi": str(roi)}).status_code == 303
        page = client.get(here).text
        assert "山田花子さん" in page and "ROI on image 1" in page
        with reading(served.node.engine) as session:
            first = session.exec(select(ReviewComment).where(ReviewComment.case_id == case.id)).one()
            assert queries.open_count(session, case.id) == 1
        assert client.post(f"{here}/{first.id}/resolve").status_code == 303
        with reading(served.node.engine) as session:
            assert queries.open_count(session, case.id) == 0
    with signed_in(served, "curator", "ja") as client:
        assert "解決済み" in client.get(here).text
        # An answer opens the thread again.
        assert client.post(here, data={"text": "<b>直しました</b>", "parent": str(first.id)}).status_code == 303
        page = client.get(here).text
        assert "&lt;b&gt;直しました" in page and "未解決" in page
        assert "未解決 1 件" in client.get(f"/cases/{case.id}").text


def test_the_words_are_in_no_table_and_no_audit(served: Served, case: DeskCase) -> None:
    with transaction(served.node.engine, "test.comment") as session:
        comments.add(site(served), session, actor(served, "lead"), case.id, WORDS)
    with reading(served.node.engine) as session:
        known = everything(session)
        assert str(case.id) in known and "山田" not in known and "Yamada" not in known
        queries.threads(site(served), session, actor(served, "lead"), case.id)
    with reading(served.node.engine) as session:
        events = session.exec(select(AuditEvent).where(AuditEvent.subject == str(case.id))).all()
        assert {"comment.add", "vault.reveal"} <= {event.verb for event in events}


def test_the_purge_of_a_case_takes_its_comments(served: Served, case: DeskCase) -> None:
    lead = actor(served, "lead")
    with transaction(served.node.engine, "test.comment") as session:
        comments.add(site(served), session, lead, case.id, WORDS)
    with transaction(served.node.engine, "test.purge") as session:
        cases.purge(site(served), session, SYSTEM, session.get_one(SiteCase, case.id))
    with reading(served.node.engine) as session:
        (thread,) = queries.threads(site(served), session, lead, case.id)
        assert thread.first.text is None
        with pytest.raises(WrongState):
            comments.add(site(served), session, lead, case.id, WORDS)
    with signed_in(served, "lead") as client:
        assert "Deleted with the case" in client.get(f"/cases/{case.id}/comments").text


def test_comments_are_for_who_works_on_the_case(served: Served, case: DeskCase) -> None:
    other = make_case(served, "curator")
    site(served).vault.seal(other.id, Identity(chart_id=f"{other.number:08d}", study_uid=f"1.2.{other.number}"))
    foreign = other.draw(actor(served, "curator"))
    with transaction(served.node.engine, "test.comment") as session:
        theirs = comments.add(site(served), session, actor(served, "lead"), other.id, "x").id
    with reading(served.node.engine) as session:
        with pytest.raises(Denied):
            queries.threads(site(served), session, actor(served, "looker"), case.id)
        for more in ({"roi_id": foreign}, {"parent_id": theirs}):
            with pytest.raises(NotFound):
                comments.add(site(served), session, actor(served, "lead"), case.id, "x", **more)
        with pytest.raises(NotFound):
            comments.resolve(session, actor(served, "lead"), case.id, theirs, True)


@pytest.mark.parametrize("words", ["", " \n ", "x" * 2001, "\x00\x07"])
def test_what_is_no_comment_is_refused_with_what_was_typed(served: Served, case: DeskCase, words: str) -> None:
    with signed_in(served, "lead") as client:
        answer = client.post(f"/cases/{case.id}/comments", data={"text": words})
        assert answer.status_code == 422 and "1 to 2000" in answer.text

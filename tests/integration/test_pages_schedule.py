"""The schedule over a real database: what rules when, who may change it, two desks at once, and tonight's queue."""

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete
from sqlmodel import col, select

from core.clock import now_utc
from core.db import reading, transaction
from core.models.audit import AuditEvent
from core.models.people import Role
from core.models.schedule import Schedule
from core.models.sitecase import CaseState, Holiday, SiteCase, SiteImage
from core.queries.schedule import pace_of, schedule_of
from core.services import retrieve
from core.settings import Window
from tests.desk import Desk
from tests.postgres_fixture import ScratchPostgres
from tests.served import serve

PEOPLE: dict[str, list[tuple[Role, str]]] = {
    "tech": [(Role.SITEIT, "*")],
    "curator": [(Role.CUR, "*")],
    "breast": [(Role.CUR, "breast")],
    "desk": [(Role.PTDESK, "*")],
}
ALL_DAY: dict[str, Any] = {"day": [str(day) for day in range(7)], "begin": "00:00", "end": "00:00"}


def version(desk: Desk) -> int:
    with reading(desk.node.engine) as session:
        row = session.get(Schedule, 1)
    return row.version if row else 0


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres) -> Iterator[Desk]:
    with serve(postgres, "site") as served:
        yield Desk.opened(served, PEOPLE)


@pytest.fixture
def desk(site: Desk) -> Iterator[Desk]:
    """The site as nobody has used it yet."""
    yield site
    with transaction(site.node.engine, "test.clean") as session:
        for table in (SiteImage, SiteCase, Schedule, Holiday, AuditEvent):
            session.execute(delete(table))


def test_until_somebody_saves_it_the_settings_rule(desk: Desk) -> None:
    text = desk.get("tech")
    assert "22:00–06:00 next day" in text and "As in the settings file" in text
    with reading(desk.node.engine) as session:
        plan = schedule_of(session, desk.node.settings)
    assert (plan.windows, plan.version) == (desk.node.settings.windows, 0)


def test_what_is_saved_rules_from_then_on_and_keeps_what_the_settings_had(desk: Desk) -> None:
    lunch = {"day": ["0", "1"], "begin": "12:15", "end": "13:00", "version": "0"}
    answer = desk.post("/schedule/windows", lunch)
    assert (answer.status_code, answer.headers["location"]) == (303, "/schedule/edit")
    text = desk.get("curator")
    assert "22:00–06:00 next day" in text and "12:15–13:00" in text and "by tech" in text
    with reading(desk.node.engine) as session:
        plan = schedule_of(session, desk.node.settings)
        event = session.exec(select(AuditEvent).where(AuditEvent.verb == "schedule.window")).one()
    assert plan.windows[1] == Window(days=(0, 1), begin=time(12, 15), end=time(13))
    assert (plan.at_once, plan.version) == (desk.node.settings.retrieve_concurrency, 1)
    assert (event.actor, event.before, event.after) == ("tech", None, "01 12:15-13:00")


def test_a_window_is_changed_and_removed(desk: Desk) -> None:
    changed = {"n": "0", "day": ["5", "6"], "begin": "18:00", "end": "24:00", "version": "0"}
    assert desk.post("/schedule/windows", changed).status_code == 303
    assert "<b>Weekends</b> 18:00–24:00" in desk.get("tech")
    assert 'name="n" value="0"' in desk.get("tech", "/schedule/edit?window=0")
    assert desk.post("/schedule/windows/0/delete", {"version": "1"}).status_code == 303
    assert "There is no window" in desk.get("tech")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"day": []}, "Choose at least one day."),
        ({"day": ["7"]}, "Choose at least one day."),
        ({"begin": "25:00"}, "Enter a time such as 22:00."),
        ({"end": "22+09"}, "Enter a time such as 22:00."),
        ({"end": ""}, "Enter a time such as 22:00."),
    ],
)
def test_a_window_that_cannot_be_is_said_beside_its_field(desk: Desk, wrong: dict[str, Any], words: str) -> None:
    answer = desk.post("/schedule/windows", {"day": ["1"], "begin": "21:45", "end": "05:00", "version": "0"} | wrong)
    assert answer.status_code == 422 and words in answer.text and 'aria-invalid="true"' in answer.text
    assert "begin" in wrong or 'value="21:45"' in answer.text  # what was typed is still there
    assert version(desk) == 0


def test_two_desks_never_overwrite_each_other(desk: Desk) -> None:
    caps = {"at_once": "4", "per_second": "50.5", "nights": "5"}
    assert desk.post("/schedule/caps", caps | {"version": "0"}).status_code == 303
    late = desk.post("/schedule/caps", caps | {"at_once": "9", "version": "0"})
    assert late.status_code == 409 and "Somebody else changed the schedule first" in late.text
    assert 'value="9"' in late.text and 'name="version" value="1"' in late.text
    assert desk.post("/schedule/windows/0/delete", {"version": "0"}).status_code == 409
    assert desk.post("/schedule/windows", ALL_DAY | {"version": ""}).status_code == 409
    with reading(desk.node.engine) as session:
        row = session.get_one(Schedule, 1)
    assert (row.at_once, row.per_second, row.nights, row.version) == (4, 50.5, 5, 1)


@pytest.mark.parametrize(
    ("name", "value"), [("at_once", "0"), ("at_once", "x"), ("per_second", "nan"), ("nights", "31")]
)
def test_a_cap_that_cannot_be_is_said_beside_its_field(desk: Desk, name: str, value: str) -> None:
    caps = {"at_once": "2", "per_second": "50", "nights": "3", "version": "0", name: value}
    answer = desk.post("/schedule/caps", caps)
    assert answer.status_code == 422 and f'id="bad-{name}"' in answer.text and f'value="{value}"' in answer.text


def test_holidays_are_added_named_and_removed(desk: Desk) -> None:
    today = now_utc().astimezone(desk.node.settings.zone).date()
    day = (today + timedelta(days=2)).isoformat()
    assert desk.post("/schedule/holidays", {"day": day, "name": "開院記念日"}).status_code == 303
    assert "開院記念日" in desk.get("tech") and "開院記念日" in desk.get("tech", "/schedule/edit")
    assert desk.post("/schedule/holidays", {"day": "tomorrow", "name": "x"}).status_code == 422
    assert desk.post(f"/schedule/holidays/{day}/delete", {}).status_code == 303
    with reading(desk.node.engine) as session:
        assert session.exec(select(Holiday)).all() == []


def test_retrieval_starts_by_the_saved_windows_and_caps(desk: Desk) -> None:
    waiting = [desk.add_case(CaseState.QUEUED) for _ in range(3)]
    noon = datetime.combine(date(2026, 11, 25), time(12), desk.node.settings.zone)

    def start() -> int:
        with transaction(desk.node.engine, "test.start") as session:
            return retrieve.start_due(session, desk.node.settings, noon)

    assert start() == 0  # the settings open at night only
    assert desk.post("/schedule/windows", ALL_DAY | {"version": "0"}).status_code == 303
    caps = {"at_once": "1", "per_second": "50", "nights": "3", "version": "1"}
    assert desk.post("/schedule/caps", caps).status_code == 303
    assert start() == 1
    assert [desk.case(case_id).state for case_id in waiting] == [
        CaseState.RETRIEVING,
        CaseState.QUEUED,
        CaseState.QUEUED,
    ]


def test_tonights_queue_shows_progress_reasons_and_what_one_may_do(desk: Desk) -> None:
    going = desk.add_case(CaseState.RETRIEVING, 60, 15)
    failed = desk.add_case(CaseState.RETRIEVE_FAILED, 9, 8, reason="The PACS has no such study yet.", failed_nights=4)
    desk.add_case(CaseState.CURATING, 5, 5)
    text = desk.get("curator", part="queue")
    assert text.lstrip().startswith("<section") and 'hx-trigger="every 2s"' in text and "data-poll" in text
    assert 'value="15" max="60"' in text and "15 / 60" in text
    assert "The PACS has no such study yet." in text and "4 of 3 nights failed" in text
    assert f"/schedule/cases/{going}/cancel" in text and f"/schedule/cases/{going}/retry" not in text
    assert f"/schedule/cases/{failed}/retry" in text and f"/schedule/cases/{failed}/cancel" not in text
    assert text.count("<tr>") == 3
    assert "<!doctype html>" in desk.get("curator")  # the same address without htmx is a whole page
    assert 'id="queue"' not in desk.get("tech", "/schedule/edit")


def test_the_queue_is_of_what_one_may_see(desk: Desk) -> None:
    desk.add_case(CaseState.QUEUED)
    own = desk.add_case(CaseState.QUEUED, domain="breast")
    text = desk.get("breast")
    assert f"/schedule/cases/{own}/retry" in text and text.count("/retry") == 1
    assert "Nothing waits to be retrieved" not in text


def test_a_case_is_asked_for_again_or_cancelled(desk: Desk) -> None:
    failed, going = desk.add_case(CaseState.RETRIEVE_FAILED, failed_nights=4), desk.add_case(CaseState.RETRIEVING)
    assert desk.post(f"/schedule/cases/{failed}/retry", {}, "curator").headers["location"] == "/schedule"
    assert desk.post(f"/schedule/cases/{going}/cancel", {}, "curator").status_code == 303
    assert (desk.case(failed).state, desk.case(failed).failed_nights) == (CaseState.QUEUED, 0)
    assert desk.case(going).state == CaseState.RETRIEVE_FAILED
    assert desk.post(f"/schedule/cases/{failed}/retry", {}, "breast").status_code == 404
    assert desk.post(f"/schedule/cases/{failed}/retry", {}, "desk").status_code == 403


def test_the_estimate_is_measured_or_not_given(desk: Desk) -> None:
    desk.add_case(CaseState.QUEUED, 40, 10)
    assert "Measured on" not in desk.get("curator")
    begun = now_utc() - timedelta(hours=3)
    with transaction(desk.node.engine, "test.pulled") as session:
        for n, seconds in enumerate((10, 20, 4000)):
            for verb, before, at in (("retrieving", "QUEUED", 0), ("curating", "RETRIEVING", seconds)):
                event = AuditEvent(
                    actor="system", verb=f"case.{verb}", subject=str(UUID(int=n)), before=before,
                    at=begun + timedelta(seconds=at), detail={"images": 10},
                )  # fmt: skip
                session.add(event)
                session.flush()
    with reading(desk.node.engine) as session:
        pace = pace_of(session)
    assert pace is not None and (pace.seconds, pace.images, pace.measured) == (2.0, 10, 3)
    text = re.sub(r"\s+", " ", desk.get("curator"))
    assert "About 1 min for the 30 instances that are left." in text
    assert "Measured on the last 3 retrievals: 0.5 instances a second" in text


def test_who_may_look_may_not_always_change(desk: Desk) -> None:
    assert "/schedule/edit" not in desk.get("curator") and "/schedule/edit" in desk.get("tech")
    assert desk.ask("curator", "GET", "/schedule/edit").status_code == 403
    assert desk.ask("desk", "GET", "/schedule").status_code == 403
    for path in ("/schedule/windows", "/schedule/windows/0/delete", "/schedule/caps", "/schedule/holidays"):
        assert desk.post(path, {"version": "0"}, "curator").status_code == 403
    with reading(desk.node.engine) as session:
        assert not session.exec(select(AuditEvent).where(col(AuditEvent.verb).startswith("schedule."))).all()

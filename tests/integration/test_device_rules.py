"""The site's own mask rules over a real database: drafted, tested, published, retired, and what becomes of held images."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import select

from core import jobs
from core.db import reading, transaction
from core.errors import Conflict, Denied, Malformed, NotFound, Unavailable, WrongState
from core.models.audit import AuditEvent
from core.models.curation import ImageMask, MaskState
from core.models.devices import DeviceRule, DeviceRuleVersion, RuleState
from core.models.people import Role
from core.models.sitecase import CaseState, SiteImage
from core.node import SiteNode
from core.permissions import SYSTEM, Actor
from core.queries import device_queue
from core.services import accounts, device_exchange, device_rules, device_tests, masks
from tests.device_site import content, current, hold, officer
from tests.sites import open_site, person


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteNode]:
    with open_site(tmp_path_factory.mktemp("site")) as node:
        yield node


@pytest.fixture(scope="module")
def pi(site: SiteNode) -> Actor:
    return officer(site)


@pytest.fixture(scope="module")
def curator(site: SiteNode) -> Actor:
    return person(site, "kaneko")


@pytest.fixture(autouse=True)
def _empty(site: SiteNode) -> None:
    with transaction(site.engine, "test.empty") as session:
        session.execute(text("TRUNCATE site_case, device_rule, procrastinate_jobs CASCADE"))


def drafted(site: SiteNode, actor: Actor, **changes: Any) -> UUID:
    """A draft that was tested."""
    with transaction(site.engine, "test.draft") as session:
        rule = device_rules.draft(session, actor, content(**changes))
        device_tests.test(session, actor, rule.id)
        return rule.id


def published(site: SiteNode, actor: Actor, rule_id: UUID, note: str = "") -> DeviceRuleVersion:
    with transaction(site.engine, "test.publish") as session:
        edits = session.get_one(DeviceRule, rule_id).edits
        return device_rules.publish(session, actor, rule_id, edits, note)


def changed(site: SiteNode, actor: Actor, rule_id: UUID, **changes: Any) -> None:
    with transaction(site.engine, "test.edit") as session:
        edits = session.get_one(DeviceRule, rule_id).edits
        device_rules.edit(session, actor, rule_id, content(**changes), edits)
        device_tests.test(session, actor, rule_id)


def queued(site: SiteNode, task: str = "remask") -> list[UUID]:
    with reading(site.engine) as session:
        found = session.execute(text("SELECT args ->> 'image_id' FROM procrastinate_jobs WHERE task_name = :task ORDER BY id"),
                                {"task": task})  # fmt: skip
        return [UUID(one) for one in found.scalars()]


def work(site: SiteNode) -> None:
    for image_id in queued(site):
        device_rules.remask(site, image_id)


def events(site: SiteNode, subject: object) -> list[tuple[str, str, str | None, str | None]]:
    with reading(site.engine) as session:
        found = session.exec(select(AuditEvent).where(AuditEvent.subject == str(subject)).order_by(AuditEvent.id))
        return [(one.actor, one.verb, one.before, one.after) for one in found]


def rule_row(site: SiteNode, rule_id: UUID) -> DeviceRule:
    with reading(site.engine) as session:
        return session.get_one(DeviceRule, rule_id)


def set_mask(site: SiteNode, image: SiteImage, **values: Any) -> None:
    (mask,) = current(site, [image])
    with transaction(site.engine, "test.mask") as session:
        row = session.get_one(ImageMask, mask.id)
        for name, value in values.items():
            setattr(row, name, value)


def test_a_published_rule_gives_every_waiting_image_a_new_proposal(site: SiteNode, pi: Actor, curator: Actor) -> None:
    assert curator.user_id
    images = hold(site, curator.user_id, 3)
    assert all(mask.rule_id is None and mask.must_look for mask in current(site, images))
    rule_id = drafted(site, pi)
    assert queued(site) == [] and all(mask.rule_id is None for mask in current(site, images))
    version = published(site, pi, rule_id, "every kind looked at")
    assert (version.number, version.note, version.published_by) == (1, "every kind looked at", pi.user_id)
    assert version.tested["images"] == version.tested["covered"] == 3
    assert sorted(queued(site)) == sorted(image.id for image in images)
    work(site)
    rule = rule_row(site, rule_id)
    for mask in current(site, images):
        assert (mask.revision, mask.state, mask.rule_id) == (2, MaskState.PROPOSED, rule.code)
        assert mask.rule_version == f"1.{version.sha256[:12]}" and not mask.must_look and not mask.is_drawn
    assert sorted(queued(site, "mask")) == sorted(image.id for image in images)
    assert [event[1:] for event in events(site, rule_id)] == [
        ("device-rule.draft", None, "DRAFT"),
        ("device-rule.test", None, None),
        ("device-rule.published", "DRAFT", "PUBLISHED"),
    ]


def test_a_second_run_changes_nothing(site: SiteNode, pi: Actor, curator: Actor) -> None:
    assert curator.user_id
    images = hold(site, curator.user_id)
    rule_id = drafted(site, pi)
    first = published(site, pi, rule_id)
    work(site)
    before, jobs = current(site, images), queued(site, "mask")
    work(site)
    again = published(site, pi, rule_id)
    assert again.id == first.id and [mask.id for mask in current(site, images)] == [mask.id for mask in before]
    assert queued(site, "mask") == jobs


def test_a_run_that_breaks_off_leaves_the_old_mask_and_is_done_again(
    site: SiteNode, pi: Actor, curator: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert curator.user_id
    (image,) = hold(site, curator.user_id, 1)
    published(site, pi, drafted(site, pi))

    def broken(*_: object, **__: object) -> None:
        raise Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "enqueue", broken)
        with pytest.raises(Unavailable):
            device_rules.remask(site, image.id)
        with pytest.raises(Unavailable):
            published(site, pi, drafted(site, pi, model="EchoView 300", image_type="PRIMARY"))
    assert current(site, [image])[0].revision == 1
    with reading(site.engine) as session:
        assert len(session.exec(select(DeviceRuleVersion)).all()) == 1
    device_rules.remask(site, image.id)
    assert current(site, [image])[0].revision == 2 and queued(site, "mask") == [image.id]


def test_what_a_person_drew_or_confirmed_stays(site: SiteNode, pi: Actor, curator: Actor) -> None:
    assert curator.user_id
    drawn, confirmed, free = hold(site, curator.user_id, 3)
    with transaction(site.engine, "test.draw") as session:
        masks.set_rects(session, curator, drawn.id, [(0, 0, 9, 9)], 1)
    set_mask(site, confirmed, state=MaskState.CONFIRMED)
    published(site, pi, drafted(site, pi))
    assert queued(site) == [free.id]
    for image in (drawn, confirmed, free):
        device_rules.remask(site, image.id)
    assert [mask.rule_id is None for mask in current(site, [drawn, confirmed, free])] == [True, True, False]
    assert current(site, [drawn])[0].is_drawn


def test_images_that_come_later_get_the_rule_at_once(site: SiteNode, pi: Actor, curator: Actor) -> None:
    assert curator.user_id
    rule_id = drafted(site, pi)
    published(site, pi, rule_id)
    (mask, *_) = current(site, hold(site, curator.user_id))
    assert (mask.revision, mask.rule_id) == (1, rule_row(site, rule_id).code)
    other = current(site, hold(site, curator.user_id, rows=480, columns=640))[0]
    assert other.rule_id is None  # this rule leaves other sizes unknown


def test_an_edit_waits_for_its_publication_and_is_the_next_version(site: SiteNode, pi: Actor, curator: Actor) -> None:
    assert curator.user_id
    images = hold(site, curator.user_id)
    rule_id = drafted(site, pi)
    first = published(site, pi, rule_id)
    work(site)
    changed(site, pi, rule_id, rects=[[0, 500, 768, 76]])
    assert queued(site) == [image.id for image in images]  # of the first version
    work(site)
    assert current(site, images)[0].rule_version == f"1.{first.sha256[:12]}"
    second = published(site, pi, rule_id)
    work(site)
    assert second.number == 2 and current(site, images)[0].rule_version == f"2.{second.sha256[:12]}"
    with reading(site.engine) as session:
        assert session.get_one(DeviceRuleVersion, first.id).content["rects"] == content()["rects"]


def test_a_published_version_cannot_be_changed_by_anybody(site: SiteNode, pi: Actor) -> None:
    version = published(site, pi, drafted(site, pi))
    with pytest.raises(SQLAlchemyError, match="never changes"), site.engine.begin() as connection:
        connection.execute(text("UPDATE device_rule_version SET note = 'x' WHERE id = :id"), {"id": version.id})


def test_a_retired_rule_masks_nothing_and_does_not_come_back(site: SiteNode, pi: Actor, curator: Actor) -> None:
    assert curator.user_id
    images = hold(site, curator.user_id)
    rule_id = drafted(site, pi)
    published(site, pi, rule_id)
    work(site)
    with transaction(site.engine, "test.retire") as session:
        device_rules.retire(session, pi, rule_id)
    work(site)
    assert all(mask.rule_id is None and mask.revision == 3 for mask in current(site, images))
    for again in (lambda: changed(site, pi, rule_id), lambda: published(site, pi, rule_id)):
        with pytest.raises(WrongState):
            again()
    with transaction(site.engine, "test.retire") as session:
        assert device_rules.retire(session, pi, rule_id).state == RuleState.RETIRED
    assert [event[1] for event in events(site, rule_id)].count("device-rule.retired") == 1


def test_nothing_is_published_untested_changed_meanwhile_or_twice(site: SiteNode, pi: Actor) -> None:
    with transaction(site.engine, "test.draft") as session:
        rule_id = device_rules.draft(session, pi, content()).id
    with pytest.raises(WrongState, match="Test the rule"):
        published(site, pi, rule_id)
    changed(site, pi, rule_id)
    with pytest.raises(Conflict), transaction(site.engine, "test.stale") as session:
        device_rules.publish(session, pi, rule_id, 1, "")
    with pytest.raises(Conflict), transaction(site.engine, "test.stale") as session:
        device_rules.edit(session, pi, rule_id, content(), 1)
    published(site, pi, rule_id)
    other = drafted(site, pi, rects=[[0, 0, 9, 9]])
    with pytest.raises(Conflict, match="very same images"):
        published(site, pi, other)
    published(site, pi, drafted(site, pi, image_type="SECONDARY"))


def test_the_trial_says_what_each_image_would_get(site: SiteNode, pi: Actor, curator: Actor) -> None:
    assert curator.user_id
    hold(site, curator.user_id, 2)
    hold(site, curator.user_id, 1, rows=288, columns=384)
    hold(site, curator.user_id, 1, software=["3.0"])
    hold(site, curator.user_id, 5, model="Another")
    with transaction(site.engine, "test.draft") as session:
        rule = device_rules.draft(session, pi, content(software="2.4", scale="proportional"))
        found = device_tests.trials(session, pi, rule)
        assert found.counts == {
            "covered": 2, "scaled": 1, "other-size": 0, "unfit": 1, "images": 4, "cases": 3, "waiting": 4,
        }  # fmt: skip
        scaled = found.images[0]
        assert scaled.verdict == "scaled" and 0 < scaled.visible < 1 and scaled.rects
        rule.scale = "refuse"
        assert device_tests.trials(session, pi, rule).counts["other-size"] == 1


def test_other_domains_are_not_seen_and_not_decided_on(site: SiteNode, pi: Actor, curator: Actor) -> None:
    assert curator.user_id
    hold(site, curator.user_id)
    (foreign, _) = hold(site, curator.user_id, domain="breast")
    with transaction(site.engine, "test.person") as session:
        user = accounts.create_user(session, SYSTEM, f"liver-{uuid4().hex[:6]}", None, [(Role.SITEPI, "liver")])
        liver = accounts.actor_of(session, user)
    rule_id = drafted(site, liver)
    assert rule_row(site, rule_id).tested["images"] == 2
    with pytest.raises(Denied, match="not yours"):
        published(site, liver, rule_id)
    with reading(site.engine) as session, pytest.raises(NotFound):
        device_tests.sample(site, session, liver, foreign.id, 1)
    published(site, pi, rule_id)
    assert len(queued(site)) == 4


def test_only_who_answers_for_privacy_may(site: SiteNode, pi: Actor, curator: Actor) -> None:
    rule_id = drafted(site, pi)
    it = person(site, f"it-{uuid4().hex[:6]}", Role.SITEIT)
    for actor in (curator, it, SYSTEM):
        for attempt in (
            lambda a=actor: drafted(site, a),
            lambda a=actor: changed(site, a, rule_id),
            lambda a=actor: published(site, a, rule_id),
        ):
            with pytest.raises(Denied):
                attempt()
        with transaction(site.engine, "test.denied") as session:
            with pytest.raises(Denied):
                device_rules.retire(session, actor, rule_id)
            with pytest.raises(Denied):
                device_exchange.export(session, actor, "KYOTO01")
            with pytest.raises(Denied):
                device_exchange.take_in(session, actor, [], "KYOTO01")
    with pytest.raises(NotFound):
        published_unknown(site, pi)


def published_unknown(site: SiteNode, pi: Actor) -> None:
    with transaction(site.engine, "test.unknown") as session:
        device_rules.publish(session, pi, uuid4(), 1, "")


def test_rules_travel_as_json_and_arrive_as_drafts(site: SiteNode, pi: Actor) -> None:
    published(site, pi, drafted(site, pi))
    with transaction(site.engine, "test.export") as session:
        told = device_exchange.export(session, pi, "KYOTO01")
    assert told["rules"][0]["content"] == content() and "sha256" not in told["rules"][0]["tested"]
    with transaction(site.engine, "test.import") as session:
        assert device_exchange.take_in(session, pi, told["rules"], "KYOTO01") == []  # it is here already
    other = {"rule": "site-abc", "content": content(model="EchoView 400")}
    with transaction(site.engine, "test.import") as session:
        (made,) = device_exchange.take_in(session, pi, [other, other], "OSAKA01")
    assert (made.state, made.source, queued(site)) == (RuleState.DRAFT, "OSAKA01 site-abc", [])
    with pytest.raises(WrongState, match="Test the rule"):
        published(site, pi, made.id)
    with pytest.raises(Malformed), transaction(site.engine, "test.import") as session:
        device_exchange.take_in(session, pi, [{"content": content(rects=[[0, 0, 9999, 1]])}], "OSAKA01")


def test_the_queue_leads_from_case_to_case(site: SiteNode, pi: Actor, curator: Actor) -> None:
    assert curator.user_id
    first, second = (hold(site, curator.user_id, 1)[0] for _ in range(2))
    hold(site, curator.user_id, 1, state=CaseState.EXCLUDED)
    rule_id = drafted(site, pi)
    published(site, pi, rule_id)
    work(site)
    with reading(site.engine) as session:
        queue = device_queue.queue_of(session, pi, session.get_one(DeviceRule, rule_id))
        assert (queue.images, queue.ready, queue.preparing) == (2, 0, 2)
        numbers = {one.case_id: one.number for one in queue.cases}
        assert device_queue.next_case(session, curator, 0) == first.case_id
        assert device_queue.next_case(session, curator, numbers[first.case_id]) == second.case_id
        assert device_queue.next_case(session, curator, numbers[second.case_id]) == first.case_id
        assert device_queue.next_case(session, pi, 0) is None  # confirming is not theirs
    set_mask(site, first, state=MaskState.CONFIRMED)
    with reading(site.engine) as session:
        assert device_queue.next_case(session, curator, numbers[second.case_id]) is None

"""The site's own mask rules: draft, edit, publish, retire; what is published goes to every held image of its device."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlmodel import Session, func, select

from core import audit, jobs
from core.clock import now_utc
from core.db import transaction
from core.deid.local_rules import Content
from core.errors import Conflict, Denied, Malformed, WrongState
from core.models.curation import ImageMask, MaskState
from core.models.devices import RULE_MOVES, DeviceRule, DeviceRuleVersion, RuleState
from core.models.sitecase import SiteImage
from core.node import SiteNode
from core.permissions import SYSTEM, Actor, Verb, check
from core.queries import device_rules as queries
from core.services import masks
from core.services.cases import locked

LONGEST_NOTE: Final = 200


def move(session: Session, actor: Actor, rule: DeviceRule, to: RuleState, **detail: str | int) -> None:
    """Change the state of a rule. Raises WrongState when the table has no such move."""
    if to not in RULE_MOVES[RuleState(rule.state)]:
        raise WrongState(f"A rule that is {rule.state} cannot become {to}.")
    audit.record(session, actor, f"device-rule.{to.lower()}", rule.id, before=rule.state, after=to, **detail)
    rule.state = to


def _locked(session: Session, actor: Actor, rule_id: UUID, edits: int | None = None) -> DeviceRule:
    """The rule, locked, as it was when the person saw it (`edits`). Raises Denied, NotFound and Conflict."""
    check(actor, Verb.DEVICE_RULES)
    statement = select(DeviceRule).where(DeviceRule.id == queries.rule_in(session, rule_id).id).with_for_update()
    rule = session.exec(statement.execution_options(populate_existing=True)).one()
    if edits is not None and rule.edits != edits:
        raise Conflict
    return rule


def draft(
    session: Session, actor: Actor, values: Mapping[str, Any], sample_id: UUID | None = None, source: str = ""
) -> DeviceRule:
    """A new rule that masks nothing until it is published. `values` are those of Content. Raises Malformed."""
    check(actor, Verb.DEVICE_RULES)
    content = Content.of(values)
    if actor.user_id is None:
        raise Denied("Only a person can do this.")
    if sample_id is not None:
        queries.held_image(session, actor, sample_id)
    rule = DeviceRule(
        state=RuleState.DRAFT, **content.as_dict(), sample_image_id=sample_id, source=source[:64],
        created_by=actor.user_id,
    )  # fmt: skip
    session.add(rule)
    session.flush()
    audit.record(session, actor, "device-rule.draft", rule.id, after=RuleState.DRAFT, sha256=content.sha256)
    return rule


def edit(
    session: Session, actor: Actor, rule_id: UUID, values: Mapping[str, Any], edits: int, sample_id: UUID | None = None
) -> DeviceRule:
    """Change what is being written; what is published stays as it is until somebody publishes the next version."""
    rule = _locked(session, actor, rule_id, edits)
    if rule.state == RuleState.RETIRED:
        raise WrongState("A retired rule does not change; make a new one.")
    content = Content.of(values)
    if sample_id is not None:
        queries.held_image(session, actor, sample_id)
    for name, value in content.as_dict().items():
        setattr(rule, name, value)
    rule.sample_image_id = sample_id or rule.sample_image_id
    rule.edits += 1
    audit.record(session, actor, "device-rule.edit", rule.id, sha256=content.sha256)
    return rule


def publish(session: Session, actor: Actor, rule_id: UUID, edits: int, note: str) -> DeviceRuleVersion:
    """The next version, in use from now on: every held image of the device that nobody has drawn or confirmed gets a new
    proposal. Again without a change it gives the version that is there."""
    check(actor, Verb.DEVICE_RULES)
    session.exec(select(func.pg_advisory_xact_lock(queries.RULES_LOCK)))
    rule = _locked(session, actor, rule_id)
    if rule.state == RuleState.RETIRED:
        raise WrongState("A retired rule does not change; make a new one.")
    content = queries.content_of(rule)
    last = next(iter(queries.versions_of(session, rule.id)), None)
    if last and last[0].sha256 == content.sha256:
        return last[0]
    _check_publish(session, actor, rule, content, edits, note)
    if actor.user_id is None:
        raise Denied("Only a person can do this.")
    version = DeviceRuleVersion(
        rule_id=rule.id, number=last[0].number + 1 if last else 1, content=content.as_dict(), sha256=content.sha256,
        sample_image_id=rule.sample_image_id, tested=rule.tested, note=note.strip(), published_by=actor.user_id,
        published_at=now_utc(),
    )  # fmt: skip
    session.add(version)
    queued = _queue(session, [content, *([Content.of(last[0].content)] if last else [])])
    detail: dict[str, str | int] = {"version": version.number, "sha256": content.sha256, "images": queued}
    if rule.state == RuleState.DRAFT:
        move(session, actor, rule, RuleState.PUBLISHED, **detail)
    else:
        audit.record(session, actor, "device-rule.published", rule.id, rule.state, rule.state, **detail)
    rule.note = note.strip()
    return version


def _check_publish(session: Session, actor: Actor, rule: DeviceRule, content: Content, edits: int, note: str) -> None:
    if rule.edits != edits:
        raise Conflict
    if len(note.strip()) > LONGEST_NOTE:
        raise Malformed("A note has at most 200 characters.")
    if rule.tested.get("sha256") != content.sha256:
        raise WrongState("Test the rule on the held images first.")
    check_whole_device(session, actor, [content])
    for other, version in queries.newest(session):
        if other.id != rule.id and Content.of(version.content).same_images(content):
            raise Conflict("Another rule of this site is for the very same images; edit or retire that one.")


def check_whole_device(session: Session, actor: Actor, contents: Sequence[Content]) -> None:
    """A rule is for every organ. Raises Denied where the device has images of a domain in which the actor has no say."""
    if any(not actor.may(Verb.DEVICE_RULES, one.case.domain) for one in queries.held_of(session, contents)):
        raise Denied("Images of this device are held for an organ domain that is not yours; ask who may see them too.")


def retire(session: Session, actor: Actor, rule_id: UUID) -> DeviceRule:
    """The rule masks nothing any more; what it proposed and nobody confirmed is proposed again without it."""
    check(actor, Verb.DEVICE_RULES)
    session.exec(select(func.pg_advisory_xact_lock(queries.RULES_LOCK)))
    rule = _locked(session, actor, rule_id)
    if rule.state == RuleState.RETIRED:
        return rule
    contents = [Content.of(version.content) for version, _ in queries.versions_of(session, rule.id)[:1]]
    check_whole_device(session, actor, contents)
    move(session, actor, rule, RuleState.RETIRED, images=_queue(session, contents))
    return rule


def _queue(session: Session, contents: Sequence[Content]) -> int:
    """A job for each held image of these devices whose mask a rule may still replace."""
    waiting = [one for one in queries.held_of(session, contents) if one.is_open]
    for one in waiting:
        jobs.enqueue(session, "remask", "pixels", key=f"image:{one.image.id}", image_id=str(one.image.id))
    return len(waiting)


def remask(node: SiteNode, image_id: UUID) -> None:
    """The job `remask`: propose again by the rules that are in use now; what a person drew or confirmed stays. May run twice."""
    with transaction(node.engine, "mask.again") as session:
        image = session.get(SiteImage, image_id)
        if image is None:
            return
        locked(session, image.case_id)
        held = queries.held_images(session, [image_id])
        if not held or held[0].mask is None or not held[0].is_open:
            return
        old = held[0].mask
        made = masks.proposed_mask(image, queries.rules_to_propose(session), old.revision + 1)
        if _says(made) == _says(old):
            return
        masks.move(session, SYSTEM, old, MaskState.VOID)
        session.add(made)
        session.flush()
        audit.record(session, SYSTEM, "mask.proposed", made.id, after=MaskState.PROPOSED, revision=made.revision)
        jobs.enqueue(session, "mask", "pixels", key=f"image:{image.id}", image_id=str(image.id))


def _says(mask: ImageMask) -> tuple[object, ...]:
    return mask.rects, mask.rule_id, mask.rule_version

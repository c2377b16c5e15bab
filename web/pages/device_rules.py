"""The wizard in which a privacy officer makes a mask rule: draw it on a held image, say for which images, try it, publish."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from sqlmodel import Session
from starlette.responses import Response

from core.deid.local_rules import Scale
from core.errors import AppError, Malformed, NotFound
from core.models.devices import DeviceRule, RuleState
from core.permissions import Actor, Verb
from core.queries import device_queue
from core.queries import device_rules as queries
from core.queries.device_rules import HeldImage
from core.services import device_rules, device_tests
from core.services.device_tests import Verdict
from web.deps import Fields, FormDep, SessionDep, may
from web.render import page, redirect
from web.site import SiteDep

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
SHEET: Final = 24
SPARE: Final = 4  # empty rows for rectangles where scripts are off
PICTURE_PX: Final = 320
SCALES: Final = {
    Scale.REFUSE: "rules.scale.refuse",
    Scale.PROPORTIONAL: "rules.scale.proportional",
    Scale.EXACT: "rules.scale.exact",
}
VERDICTS: Final = {
    Verdict.COVERED: ("rules.verdict.covered", "done"),
    Verdict.SCALED: ("rules.verdict.scaled", "wait"),
    Verdict.OTHER_SIZE: ("rules.verdict.other_size", "stop"),
    Verdict.UNFIT: ("rules.verdict.unfit", "stop"),
}
STATES: Final = {
    RuleState.DRAFT: ("rules.state.draft", "wait"),
    RuleState.PUBLISHED: ("rules.state.published", "done"),
    RuleState.RETIRED: ("rules.state.retired", "off"),
}
Officer = Annotated[Actor, may(Verb.DEVICE_RULES)]
Number = Annotated[int, Query(ge=1, le=100_000)]


@router.get("/devices/rules/new")
def rule_new_page(
    request: Request, session: SessionDep, actor: Officer, maker: str = "", model: str = "", columns: int = 0,
    rows: int = 0, sample: UUID | None = None,
) -> Response:  # fmt: skip
    """Begins with what the held images of this device say of themselves."""
    held = queries.held_device(session, actor, maker, model, columns, rows)
    chosen = next((one for one in held if one.image.id == sample), None) or next(iter(queries.samples_of(held)), None)
    if chosen is None:
        raise NotFound
    return _editor(request, session, actor, None, device_tests.first_content(chosen), chosen)


@router.post("/devices/rules")
def rule_create(request: Request, session: SessionDep, actor: Officer, fields: FormDep) -> Response:
    """Keep it as a draft and try it on every held image of the device."""
    try:
        rule = device_rules.draft(session, actor, _values(fields), _sample(fields))
    except AppError as exc:
        return _again(request, session, actor, None, fields, exc)
    device_tests.test(session, actor, rule.id)
    return redirect(request, f"/devices/rules/{rule.id}/trial")


@router.get("/devices/rules/{rule_id}")
def rule_page(
    request: Request, rule_id: UUID, session: SessionDep, actor: Officer, sample: UUID | None = None
) -> Response:
    rule = queries.rule_in(session, rule_id)
    chosen = _sample_of(session, actor, rule, sample)
    return _editor(request, session, actor, rule, queries.content_of(rule).as_dict(), chosen)


@router.post("/devices/rules/{rule_id}")
def rule_save(request: Request, rule_id: UUID, session: SessionDep, actor: Officer, fields: FormDep) -> Response:
    try:
        rule = device_rules.edit(session, actor, rule_id, _values(fields), _edits(fields), _sample(fields))
    except NotFound:
        raise
    except AppError as exc:
        return _again(request, session, actor, queries.rule_in(session, rule_id), fields, exc)
    device_tests.test(session, actor, rule.id)
    return redirect(request, f"/devices/rules/{rule.id}/trial")


@router.get("/devices/rules/{rule_id}/trial")
def rule_trial_page(request: Request, rule_id: UUID, session: SessionDep, actor: Officer, page: Number = 1) -> Response:
    """A contact sheet of every held image of the device with the mask that the rule would give it."""
    return _trial(request, session, actor, queries.rule_in(session, rule_id), page)


@router.post("/devices/rules/{rule_id}/publish")
def rule_publish(request: Request, rule_id: UUID, session: SessionDep, actor: Officer, fields: FormDep) -> Response:
    note = fields.get("note", "")
    try:
        device_rules.publish(session, actor, rule_id, _edits(fields), note)
    except NotFound:
        raise
    except AppError as exc:
        rule = queries.rule_in(session, rule_id)
        return _trial(request, session, actor, rule, 1, {"problem": exc.message, "note_typed": note}, exc.status)
    return redirect(request, f"/devices/rules/{rule_id}/queue", "rules.published.done")


@router.post("/devices/rules/{rule_id}/retire")
def rule_retire(request: Request, rule_id: UUID, session: SessionDep, actor: Officer, fields: FormDep) -> Response:
    device_rules.retire(session, actor, rule_id)
    return redirect(request, "/devices", "rules.retired.done")


@router.get("/devices/rules/{rule_id}/queue")
def rule_queue_page(request: Request, rule_id: UUID, session: SessionDep, actor: Officer) -> Response:
    """Which cases wait for a confirmation of what this rule masked, and how many pictures are ready."""
    rule = queries.rule_in(session, rule_id)
    values = {
        "actor": actor,
        "rule": rule,
        "queue": device_queue.queue_of(session, actor, rule),
        "may_confirm": actor.may(Verb.REGISTER) and actor.may(Verb.SEE_PIXELS),
    }
    return page(request, "device_rule_queue.html", values, blocks={"queue": "queue"})


@router.get("/devices/pictures/{image_id}/frames/{frame}")
def device_picture(
    image_id: UUID, frame: int, node: SiteDep, session: SessionDep, actor: Officer, rule: UUID | None = None,
    width: Annotated[int | None, Query(ge=16, le=device_tests.LARGEST)] = None,
) -> Response:  # fmt: skip
    """A frame of a held image as it was taken, or as the rule would mask it; each is an audit event."""
    if rule is None:
        png = device_tests.sample(node, session, actor, image_id, frame, width)
    else:
        png = device_tests.masked(node, session, actor, rule, image_id, frame, width)
    return Response(png, media_type="image/png", headers={"Cache-Control": "no-store"})


def _values(fields: Fields) -> dict[str, Any]:
    """What the form says, as `Content.of` takes it. Raises Malformed."""
    columns = [fields.many(name) for name in ("x", "y", "width", "height")]
    rows = [row for row in zip(*columns, strict=False) if any(cell.strip() for cell in row)]
    if any(not cell.strip().isdecimal() for row in rows for cell in row):
        raise Malformed("A rectangle is four whole numbers.")
    aliases = fields.get("aliases", "").replace("、", ",").replace("\n", ",").split(",")
    return {
        **{name: fields.get(name, "") for name in ("manufacturer", "model", "software", "image_type", "scale")},
        **{name: fields.get(name, "").strip() or "0" for name in ("rows", "columns")},
        "aliases": [alias for alias in aliases if alias.strip()],
        "outside": "outside" in fields,
        "rects": [[int(cell) for cell in row] for row in rows],
    }


def _edits(fields: Fields) -> int:
    text = fields.get("edits", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0


def _sample(fields: Fields) -> UUID | None:
    try:
        return UUID(fields["sample"]) if fields.get("sample") else None
    except ValueError:
        raise Malformed("There is no such image.") from None


def _sample_of(session: Session, actor: Actor, rule: DeviceRule, asked: UUID | None) -> HeldImage | None:
    """The image that was asked for, else the one that the rule was drawn on, else any of the device and size."""
    held = {one.image.id: one for one in _of_size(session, actor, rule)}
    for image_id in (asked, rule.sample_image_id):
        if image_id in held:
            return held[image_id]
    return next(iter(queries.samples_of(list(held.values()))), None)


def _of_size(session: Session, actor: Actor, rule: DeviceRule) -> list[HeldImage]:
    found = queries.held_of(session, [queries.content_of(rule)], actor)
    return [one for one in found if (one.image.rows, one.image.columns) == (rule.rows, rule.columns)]


def _again(
    request: Request, session: Session, actor: Actor, rule: DeviceRule | None, fields: Fields, problem: AppError
) -> Response:
    """The form with what was typed, and what is wrong with it."""
    names = ("manufacturer", "model", "software", "image_type", "scale", "rows", "columns")
    rects = [list(row) for row in zip(*(fields.many(name) for name in ("x", "y", "width", "height")), strict=False)]
    typed: dict[str, Any] = {name: fields.get(name, "")[:64] for name in names}
    typed |= {"aliases": [fields.get("aliases", "")[:1100]], "outside": "outside" in fields, "rects": rects[:64]}
    try:
        sample_id = _sample(fields)
        chosen = queries.held_image(session, actor, sample_id) if sample_id else None
    except (Malformed, NotFound):
        chosen = None
    return _editor(request, session, actor, rule, typed, chosen, problem)


def _editor(
    request: Request, session: Session, actor: Actor, rule: DeviceRule | None, typed: Mapping[str, Any],
    chosen: HeldImage | None, problem: AppError | None = None,
) -> Response:  # fmt: skip
    held: Sequence[HeldImage] = []
    if chosen is not None:
        facts, image = chosen.image.facts, chosen.image
        names = (facts.get("manufacturer") or "", facts.get("model") or "")
        held = queries.held_device(session, actor, *names, image.columns, image.rows)
    shown = [*queries.samples_of(held), *([chosen] if chosen else [])]
    outside = {one.image.id: json.dumps(device_tests.outside_rects(one)) for one in shown}
    values = {
        "actor": actor,
        "rule": rule,
        "typed": typed,
        "chosen": chosen,
        "samples": queries.samples_of(held),
        "outside": outside,
        "kind": queries.kinds_of(held),
        "versions": queries.versions_of(session, rule.id) if rule else [],
        "problem": problem.message if problem else None,
        "scales": SCALES,
        "states": STATES,
        "spare": SPARE,
    }
    return page(request, "device_rule.html", values, problem.status if problem else 200)


def _trial(
    request: Request, session: Session, actor: Actor, rule: DeviceRule, at: int,
    more: Mapping[str, object] | None = None, status: int = 200,
) -> Response:  # fmt: skip
    found = device_tests.trials(session, actor, rule)
    start = (at - 1) * SHEET
    is_tested = rule.tested.get("sha256") == queries.content_of(rule).sha256
    versions = queries.versions_of(session, rule.id)
    values: dict[str, object] = {
        "actor": actor,
        "rule": rule,
        "trials": found,
        "sheet": found.images[start : start + SHEET],
        "before": at - 1 if at > 1 else None,
        "after": at + 1 if len(found.images) > start + SHEET else None,
        "verdicts": VERDICTS,
        "width": PICTURE_PX,
        "is_tested": is_tested,
        "next_number": versions[0][0].number + 1 if versions else 1,
        "is_same": bool(versions) and versions[0][0].sha256 == queries.content_of(rule).sha256,
        "note_typed": "",
        "problem": None,
        **(more or {}),
    }
    return page(request, "device_rule_trial.html", values, status)

"""The second readings of a case: who reads it, what they said side by side, and what becomes the case's own."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Request
from sqlmodel import Session
from starlette.responses import Response

from core.errors import AppError, Malformed
from core.permissions import Actor, Verb
from core.queries import reads as queries
from core.queries.adjudication import CASE, OTHER, Comparison, comparison
from core.services import adjudication, reads
from core.vocabulary import domain as vocabulary
from web.deps import Fields, FormDep, SessionDep, may
from web.overlaid import outlines
from web.pages.case_form import answers_of, version_of
from web.render import page, redirect

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
Assigner = Annotated[Actor, may(Verb.ASSIGN)]


@router.get("/cases/{case_id}/reads")
def case_reads(request: Request, case_id: UUID, session: SessionDep, actor: Assigner) -> Response:
    return _shown(request, session, actor, case_id)


def _shown(
    request: Request, session: Session, actor: Actor, case_id: UUID, status: int = 200, **more: object
) -> Response:
    found = comparison(session, actor, case_id)
    pictures = [(line, _frame_of(request, line.image.number, line.frames)) for line in found.images]
    values = {
        "actor": actor,
        "case": found.case,
        "found": found,
        "pictures": [(line, frame, outlines(found.sides, line.image.id, frame)) for line, frame in pictures],
        "people": _free(session, found),
        "may_assign": actor.may(Verb.ASSIGN, found.case.domain) and found.case.state in queries.READABLE,
        "may_settle": found.may_settle(actor),
        "is_reader": any(one.read.reader_id == actor.user_id for one in found.assignments),
        "taken": {},
        "problem": None,
        **more,
    }
    return page(request, "case/reads.html", values, status)


def _frame_of(request: Request, number: int, frames: tuple[int, ...]) -> int:
    """The frame that the address asks for on this image (`frame-<image>`), else the first on which somebody drew."""
    asked = request.query_params.get(f"frame-{number}", "")
    return int(asked) if asked.isdecimal() and len(asked) < 7 and int(asked) in frames else frames[0]


def _free(session: Session, found: Comparison) -> list[Any]:
    """Who could still be asked."""
    asked = {one.read.reader_id for one in found.assignments}
    return [user for user in queries.readers_for(session, found.case.domain) if user.id not in asked]


@router.post("/cases/{case_id}/reads")
def case_assign_reads(
    request: Request, case_id: UUID, session: SessionDep, actor: Assigner, fields: FormDep
) -> Response:
    try:
        with session.begin_nested():
            made = reads.assign(session, actor, case_id, ids_of(fields.many("reader")), day_of(fields.get("due", "")))
    except AppError as refused:
        if refused.status in {403, 404}:
            raise
        return _shown(request, session, actor, case_id, refused.status, problem=refused.message)
    return redirect(request, f"/cases/{case_id}/reads", "reads.assigned.done", len(made))


def ids_of(values: list[str]) -> list[UUID]:
    try:
        return [UUID(value) for value in values]
    except ValueError:
        raise Malformed("Choose who reads the case.") from None


def day_of(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise Malformed("Write the day as 2026-12-31.") from None


@router.post("/cases/{case_id}/reads/{read_id}/cancel")
def case_cancel_read(request: Request, case_id: UUID, read_id: UUID, session: SessionDep, actor: Assigner) -> Response:
    reads.cancel(session, actor, case_id, read_id)
    return redirect(request, f"/cases/{case_id}/reads", "reads.cancelled.done")


@router.post("/cases/{case_id}/reads/settle")
def case_settle_reads(
    request: Request, case_id: UUID, session: SessionDep, actor: Assigner, fields: FormDep
) -> Response:
    found = comparison(session, actor, case_id)
    try:
        with session.begin_nested():
            adjudication.settle(session, actor, case_id, _decision(found, fields))
    except AppError as refused:
        if refused.status in {403, 404}:
            raise
        session.expire_all()
        return _shown(request, session, actor, case_id, refused.status, problem=refused.message, taken=dict(fields))
    return redirect(request, f"/cases/{case_id}", "reads.settled.done")


def _decision(found: Comparison, fields: Fields) -> adjudication.Decision:
    """What the form says. Raises Malformed where nobody decided."""
    taken = {line.spec.code: fields.get(f"take-{line.spec.code}", "") for line in found.fields}
    answers = _others(found.case.domain, fields, {code for code, side in taken.items() if side == OTHER})
    for line in found.fields:
        side = next((one.side for one in line.opinions if one.side.key == taken[line.spec.code]), None)
        if side is not None and side.key != CASE:
            answers[line.spec.code] = side.answers.get(line.spec.code)
        elif taken[line.spec.code] not in {CASE, OTHER} and not line.is_same:
            raise Malformed("Decide on every field and every image first.")
    images = {}
    for picture in found.images:
        key = fields.get(f"image-{picture.image.number}", "")
        if key not in {side.key for side in found.sides}:
            raise Malformed("Decide on every field and every image first.")
        if key != CASE:
            images[picture.image.id] = UUID(key)
    return adjudication.Decision(version_of(fields), answers, images)


def _others(domain: str, fields: Fields, codes: set[str]) -> dict[str, Any]:
    """Answers that none of the sides gave; a field left empty is no answer."""
    organ = vocabulary.load(domain)
    named = [(code, value) for code in sorted(codes) for value in fields.many(f"other-{code}")]
    given: Mapping[str, Any] = answers_of(organ, Fields(named))
    return {code: given.get(code) for code in codes}

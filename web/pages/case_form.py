"""The form side of the case page: answers and picks, saved by the page's script or by plain forms."""

import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session
from starlette.responses import JSONResponse, Response

from core.clock import now_utc
from core.curation.wall_motion import NOT_EVALUATED
from core.errors import Conflict
from core.permissions import Actor, Verb
from core.queries import case_page
from core.queries import cases as queries
from core.queries.case_conflict import conflict_page
from core.queries.case_form import form_page, sections_of
from core.services import curation, defaults
from core.vocabulary import domain as vocabulary
from core.vocabulary.answers import Problem
from web.deps import Fields, FormDep, SessionDep, may
from web.render import look_of, page, redirect

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
Curator = Annotated[Actor, may(Verb.CURATE)]
_ANSWERS: Final = {"yes": True, "no": False}


class DefaultsSent(BaseModel):
    model_config = ConfigDict(extra="forbid")
    forget: list[str] = Field(max_length=100)


class FormSent(BaseModel):
    """The answers of the whole form; what a tag says is filled in by the server."""

    model_config = ConfigDict(extra="forbid")
    values: dict[str, Any] = Field(max_length=200)
    version: int = Field(ge=0)


class PickSent(BaseModel):
    model_config = ConfigDict(extra="forbid")
    picked: bool
    reason: str | None = Field(default=None, pattern=r"^[a-z-]{1,32}$")
    version: int = Field(ge=0)


def image_number(case_id: UUID, image_id: UUID, session: SessionDep, actor: Curator) -> int:
    """The number of the image, if it is one of this case."""
    return case_page.image_in(session, actor, case_id, image_id).number


@router.put("/cases/{case_id}/form")
def case_save_form(request: Request, case_id: UUID, body: FormSent, session: SessionDep, actor: Curator) -> Response:
    try:
        row = curation.save_form(session, actor, case_id, body.values, body.version)
    except curation.WrongAnswers as wrong:
        return JSONResponse({"problems": _problems(request, wrong.problems)}, wrong.status)
    except Conflict as conflict:
        found = conflict_page(session, actor, case_id, body.values, body.version)
        if found["differences"]:
            return JSONResponse({"version": found["version"]}, conflict.status)
        return _saved(found["version"], found["entries"])  # the answer to an earlier try of the same save was lost
    return _saved(row.version, row.values)


def _saved(version: int, answers: Mapping[str, Any]) -> Response:
    return JSONResponse({"version": version, "answers": answers, "at": now_utc().isoformat()})


def _problems(request: Request, problems: list[Problem]) -> dict[str, str]:
    lang = look_of(request).lang
    return {problem.field: getattr(problem.reason, lang) for problem in problems}


@router.post("/cases/{case_id}/form-plain")
def case_save_form_plain(
    request: Request, case_id: UUID, session: SessionDep, actor: Curator, fields: FormDep
) -> Response:
    """The same without scripts, and the way out of a conflict: `take-<field>` chooses the side of each field."""
    case = queries.readable_case(session, actor, case_id)
    organ = vocabulary.load(case.domain)
    answers, version = answers_of(organ, fields), _version_of(fields)
    try:
        curation.save_form(session, actor, case_id, answers, version)
    except curation.WrongAnswers as wrong:
        return _again(request, session, actor, case_id, answers, wrong)
    except Conflict as conflict:
        found = conflict_page(session, actor, case_id, answers, version)
        if found["differences"]:
            values = found | {"actor": actor, "pairs": _pairs(fields)}
            return page(request, "case/conflict.html", values, conflict.status, {"conflict": "panel"})
    return redirect(request, f"/cases/{case_id}", "case_form.saved.done")


def answers_of(organ: vocabulary.Domain, fields: Fields) -> dict[str, Any]:
    """{field: value} of a plain form; a number that cannot be read stays text, for the check to refuse."""
    found: dict[str, Any] = {}
    for spec in organ.fields:
        side = "theirs-" if fields.get(f"take-{spec.code}") == "theirs" else ""
        given = [value for value in fields.many(f"{side}{spec.code}") if value]
        if not given or spec.readonly or set(given) == {NOT_EVALUATED}:
            continue
        if spec.type == "wall_motion":
            found[spec.code] = given  # a select for each segment, in their order
        elif spec.type == "codes":
            found[spec.code] = _ordered(given, fields.get(f"order-{spec.code}", "").split())
        elif spec.type in ("number", "integer"):
            found[spec.code] = _number(given[-1])
        else:
            found[spec.code] = _ANSWERS.get(given[-1], given[-1]) if spec.type == "boolean" else given[-1]
    return found


def _ordered(chosen: list[str], order: list[str]) -> list[str]:
    """Boxes come in the order of the page; the order in which a person chose them says which basis decided."""
    return sorted(chosen, key=lambda code: order.index(code) if code in order else len(order))


def _number(text: str) -> float | str:
    """Full-width digits count as digits; NaN and infinity are refused by the check."""
    plain = unicodedata.normalize("NFKC", text).strip()
    try:
        return float(plain)
    except ValueError:
        return plain


def _version_of(fields: Fields) -> int:
    text = fields.get("version", "")
    return int(text) if text.isdecimal() and len(text) < 9 else 0


def _pairs(fields: Fields) -> list[tuple[str, str]]:
    """What was typed, to be carried through the conflict panel."""
    names = [name for name in fields if name != "version" and not name.startswith(("take-", "theirs-"))]
    return [(name, value) for name in names for value in fields.many(name)]


def _again(
    request: Request,
    session: Session,
    actor: Actor,
    case_id: UUID,
    typed: Mapping[str, Any],
    wrong: curation.WrongAnswers,
) -> Response:
    """The form as it was typed, with what is wrong beside each field."""
    case = queries.readable_case(session, actor, case_id)
    form = form_page(session, actor, case)
    reasons = {problem.field: problem.reason for problem in wrong.problems}
    questions = [
        question
        if question.spec.readonly
        else replace(question, value=typed.get(question.spec.code), problem=reasons.get(question.spec.code))
        for question in form["questions"]
    ]
    sections = sections_of([section for section, _, _ in form["sections"]], questions)
    values = {"actor": actor, "case": case, "form": form | {"sections": sections, "questions": questions}}
    return page(request, "case/plain.html", values, wrong.status)


@router.put("/cases/{case_id}/defaults")
def case_forget_defaults(case_id: UUID, body: DefaultsSent, session: SessionDep, actor: Curator) -> Response:
    """Usual answers of this person that are not to be offered any more in this organ."""
    case = queries.readable_case(session, actor, case_id)
    defaults.forget(session, actor, case.domain, body.forget)
    return JSONResponse({"at": now_utc().isoformat()})


@router.put("/cases/{case_id}/images/{image_id}/pick", dependencies=[Depends(image_number)])
def case_pick(image_id: UUID, body: PickSent, session: SessionDep, actor: Curator) -> Response:
    row = curation.pick_once(session, actor, image_id, body.picked, body.reason, body.version)
    told = {"picked": row.picked, "reason": row.reason, "version": row.version, "at": now_utc().isoformat()}
    return JSONResponse(told)


@router.post("/cases/{case_id}/images/{image_id}/pick")
def case_pick_plain(
    request: Request,
    case_id: UUID,
    image_id: UUID,
    session: SessionDep,
    actor: Curator,
    number: Annotated[int, Depends(image_number)],
    fields: FormDep,
) -> Response:
    is_picked = fields.get("picked") == "yes"
    curation.pick_once(session, actor, image_id, is_picked, fields.get("reason"), _version_of(fields))
    return redirect(request, f"/cases/{case_id}?image={number}", "case_form.picked.done")


@router.post("/cases/{case_id}/picks")
def case_pick_confirmed(request: Request, case_id: UUID, session: SessionDep, actor: Curator) -> Response:
    count = curation.pick_confirmed(session, actor, case_id)
    return redirect(request, f"/cases/{case_id}", "case_form.all_picked.done", count)

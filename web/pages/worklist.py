"""The worklist: every case of the site by its own number, filtered, sorted, searched, and moved many at a time."""

from collections.abc import Mapping
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from sqlmodel import Session
from starlette.responses import Response

from core.errors import AppError
from core.models.sitecase import CaseState
from core.permissions import Actor, Verb
from core.queries import device_queue
from core.queries import worklist as queries
from core.services import bulk, filters, lookup, worklist
from web import views
from web.deps import FormDep, SessionDep, may
from web.export import csv_answer
from web.render import context_of, page, redirect
from web.site import SiteDep

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
Reader = Annotated[Actor, may(Verb.SEE_CASES)]
# Words of the coded reasons and of the ways to search; written out, so that no one is without words.
EXCLUDE_WORDS: Final = {
    "no-usable-image": "worklist.why.no-usable-image",
    "wrong-study": "worklist.why.wrong-study",
    "wrong-patient": "worklist.why.wrong-patient",
    "other-organ": "worklist.why.other-organ",
    "diagnosis-unknown": "worklist.why.diagnosis-unknown",
}
WAY_WORDS: Final = {
    "chart-id": "worklist.way.chart-id",
    "accession": "worklist.way.accession",
    "name": "worklist.way.name",
}
STEP_WORDS: Final = {
    "retry": "worklist.did.retry",
    "cancel": "worklist.did.cancel",
    "exclude": "worklist.did.exclude",
    "unflag": "worklist.did.unflag",
}


@router.get("/worklist")
def worklist_page(request: Request, session: SessionDep, actor: Reader) -> Response:
    view = views.view_of(request, session, actor)
    return _answer(request, session, actor, view, status=404 if view.is_over else 200)


@router.get("/worklist.csv")
def worklist_csv(request: Request, session: SessionDep, actor: Reader) -> Response:
    view = views.view_of(request, session, actor)
    lines = queries.all_lines(session, actor, view.chosen)
    words = context_of(request, {"actor": actor})
    return csv_answer("worklist.csv", views.table_of(words, lines))


@router.get("/worklist/next-mask")
def next_mask_case(
    request: Request, session: SessionDep, actor: Reader, after: Annotated[int, Query(ge=0, le=1 << 60)] = 0
) -> Response:
    """On to the next case that waits for a confirmation of its masks, in mask mode; the list where none is left."""
    case_id = device_queue.next_case(session, actor, after)
    if case_id is None:
        return redirect(request, "/worklist?masks=1", "worklist.masks_empty.done")
    return redirect(request, f"/cases/{case_id}?mode=mask")


@router.post("/worklist/bulk")
def worklist_bulk(request: Request, session: SessionDep, node: SiteDep, actor: Reader, fields: FormDep) -> Response:
    """One step with the marked cases; the list comes back with what was done and what was refused, and why."""
    view = views.view_of(request, session, actor)
    try:
        marked = [UUID(value) for value in fields.many("case")]
        outcome = bulk.take(node, session, actor, fields.get("step", ""), marked, fields.get("reason"))
    except ValueError:
        return _answer(request, session, actor, view, {"problem": "There is no such step."}, 422)
    except AppError as exc:
        return _answer(request, session, actor, view, {"problem": exc.message}, exc.status)
    return _answer(request, session, actor, view, {"outcome": outcome})


@router.post("/worklist/search")
def worklist_search(
    request: Request, session: SessionDep, node: SiteDep, actor: Annotated[Actor, may(Verb.FLAG)], fields: FormDep
) -> Response:
    """Look up by what identifies a patient; the answer is an address that says nothing of it."""
    way, words = fields.get("way", ""), fields.get("words", "")
    try:
        found_id, _ = lookup.search(node, session, actor, way, words)
    except AppError as exc:
        asked = {"way": way, "words": words[: lookup.LONGEST], "problem": exc.message}
        view = views.view_of(request, session, actor)
        return _answer(request, session, actor, view, {"asked": asked}, exc.status)
    return redirect(request, f"/worklist?found={found_id}")


@router.post("/worklist/views")
def save_worklist_view(request: Request, session: SessionDep, actor: Reader, fields: FormDep) -> Response:
    view = views.view_of(request, session, actor)
    try:
        saved = filters.save(session, actor, fields.get("name", ""), views.kept(view))
    except AppError as exc:
        naming = {"name": fields.get("name", "")[: filters.LONGEST_NAME], "problem": exc.message}
        return _answer(request, session, actor, view, {"naming": naming}, exc.status)
    return redirect(request, views.href(saved.query), "worklist.view_saved.done")


@router.post("/worklist/views/{filter_id}/delete")
def delete_worklist_view(request: Request, filter_id: UUID, session: SessionDep, actor: Reader) -> Response:
    filters.forget(session, actor, filter_id)
    return redirect(request, "/worklist", "worklist.view_deleted.done")


def _answer(
    request: Request,
    session: Session,
    actor: Actor,
    view: views.View,
    more: Mapping[str, object] | None = None,
    status: int = 200,
) -> Response:
    listing = worklist.listing(session, actor, view.chosen)
    values: dict[str, object] = {
        "actor": actor,
        "listing": listing,
        "view": view,
        "saved": [(one, views.href(one.query), one.query == views.kept(view)) for one in filters.saved(session, actor)],
        "states": list(CaseState),
        "domains": request.app.state.settings.domains,
        "steps": [step for step, verb in bulk.RIGHTS.items() if actor.may(verb)],
        "may_assign": actor.may(Verb.ASSIGN),
        "may_search": actor.may(Verb.FLAG),
        "may_see_pixels": actor.may(Verb.SEE_PIXELS),
        "exclude_words": EXCLUDE_WORDS,
        "way_words": WAY_WORDS,
        "step_words": STEP_WORDS,
        "outcome": None,
        "problem": None,
        "asked": {"way": "chart-id", "words": "", "problem": None},
        "naming": {"name": "", "problem": None},
        **(more or {}),
    }
    return page(request, "worklist.html", values, status, {"worklist": "worklist"})

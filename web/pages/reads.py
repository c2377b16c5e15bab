"""A person's second readings: the list, the page on which one is made, and what that page's scripts save."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Request
from sqlmodel import Session
from starlette.responses import JSONResponse, Response

from core.clock import now_utc
from core.errors import Conflict, WrongState
from core.models.curation import Roi
from core.permissions import Actor, Verb
from core.queries import reads as queries
from core.queries.case_form import sections_of
from core.queries.case_page import PageImage, PageMask
from core.queries.read_form import read_form
from core.services import curation, reads
from core.vocabulary import domain as vocabulary
from web import read_data
from web.case_data import roi_json
from web.deps import FormDep, SessionDep, may
from web.pages.case_form import FormSent, answers_of, problems_of, typed_again, version_of
from web.pages.case_images import THUMB_PX, Count, First, RoiChanged, RoiSent, picture_answer, row_answer
from web.render import look_of, page, redirect
from web.site import SiteDep

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
Reader = Annotated[Actor, may(Verb.READ)]
_PICTURE: Final = "/reads/{read_id}/images/{image_id}"


@router.get("/reads")
def reads_page(request: Request, session: SessionDep, actor: Annotated[Actor, may(Verb.READ, Verb.ASSIGN)]) -> Response:
    """One's own readings; and for who assigns them, those of everybody, without what they say."""
    values = {
        "actor": actor,
        "mine": queries.own_reads(session, actor),
        "all": queries.all_reads(session, actor) if actor.may(Verb.ASSIGN) else None,
        "today": now_utc().astimezone(request.app.state.settings.zone).date(),
    }
    return page(request, "reads.html", values)


@router.get("/reads/{read_id}")
def read_viewer(request: Request, read_id: UUID, session: SessionDep, actor: Reader) -> Response:
    return _reading(request, session, actor, read_id)


def _reading(
    request: Request, session: Session, actor: Actor, read_id: UUID, status: int = 200, **more: object
) -> Response:
    found = queries.read_page(session, actor, read_id)
    images = [PageImage(image, None, PageMask(mask, (), None) if mask else None, ()) for image, mask in found.images]
    number = request.query_params.get("image")
    chosen = next((one for one in images if str(one.image.number) == number), images[0] if images else None)
    values = {
        "actor": actor,
        "read": found.read,
        "case": found.case,
        "base": read_data.address(found),
        "images": images,
        "usable": images,
        "chosen": chosen,
        "confirmed": sum(one.is_confirmed for one in images),
        "form": read_form(session, found, actor),
        "may_curate": False,
        "may_see_pixels": actor.may(Verb.SEE_PIXELS, found.case.domain),
        "island": read_data.island(found, actor, look_of(request).lang),
        "refused": None,
        **more,
    }
    values["may_curate"] = values["form"]["may_edit"]  # type: ignore[index]
    return page(request, "reading.html", values, status)


@router.put("/reads/{read_id}/form")
def read_save_form(request: Request, read_id: UUID, body: FormSent, session: SessionDep, actor: Reader) -> Response:
    read, _ = queries.own_read(session, actor, read_id)
    kept = {code: read.values[code]["value"] for code in body.keep if code in read.values}
    try:
        read = reads.save_form(session, actor, read_id, body.values | kept, body.version)
    except curation.WrongAnswers as wrong:
        return JSONResponse({"problems": problems_of(request, wrong.problems)}, wrong.status)
    except WrongState:
        raise
    except Conflict as conflict:  # nobody but this person writes here: another window of theirs was first
        return JSONResponse({"version": read.version, "mine": True}, conflict.status)
    return JSONResponse({"version": read.version, "answers": read.values, "at": now_utc().isoformat()})


@router.post("/reads/{read_id}/form-plain")
def read_save_form_plain(
    request: Request, read_id: UUID, session: SessionDep, actor: Reader, fields: FormDep
) -> Response:
    """The same without scripts, and the way out of a conflict with one's own other window: what was typed last counts."""
    read, case = queries.own_read(session, actor, read_id)
    answers = answers_of(vocabulary.load(case.domain), fields)
    try:
        try:
            reads.save_form(session, actor, read_id, answers, version_of(fields))
        except WrongState:
            raise
        except Conflict:
            reads.save_form(session, actor, read_id, answers, read.version)
    except curation.WrongAnswers as wrong:
        form = read_form(session, queries.read_page(session, actor, read_id), actor)
        questions = typed_again(form["questions"], answers, wrong)
        sections = sections_of([section for section, _, _ in form["sections"]], questions)
        again = form | {"sections": sections, "questions": questions}
        return _reading(request, session, actor, read_id, wrong.status, form=again)
    return redirect(request, f"/reads/{read_id}", "reads.saved.done")


@router.post("/reads/{read_id}/submit")
def read_submit(request: Request, read_id: UUID, session: SessionDep, actor: Reader) -> Response:
    try:
        reads.submit(session, actor, read_id)
    except WrongState as refused:
        return _reading(request, session, actor, read_id, refused.status, refused=refused.message)
    return redirect(request, "/reads", "reads.submitted.done")


@router.get(_PICTURE + "/thumb")
def read_thumb(read_id: UUID, image_id: UUID, node: SiteDep, session: SessionDep, actor: Reader) -> Response:
    return picture_answer(*reads.picture(node, session, actor, read_id, image_id, 1, THUMB_PX))


@router.get(_PICTURE + "/frames/{frame}")
def read_frame(
    read_id: UUID, image_id: UUID, frame: int, node: SiteDep, session: SessionDep, actor: Reader
) -> Response:
    return picture_answer(*reads.picture(node, session, actor, read_id, image_id, frame))


@router.get(_PICTURE + "/frames")
def read_frames(
    read_id: UUID, image_id: UUID, node: SiteDep, session: SessionDep, actor: Reader, first: First = 1, count: Count = 1
) -> Response:
    return row_answer(reads.pictures(node, session, actor, read_id, image_id, first, count))


@router.get(_PICTURE + "/mask")
def read_mask(read_id: UUID, image_id: UUID, session: SessionDep, actor: Reader) -> Response:
    """Which candidate there is now; the page asks when a frame is not of the one that it knows."""
    found = queries.read_page(session, actor, read_id)
    masks = {image.id: mask for image, mask in found.images}
    return JSONResponse(read_data.mask_json(masks.get(image_id)))


@router.post(_PICTURE + "/rois")
def read_add_roi(read_id: UUID, image_id: UUID, body: RoiSent, session: SessionDep, actor: Reader) -> Response:
    added = reads.add_roi(session, actor, read_id, image_id, body.made(image_id))
    return _roi(session, actor, read_id, added, 201)


@router.put("/reads/{read_id}/rois/{roi_id}")
def read_change_roi(read_id: UUID, roi_id: UUID, body: RoiChanged, session: SessionDep, actor: Reader) -> Response:
    try:
        changed = reads.change_roi(session, actor, read_id, roi_id, body.change(), body.version)
    except WrongState:
        raise
    except Conflict as conflict:
        return JSONResponse({"version": reads.version_of_roi(session, roi_id), "mine": True}, conflict.status)
    return _roi(session, actor, read_id, changed)


def _roi(session: Session, actor: Actor, read_id: UUID, roi: Roi, status: int = 200) -> Response:
    read, case = queries.own_read(session, actor, read_id)
    return JSONResponse(roi_json(roi, queries.picture_in(session, read, case, roi.image_id)), status)

"""What the viewer asks for while a case is open: frames of the candidate, ROIs, and the mask with its confirmation."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from starlette.responses import JSONResponse, Response

from core.models.curation import Roi
from core.models.sitecase import SiteImage
from core.node import SiteNode
from core.permissions import Actor, Verb
from core.queries import case_page
from core.services import curation, masks, rois, text_answers
from core.services.sent_rois import ChangedRoi, NewRoi
from web import case_data
from web.deps import ActorDep, NodeDep, SessionDep, may
from web.render import look_of

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
THUMB_PX: Final = 192
_PICTURE: Final = "/cases/{case_id}/images/{image_id}"
_PNG: Final = "image/png"
_JPEG: Final = "image/jpeg"


class Sent(BaseModel):
    """What the page's scripts send; names as scripts write them."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


class RoiSent(Sent, NewRoi):
    """A new ROI under the names of scripts; without keyframes the rectangle of its frame, x, y, width and height."""


class RoiChanged(Sent, ChangedRoi):
    """A change; what it leaves out stays, and so does the shape where the box is the one that is there already."""

    id: UUID | None = None


class MaskSent(Sent):
    rects: list[tuple[int, int, int, int]] = Field(max_length=64)
    revision: int = Field(ge=1)


class TextsAnswered(Sent):
    answers: dict[int, text_answers.Answer] = Field(max_length=1000)
    revision: int = Field(ge=1)


class FramesShown(Sent):
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    frames: list[int] = Field(max_length=10_000)


class Confirmed(Sent):
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")


def image_here(case_id: UUID, image_id: UUID, session: SessionDep, actor: ActorDep) -> SiteImage:
    """The image of the address; one of another case is not there."""
    return case_page.image_in(session, actor, case_id, image_id)


def roi_here(case_id: UUID, roi_id: UUID, session: SessionDep, actor: ActorDep) -> Roi:
    return case_page.roi_in(session, actor, case_id, roi_id)


def site_of(node: NodeDep) -> SiteNode:
    """These pages are a site's alone."""
    if not isinstance(node, SiteNode):
        raise TypeError("The pages of a case belong to a site.")
    return node


SiteDep = Annotated[SiteNode, Depends(site_of)]
ImageDep = Annotated[SiteImage, Depends(image_here)]
RoiDep = Annotated[Roi, Depends(roi_here)]
Looker = Annotated[Actor, may(Verb.SEE_PIXELS)]
Curator = Annotated[Actor, may(Verb.CURATE)]


def _picture(picture: bytes, digest: str, media_type: str = _PNG) -> Response:
    return Response(picture, media_type=media_type, headers={"Cache-Control": "no-store", "Sonobank-Digest": digest})


def _json(values: dict[str, Any], status: int = 200) -> Response:
    return JSONResponse(values, status)


def _mask(request: Request, session: SessionDep, actor: Actor, image: SiteImage) -> Response:
    found = case_page.page_mask(session, actor, image.id)
    return _json(case_data.mask_json(found, look_of(request).lang, request.app.state.settings.zone))


@router.get(_PICTURE + "/thumb")
def case_thumb(node: SiteDep, session: SessionDep, actor: Looker, image: ImageDep) -> Response:
    """The first frame of the candidate, small; it counts for nothing when the mask is confirmed."""
    return _picture(*masks.preview(node, session, actor, image.id, 1, THUMB_PX))


@router.get(_PICTURE + "/strip")
def case_strip(node: SiteDep, session: SessionDep, actor: Looker, image: ImageDep) -> Response:
    """Frames of the candidate side by side, small, for the list of images; as the thumbnail it counts for nothing."""
    return _picture(*masks.strip(node, session, actor, image.id), media_type=_JPEG)


@router.get(_PICTURE + "/frames/{frame}")
def case_frame(frame: int, node: SiteDep, session: SessionDep, actor: Looker, image: ImageDep) -> Response:
    """One frame of the candidate. The page says by itself which frames were on the screen: it fetches ahead."""
    return _picture(*masks.preview(node, session, actor, image.id, frame))


@router.get(_PICTURE + "/mask")
def case_mask(
    request: Request, session: SessionDep, actor: Annotated[Actor, may(Verb.SEE_CASES)], image: ImageDep
) -> Response:
    """The present mask; its digest is there as soon as the candidate is written."""
    return _mask(request, session, actor, image)


@router.put(_PICTURE + "/mask")
def case_set_mask(request: Request, body: MaskSent, session: SessionDep, actor: Curator, image: ImageDep) -> Response:
    masks.set_rects(session, actor, image.id, body.rects, body.revision)
    return _mask(request, session, actor, image)


@router.post(_PICTURE + "/mask/texts")
def case_answer_texts(
    request: Request, body: TextsAnswered, session: SessionDep, actor: Curator, image: ImageDep
) -> Response:
    """What text in the picture is: masked, or left because it names nobody."""
    text_answers.answer(session, actor, image.id, body.revision, body.answers)
    return _mask(request, session, actor, image)


@router.post(_PICTURE + "/mask/shown")
def case_mask_shown(body: FramesShown, session: SessionDep, actor: Looker, image: ImageDep) -> Response:
    return _json({"shown": sorted(masks.mark_shown(session, actor, image.id, body.digest, body.frames))})


@router.post(_PICTURE + "/mask/confirm")
def case_confirm_mask(
    request: Request,
    body: Confirmed,
    session: SessionDep,
    actor: Annotated[Actor, may(Verb.REGISTER)],
    image: ImageDep,
) -> Response:
    """The digest is that of the frames that were on the screen."""
    masks.confirm(session, actor, image.id, body.digest)
    return _mask(request, session, actor, image)


@router.post(_PICTURE + "/rois")
def case_add_roi(body: RoiSent, session: SessionDep, actor: Curator, image: ImageDep) -> Response:
    roi = rois.add_once(session, actor, image.id, body.made(image.id))
    return _json(case_data.roi_json(roi, image), 201)


@router.put("/cases/{case_id}/rois/{roi_id}")
def case_change_roi(body: RoiChanged, session: SessionDep, actor: Curator, roi: RoiDep) -> Response:
    saved = curation.change_roi(session, actor, roi.id, body.change(), body.version)
    return _json(case_data.roi_json(saved, rois.image_of(session, saved)))

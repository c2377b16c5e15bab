"""WADO-RS rendered images and thumbnails (PS3.18 sections 8.3.5, 10.4.1.1.3 and 10.4.1.1.4): JPEG or PNG from the sandbox."""

import math
import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from api.deps import NodeDep, SessionDep, may
from api.dicomweb.accept import accepted, best
from api.dicomweb.answers import send, send_parts
from api.dicomweb.frames import frame_list
from api.dicomweb.pixels import picture
from api.dicomweb.refusals import BadRequest, DicomwebRoute, NotAcceptable
from api.dicomweb.wado import INSTANCE, SERIES, STUDY, readable, validators
from core.node import Node
from core.permissions import Actor, Verb
from core.queries.archive import Stored

PICTURES: Final = ("image/jpeg", "image/png")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)
_THUMBNAIL: Final = (128, 128)
_LARGEST: Final = 8192
_UNSUPPORTED: Final = {"annotation": "", "iccprofile": "no"}  # parameter -> the value that asks for nothing

router = APIRouter(route_class=DicomwebRoute)
Reader = Annotated[Actor, may(Verb.DICOM_READ)]


@router.get(f"{INSTANCE}/rendered")
@router.head(f"{INSTANCE}/rendered", include_in_schema=False)
def rendered_instance(
    request: Request, study: str, series: str, instance: str, node: NodeDep, session: SessionDep, actor: Reader
) -> Response:
    """The instance as a picture; of several frames the first."""
    return _pictures(request, node, _image(session, actor, study, series, instance), [0])


@router.get(f"{INSTANCE}/frames/{{frames}}/rendered")
@router.head(f"{INSTANCE}/frames/{{frames}}/rendered", include_in_schema=False)
def rendered_frames(
    request: Request, study: str, series: str, instance: str, frames: str, node: NodeDep, session: SessionDep,
    actor: Reader,
) -> Response:  # fmt: skip
    """A frame as a picture; several frames as multipart/related."""
    stored = _image(session, actor, study, series, instance)
    return _pictures(request, node, stored, frame_list(frames, stored))


@router.get(f"{STUDY}/thumbnail")
@router.head(f"{STUDY}/thumbnail", include_in_schema=False)
def study_thumbnail(request: Request, study: str, node: NodeDep, session: SessionDep, actor: Reader) -> Response:
    """A small picture of the study's first image."""
    return _thumbnail(request, node, _image(session, actor, study))


@router.get(f"{SERIES}/thumbnail")
@router.head(f"{SERIES}/thumbnail", include_in_schema=False)
def series_thumbnail(
    request: Request, study: str, series: str, node: NodeDep, session: SessionDep, actor: Reader
) -> Response:
    """A small picture of the series' first image."""
    return _thumbnail(request, node, _image(session, actor, study, series))


@router.get(f"{INSTANCE}/thumbnail")
@router.head(f"{INSTANCE}/thumbnail", include_in_schema=False)
def instance_thumbnail(
    request: Request, study: str, series: str, instance: str, node: NodeDep, session: SessionDep, actor: Reader
) -> Response:
    """A small picture of the instance."""
    return _thumbnail(request, node, _image(session, actor, study, series, instance))


@router.get(f"{INSTANCE}/frames/{{frames}}/thumbnail")
@router.head(f"{INSTANCE}/frames/{{frames}}/thumbnail", include_in_schema=False)
def frame_thumbnail(
    request: Request, study: str, series: str, instance: str, frames: str, node: NodeDep, session: SessionDep,
    actor: Reader,
) -> Response:  # fmt: skip
    """A small picture of a frame."""
    stored = _image(session, actor, study, series, instance)
    return _thumbnail(request, node, stored, frame_list(frames, stored)[0])


def _image(session: Session, actor: Actor, *path: str) -> Stored:
    """The first image under this path. Raises NotFound, or NotAcceptable when there is no image."""
    for stored in readable(session, actor, *path):
        if stored.pixel:
            return stored
    raise NotAcceptable("There is no image here to make a picture of.")


def _thumbnail(request: Request, node: Node, stored: Stored, index: int = 0) -> Response:
    options = {"size": list(_THUMBNAIL)}
    if (text := request.query_params.get("viewport")) is not None:
        options["size"] = viewport(text, stored.format.columns, stored.format.rows)["size"]
    return _send(request, node, stored, [index], options, best(request, PICTURES))


def _pictures(request: Request, node: Node, stored: Stored, indexes: list[int]) -> Response:
    """One picture alone; several, or one that is asked for in parts, as multipart/related."""
    options, kind = parameters(request, stored), ""
    parts = [entry.part for entry in accepted(request) if entry.part is not None]
    if len(indexes) == 1 and not (parts and not _takes_alone(request)):
        kind = best(request, PICTURES)
    else:
        kind = next((offer for offer in PICTURES for part in parts if part in {offer, "image/*", "*/*"}), "")
        kind = kind or best(request, PICTURES)
    return _send(request, node, stored, indexes, options, kind, in_parts=len(indexes) > 1 or not _takes_alone(request))


def _takes_alone(request: Request) -> bool:
    return any(entry.part is None for entry in accepted(request))


def _send(
    request: Request, node: Node, stored: Stored, indexes: list[int], options: dict[str, Any], kind: str,
    in_parts: bool = False,
) -> Response:  # fmt: skip
    made, headers = validators(node, [stored], kind, repr(sorted(options.items())), *map(str, indexes))
    if warnings := [_warning(node, name) for name in _UNSUPPORTED if _asks(request, name)]:
        headers["Warning"] = ", ".join(warnings)
    if (answer := made.not_modified(request)) is not None:
        return answer
    options = {**options, "media_type": kind}
    if in_parts:
        base = f"{node.settings.base_url}/dicom-web{stored.path}/frames"
        parts = (
            (
                {"Content-Type": kind, "Content-Location": f"{base}/{i + 1}/rendered"},
                [picture(node, stored, i, options)],
            )
            for i in indexes
        )
        return send_parts(request, kind, parts, headers, stored.format.frame_bytes * len(indexes))
    if request.method == "HEAD":
        return send(request, kind, iter(()), headers)
    body = picture(node, stored, indexes[0], options)
    return send(request, kind, _once(body), headers, len(body))


def _once(body: bytes) -> Iterator[bytes]:
    yield body


def _asks(request: Request, name: str) -> bool:
    return request.query_params.get(name, _UNSUPPORTED[name]) != _UNSUPPORTED[name]


def _warning(node: Node, name: str) -> str:
    return f"299 {node.settings.base_url}/dicom-web: The {name} parameter is not supported."


def parameters(request: Request, stored: Stored) -> dict[str, Any]:
    """The options of `core.dicom.frames.sandboxed_render` from the query. Raises BadRequest for what cannot be."""
    query, options = request.query_params, dict[str, Any]()
    if (text := query.get("quality")) is not None:
        if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= 100:
            raise BadRequest("The quality must be a whole number from 1 to 100.")
        options["quality"] = int(text)
    if (text := query.get("window")) is not None:
        options["window"] = window(text)
    if (text := query.get("viewport")) is not None:
        options |= viewport(text, stored.format.columns, stored.format.rows)
    return options


def window(text: str) -> list[float]:
    """[centre, width] of "centre,width,function". The function is linear or linear-exact (PS3.3 C.11.2.1)."""
    centre_text, width_text, function = [*text.split(","), "linear"][:3] if 1 <= text.count(",") <= 2 else ("", "", "")
    centre, width = _number(centre_text), _number(width_text)
    if centre is None or width is None or function.lower() not in {"linear", "linear-exact"}:
        raise BadRequest("The window must be centre,width and linear or linear-exact.")
    if function.lower() == "linear-exact":  # the same line as LINEAR, half a level further and one level wider
        return [centre + 0.5, width + 1] if width > 0 else _too_narrow()
    return [centre, width] if width >= 1 else _too_narrow()


def _too_narrow() -> list[float]:
    raise BadRequest("The window is too narrow.")


def viewport(text: str, columns: int, rows: int) -> dict[str, Any]:
    """{"size", "crop"} of "vw,vh" or "vw,vh,sx,sy,sw,sh"; of the last four those left empty are the whole image's."""
    fields = text.split(",")
    if len(fields) not in {2, 6}:
        raise BadRequest("The viewport must be two or six numbers.")
    width, height = (_number(field) for field in fields[:2])
    if width is None or height is None or not (1 <= width <= _LARGEST and 1 <= height <= _LARGEST):
        raise BadRequest("The width and height of the viewport must be between 1 and 8192.")
    options: dict[str, Any] = {"size": [round(width), round(height)]}
    if len(fields) == 6:
        options["crop"] = _region(fields[2:], columns, rows)
    return options


def _region(fields: list[str], columns: int, rows: int) -> list[int]:
    left = _number(fields[0] or "0")
    top = _number(fields[1] or "0")
    if left is None or top is None:
        raise BadRequest("The source region of the viewport must be numbers.")
    width = _number(fields[2] or str(columns - left))
    height = _number(fields[3] or str(rows - top))
    if width is None or height is None:
        raise BadRequest("The source region of the viewport must be numbers.")
    region = [round(left), round(top), round(width), round(height)]
    x, y, w, h = region
    if x < 0 or y < 0 or w < 1 or h < 1 or x + w > columns or y + h > rows:
        raise BadRequest("The source region of the viewport must lie inside the image.")
    return region


def _number(text: str) -> float | None:
    value = float(text) if _NUMBER.fullmatch(text) else None
    return value if value is not None and math.isfinite(value) and abs(value) < 1e9 else None

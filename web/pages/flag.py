"""Flag studies: one by a form, many by a list that is shown before anything is done."""

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response

from core.errors import AppError, Malformed
from core.permissions import Actor, Verb
from core.services import flagging
from web.deps import FormDep, SessionDep, may
from web.export import csv_answer
from web.render import page
from web.site import SiteDep

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
MOST_LINES: Final = 500  # of a list on this page; machines send longer ones to the API
_LARGEST: Final = 512 * 1024
_EMPTY: Final = {"chart_id": "", "accession": "", "study_uid": "", "domain": "", "deferred_until": ""}
_EXAMPLE: Final = (flagging.COLUMNS, ("00123456", "liver", "A20261123001", "", ""))
Flagger = Annotated[Actor, may(Verb.FLAG)]


async def list_form(request: Request) -> str:
    """The text of a list: pasted, or in a file. It may come from anybody, so each part is small. Raises Malformed."""
    try:
        async with request.form(max_files=1, max_fields=4, max_part_size=_LARGEST) as form:
            file, text = form.get("file"), form.get("text")
            if isinstance(file, UploadFile) and file.filename:
                content = await file.read(_LARGEST + 1)
                if len(content) > _LARGEST:
                    raise Malformed("This form is too long.")
                return flagging.decoded(content)
            return text if isinstance(text, str) else ""
    except HTTPException:
        raise Malformed("This form is too long.") from None


ListDep = Annotated[str, Depends(list_form)]


@router.get("/flag")
def flag_page(request: Request, node: SiteDep, actor: Flagger) -> Response:
    return _answer(request, node, actor)


@router.post("/flag")
def flag_study(request: Request, session: SessionDep, node: SiteDep, actor: Flagger, fields: FormDep) -> Response:
    """Answers on this page, which nobody keeps: new, flagged already, or refused with the reason and what was typed."""
    typed = {name: fields.get(name, "")[:64] for name in _EMPTY}
    try:
        case, new = flagging.flag_one(node, session, actor, typed)
    except AppError as exc:
        return _answer(request, node, actor, {"typed": typed, "problem": exc.message}, exc.status)
    kept = _EMPTY | {"domain": typed["domain"]}  # the next one is mostly of the same organ
    return _answer(request, node, actor, {"typed": kept, "flagged": case, "new": new})


@router.post("/flag/preview")
def flag_preview(request: Request, session: SessionDep, node: SiteDep, actor: Flagger, text: ListDep) -> Response:
    """What each line would do; nothing is flagged."""
    return _list(request, session, node, actor, text, preview=True)


@router.post("/flag/list")
def flag_list(request: Request, session: SessionDep, node: SiteDep, actor: Flagger, text: ListDep) -> Response:
    """Flag exactly the text that was shown."""
    return _list(request, session, node, actor, text, preview=False)


@router.get("/flag/template.csv")
def flag_template(actor: Flagger) -> Response:
    return csv_answer("flag-template.csv", _EXAMPLE)


def _list(request: Request, session: SessionDep, node: SiteDep, actor: Actor, text: str, *, preview: bool) -> Response:
    try:
        lines = flagging.lines_of(node, session, actor, text, preview=preview, most=MOST_LINES)
    except AppError as exc:
        return _answer(request, node, actor, {"text": text, "list_problem": exc.message}, exc.status)
    return _answer(request, node, actor, {"text": text, "lines": lines, "preview": preview})


def _answer(
    request: Request, node: SiteDep, actor: Actor, more: Mapping[str, object] | None = None, status: int = 200
) -> Response:
    domains = [code for code in node.settings.domains if actor.may(Verb.FLAG, code)]
    values: dict[str, object] = {
        "actor": actor,
        "domains": domains,
        "tomorrow": flagging.tomorrow(node),
        "most": MOST_LINES,
        "typed": _EMPTY | {"domain": domains[0] if len(domains) == 1 else ""},
        "problem": None,
        "flagged": None,
        "new": None,
        "text": "",
        "lines": None,
        "preview": False,
        "list_problem": None,
        **(more or {}),
    }
    return page(request, "flag.html", values, status, {"flag-one": "flag_one"})

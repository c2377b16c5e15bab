"""Every route of every node, and who may use it. A new route needs a row here; the tests compare both ways."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from core.permissions import Verb


class Open(Enum):
    """Rules that are no verb."""

    PUBLIC = "anybody"
    SIGNED_IN = "anybody with a valid token, or with a browser session for safe methods"
    PAGE = "a browser session; others are led to /sign-in"
    STREAM = "anybody with the verb `infer`, by a token or a browser session of this origin; the route itself asks"
    METRICS = "this machine, or a token with the audit scope; others see nothing there"


@dataclass(frozen=True)
class Page:
    """A page, or a form of one: for a browser session whose person may do one of `verbs`."""

    verbs: tuple[Verb, ...]


def page(*verbs: Verb) -> Page:
    return Page(verbs)


V, PUBLIC, SIGNED_IN, PAGE, METRICS, STREAM = Verb, Open.PUBLIC, Open.SIGNED_IN, Open.PAGE, Open.METRICS, Open.STREAM
Table = dict[str, Verb | Open | Page]

HEALTH: Final[Table] = {"GET /healthz": PUBLIC, "GET /readyz": PUBLIC}
COMMON: Final[Table] = {
    **HEALTH,
    "GET /metrics": METRICS,
    "GET /api/v1/openapi.json": PUBLIC,
    "HEAD /api/v1/openapi.json": PUBLIC,
    "POST /api/v1/login": PUBLIC,
    "GET /api/v1/me": SIGNED_IN,
    "GET /api/v1/tokens": SIGNED_IN,
    "POST /api/v1/tokens": SIGNED_IN,
    "DELETE /api/v1/tokens/{token_id}": SIGNED_IN,
    "GET /api/v1/users": V.PEOPLE,
    "POST /api/v1/users": V.PEOPLE,
    "POST /api/v1/users/{user_id}/disable": V.PEOPLE,
    "GET /api/v1/audit": V.AUDIT,
    "GET /sign-in": PUBLIC,
    "POST /sign-in": PUBLIC,
    "POST /sign-out": PUBLIC,
    "GET /sign-in/code": PUBLIC,
    "POST /sign-in/code": PUBLIC,
    "GET /sign-in/oidc": PUBLIC,
    "GET /sign-in/oidc/callback": PUBLIC,
    "GET /account": PAGE,
    "POST /account/password": PAGE,
    "POST /account/totp": PAGE,
    "POST /account/totp/confirm": PAGE,
    "POST /account/totp/codes": PAGE,
    "POST /account/totp/remove": PAGE,
    "POST /account/tokens": PAGE,
    "POST /account/tokens/{token_id}/revoke": PAGE,
    "GET /people": page(V.PEOPLE),
    "POST /people/search": page(V.PEOPLE),
    "GET /people/new": page(V.PEOPLE),
    "POST /people": page(V.PEOPLE),
    "GET /people/{user_id}": page(V.PEOPLE),
    "POST /people/{user_id}/grants": page(V.PEOPLE),
    "POST /people/{user_id}/disable": page(V.PEOPLE),
    "POST /people/{user_id}/enable": page(V.PEOPLE),
    "POST /people/{user_id}/password": page(V.PEOPLE),
    "POST /people/{user_id}/totp": page(V.PEOPLE),
    "GET /": PAGE,
    "GET /audit": page(V.AUDIT),
    "GET /audit.csv": page(V.AUDIT),
    "POST /audit/verify": page(V.AUDIT),
    "GET /health": page(V.PEOPLE, V.PEERS, V.DICOM_READ),
    "POST /health/jobs/{job_id}/again": page(V.PEOPLE, V.PEERS),
    "GET /api/docs": PUBLIC,
    "MOUNT /static": PUBLIC,
}
AI: Final[Table] = {
    "POST /api/v1/infer": V.INFER,
    "POST /api/v1/infer/coco": V.INFER,
    "WEBSOCKET /api/v1/infer/stream": STREAM,
    "GET /live": page(V.INFER),
    "GET /models": page(V.INFER, V.OFFER_MODEL, V.DECIDE_MODEL),
    "GET /models/{model_id}": page(V.INFER, V.OFFER_MODEL, V.DECIDE_MODEL),
    "POST /models/{model_id}/promote": page(V.DECIDE_MODEL),
    "POST /models/{model_id}/retire": page(V.DECIDE_MODEL),
    "GET /api/v1/models": V.INFER,
    "POST /api/v1/models": V.OFFER_MODEL,
    "POST /api/v1/models/{model_id}/promote": V.DECIDE_MODEL,
    "POST /api/v1/models/{model_id}/retire": V.DECIDE_MODEL,
}
SITE: Final[Table] = {
    "POST /live/report": page(V.CURATE),
    "POST /api/v1/cases/{case_id}/infer/report": V.CURATE,
    "POST /api/v1/cases": V.FLAG,
    "POST /api/v1/cases/csv": V.FLAG,
    "GET /api/v1/cases": V.SEE_CASES,
    "GET /api/v1/cases/{case_id}": V.SEE_CASES,
    "POST /api/v1/cases/{case_id}/{step}": V.SEE_CASES,
    "GET /api/v1/cases/{case_id}/form": V.SEE_CASES,
    "PUT /api/v1/cases/{case_id}/form": V.CURATE,
    "GET /api/v1/cases/{case_id}/rois": V.SEE_CASES,
    "GET /api/v1/cases/{case_id}/history": V.SEE_CASES,
    "GET /api/v1/images/{image_id}/frames/{frame}": V.SEE_PIXELS,
    "PUT /api/v1/images/{image_id}/pick": V.CURATE,
    "POST /api/v1/images/{image_id}/rois": V.CURATE,
    "PUT /api/v1/rois/{roi_id}": V.CURATE,
    "GET /api/v1/images/{image_id}/marks": V.SEE_CASES,
    "PUT /api/v1/images/{image_id}/marks": V.CURATE,
    "GET /api/v1/cases/{case_id}/volumes": V.SEE_CASES,
    "GET /api/v1/images/{image_id}/mask": V.SEE_CASES,
    "PUT /api/v1/images/{image_id}/mask": V.CURATE,
    "GET /api/v1/images/{image_id}/candidate/frames/{frame}": V.SEE_PIXELS,
    "POST /api/v1/images/{image_id}/mask/texts": V.CURATE,
    "POST /api/v1/images/{image_id}/mask/confirm": V.REGISTER,
    "GET /api/v1/cases/{case_id}/deid-report": V.SEE_CASES,
    "GET /api/v1/images/{image_id}/mask/shown": V.SEE_PIXELS,
    "POST /api/v1/opt-outs": V.OPT_OUT,
    "POST /api/v1/opt-outs/lift": V.OPT_OUT,
    "POST /api/v1/opt-outs/check": V.OPT_OUT,
    "GET /api/v1/peers": V.PEERS,
    "POST /api/v1/peers/{name}/test": V.PEERS,
    "GET /api/v1/holidays": V.PEERS,
    "PUT /api/v1/holidays": V.PEERS,
    "DELETE /api/v1/holidays/{day}": V.PEERS,
    "GET /api/v1/packages": V.SEE_PACKAGES,
    "PUT /cases/{case_id}/form": page(V.CURATE),
    "POST /cases/{case_id}/form-plain": page(V.CURATE),
    "PUT /cases/{case_id}/images/{image_id}/pick": page(V.CURATE),
    "POST /cases/{case_id}/images/{image_id}/pick": page(V.CURATE),
    "POST /cases/{case_id}/picks": page(V.CURATE),
    "POST /cases/{case_id}/steps/{step}": page(V.SEE_CASES),
    "GET /cases/{case_id}/gaps": page(V.SEE_CASES),
    "GET /cases/{case_id}/sent": page(V.SEE_CASES),
    "GET /cases/{case_id}/sheet": page(V.SEE_CASES),
    "GET /cases/{case_id}/history": page(V.SEE_CASES),
    "GET /cases/{case_id}/earlier": page(V.SEE_CASES),
    "PUT /cases/{case_id}/defaults": page(V.CURATE),
    "GET /cases/{case_id}/history/{edit_id}": page(V.SEE_CASES),
    "POST /cases/{case_id}/history/{edit_id}": page(V.CURATE),
    "POST /cases/{case_id}/undo": page(V.CURATE),
    "POST /cases/{case_id}/redo": page(V.CURATE),
    "POST /cases/{case_id}/presence": page(V.SEE_CASES),
    "GET /cases/{case_id}/changes": page(V.SEE_CASES),
    "GET /api/v1/reads": V.READ,
    "GET /api/v1/reads/{read_id}": V.READ,
    "PUT /api/v1/reads/{read_id}/form": V.READ,
    "POST /api/v1/reads/{read_id}/images/{image_id}/rois": V.READ,
    "PUT /api/v1/reads/{read_id}/rois/{roi_id}": V.READ,
    "GET /api/v1/reads/{read_id}/images/{image_id}/frames/{frame}": V.READ,
    "POST /api/v1/reads/{read_id}/submit": V.READ,
    "GET /api/v1/cases/{case_id}/reads": V.ASSIGN,
    "POST /api/v1/cases/{case_id}/reads": V.ASSIGN,
    "POST /api/v1/cases/{case_id}/reads/{read_id}/cancel": V.ASSIGN,
    "GET /cases/{case_id}/comments": page(V.CURATE, V.REGISTER),
    "POST /cases/{case_id}/comments": page(V.CURATE, V.REGISTER),
    "POST /cases/{case_id}/comments/{comment_id}/resolve": page(V.CURATE, V.REGISTER),
    "POST /cases/{case_id}/comments/{comment_id}/reopen": page(V.CURATE, V.REGISTER),
    "GET /agreement": page(V.ASSIGN),
    "GET /agreement.csv": page(V.ASSIGN),
    "GET /agreement.json": page(V.ASSIGN),
    "GET /my": page(V.SEE_CASES),
    "POST /my/mail": page(V.SEE_CASES),
    "GET /my/targets": page(V.ASSIGN),
    "POST /my/targets/{domain}": page(V.ASSIGN),
    "POST /cases/{case_id}/wait": page(V.CURATE),
    "POST /cases/{case_id}/wait/end": page(V.CURATE),
    "GET /reads": page(V.READ, V.ASSIGN),
    "POST /reads/assign": page(V.ASSIGN),
    "GET /reads/{read_id}": page(V.READ),
    "PUT /reads/{read_id}/form": page(V.READ),
    "POST /reads/{read_id}/form-plain": page(V.READ),
    "POST /reads/{read_id}/submit": page(V.READ),
    "GET /reads/{read_id}/images/{image_id}/thumb": page(V.READ),
    "GET /reads/{read_id}/images/{image_id}/frames/{frame}": page(V.READ),
    "GET /reads/{read_id}/images/{image_id}/frames": page(V.READ),
    "GET /reads/{read_id}/images/{image_id}/mask": page(V.READ),
    "POST /reads/{read_id}/images/{image_id}/rois": page(V.READ),
    "PUT /reads/{read_id}/rois/{roi_id}": page(V.READ),
    "GET /cases/{case_id}/reads": page(V.ASSIGN),
    "POST /cases/{case_id}/reads": page(V.ASSIGN),
    "POST /cases/{case_id}/reads/{read_id}/cancel": page(V.ASSIGN),
    "POST /cases/{case_id}/reads/settle": page(V.ASSIGN),
    "POST /api/v1/packages/{package_id}/retry": V.SEND,
    "GET /transfers": page(V.SEE_PACKAGES),
    "GET /transfers.csv": page(V.SEE_PACKAGES),
    "GET /transfers/{package_id}": page(V.SEE_PACKAGES),
    "POST /transfers/{package_id}/retry": page(V.SEND),
    "GET /devices": page(V.SEE_PIXELS, V.PEERS, V.DEVICE_RULES),
    "GET /devices/rules/new": page(V.DEVICE_RULES),
    "POST /devices/rules": page(V.DEVICE_RULES),
    "GET /devices/rules/{rule_id}": page(V.DEVICE_RULES),
    "POST /devices/rules/{rule_id}": page(V.DEVICE_RULES),
    "GET /devices/rules/{rule_id}/trial": page(V.DEVICE_RULES),
    "POST /devices/rules/{rule_id}/publish": page(V.DEVICE_RULES),
    "POST /devices/rules/{rule_id}/retire": page(V.DEVICE_RULES),
    "GET /devices/rules/{rule_id}/queue": page(V.DEVICE_RULES),
    "GET /devices/pictures/{image_id}/frames/{frame}": page(V.DEVICE_RULES),
    "GET /api/v1/device-rules": V.DEVICE_RULES,
    "POST /api/v1/device-rules": V.DEVICE_RULES,
    "GET /schedule": page(V.SEE_CASES, V.PEERS),
    "POST /schedule/cases/{case_id}/retry": page(V.RETRIEVE),
    "POST /schedule/cases/{case_id}/cancel": page(V.RETRIEVE),
    "GET /schedule/edit": page(V.PEERS),
    "POST /schedule/windows": page(V.PEERS),
    "POST /schedule/windows/{n}/delete": page(V.PEERS),
    "POST /schedule/caps": page(V.PEERS),
    "POST /schedule/holidays": page(V.PEERS),
    "POST /schedule/holidays/{day}/delete": page(V.PEERS),
    "GET /peers": page(V.PEERS),
    "POST /peers/{name}/test": page(V.PEERS),
    "GET /opt-outs": page(V.OPT_OUT),
    "POST /opt-outs/check": page(V.OPT_OUT),
    "POST /opt-outs/refuse": page(V.OPT_OUT),
    "POST /opt-outs/lift": page(V.OPT_OUT),
    "GET /opt-outs/receipts/{number}": page(V.OPT_OUT),
    "GET /worklist": page(V.SEE_CASES),
    "GET /worklist.csv": page(V.SEE_CASES),
    "GET /worklist/next-mask": page(V.SEE_CASES),
    "POST /worklist/bulk": page(V.SEE_CASES),
    "POST /worklist/search": page(V.FLAG),
    "POST /worklist/views": page(V.SEE_CASES),
    "POST /worklist/views/{filter_id}/delete": page(V.SEE_CASES),
    "GET /flag": page(V.FLAG),
    "POST /flag": page(V.FLAG),
    "POST /flag/preview": page(V.FLAG),
    "POST /flag/list": page(V.FLAG),
    "GET /flag/template.csv": page(V.FLAG),
    "GET /cases/{case_id}": page(V.SEE_CASES),
    "GET /cases/{case_id}/contact-sheet": page(V.SEE_PIXELS),
    "GET /contact-sheet": page(V.SEE_PIXELS),
    "GET /cases/{case_id}/images/{image_id}/thumb": page(V.SEE_PIXELS),
    "GET /cases/{case_id}/images/{image_id}/strip": page(V.SEE_PIXELS),
    "GET /cases/{case_id}/images/{image_id}/frames/{frame}": page(V.SEE_PIXELS),
    "GET /cases/{case_id}/images/{image_id}/frames": page(V.SEE_PIXELS),
    "POST /cases/{case_id}/images/{image_id}/proposals": page(V.CURATE),
    "POST /cases/{case_id}/images/{image_id}/proposals/{proposal_id}": page(V.CURATE),
    "GET /cases/{case_id}/images/{image_id}/mask": page(V.SEE_CASES),
    "PUT /cases/{case_id}/images/{image_id}/mask": page(V.CURATE),
    "POST /cases/{case_id}/images/{image_id}/mask/shown": page(V.SEE_PIXELS),
    "POST /cases/{case_id}/images/{image_id}/mask/texts": page(V.CURATE),
    "GET /cases/{case_id}/images/{image_id}/before": page(V.SEE_PIXELS),
    "GET /cases/{case_id}/report": page(V.SEE_CASES),
    "POST /cases/{case_id}/images/{image_id}/mask/confirm": page(V.REGISTER),
    "POST /cases/{case_id}/images/{image_id}/rois": page(V.CURATE),
    "PUT /cases/{case_id}/rois/{roi_id}": page(V.CURATE),
    "GET /cases/{case_id}/heart": page(V.SEE_CASES),
    "PUT /cases/{case_id}/images/{image_id}/marks": page(V.CURATE),
}
# The service asks for these beside the door's right: one route takes every step of a case.
STEPS: Final[dict[str, Verb]] = {
    "unflag": V.FLAG,
    "retry": V.RETRIEVE,
    "cancel": V.RETRIEVE,
    "exclude": V.CURATE,
    "include": V.CURATE,
    "register": V.REGISTER,
    "take-back": V.REGISTER,
    "correct": V.REGISTER,
}
PARCELS: Final[Table] = {
    "POST /api/v1/parcels": V.DELIVER,
    "GET /api/v1/parcels/{site}/{package_id}": V.DELIVER,
    "PUT /api/v1/parcels/{site}/{package_id}/content": V.DELIVER,
    "GET /api/v1/messages": V.DELIVER,
}
CENTRAL: Final[Table] = {
    "GET /api/v1/cases": V.SEE_BANK,
    "GET /api/v1/cases/{case_id}": V.SEE_BANK,
    "GET /api/v1/counts": V.SEE_BANK,
    "GET /api/v1/datasets": V.PULL,
    "POST /api/v1/datasets": V.FREEZE,
    "POST /api/v1/datasets/{name}/versions": V.FREEZE,
    "GET /api/v1/datasets/{name}/versions/{version}": V.PULL,
    "GET /api/v1/datasets/{name}/versions/{version}/manifest": V.PULL,
    "GET /api/v1/datasets/{name}/versions/{version}/files/{sha256}": V.PULL,
    "GET /client/ml.zip": PUBLIC,
    "GET /cases": page(V.SEE_BANK),
    "GET /cases.csv": page(V.SEE_BANK),
    "GET /cases/{case_id}": page(V.SEE_BANK),
    "GET /datasets": page(V.PULL, V.FREEZE),
    "GET /datasets/new": page(V.FREEZE),
    "POST /datasets": page(V.FREEZE),
    "GET /datasets/{name}": page(V.PULL, V.FREEZE),
    "POST /datasets/{name}/versions": page(V.FREEZE),
}
_STUDY = "/dicom-web/studies/{study}"
_SERIES = f"{_STUDY}/series/{{series}}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"
READING: Final[Table] = {
    f"{method} {path}": V.DICOM_READ
    for method in ("GET", "HEAD")
    for path in (
        "/dicom-web/studies",
        "/dicom-web/series",
        "/dicom-web/instances",
        _STUDY,
        f"{_STUDY}/series",
        f"{_STUDY}/instances",
        f"{_STUDY}/metadata",
        _SERIES,
        f"{_SERIES}/instances",
        f"{_SERIES}/metadata",
        _INSTANCE,
        f"{_INSTANCE}/metadata",
        f"{_INSTANCE}/frames/{{frames}}",
        f"{_INSTANCE}/bulkdata/{{path:path}}",
        f"{_INSTANCE}/rendered",
        f"{_INSTANCE}/frames/{{frames}}/rendered",
        f"{_STUDY}/thumbnail",
        f"{_SERIES}/thumbnail",
        f"{_INSTANCE}/thumbnail",
        f"{_INSTANCE}/frames/{{frames}}/thumbnail",
    )
}
STORING: Final[Table] = {f"POST {path}": V.DICOM_WRITE for path in ("/dicom-web/studies", _STUDY)}
ROUTES: Final[dict[str, Table]] = {
    "site": COMMON | AI | SITE,
    "relay": HEALTH | PARCELS,
    "central": COMMON | AI | PARCELS | CENTRAL | READING,
    "pacs": COMMON | READING | STORING,
}


def routes_of(app: FastAPI) -> Iterator[str]:
    """`METHOD /path` of every route that an application has; a mount is `MOUNT /path`, a WebSocket `WEBSOCKET /path`."""
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, Mount):
            yield f"MOUNT {context.path}"
        elif context.methods is None:
            yield f"WEBSOCKET {context.path}"
        else:
            yield from (f"{method} {context.path}" for method in context.methods)

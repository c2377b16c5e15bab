"""Packages on their way: site, relay, central, cloud; what is stuck, why, and what to do."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from core.models.transfer import PackageState
from core.package.messages import Verdict
from core.permissions import Actor, Verb
from core.queries import transfers as queries
from core.services import transfers
from web.deps import FormDep, SessionDep, may
from web.export import csv_answer
from web.render import context_of, page, redirect
from web.site import SiteDep

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site",)
Reader = Annotated[Actor, may(Verb.SEE_PACKAGES)]
PLACES: Final = {
    "site": "transfers.place.site",
    "relay": "transfers.place.relay",
    "central": "transfers.place.central",
    "cloud": "transfers.place.cloud",
}
STATUS: Final = {
    "done": "transfers.status.done",
    "now": "transfers.status.now",
    "wait": "transfers.status.wait",
    "stop": "transfers.status.stop",
    "off": "transfers.status.off",
}
# What a person does about a package that does not go on by itself.
NEXT: Final[dict[str, str]] = {
    PackageState.SEND_FAILED: "transfers.next.SEND_FAILED",
    PackageState.HELD: "transfers.next.HELD",
    PackageState.QUARANTINED: "transfers.next.QUARANTINED",
    PackageState.SENT: "transfers.next.SENT",
}
VERDICTS: Final[dict[str, str]] = {
    Verdict.ACCEPTED: "transfers.verdict.ACCEPTED",
    Verdict.QUARANTINED: "transfers.verdict.QUARANTINED",
    Verdict.REFUSED: "transfers.verdict.REFUSED",
}
KINDS: Final = {"receipt": "transfers.kind.receipt", "replicated": "transfers.kind.replicated"}
EVENTS: Final = {
    "package.building": "transfers.event.building",
    "package.deidentified": "transfers.event.deidentified",
    "package.staged": "transfers.event.staged",
    "package.sent": "transfers.event.sent",
    "package.send_failed": "transfers.event.send_failed",
    "package.received": "transfers.event.received",
    "package.accepted": "transfers.event.accepted",
    "package.quarantined": "transfers.event.quarantined",
    "package.replicated": "transfers.event.replicated",
    "package.taken_back": "transfers.event.taken_back",
    "package.held": "transfers.event.held",
    "package.retry": "transfers.event.retry",
}
COLUMNS: Final = (
    "transfers.package_id",
    "transfers.case",
    "transfers.version",
    "transfers.attempt",
    "transfers.domain",
    "transfers.state",
    "transfers.images",
    "transfers.bytes",
    "transfers.sent_bytes",
    "transfers.created",
    "transfers.sealed",
    "transfers.sent",
    "transfers.accepted",
    "transfers.replicated",
    "transfers.reason",
    "transfers.sha256",
)
_WORDS: Final[Mapping[str, object]] = {
    "places": PLACES,
    "status_words": STATUS,
    "next_words": NEXT,
    "verdicts": VERDICTS,
    "kinds": KINDS,
    "events": EVENTS,
    "states": list(PackageState),
    "attention": queries.ATTENTION,
    "retried": queries.RETRIED,
}


def _chosen(request: Request) -> queries.Chosen:
    """From the address; what is none of ours chooses nothing."""
    asked = request.query_params
    show, number, at = asked.get("show", ""), asked.get("number", "").strip(), asked.get("page", "")
    return queries.Chosen(
        show=show if show in {queries.ATTENTION, *PackageState} else "",
        number=int(number) if _is_number(number) else None,
        page=int(at) if _is_number(at) and 0 < int(at) < 10_000 else 1,
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _address(chosen: queries.Chosen, path: str = "/transfers", **changes: object) -> str:
    asked = {"show": chosen.show, "number": chosen.number, "page": chosen.page if chosen.page > 1 else None} | changes
    query = urlencode({name: value for name, value in asked.items() if value})
    return f"{path}?{query}" if query else path


@router.get("/transfers")
def transfers_page(request: Request, session: SessionDep, actor: Reader) -> Response:
    chosen = _chosen(request)
    values = {
        "actor": actor,
        "chosen": chosen,
        "listing": queries.listing(session, actor, chosen),
        "here_address": _address(chosen),
        "csv_address": _address(chosen, "/transfers.csv", page=None),
        "before": _address(chosen, page=chosen.page - 1) if chosen.page > 1 else None,
        "after": _address(chosen, page=chosen.page + 1),
        "may_send": actor.may(Verb.SEND),
        **_WORDS,
    }
    return page(request, "transfers.html", values, blocks={"transfers": "transfers"})


@router.get("/transfers.csv")
def transfers_csv(request: Request, session: SessionDep, actor: Reader) -> Response:
    lines = queries.all_lines(session, actor, _chosen(request))
    return csv_answer("transfers.csv", _table(context_of(request, {"actor": actor}), lines))


@router.get("/transfers/{package_id}")
def transfer_page(request: Request, package_id: UUID, node: SiteDep, session: SessionDep, actor: Reader) -> Response:
    detail = transfers.detail(node, session, actor, package_id)
    values = {"actor": actor, "detail": detail, "may_send": actor.may(Verb.SEND, detail.line.domain), **_WORDS}
    return page(request, "transfers_package.html", values, blocks={"transfer": "transfer"})


@router.post("/transfers/{package_id}/retry")
def retry_transfer(
    request: Request,
    package_id: UUID,
    session: SessionDep,
    actor: Annotated[Actor, may(Verb.SEND)],
    fields: FormDep,
) -> Response:
    """Send again now instead of at the next try; back to where the button was."""
    transfers.retry(session, actor, package_id)
    back = "/transfers" if fields.get("back") == "list" else f"/transfers/{package_id}"
    return redirect(request, back, "transfers.retry.done")


def _table(words: Mapping[str, Any], lines: Sequence[queries.Line]) -> list[list[str]]:
    t, said, moment = words["t"], words["said"], words["moment"]
    rows = []
    for line in lines:
        package, times = line.package, line.times
        passed = [times.get(state) for state in ("STAGED", "SENT", "ACCEPTED", "REPLICATED")]
        rows.append([
            str(package.id), str(line.number), str(package.case_version), str(package.attempt),
            words["domain_name"](line.domain), t(f"package.{package.state}"), str(line.images), str(package.size or ""),
            str(package.sent_bytes), moment(package.created_at), *(moment(at) for at in passed), said(package.reason),
            package.sha256 or "",
        ])  # fmt: skip
    return [[t(key) for key in COLUMNS], *rows]

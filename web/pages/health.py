"""How this node does: what is fine, what will need somebody, what has stopped, and what to do about it."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from core.permissions import Actor, Verb
from core.queries import health as queries
from core.queries import jobs
from core.services import failed_jobs
from web import words
from web.deps import NodeDep, SessionDep, may
from web.render import look_of, page, redirect
from web.texts import Language, text

router = APIRouter(include_in_schema=False)
ROLES: Final = ("site", "central", "pacs")

NAMES: Final = {
    "database": "health.name.database",
    "disk.data": "health.name.disk_data",
    "disk.staging": "health.name.disk_staging",
    "disk.store": "health.name.disk_store",
    "store": "health.name.store",
    "workers": "health.name.workers",
    "queue": "health.name.queue",
    "failed": "health.name.failed",
    "sealer": "health.name.sealer",
    "relay": "health.name.relay",
    "receipts": "health.name.receipts",
    "replica": "health.name.replica",
    "quarantine": "health.name.quarantine",
    "central-keys": "health.name.central_keys",
    "token": "health.name.token",
    "ethics": "health.name.ethics",
    "own-keys": "health.name.own_keys",
    "tls": "health.name.tls",
}
# What is so, and what to do about it.
SAYS: Final[dict[str, tuple[str, str | None]]] = {
    "database.ok": ("health.database.ok", None),
    "database.skew": ("health.database.skew", "health.do.clock"),
    "disk.ok": ("health.disk.room", None),
    "disk.warn": ("health.disk.room", "health.do.disk_soon"),
    "disk.stop": ("health.disk.room", "health.do.disk_now"),
    "disk.unreadable": ("health.disk.unreadable", "health.do.folder"),
    "store.ok": ("health.store.ok", None),
    "store.away": ("health.store.away", "health.do.store"),
    "workers.ok": ("health.workers.ok", None),
    "workers.gone": ("health.workers.gone", "health.do.worker"),
    "workers.never": ("health.workers.never", "health.do.worker"),
    "queue.ok": ("health.queue.ok", None),
    "queue.late": ("health.queue.late", "health.do.queue"),
    "failed.none": ("health.failed.none", None),
    "failed.some": ("health.failed.some", "health.do.failed"),
    "sealer.ok": ("health.sealer.ok", None),
    "sealer.late": ("health.sealer.late", "health.do.worker"),
    "relay.ok": ("health.relay.ok", None),
    "relay.nothing": ("health.relay.nothing", None),
    "relay.silent": ("health.relay.silent", "health.do.relay"),
    "receipts.ok": ("health.receipts.ok", None),
    "receipts.late": ("health.receipts.late", "health.do.receipts"),
    "replica.ok": ("health.replica.ok", None),
    "replica.waits": ("health.replica.waits", None),
    "replica.late": ("health.replica.waits", "health.do.replica"),
    "quarantine.none": ("health.quarantine.none", None),
    "quarantine.some": ("health.quarantine.some", "health.do.quarantine"),
    "central_keys.ok": ("health.central_keys.ok", None),
    "central_keys.missing": ("health.central_keys.missing", "health.do.central_keys"),
    "token.ok": ("health.token.ok", None),
    "token.unset": ("health.token.unset", "health.do.token_unset"),
    "token.unreadable": ("health.token.unreadable", "health.do.token"),
    "ethics.ok": ("health.ethics.until", None),
    "ethics.warn": ("health.ethics.until", "health.do.ethics_soon"),
    "ethics.over": ("health.ethics.over", "health.do.ethics"),
    "ethics.unset": ("health.ethics.unset", "health.do.ethics_unset"),
    "own_keys.site": ("health.own_keys.site", None),
    "own_keys.central": ("health.own_keys.central", None),
    "tls.ok": ("health.tls.ok", None),
    "tls.demo": ("health.tls.demo", None),
    "tls.plain": ("health.tls.plain", "health.do.tls"),
    "certificate.ok": ("health.certificate.until", None),
    "certificate.warn": ("health.certificate.until", "health.do.certificate"),
    "certificate.stop": ("health.certificate.over", "health.do.certificate"),
    "certificate.unreadable": ("health.certificate.unreadable", "health.do.certificate"),
}
GROUPS: Final = {
    "node": "health.group.node",
    "work": "health.group.work",
    "exchange": "health.group.exchange",
    "keys": "health.group.keys",
}
TASKS: Final = {
    "retrieve": "health.task.retrieve",
    "mask": "health.task.mask",
    "remask": "health.task.remask",
    "release": "health.task.release",
    "pack": "health.task.pack",
    "send": "health.task.send",
    "parcel": "health.task.parcel",
    "replicate": "health.task.replicate",
    "freeze": "health.task.freeze",
}


@router.get("/health")
def health_page(
    request: Request,
    session: SessionDep,
    node: NodeDep,
    actor: Annotated[Actor, may(Verb.PEOPLE, Verb.PEERS, Verb.DICOM_READ)],
) -> Response:
    lang = look_of(request).lang
    found = queries.checks(node, session)
    lines = [(check, text(lang, NAMES[check.name]), *in_words(lang, check, node.settings.role)) for check in found]
    values = {
        "actor": actor,
        "groups": [(key, [line for line in lines if line[0].group == name]) for name, key in GROUPS.items()],
        "worst": max(found, key=lambda check: list(queries.Level).index(check.level)).level,
        "counts": {level: sum(check.level is level for check in found) for level in queries.Level},
        "tasks": jobs.tasks(session),
        "failed": jobs.failed(session),
        "task_names": TASKS,
        "may_run_again": failed_jobs.may_run_again(actor),
        "version": queries.version(session),
    }
    return page(request, "health.html", values)


@router.post("/health/jobs/{job_id}/again")
def run_job_again(
    request: Request, job_id: int, session: SessionDep, actor: Annotated[Actor, may(Verb.PEOPLE, Verb.PEERS)]
) -> Response:
    failed_jobs.run_again(session, actor, job_id)
    return redirect(request, "/health", "health.again.done")


def in_words(lang: Language, check: queries.Check, role: str) -> tuple[str, str | None]:
    """(what is so, what to do)."""
    values = {name: _value(lang, name, value) for name, value in check.values.items()}
    count = check.values.get("count", 0)
    says, do = SAYS[check.says]
    return text(lang, says, **{"count": count, **values_but_count(values)}), text(lang, do, role=role) if do else None


def values_but_count(values: Mapping[str, str]) -> dict[str, str]:
    """`count` chooses the form of the words; {n} is how it is written."""
    return {("n" if name == "count" else name): value for name, value in values.items()}


def _value(lang: Language, name: str, value: int | str | datetime | date) -> str:
    if isinstance(value, datetime):
        return words.ago(lang, value)
    if isinstance(value, date):
        return words.day(lang, value)
    if isinstance(value, int):
        return words.size(lang, value) if name.endswith("_bytes") else words.number(lang, value)
    return value

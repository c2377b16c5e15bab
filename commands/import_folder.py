"""`./run admin import-folder OUT --originals IN --keys DIR`: bring what `./run deid` made into a site, for a person to confirm."""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlmodel import select

from commands.main import given_path
from commands.progress import Bar
from core.db import reading
from core.errors import AppError, Denied, Malformed, NotFound, Unavailable
from core.folder import made
from core.folder.made import Made
from core.folder.one_file import Status
from core.folder.places import Places
from core.folder.run import Progress
from core.models.people import User
from core.node import Node, SiteNode
from core.opening import open_node
from core.permissions import Actor, Verb, check
from core.services import accounts, bring_in
from core.services.bring_in import Original
from core.settings import load
from core.vault import Identity

Folder = Annotated[Path, typer.Argument(metavar="OUT", help="the candidates that ./run deid wrote")]
Originals = Annotated[Path, typer.Option(help="the folder IN of that run; it is only read")]
Keys = Annotated[Path, typer.Option(help="the key folder of that run; it is only read")]
Domain = Annotated[str, typer.Option(help="organ domain of all these studies, such as liver")]
By = Annotated[str, typer.Option(help="who brings them in: a person of this site who may flag in that domain")]
Json = Annotated[bool, typer.Option("--json", help="the last line of the output is JSON")]


@dataclass(frozen=True)
class Line:
    """What became of one file of IN: imported, known, held or refused; `case` is the number of its case."""

    input: str
    status: str
    reason: str | None = None
    case: int | None = None


def import_folder(
    folder: Folder, originals: Originals, keys: Keys, domain: Domain, by: By, as_json: Json = False
) -> None:
    """Bring the studies that ./run deid made candidates of into this site, a case a study.

    Their masks come as proposals, to be confirmed on the contact sheet. Run again it adds only what is missing."""
    os.umask(0o077)
    places = Places.of(given_path(originals), given_path(folder), given_path(keys))
    begun = time.monotonic()
    try:
        with open_node(load(role="site")) as node, Bar() as bar:
            actor = _person(node, by, domain)
            lines = import_all(node, actor, domain, made.read(places, bar.show), bar.show)
    except Unavailable as trouble:
        typer.echo(f"sonobank: {trouble.message}", err=True)
        raise typer.Exit(1) from None
    print(json.dumps(_summary(lines, time.monotonic() - begun)) if as_json else _table(lines))


def import_all(
    node: Node, actor: Actor, domain: str, files: Sequence[Made], tell: Callable[[Progress], None]
) -> list[Line]:
    """Study by study; a study that is refused says why at each of its files. Raises Denied and Unavailable."""
    if not isinstance(node, SiteNode):
        raise TypeError("Folders are brought into a site.")
    lines = {one.name: Line(one.name, one.status, one.reason) for one in files}
    studies: dict[tuple[str | None, str | None], list[Made]] = {}
    for one in files:
        if one.status is Status.CANDIDATE:
            studies.setdefault((one.identity.patient_id, one.identity.study_uid), []).append(one)
    progress = Progress("importing", sum(map(len, studies.values())))
    tell(progress)
    for study in studies.values():
        lines |= {line.input: line for line in _study(node, actor, domain, study)}
        progress.done += len(study)
        tell(progress)
    return list(lines.values())


def _study(node: SiteNode, actor: Actor, domain: str, study: Sequence[Made]) -> list[Line]:
    try:
        brought = bring_in.bring(node, actor, domain, _who(study), [_original(one) for one in study])
    except (Denied, Unavailable):
        raise
    except AppError as refusal:
        return [Line(one.name, "refused", refusal.message) for one in study]
    return [
        Line(one.name, status.value, reason, None if reason else brought.number)
        for one, (status, reason) in zip(study, brought.files, strict=True)
    ]


def _who(study: Sequence[Made]) -> Identity:
    """Whose it is, with all that the files of the folder say of this patient: every image is searched for that."""
    first = study[0].identity
    return Identity(
        chart_id=first.patient_id or "",
        issuer=first.issuer,
        accession=first.accession,
        study_uid=first.study_uid,
        names=first.patient_name,
        birth_date=first.birth_date,
        extra={"folder": {name: list(values) for name, values in study[0].said.items()}},
    )


def _original(one: Made) -> Original:
    return Original(
        one.identity.sop_uid or "", one.identity.series_uid or "", one.sha256, one.open, one.rects, one.rule,
        one.rule_version,
    )  # fmt: skip


def _person(node: Node, name: str, domain: str) -> Actor:
    """Raises NotFound, and Denied unless they may flag in this domain."""
    if domain not in node.settings.domains:
        raise Malformed("This site does not collect that organ domain.")
    with reading(node.engine) as session:
        user = session.exec(select(User).where(User.name == name)).first()
        if user is None or user.disabled_at is not None:
            raise NotFound("There is no such user.")
        actor = accounts.actor_of(session, user)
    check(actor, Verb.FLAG, domain)
    return actor


def _summary(lines: Sequence[Line], seconds: float) -> dict[str, Any]:
    return {
        "files": [vars(line) for line in lines],
        "counts": {"imported": 0, "known": 0, "held": 0, "refused": 0} | Counter(line.status for line in lines),
        "cases": len({line.case for line in lines if line.case is not None}),
        "seconds": round(seconds, 3),
    }


def _table(lines: Sequence[Line]) -> str:
    """One line a file that was not brought in, then the counts."""
    counts = Counter(line.status for line in lines)
    told = [f"{line.status:<8}  {line.input!r}: {line.reason}" for line in lines if line.reason]
    said = ", ".join(f"{counts[status]} {status}" for status in ("imported", "known", "held", "refused"))
    return "\n".join([*told, f"{len(lines)} files: {said}. Their masks wait to be confirmed on the contact sheet."])

"""Reads of the DICOM archive; the getter is the gate: unknown, hidden and forbidden are the same."""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, or_, select, true
from sqlmodel import Session, col

from core.dicom.frame_ranges import Ranges
from core.dicom.pixel_format import PixelFormat
from core.errors import NotFound
from core.models.archive import Instance, Series, Study
from core.permissions import ALL_DOMAINS, Actor, Verb

_UID = re.compile(r"[0-9.]{1,64}")
BULK_MARK = '"BulkDataURI":"'


def name_key(name: str) -> str:
    """A person's name for matching (PS3.4 C.2.2.2.1: case does not count): each component group folded, between =.

    Full and half width are the same, and so are names with and without empty components at the end."""
    groups = [unicodedata.normalize("NFKC", group).casefold().strip().rstrip("^ ") for group in name.split("=")]
    return "=" + "=".join(groups) + "=" if any(groups) else ""


def is_uid(text: str) -> bool:
    """Whether this can be a UID at all; anything else is not even looked for."""
    return _UID.fullmatch(text) is not None


def readable(actor: Actor) -> ColumnElement[bool]:
    """The condition on Study that every query of the archive carries; a study without a domain (pacs) is everybody's."""
    domains = actor.domains(Verb.DICOM_READ)
    if ALL_DOMAINS in domains:
        return true()
    # no right at all sees nothing, not even what has no domain
    return or_(col(Study.domain).is_(None), col(Study.domain).in_(domains)) if domains else col(Study.id).is_(None)


def readable_studies(actor: Actor) -> Select[Study]:
    """The only place where a query of studies begins: those of the actor's domains in which something is visible."""
    return select(Study).where(readable(actor), col(Study.instance_count) > 0)


@dataclass(frozen=True)
class Stored:
    """One instance as it is stored, without its metadata."""

    id: UUID
    study_id: UUID
    study_uid: str
    series_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax: str
    sha256: str
    size: int
    created_at: datetime
    frame_ranges: str
    pixel: str

    @property
    def path(self) -> str:
        """Of the instance under /dicom-web."""
        return f"/studies/{self.study_uid}/series/{self.series_uid}/instances/{self.sop_instance_uid}"

    @cached_property
    def ranges(self) -> tuple[Ranges, ...]:
        """Per frame its (offset, length) pieces in the blob; in the inflated form where it is deflated."""
        return tuple(tuple((offset, length) for offset, length in frame) for frame in json.loads(self.frame_ranges))

    @cached_property
    def _pixel(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.pixel)
        return found

    @cached_property
    def format(self) -> PixelFormat:
        """Raises NotFound for an instance that is no image: it has no frames."""
        if not self.pixel:
            raise NotFound
        return PixelFormat(**self._pixel["fmt"])

    @property
    def are_words_swapped(self) -> bool:
        return bool(self._pixel["swapped"])

    @property
    def window(self) -> tuple[float, float] | None:
        """(centre, width) of the image's first window."""
        centre_width = self._pixel["window"]
        return (centre_width[0], centre_width[1]) if centre_width else None


_COLUMNS = (
    col(Instance.id), col(Series.study_id), col(Study.study_uid), col(Series.series_uid),
    col(Instance.sop_instance_uid), col(Instance.sop_class_uid), col(Instance.transfer_syntax), col(Instance.sha256),
    col(Instance.size), col(Instance.created_at), col(Instance.frame_ranges), col(Instance.pixel),
)  # fmt: skip


def instances(
    session: Session, actor: Actor, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
) -> list[Stored]:
    """The visible instances of a study, a series, or the one, in the order of their numbers. Raises NotFound for none."""
    if not all(uid is None or is_uid(uid) for uid in (study_uid, series_uid, sop_uid)):
        raise NotFound
    statement = (
        select(*_COLUMNS)
        .select_from(Instance)
        .join(Series, col(Series.id) == col(Instance.series_id))
        .join(Study, col(Study.id) == col(Series.study_id))
        .where(readable(actor), col(Instance.hidden).is_(False), col(Study.study_uid) == study_uid)
    )
    if series_uid is not None:
        statement = statement.where(col(Series.series_uid) == series_uid)
    if sop_uid is not None:
        statement = statement.where(col(Instance.sop_instance_uid) == sop_uid)
    else:
        statement = statement.order_by(
            col(Series.series_number), col(Series.id), col(Instance.instance_number), col(Instance.id)
        )
    found = [Stored(*row) for row in session.execute(statement)]
    if not found:
        raise NotFound
    return found


def one(session: Session, actor: Actor, study_uid: str, series_uid: str, sop_uid: str) -> Stored:
    return instances(session, actor, study_uid, series_uid, sop_uid)[0]


def metadata(session: Session, ids: Sequence[UUID], base_url: str) -> list[str]:
    """The DICOM JSON of these instances as text, in this order, its BulkDataURIs whole."""
    statement = select(col(Instance.id), col(Instance.metadata_json)).where(col(Instance.id).in_(ids))
    held = {row[0]: row[1] for row in session.execute(statement)}
    return [whole(held[key], base_url) for key in ids if key in held]


def whole(metadata_json: str, base_url: str) -> str:
    """Stored metadata with URIs that others can follow: stored ones begin at the root, so that this address may change.

    The mark cannot lie inside a JSON string: there its quotes would be escaped."""
    return metadata_json.replace(f"{BULK_MARK}/", f"{BULK_MARK}{base_url}/")

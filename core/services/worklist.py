"""The worklist as a page shows it: one page of cases, how many there are, and what keeps each from being registered."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import and_
from sqlmodel import Session, col, func, select

from core.models.curation import Form, ImageMask, MaskState, Pick, Roi
from core.models.sitecase import CaseState, SiteCase, SiteImage
from core.permissions import Actor
from core.queries import worklist as queries
from core.queries.worklist import PAGE, Chosen, Line
from core.services.registering import under_mask
from core.vocabulary import domain as vocabulary


@dataclass(frozen=True)
class Listing:
    """One page of a filter. `gaps` is of the cases in curation on which somebody has begun: the form is saved."""

    lines: Sequence[Line]
    total: int
    page: int
    gaps: Mapping[UUID, int]

    @property
    def first(self) -> int:
        return (self.page - 1) * PAGE + 1 if self.lines else 0

    @property
    def last(self) -> int:
        return self.first + len(self.lines) - 1 if self.lines else 0

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // PAGE))


def listing(session: Session, actor: Actor, chosen: Chosen) -> Listing:
    lines = queries.lines(session, actor, chosen)
    total = queries.count(session, actor, chosen)
    return Listing(lines, total, chosen.page, count_gaps(session, [line.case for line in lines]))


@dataclass(frozen=True)
class _Decided:
    """What was decided of a case's images: how many are picked, how many of these have no confirmed mask, and the ROIs
    on them, each with the mask of its image."""

    picked: int = 0
    unconfirmed: int = 0
    rois: Sequence[tuple[Roi, ImageMask | None]] = ()


def count_gaps(session: Session, cases: Sequence[SiteCase]) -> dict[UUID, int]:
    """How many gaps `registering.gaps` would find in each, for a whole page at once: three queries, not six a case."""
    curated = {case.id: case for case in cases if case.state == CaseState.CURATING}
    forms = session.exec(select(Form).where(col(Form.case_id).in_(curated))).all() if curated else []
    if not forms:
        return {}
    decided = _decided(session, [form.case_id for form in forms])
    return {
        form.case_id: _gaps(curated[form.case_id], form.values, decided.get(form.case_id, _Decided())) for form in forms
    }


def _decided(session: Session, case_ids: Sequence[UUID]) -> dict[UUID, _Decided]:
    confirmed = and_(col(ImageMask.image_id) == SiteImage.id, col(ImageMask.state) == MaskState.CONFIRMED)
    present = and_(col(ImageMask.image_id) == SiteImage.id, col(ImageMask.state) != MaskState.VOID)
    picked = and_(col(Pick.image_id) == SiteImage.id, col(Pick.picked))
    mine = col(SiteImage.case_id).in_(case_ids)
    drawn = select(SiteImage.case_id, Roi, ImageMask).join(Pick, picked).join(Roi, col(Roi.image_id) == SiteImage.id)
    rois: defaultdict[UUID, list[tuple[Roi, ImageMask | None]]] = defaultdict(list)
    counted = (mine, ~col(Roi.deleted), Roi.use == "lesion")
    for case_id, roi, mask in session.exec(drawn.outerjoin(ImageMask, present).where(*counted)):
        rois[case_id].append((roi, mask))
    images = select(SiteImage.case_id, func.count(), func.count(col(ImageMask.id))).join(Pick, picked)
    numbers = session.exec(images.outerjoin(ImageMask, confirmed).where(mine).group_by(col(SiteImage.case_id)))
    return {case_id: _Decided(count, count - done, rois.get(case_id, ())) for case_id, count, done in numbers}


def _gaps(case: SiteCase, entries: Mapping[str, Any], decided: _Decided) -> int:
    """The rule of `registering.gaps`, counted; a test keeps the two equal."""
    organ = vocabulary.load(case.domain)
    plain = {field: entry["value"] for field, entry in entries.items()}
    _, missing, _ = organ.check({f.code: plain[f.code] for f in organ.fields if f.code in plain and f.type != "text"})
    covered = sum(mask is not None and under_mask(roi, mask) for roi, mask in decided.rois)
    undrawn = bool(decided.picked and organ.has_lesion(plain) and not decided.rois)
    return len(missing) + (not decided.picked) + decided.unconfirmed + covered + undrawn

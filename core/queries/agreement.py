"""How far the readers of the site's cases agree: per field and pair of readers, and over the ROIs that both drew.

The readings handed in are compared with each other, and with the case as its curator had it when the first of them was
handed in. Intervals are over cases, since a case is read as a whole; a patient's cases cannot be told to be one's here."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import combinations
from typing import Any, Final
from uuid import UUID

from sqlmodel import Session, col, select

from core.curation.agreement import Figure, kappa_figure, mean_figure, percent_figure
from core.models.curation import Edit, Roi
from core.models.people import User
from core.models.reads import HANDED_IN, Read
from core.models.sitecase import SiteCase, SiteImage
from core.permissions import ALL_DOMAINS, Actor, Verb
from core.queries.cases import readable_cases
from core.queries.reads import rois_of
from core.services.matching import Match, matched
from core.vocabulary import domain as vocabulary
from core.vocabulary.schema import FieldSpec, Label

MOST_CASES: Final = 2000
NOTHING: Final = "—"
CODED: Final = frozenset({"code", "codes", "boolean"})


@dataclass(frozen=True)
class Reading:
    """What one person said of one case."""

    case_id: UUID
    reader_id: UUID
    answers: Mapping[str, Any]
    rois: tuple[Roi, ...]


@dataclass(frozen=True)
class FieldFigures:
    """One field and one pair: kappa and percent for codes, the mean difference for numbers (in the field's unit)."""

    code: str
    label: Label
    unit: Label | None
    kappa: Figure | None
    percent: Figure | None
    difference: Figure | None

    @property
    def items(self) -> int:
        return next(one.items for one in (self.percent, self.difference) if one is not None)


@dataclass(frozen=True)
class RoiFigures:
    """The ROIs of one pair. `alone` are those that only one of the two drew; they are in none of the means."""

    iou: Figure
    dice: Figure
    centre_mm: Figure
    landmark_mm: Figure
    matched: int
    alone: int


@dataclass(frozen=True)
class Pair:
    """Two readers in one organ, by name in order; `cases` that both read."""

    domain: str
    one: str
    other: str
    cases: int
    fields: tuple[FieldFigures, ...]
    rois: RoiFigures


@dataclass
class _Both:
    """Readings of the same cases by the same two people."""

    pairs: list[tuple[Reading, Reading]] = field(default_factory=list)


def agreement(session: Session, actor: Actor) -> list[Pair]:
    """Every pair of readers with a case in common, of the cases that this person may lead and does not read blind."""
    cases = _cases(session, actor)
    by_case = _readings(session, list(cases.values()))
    images = _images(session, list(by_case))
    both: defaultdict[tuple[str, UUID, UUID], _Both] = defaultdict(_Both)
    for case_id, readings in by_case.items():
        for one, other in combinations(sorted(readings, key=lambda reading: reading.reader_id), 2):
            both[cases[case_id].domain, one.reader_id, other.reader_id].pairs.append((one, other))
    names = _names(session, {reader for key in both for reader in key[1:]})
    found = [
        _pair(domain, names[one], names[other], known.pairs, images) for (domain, one, other), known in both.items()
    ]
    return sorted(found, key=lambda pair: (pair.domain, pair.one, pair.other))


def _cases(session: Session, actor: Actor) -> dict[UUID, SiteCase]:
    domains = actor.domains(Verb.ASSIGN)
    read = select(Read.case_id).where(col(Read.state).in_(HANDED_IN))
    mine = readable_cases(actor).where(col(SiteCase.id).in_(read))
    if ALL_DOMAINS not in domains:
        mine = mine.where(col(SiteCase.domain).in_(domains))
    return {case.id: case for case in session.exec(mine.order_by(col(SiteCase.number).desc()).limit(MOST_CASES))}


def _readings(session: Session, cases: Sequence[SiteCase]) -> dict[UUID, list[Reading]]:
    found: defaultdict[UUID, list[Reading]] = defaultdict(list)
    first: dict[UUID, datetime] = {}
    chosen = select(Read).where(col(Read.case_id).in_([case.id for case in cases]), col(Read.state).in_(HANDED_IN))
    for read in session.exec(chosen.order_by(col(Read.submitted_at))).all():
        said = _said(read.values)
        found[read.case_id].append(Reading(read.case_id, read.reader_id, said, rois_of(session, read.id)))
        if read.submitted_at is not None:
            first.setdefault(read.case_id, read.submitted_at)
    for case_id, moment in first.items():
        known = {reading.reader_id for reading in found[case_id]}
        curated = _as_curated(session, case_id, moment)
        if curated is not None and curated.reader_id not in known:
            found[case_id].append(curated)
    return found


def _said(entries: Mapping[str, Any]) -> dict[str, Any]:
    """What a person answered; that two readers leave what a tag says is no agreement of theirs."""
    return {code: entry["value"] for code, entry in entries.items() if entry["source"] not in {"tag", "derived"}}


def _as_curated(session: Session, case_id: UUID, moment: datetime) -> Reading | None:
    """The case's own answers and ROIs at a moment, as those of whoever saved the form last; None before anybody did."""
    forms = select(Edit).where(Edit.kind == "form", Edit.object_id == case_id, col(Edit.at) <= moment)
    form = session.exec(forms.order_by(col(Edit.version).desc()).limit(1)).first()
    if form is None:
        return None
    drawn = select(Roi.id, Roi.image_id).join(SiteImage, col(SiteImage.id) == Roi.image_id)
    images = dict(session.exec(drawn.where(SiteImage.case_id == case_id)).all())
    edits = select(Edit).where(Edit.kind == "roi", col(Edit.object_id).in_(images), col(Edit.at) <= moment)
    newest = {edit.object_id: edit for edit in session.exec(edits.order_by(col(Edit.version)))}
    rois = tuple(_roi(edit, images[edit.object_id]) for edit in newest.values() if not edit.body.get("deleted"))
    return Reading(case_id, form.by, _said(form.body), rois)


def _roi(edit: Edit, image_id: UUID) -> Roi:
    known = {name: value for name, value in edit.body.items() if name in Roi.model_fields}
    known["lesion_id"] = UUID(known["lesion_id"])
    return Roi(**known | {"id": edit.object_id, "image_id": image_id, "version": edit.version})


def _images(session: Session, case_ids: Sequence[UUID]) -> dict[UUID, SiteImage]:
    chosen = select(SiteImage).where(col(SiteImage.case_id).in_(case_ids))
    return {image.id: image for image in session.exec(chosen)}


def _names(session: Session, ids: set[UUID]) -> dict[UUID, str]:
    return {user.id: user.name for user in session.exec(select(User).where(col(User.id).in_(ids)))}


def _pair(
    domain: str, one: str, other: str, pairs: Sequence[tuple[Reading, Reading]], images: Mapping[UUID, SiteImage]
) -> Pair:
    swap = one > other
    turned = [(b, a) if swap else (a, b) for a, b in pairs]
    organ = vocabulary.load(domain)
    fields = [_field(spec, turned) for spec in organ.fields if not spec.readonly]
    names = (other, one) if swap else (one, other)
    return Pair(domain, *names, len(pairs), tuple(each for each in fields if each is not None), _rois(turned, images))


def _field(spec: FieldSpec, pairs: Sequence[tuple[Reading, Reading]]) -> FieldFigures | None:
    """None where neither ever answered by hand what the form asks."""
    values = [(a.case_id, a.answers.get(spec.code), b.answers.get(spec.code)) for a, b in pairs]
    if all(x is None and y is None for _, x, y in values):
        return None
    unit = spec.unit
    if spec.type in CODED:
        rows = [(case, _category(x), _category(y)) for case, x, y in values]
        cases, one, other = (list(part) for part in zip(*rows, strict=True))
        categories = sorted({*one, *other})
        kappa = kappa_figure(cases, one, other, categories)
        return FieldFigures(spec.code, spec.label, unit, kappa, percent_figure(cases, one, other, categories), None)
    known = [(case, abs(float(x) - float(y))) for case, x, y in values if x is not None and y is not None]
    difference = mean_figure([case for case, _ in known], [apart for _, apart in known])
    return FieldFigures(spec.code, spec.label, unit, None, None, difference)


def _category(value: Any) -> str:  # noqa: ANN401 -- any answer
    """An answer as one category: no answer is one too, and of several codes the set counts."""
    if value is None or value == []:
        return NOTHING
    return " ".join(sorted(map(str, value))) if isinstance(value, list | tuple) else str(value)


def _rois(pairs: Sequence[tuple[Reading, Reading]], images: Mapping[UUID, SiteImage]) -> RoiFigures:
    found: list[tuple[UUID, Match]] = []
    alone = 0
    for a, b in pairs:
        for image_id in {roi.image_id for roi in (*a.rois, *b.rois)} & images.keys():
            mine = [roi for roi in a.rois if roi.image_id == image_id]
            matches, left = matched(images[image_id], mine, [roi for roi in b.rois if roi.image_id == image_id])
            found += [(a.case_id, match) for match in matches]
            alone += left
    cases = [case_id for case_id, _ in found]
    areas = [(case_id, match) for case_id, match in found if match.iou is not None]
    return RoiFigures(
        iou=mean_figure([case_id for case_id, _ in areas], [match.iou for _, match in areas]),
        dice=mean_figure([case_id for case_id, _ in areas], [match.dice for _, match in areas]),
        centre_mm=mean_figure(cases, [match.centre_mm for _, match in found]),
        landmark_mm=mean_figure(cases, [match.landmark_mm for _, match in found]),
        matched=len(found),
        alone=alone,
    )

"""The worklist: which cases a filter chooses, a page of them in an order, and what their images say, counted in one query."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, and_, any_, case, exists, literal, or_
from sqlalchemy import select as columns
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Session, col, func, select
from sqlmodel.sql.expression import SelectOfScalar

from core.clock import now_utc
from core.models.curation import ImageMask, MaskState, Pick
from core.models.people import User
from core.models.sitecase import CaseState, ImageState, SiteCase, SiteImage
from core.permissions import Actor
from core.queries.cases import readable_cases

PAGE: Final = 50
MOST_EXPORTED: Final = 20_000
# A case in one of these is over: what its reason says is why it ended, not why it waits.
OVER: Final = frozenset({CaseState.REGISTERED, CaseState.EXCLUDED, CaseState.RECALLED, CaseState.WITHDRAWN})
SORTS: Final = ("number", "state", "domain", "images", "age", "by")


@dataclass(frozen=True)
class Chosen:
    """A filter of the worklist. `older` is in days; `arrived` is the moment since which images came; `found` what a search found."""

    state: CaseState | None = None
    domain: str | None = None
    stuck: bool = False
    mine: bool = False
    open_masks: bool = False
    older: int | None = None
    arrived: datetime | None = None
    found: tuple[UUID, ...] | None = None
    sort: str = "number"
    descending: bool = True
    page: int = 1


@dataclass(frozen=True)
class Line:
    """One case as the worklist shows it. Masks are of the images that have a picture and are not rejected."""

    case: SiteCase
    flagged_by: str
    images: int = 0
    frames: int = 0
    masks: int = 0
    confirmed: int = 0


def stuck() -> ColumnElement[bool]:
    """A case that somebody must look at: its retrieval failed, or something says why it does not go on."""
    waits = and_(col(SiteCase.reason).is_not(None), col(SiteCase.state).not_in(OVER))
    return or_(col(SiteCase.state) == CaseState.RETRIEVE_FAILED, waits)


def open_masks() -> ColumnElement[bool]:
    """A case in curation with a picture, not rejected, whose mask nobody has confirmed.

    Every picture of such a case has a mask: it was proposed in the transaction that brought the case into curation."""
    proposed = and_(col(ImageMask.image_id) == SiteImage.id, col(ImageMask.state) == MaskState.PROPOSED)
    waiting = select(SiteImage.id).join(ImageMask, proposed).where(SiteImage.case_id == SiteCase.id, _usable())
    return and_(col(SiteCase.state) == CaseState.CURATING, exists(waiting))


def arrived(since: datetime) -> ColumnElement[bool]:
    return col(SiteCase.id).in_(select(SiteImage.case_id).where(SiteImage.created_at >= since))


def one_of(case_ids: Sequence[UUID]) -> ColumnElement[bool]:
    """One of these cases, as one parameter: a thousand of them take a moment each to be put into a statement."""
    return col(SiteCase.id) == any_(literal(list(case_ids), ARRAY(Uuid)))


def chosen_cases(actor: Actor, chosen: Chosen) -> SelectOfScalar[SiteCase]:
    """The cases of a filter, as far as the actor may see them."""
    tests: list[ColumnElement[bool]] = []
    if chosen.state:
        tests.append(col(SiteCase.state) == chosen.state)
    if chosen.domain:
        tests.append(col(SiteCase.domain) == chosen.domain)
    if chosen.stuck:
        tests.append(stuck())
    if chosen.mine:
        tests.append(col(SiteCase.flagged_by) == actor.user_id)
    if chosen.open_masks:
        tests.append(open_masks())
    if chosen.older:
        tests.append(col(SiteCase.created_at) <= now_utc() - timedelta(days=chosen.older))
    if chosen.arrived:
        tests.append(arrived(chosen.arrived))
    if chosen.found is not None:
        tests.append(one_of(chosen.found))
    return readable_cases(actor).where(*tests)


def count(session: Session, actor: Actor, chosen: Chosen) -> int:
    return session.exec(select(func.count()).select_from(chosen_cases(actor, chosen).subquery())).one()


def lines(session: Session, actor: Actor, chosen: Chosen, limit: int = PAGE) -> list[Line]:
    """One page of a filter, in its order."""
    statement = _ordered(chosen_cases(actor, chosen), chosen).limit(limit).offset((chosen.page - 1) * limit)
    cases = session.exec(statement).all()
    names = _names(session, {found.flagged_by for found in cases})
    counts = _counts(session, [found.id for found in cases])
    return [Line(found, names.get(found.flagged_by, ""), *counts.get(found.id, ())) for found in cases]


def all_lines(session: Session, actor: Actor, chosen: Chosen) -> list[Line]:
    """The whole list of a filter, for its export."""
    return lines(session, actor, chosen, MOST_EXPORTED)


def ordered_ids(session: Session, actor: Actor, chosen: Chosen) -> list[UUID]:
    """The cases of a filter in its order, all its pages: what a person works through from one to the next."""
    statement = _ordered(chosen_cases(actor, chosen), chosen).with_only_columns(col(SiteCase.id)).limit(MOST_EXPORTED)
    return list(session.execute(statement).scalars())


def _ordered(statement: SelectOfScalar[SiteCase], chosen: Chosen) -> SelectOfScalar[SiteCase]:
    if chosen.sort == "images":
        counted = select(SiteImage.case_id, func.count().label("n")).group_by(col(SiteImage.case_id)).subquery()
        statement = statement.outerjoin(counted, counted.c.case_id == SiteCase.id)
        key: Any = func.coalesce(counted.c.n, 0)
    elif chosen.sort == "by":
        statement = statement.join(User, col(User.id) == SiteCase.flagged_by)
        key = col(User.name)
    elif chosen.sort == "state":  # in the order of a case's life, not of the alphabet
        key = case({state.value: place for place, state in enumerate(CaseState)}, value=col(SiteCase.state))
    elif chosen.sort == "age":
        key = -func.extract("epoch", col(SiteCase.created_at))
    else:
        key = {"domain": col(SiteCase.domain)}.get(chosen.sort, col(SiteCase.number))
    number = col(SiteCase.number)
    return statement.order_by(key.desc() if chosen.descending else key.asc(), number.desc())


def _names(session: Session, ids: set[UUID]) -> dict[UUID, str]:
    return dict(session.exec(select(User.id, User.name).where(col(User.id).in_(ids))).all())


def _usable() -> ColumnElement[bool]:
    rejected = exists(select(Pick.image_id).where(Pick.image_id == SiteImage.id, col(Pick.picked).is_(False)))
    return and_(col(SiteImage.state) == ImageState.STAGED, col(SiteImage.frames) > 0, ~rejected)


def _counts(session: Session, case_ids: Sequence[UUID]) -> dict[UUID, tuple[int, int, int, int]]:
    """{case: (images, frames, masks needed, masks confirmed)} of these cases, in one grouped query."""
    rejected = col(Pick.picked).is_(False)
    usable = and_(col(SiteImage.state) == ImageState.STAGED, col(SiteImage.frames) > 0, rejected.is_not(True))
    confirmed = col(ImageMask.id).is_not(None)
    statement = (
        columns(
            col(SiteImage.case_id),
            func.count(),
            func.coalesce(func.sum(SiteImage.frames), 0),
            func.count().filter(usable),
            func.count().filter(and_(usable, confirmed)),
        )
        .outerjoin(Pick, col(Pick.image_id) == SiteImage.id)
        .outerjoin(
            ImageMask, and_(col(ImageMask.image_id) == SiteImage.id, col(ImageMask.state) == MaskState.CONFIRMED)
        )
        .where(col(SiteImage.case_id) == any_(literal(list(case_ids), ARRAY(Uuid))))
        .group_by(col(SiteImage.case_id))
    )
    return {
        case_id: (images, frames, needed, done) for case_id, images, frames, needed, done in session.execute(statement)
    }

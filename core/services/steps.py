"""The steps that a person takes with a whole case, by name."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final, Literal
from uuid import UUID

from sqlmodel import Session

from core.clock import now_utc
from core.errors import Malformed
from core.models.sitecase import SiteCase
from core.node import SiteNode
from core.permissions import Actor
from core.services import cases, curation, registering

Step = Literal["unflag", "retry", "cancel", "exclude", "include", "register", "take-back", "correct"]
_Take = Callable[[SiteNode, Session, Actor, UUID], SiteCase]

_TAKE: Final[dict[str, _Take]] = {
    "unflag": cases.unflag,
    "retry": lambda node, session, actor, case_id: cases.retry(session, actor, case_id),
    "cancel": lambda node, session, actor, case_id: cases.cancel(session, actor, case_id),
    "include": lambda node, session, actor, case_id: cases.include_again(session, actor, case_id),
    "register": registering.register,
    "take-back": lambda node, session, actor, case_id: registering.take_back(session, actor, case_id),
    "correct": lambda node, session, actor, case_id: registering.correct(session, actor, case_id),
}


def take(
    node: SiteNode, session: Session, actor: Actor, case_id: UUID, step: Step, reason: str | None = None
) -> SiteCase:
    """Take one step; each asks for its own right. `reason` is coded and needed to exclude."""
    if step != "exclude":
        return _TAKE[step](node, session, actor, case_id)
    if reason not in curation.EXCLUDE_REASONS:
        raise Malformed(f"Excluding needs one of the reasons {', '.join(sorted(curation.EXCLUDE_REASONS))}.")
    purge_at = now_utc() + timedelta(days=node.settings.purge_days)
    return cases.exclude(session, actor, case_id, reason, purge_at)

"""What central has offered to the sites: the signed messages that name a model and its files, or take one back."""

import json
from collections.abc import Iterator
from typing import Final

from sqlmodel import Session, col, select

from core.models.transfer import SignedMessage
from core.package.messages import ModelOffer

OFFERED: Final = "model"
WITHDRAWN: Final = "model_withdrawn"
_KIND: Final = f'"kind":"{OFFERED}"'  # as canonical JSON writes it


def offered_to(session: Session, sha256: str) -> list[str]:
    """The sites to which the model of this hash was offered."""
    statement = select(SignedMessage.site).where(
        col(SignedMessage.body).contains(_KIND), col(SignedMessage.body).contains(sha256)
    )
    return list(session.exec(statement.distinct().order_by(SignedMessage.site)))


def is_offered(session: Session, site: str, sha256: str) -> bool:
    """Whether a model, or a file, of this hash was offered to this site."""
    return site in offered_to(session, sha256)


def last_words(session: Session) -> dict[tuple[str, str], str]:
    """{(site, model's sha256): OFFERED or WITHDRAWN}, whichever came last."""
    body = col(SignedMessage.body)
    statement = select(SignedMessage).where(body.contains(_KIND) | body.contains(f'"kind":"{WITHDRAWN}"'))
    told = [json.loads(row.body) for row in session.exec(statement.order_by(col(SignedMessage.n)))]
    return {(one["site"], one["sha256"]): one["kind"] for one in told}


def offers(session: Session) -> Iterator[ModelOffer]:
    """Every offer that is here, the oldest first."""
    statement = select(SignedMessage).where(col(SignedMessage.body).contains(_KIND))
    for row in session.exec(statement.order_by(SignedMessage.site, col(SignedMessage.n))):
        yield ModelOffer.model_validate_json(row.body)

"""Find cases by what identifies a patient: through the vault, one audit event a search, and the words are kept nowhere."""

from collections.abc import Callable
from typing import Final
from uuid import UUID

from sqlmodel import Session

from core import audit
from core.errors import Malformed
from core.node import SiteNode
from core.permissions import Actor, Verb, check
from core.queries.cases import readable_cases
from core.queries.worklist import one_of
from core.services import filters
from core.vault import Vault

LONGEST: Final = 64
MOST_FOUND: Final = 1000
_FIND: Final[dict[str, Callable[[Vault, str], list[UUID]]]] = {
    "chart-id": lambda vault, words: vault.find(chart_id=words),
    "accession": lambda vault, words: vault.find(accession=words),
    "name": lambda vault, words: vault.find_by_name(words),
}
WAYS: Final = tuple(_FIND)


def search(node: SiteNode, session: Session, actor: Actor, way: str, words: str) -> tuple[UUID, int]:
    """(the id under which the found cases are kept for a quarter of an hour, how many the actor may see).

    For those who flag, curate or register: they know their patients. Raises Malformed for words that are none, Refused
    for a chart ID that this hospital does not write."""
    check(actor, Verb.FLAG)
    words = words.strip()
    if way not in _FIND or not words or len(words) > LONGEST or "\0" in words:
        raise Malformed(f"Write a chart ID, an accession number or a name of at most {LONGEST} characters.")
    ids = _FIND[way](node.vault, words)[:MOST_FOUND]
    known = [case.id for case in session.exec(readable_cases(actor).where(one_of(ids)))]
    audit.record(session, actor, "case.search", way=way, found=len(known))
    return filters.keep_found(session, actor, known), len(known)

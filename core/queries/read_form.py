"""The form of a reading: the organ's questions with this reader's own answers, in the shape that the case page's form has."""

from typing import Any

from sqlmodel import Session

from core.models.reads import OPEN
from core.permissions import Actor, Verb
from core.queries.case_form import LONG, questions_of, quick_of, rules_of, sections_of
from core.queries.case_words import words_of
from core.queries.reads import READABLE, ReadPage
from core.services import curation, reads
from core.vocabulary import domain as vocabulary


def may_write(page: ReadPage, actor: Actor) -> bool:
    """Whether the reader may still change the reading."""
    is_here = page.case.state in READABLE and page.case.purged_at is None
    return page.read.state in OPEN and is_here and actor.may(Verb.READ, page.case.domain)


def read_form(session: Session, page: ReadPage, actor: Actor) -> dict[str, Any]:
    """Everything that the template of the answers needs."""
    organ = vocabulary.load(page.case.domain)
    entries, version = reads.present_form(session, page.read, page.case)
    plain = {code: entry["value"] for code, entry in entries.items()}
    questions = questions_of(organ, entries, curation.filled(session, page.case, {}))
    return {
        "version": version,
        "sections": sections_of(organ.sections, questions),
        "questions": questions,
        "rules": rules_of(organ),
        "derived": {code: words_of(organ, code, value) for code, value in organ.derive(plain).items()},
        "quick": quick_of(organ),
        "may_edit": may_write(page, actor),
        "offered": 0,  # what a person usually answers must not lead a blind reading
        "long": LONG,
        "roi_size": None,
    }

"""The registering sheet: exactly what leaves with a case, in words and in codes, and what central said of it afterwards."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from core.models.curation import ImageMask, Roi
from core.models.sitecase import CaseState, SiteCase, SiteImage
from core.models.transfer import Package, SignedMessage
from core.permissions import Actor, Verb
from core.queries import cases as queries
from core.queries.case_around import around
from core.queries.case_form import missing_of, name_of
from core.queries.case_words import DERIVED, codes_of, label_of, words_of
from core.services import curation, packages, record, registering
from core.vocabulary import domain as vocabulary
from core.vocabulary.schema import Label


@dataclass(frozen=True)
class Answer:
    """One field that leaves."""

    code: str
    label: Label
    words: list[Label]
    codes: list[str]
    source: str
    tag: str | None


@dataclass(frozen=True)
class LeavingImage:
    """One picked image; `device` are the facts of its header that fit and so leave with it."""

    image: SiteImage
    mask: ImageMask | None
    rois: Sequence[Roi]
    device: tuple[str, ...]
    classes: tuple[Label, ...]


@dataclass(frozen=True)
class Sent:
    """One package of the case with central's verdict and its reasons, where they have come."""

    package: Package
    verdict: str | None
    reasons: tuple[str, ...]
    is_copied: bool


def sheet_page(session: Session, actor: Actor, case_id: UUID) -> dict[str, Any]:
    """Raises NotFound for a case that is unknown or not the actor's."""
    case = queries.readable_case(session, actor, case_id)
    entries, version = curation.present_form(session, case)
    images = leaving_images(session, case)
    is_open = case.state == CaseState.CURATING
    return {
        "case": case,
        "version": version,
        "answers": leaving_answers(case.domain, entries),
        "measures": record.body_measures(images[0].image.facts) if images else {},
        "images": images,
        "descriptions": sorted({one["text"] for each in images for one in each.image.facts.get("descriptions", ())}),
        "left_out": len(queries.images_of(session, case.id)) - len(images),
        "gaps": missing_of(session, case) if is_open else [],
        "is_open": is_open,
        "next": around(session, actor, case).next if is_open else None,
        "may_register": actor.may(Verb.REGISTER, case.domain),
        "may_see_pixels": actor.may(Verb.SEE_PIXELS, case.domain),
        "registered_by": name_of(session, case.registered_by),
    }


def leaving_answers(domain: str, entries: Mapping[str, Any]) -> list[Answer]:
    """The fields that travel, in the order of the form."""
    organ = vocabulary.load(domain)
    order = {code: place for place, code in enumerate([*(field.code for field in organ.fields), *DERIVED])}
    leaving = record.leaving(domain, entries)
    answers = [
        Answer(
            code,
            label_of(organ, code),
            words_of(organ, code, entries[code]["value"]),
            codes_of(entries[code]["value"]),
            entries[code]["source"],
            entries[code]["tag"],
        )
        for code in leaving
    ]
    return sorted(answers, key=lambda answer: order.get(answer.code, len(order)))


def leaving_images(session: Session, case: SiteCase) -> list[LeavingImage]:
    organ = vocabulary.load(case.domain)
    masks, rois = queries.masks_of(session, case.id), queries.lesions_of(session, case.id)
    found = []
    for image in registering.picked_images(session, case.id):
        own = [roi for roi in rois if roi.image_id == image.id]
        device = record.device(image.facts)
        tokens = [device["manufacturer"], device["model"], *device["software"], *device["transducer"]]
        classes = [words_of(organ, "diagnosis", label)[0] for label in dict.fromkeys(roi.label for roi in own)]
        found.append(
            LeavingImage(image, masks.get(image.id), own, tuple(str(one) for one in tokens if one), tuple(classes))
        )
    return found


def sent_of(session: Session, actor: Actor, case_id: UUID) -> dict[str, Any]:
    """The packages of the case, newest first, for those who may see packages; what central said of each."""
    case = queries.readable_case(session, actor, case_id)
    may_see = actor.may(Verb.SEE_PACKAGES, case.domain)
    found = packages.readable(session, actor, case.id) if may_see else []
    said = _messages(session, [package.id for package in found])
    return {"case": case, "may_see_packages": may_see, "sent": [_sent(package, said) for package in found]}


def _sent(package: Package, said: Mapping[str, list[Mapping[str, Any]]]) -> Sent:
    own = said.get(str(package.id), [])
    receipt: Mapping[str, Any] = next((one for one in reversed(own) if one["kind"] == "receipt"), {})
    return Sent(
        package,
        receipt.get("verdict"),
        tuple(receipt.get("reasons", ())),
        any(one["kind"] == "replicated" for one in own),
    )


def _messages(session: Session, package_ids: Sequence[UUID]) -> dict[str, list[Mapping[str, Any]]]:
    """{package: central's signed messages about it, in their order}; they were checked when they came."""
    found: dict[str, list[Mapping[str, Any]]] = {str(package_id): [] for package_id in package_ids}
    for package_id in found:
        about = select(SignedMessage).where(col(SignedMessage.body).contains(package_id))
        for row in session.exec(about.order_by(col(SignedMessage.n))):
            body = json.loads(row.body)
            if body.get("package_id") == package_id:
                found[package_id].append(body)
    return found

"""What the form side of the case page shows: the questions with their answers, what is missing, and the steps that are open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlmodel import Session

from core.clock import now_utc
from core.curation.wall_motion import NOT_EVALUATED, SCORES, SEGMENTS, segments
from core.models.curation import ImageMask, MaskState, Pick
from core.models.people import User
from core.models.sitecase import RETROSPECTIVE, CaseState, ImageState, SiteCase, SiteImage
from core.permissions import Actor, Verb
from core.queries import cases as queries
from core.queries.case_around import around
from core.queries.case_words import words_of
from core.queries.worklist import Chosen
from core.services import curation, defaults, registering
from core.services.rois import size_mm
from core.vocabulary import domain as vocabulary
from core.vocabulary.answers import holds
from core.vocabulary.schema import Condition, FieldSpec, Label, Option, Section

# A list of more choices than this gets a box to search it in.
LONG: Final = 9
_WAITING: Final = frozenset({CaseState.FLAGGED, CaseState.DEFERRED, CaseState.QUEUED, CaseState.RETRIEVE_FAILED})


@dataclass(frozen=True)
class Question:
    """One field with its answer; `automatic` is what the tags say, even where a person has answered otherwise.

    `usual` is what this person answered last time, offered where there is no answer."""

    spec: FieldSpec
    options: tuple[Option, ...]
    value: Any
    source: str | None
    tag: str | None
    automatic: Any
    is_asked: bool
    is_needed: bool
    words: tuple[Label, ...] = ()
    problem: Label | None = None
    tag_words: tuple[Label, ...] = ()
    usual: Any = None
    usual_words: tuple[Label, ...] = ()

    @property
    def segments(self) -> list[tuple[int, Label, str]]:
        """(number, name, finding) of each segment of a wall motion; where nobody has answered, nobody has looked."""
        found = self.chosen or (NOT_EVALUATED,) * SEGMENTS
        return [(number, option.label, found[number - 1]) for number, option in sorted(segments().items())]

    @property
    def keys(self) -> list[tuple[str, Option]]:
        """(key, finding) of a wall motion: the first finding of each score by its number, 0 for what was not seen."""
        found: dict[str, Option] = {}
        for option in self.options:
            if option.code != NOT_EVALUATED:
                found.setdefault(str(SCORES.get(option.code, 0)), option)
        return list(found.items())

    @property
    def key_codes(self) -> dict[str, str]:
        return {key: option.code for key, option in self.keys}

    @property
    def scores(self) -> dict[str, int]:
        """The scores of the findings of a wall motion; what was not seen has none."""
        return {option.code: SCORES[option.code] for option in self.options if option.code in SCORES}

    @property
    def chosen(self) -> tuple[str, ...]:
        """The codes of a coded answer, in their order."""
        return tuple(self.value) if isinstance(self.value, list | tuple) else (str(self.value),) if self.value else ()

    @property
    def rules(self) -> dict[str, Any]:
        """When the field is asked and when it is needed, for the script that shows and hides while a person types."""
        needed = self.spec.required
        return {
            "applies": _tests(self.spec.applies),
            "needed": needed if isinstance(needed, bool) else _tests(needed),
            "group": self.spec.one_of,
        }


def _tests(condition: Condition | None) -> list[dict[str, Any]] | None:
    return [test.model_dump(mode="json") for test in condition.when] if condition else None


@dataclass(frozen=True)
class Missing:
    """One gap; `anchor` is the element to jump to, `label` the field's name, `image` the image's number."""

    kind: str
    anchor: str
    label: Label | None = None
    image: int | None = None


@dataclass(frozen=True)
class Choice:
    """One image as the pick bar shows it."""

    image: SiteImage
    pick: Pick | None
    mask_state: str | None

    @property
    def is_picked(self) -> bool:
        return self.pick is not None and self.pick.picked

    @property
    def is_usable(self) -> bool:
        return self.image.state == ImageState.STAGED and self.image.frames > 0


def form_page(
    session: Session, actor: Actor, case: SiteCase, chosen: Chosen | None = None, there: queries.Shown | None = None
) -> dict[str, Any]:
    """Everything that the templates of the form side need beside the case itself; `chosen` is the list it came from."""
    organ = vocabulary.load(case.domain)
    there = there or queries.shown_of(session, case.id)
    entries, version = curation.present_form(session, case, there)
    plain = {code: entry["value"] for code, entry in entries.items()}
    may_edit = case.state == CaseState.CURATING and actor.may(Verb.CURATE, case.domain)
    usual = defaults.offered(session, actor, organ, entries) if may_edit else {}
    questions = questions_of(organ, entries, curation.filled(session, case, {}, there), usual)
    return {
        "version": version,
        "sections": sections_of(organ.sections, questions),
        "questions": questions,
        "rules": rules_of(organ),
        "derived": {code: words_of(organ, code, value) for code, value in organ.derive(plain).items()},
        "quick": quick_of(organ),
        "may_edit": may_edit,
        "offered": sum(question.is_asked and question.usual is not None for question in questions),
        "around": around(session, actor, case, chosen),
        "choices": choices_of(there),
        "reject_reasons": sorted(curation.REJECT_REASONS),
        "long": LONG,
        **standing_of(session, actor, case, there),
    }


def standing_of(session: Session, actor: Actor, case: SiteCase, there: queries.Shown | None = None) -> dict[str, Any]:
    """Where the case stands: what is missing, which steps are open, how long it can be taken back."""
    there = there or queries.shown_of(session, case.id)
    is_open = case.state == CaseState.CURATING
    left = (case.release_at - now_utc()).total_seconds() if case.release_at and not is_open else 0.0
    return {
        "gaps": missing_of(session, case, there) if is_open else [],
        "steps": open_steps(session, actor, case),
        "may_register": actor.may(Verb.REGISTER, case.domain),
        "may_see_packages": actor.may(Verb.SEE_PACKAGES, case.domain),
        "exclude_reasons": sorted(curation.EXCLUDE_REASONS),
        "seconds_left": max(0, round(left)),
        "registered_by": name_of(session, case.registered_by),
        "roi_size": roi_size(there) if is_open else None,
        "has_sizes": is_open and actor.may(Verb.CURATE, case.domain) and _has(case.domain, "size_long_mm"),
    }


def _has(domain: str, code: str) -> bool:
    return any(field.code == code for field in vocabulary.load(domain).fields)


def rules_of(organ: vocabulary.Domain) -> dict[str, Any]:
    """How benign and malignant follow, for the script that shows and hides; nothing where no diagnosis is a lesion."""
    rule = organ.derivation
    return rule.model_dump(mode="json", by_alias=True, exclude={"four_class"}) if rule else {}


def quick_of(organ: vocabulary.Domain) -> list[Option]:
    """The diagnoses that the number keys choose: all of a short list, else those of the classes that are trained."""
    options = organ.options[organ.source]
    if len(options) <= LONG or organ.four_class is None:
        return list(options[:LONG])
    common = [code for one in organ.four_class.classes for code in one.diagnoses]
    return [option for code in common for option in options if option.code == code][:LONG]


def questions_of(
    organ: vocabulary.Domain,
    entries: Mapping[str, Any],
    automatic: Mapping[str, Any],
    usual: Mapping[str, Any] | None = None,
) -> tuple[Question, ...]:
    """Every field of the form in its order, those that do not apply too: a script may come to show them."""
    plain = {code: entry["value"] for code, entry in entries.items()}
    asked = _asked(organ, plain)
    nothing: dict[str, Any] = {"value": None, "source": None, "tag": None}
    found = []
    for spec in organ.fields:
        entry, by_tag = entries.get(spec.code, nothing), automatic.get(spec.code, nothing)
        is_needed = spec.required if isinstance(spec.required, bool) else _holds(organ, spec.required, plain)
        is_tag, offer = by_tag["source"] == "tag", (usual or {}).get(spec.code)
        found.append(
            Question(
                spec,
                organ.options.get(spec.code, ()),
                entry["value"],
                entry["source"],
                by_tag["tag"] if is_tag else None,
                by_tag["value"] if is_tag else None,
                spec.code in asked,
                is_needed or spec.one_of is not None,
                tuple(words_of(organ, spec.code, entry["value"])),
                tag_words=tuple(words_of(organ, spec.code, by_tag["value"])) if is_tag else (),
                usual=offer,
                usual_words=tuple(words_of(organ, spec.code, offer)),
            )
        )
    return tuple(found)


def _holds(organ: vocabulary.Domain, condition: Condition, values: Mapping[str, object]) -> bool:
    return holds(condition, values, lambda seen: _malignancy(organ, seen))


def _malignancy(organ: vocabulary.Domain, values: Mapping[str, object]) -> str | None:
    found = organ.derive(values)["malignancy"]
    return str(found) if found is not None else None


def _asked(organ: vocabulary.Domain, values: Mapping[str, object]) -> set[str]:
    """The fields that apply; taken again until stable, as the check of the answers does."""
    asked = {spec.code for spec in organ.fields}
    while True:
        seen = {code: value for code, value in values.items() if code in asked}
        left = {
            f.code for f in organ.fields if f.code in asked and (f.applies is None or _holds(organ, f.applies, seen))
        }
        if left == asked:
            return asked
        asked = left


def sections_of(
    sections: Sequence[Section], questions: Sequence[Question]
) -> list[tuple[Section, list[Question], list[Question]]]:
    """(section, its questions that take an answer, what only a tag says), without empty sections."""
    found = []
    for section in sections:
        own = [question for question in questions if question.spec.section == section.code]
        if own:
            asked = [question for question in own if not question.spec.readonly]
            found.append((section, asked, [q for q in own if q.spec.readonly and q.value]))
    return found


def missing_of(session: Session, case: SiteCase, there: queries.Shown | None = None) -> list[Missing]:
    """The gaps of the case with the place to jump to."""
    organ = vocabulary.load(case.domain)
    found = []
    for gap in registering.gaps(session, case, there):
        if gap.kind is registering.GapKind.ANSWER:
            found.append(Missing(gap.kind, f"f-{gap.where}", organ.field(gap.where).label))
        elif gap.image is not None:
            found.append(Missing(gap.kind, f"pick-{gap.image}", image=gap.image))
        else:
            found.append(Missing(gap.kind, "picks"))
    return found


def choices_of(there: queries.Shown) -> list[Choice]:
    return [Choice(image, there.picks.get(image.id), _state(there.masks.get(image.id))) for image in there.images]


def _state(mask: ImageMask | None) -> str | None:
    return MaskState(mask.state).value if mask else None


def roi_size(there: queries.Shown) -> tuple[float, float] | None:
    """(long, short) in mm of the largest ROI that has a scale; a proposal beside the size fields, never an answer."""
    images = {image.id: image for image in there.images}
    measured = [size_mm(roi, images[roi.image_id]) for roi in there.lesions]
    sizes = [(max(size), min(size)) for size in measured if size is not None]
    return max(sizes, default=None)


def open_steps(session: Session, actor: Actor, case: SiteCase) -> list[str]:
    """The steps that this person could take now, by name; registering has a button of its own."""
    state = CaseState(case.state)
    way_back = registering.way_back(session, case)
    offers: list[tuple[str, Verb, bool]] = [
        (
            "retry",
            Verb.RETRIEVE,
            case.route != RETROSPECTIVE
            and state in {CaseState.FLAGGED, CaseState.DEFERRED, CaseState.RETRIEVE_FAILED, CaseState.CURATING},
        ),
        ("cancel", Verb.RETRIEVE, state in {CaseState.QUEUED, CaseState.RETRIEVING}),
        ("unflag", Verb.FLAG, state in _WAITING),
        ("exclude", Verb.CURATE, state == CaseState.CURATING),
        ("include", Verb.CURATE, state == CaseState.EXCLUDED and case.purged_at is None),
        ("take-back", Verb.REGISTER, way_back == "take-back"),
        ("correct", Verb.REGISTER, way_back == "correct"),
    ]
    return [step for step, verb, is_open in offers if is_open and actor.may(verb, case.domain)]


def name_of(session: Session, user_id: UUID | None) -> str | None:
    user = session.get(User, user_id) if user_id else None
    return user.name if user else None


def saved_last(session: Session, case: SiteCase) -> tuple[str | None, datetime | None]:
    """(who saved the form last, when); the one whom a conflict is with."""
    edit = next(iter(queries.history(session, [case.id])), None)
    return (name_of(session, edit.by), edit.at) if edit else (None, None)

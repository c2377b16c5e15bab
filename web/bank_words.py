"""An accepted case in words: codes of its record by the vocabulary of its organ, in the person's language."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from core.errors import NotFound
from core.queries.bank_facets import UNSTATED
from core.queries.case_words import words_of
from core.vocabulary import domain as vocabulary
from core.vocabulary.domain import Domain
from core.vocabulary.schema import FieldSpec, Label
from web import words
from web.render import domain_name
from web.texts import Language, text

_FIXED: Final[dict[str, dict[str, str]]] = {
    "malignancy": {
        "benign": "bank.malignancy.benign",
        "malignant": "bank.malignancy.malignant",
        "no_lesion": "bank.malignancy.no_lesion",
        "undetermined": "bank.malignancy.undetermined",
    },
    "rank": {
        "1": "bank.rank.1",
        "2": "bank.rank.2",
        "3": "bank.rank.3",
        "4": "bank.rank.4",
        "5": "bank.rank.5",
    },
    "frames": {"still": "bank.frames.still", "cine": "bank.frames.cine"},
    "roi": {"yes": "bank.roi.yes", "no": "bank.roi.no"},
    "sex": {"F": "bank.sex.F", "M": "bank.sex.M", "O": "bank.sex.O", "unknown": "bank.sex.unknown"},
    "route": {"flag": "bank.route.flag", "retrospective": "bank.route.retrospective"},
    "quality": {
        "diagnostic": "bank.quality.diagnostic",
        "limited": "bank.quality.limited",
        "non-diagnostic": "bank.quality.non",
    },
    "reader": {
        "specialist": "bank.reader.specialist",
        "sonographer": "bank.reader.sonographer",
        "trainee": "bank.reader.trainee",
        "other": "bank.reader.other",
    },
    "source": {"manual": "bank.source.manual", "derived": "bank.source.derived", "model": "bank.source.model"},
}
_DERIVED: Final = {
    "malignancy": "bank.field.malignancy",
    "truth_rank": "bank.field.truth_rank",
    "four_class": "bank.field.four_class",
    "four_class_version": "bank.field.four_class_version",
    "releasable": "bank.field.releasable",
    "wall_motion_index": "bank.field.wall_motion_index",
}


def in_words(lang: Language, kind: str, value: str | None) -> str:
    """A value of a facet, or of another closed list; what nobody has named is shown as it is."""
    if value is None or value == UNSTATED:
        return text(lang, "bank.unstated")
    if kind == "domain":
        return domain_name(lang, value)
    if kind in ("diagnosis", "basis"):
        return code_name(lang, kind, value)
    key = _FIXED.get(kind, {}).get(value)
    return text(lang, key) if key else value


def of(lang: Language, label: Label) -> str:
    return label.ja if lang == "ja" else label.en


def of_all(lang: Language, labels: Iterable[Label]) -> str:
    return text(lang, "list.comma").join(of(lang, label) for label in labels)


@cache
def _names(field: str) -> Mapping[str, Label]:
    """The choices of a field in all organs; codes of diagnoses and bases mean the same everywhere."""
    found: dict[str, Label] = {}
    for name in vocabulary.domains():
        found |= {option.code: option.label for option in vocabulary.load(name).options.get(field, ())}
    return found


def code_name(lang: Language, field: str, code: str) -> str:
    label = _names(field).get(code)
    return of(lang, label) if label else code


@dataclass(frozen=True)
class Said:
    """One answer of the record: the question, the answer in words, the codes behind it, and where it came from."""

    label: str
    words: str
    codes: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Group:
    label: str
    rows: tuple[Said, ...]


def groups(lang: Language, record: Mapping[str, Any]) -> list[Group]:
    """The whole record in the order of the organ's form; sections without an answer are left out."""
    try:
        organ = vocabulary.load(record["domain"])
    except NotFound:
        return []
    values: dict[str, Any] = dict(record["values"])
    found = [Group(of(lang, s.label), tuple(_section(lang, organ, s.code, record, values))) for s in organ.sections]
    follows = tuple(_follows(lang, organ, values))
    return [group for group in [*found, Group(text(lang, "bank.follows"), follows)] if group.rows]


def _section(
    lang: Language, organ: Domain, section: str, record: Mapping[str, Any], values: Mapping[str, Any]
) -> Iterator[Said]:
    for field in organ.fields:
        if field.section != section:
            continue
        if field.code == "basis":
            codes = tuple(record["basis"])
            yield Said(of(lang, field.label), _named(lang, organ, field.code, codes), codes, "")
        elif field.code == "sex":
            yield Said(of(lang, field.label), in_words(lang, "sex", record["sex"]), (), "")
        elif field.code == "age_years" and record["age_years"] is not None:
            yield Said(of(lang, field.label), str(record["age_years"]), (), "")
        elif field.code in values:
            yield _said(lang, organ, field, values[field.code])


def _said(lang: Language, organ: Domain, field: FieldSpec, value: Mapping[str, Any]) -> Said:
    source = in_words(lang, "source", value["source"])
    label = of(lang, field.label)
    if value["kind"] == "codes":
        codes = tuple(value["codes"])
        if field.type == "wall_motion":
            return Said(label, of_all(lang, words_of(organ, field.code, codes)), (), source)
        return Said(label, _named(lang, organ, field.code, codes), codes, source)
    if value["kind"] == "boolean":
        return Said(label, yes_no(lang, value["value"]), (), source)
    unit = of(lang, field.unit) if field.unit else ""
    return Said(label, f"{words.number(lang, value['value'], 2)} {unit}".strip(), (), source)


def _named(lang: Language, organ: Domain, field: str, codes: tuple[str, ...]) -> str:
    known = {option.code: of(lang, option.label) for option in organ.options.get(field, ())}
    return text(lang, "list.comma").join(known.get(code, code) for code in codes)


def yes_no(lang: Language, value: bool) -> str:
    return text(lang, "bank.yes" if value else "bank.no")


def _follows(lang: Language, organ: Domain, values: Mapping[str, Any]) -> Iterator[Said]:
    """What the hospital's form worked out by itself."""
    four = {entry.code: of(lang, entry.label) for entry in four_classes(organ)}
    for name, key in _DERIVED.items():
        value = values.get(name)
        if value is None:
            continue
        codes = tuple(value.get("codes", ()))
        if name == "malignancy":
            shown = in_words(lang, "malignancy", codes[0])
        elif name == "four_class":
            shown = four.get(codes[0], codes[0])
        elif name == "truth_rank":
            shown = in_words(lang, "rank", str(value["value"]))
        else:
            shown = yes_no(lang, value["value"]) if value["kind"] == "boolean" else str(value["value"])
        yield Said(text(lang, key), shown, codes, "")


def four_classes(organ: Domain) -> tuple[Any, ...]:
    """The classes that a classifier of this organ is trained on; none where there is no such map."""
    return organ.four_class.classes if organ.four_class else ()

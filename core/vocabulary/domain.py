"""An organ domain: its form, the rules for answers, and what is filled in or follows by itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from pydantic import ValidationError

from core.curation import wall_motion
from core.errors import BadConfiguration, NotFound
from core.vocabulary.answers import Gap, Problem, Value, check_answers
from core.vocabulary.codelists import options_of
from core.vocabulary.filling import Filled, fill
from core.vocabulary.schema import (
    CODED,
    CommonFile,
    Derivation,
    DomainFile,
    FieldSpec,
    FourClassMap,
    Label,
    Option,
    Section,
)

__all__ = ["FOLDER", "Domain", "Filled", "Gap", "Problem", "domains", "load"]
FOLDER = Path(__file__).parent
DIAGNOSIS = "diagnosis"  # the field, which every organ has


@dataclass(frozen=True)
class Domain:
    """One organ's form, in the order of the page. `options` holds the choices of every coded field by its code."""

    code: str
    version: int
    label: Label
    sections: tuple[Section, ...]
    fields: tuple[FieldSpec, ...]
    options: Mapping[str, tuple[Option, ...]]
    derivation: Derivation | None
    truth_ranks: Mapping[str, int]

    def field(self, code: str) -> FieldSpec:
        """Raises NotFound for a field that the form does not have."""
        for field in self.fields:
            if field.code == code:
                return field
        raise NotFound("The form has no such field.")

    @property
    def source(self) -> str:
        """The field that names what the case is."""
        return self.derivation.source if self.derivation else DIAGNOSIS

    @property
    def four_class(self) -> FourClassMap | None:
        """The classes that a classifier of this organ is trained on, where there is such a map."""
        return self.derivation.four_class if self.derivation else None

    def has_lesion(self, values: Mapping[str, object]) -> bool:
        """Whether an ROI is asked for: in organs whose diagnosis is a lesion, unless the answers say that there is none."""
        return self.derivation is not None and self._malignancy(values) != "no_lesion"

    def check(self, values: Mapping[str, object]) -> tuple[dict[str, Value], list[Gap], list[Problem]]:
        """(values that are right and apply, required fields without one, what is wrong); an empty answer is none."""
        return check_answers(self.fields, self.options, values, self._malignancy)

    def autofill(self, facts: Mapping[str, object]) -> dict[str, Filled]:
        """Values that the tags give, with the tag each came from; a fact that does not fit its field fills nothing."""
        return fill(self.fields, self.options, facts)

    def derive(self, values: Mapping[str, object]) -> dict[str, str | int | float | bool | None]:
        """What follows from answers: truth_rank (1 best); malignancy, four_class with its map's version and releasable
        where the diagnosis is a lesion; wall_motion_index where wall motion is asked for.

        None where the answers do not say yet, or where the diagnosis is outside the four classes."""
        basis = values.get("basis")
        chosen = basis if isinstance(basis, list | tuple) else []
        ranks = [self.truth_ranks[code] for code in chosen if code in self.truth_ranks]
        found: dict[str, str | int | float | bool | None] = {"truth_rank": min(ranks) if ranks else None}
        if self.derivation is not None:
            found |= self._of_lesion(self.derivation, values)
        for field in self.fields:
            if field.type == "wall_motion":
                found["wall_motion_index"] = _wall_motion_index(values.get(field.code))
        return found

    def _of_lesion(self, rule: Derivation, values: Mapping[str, object]) -> dict[str, str | int | bool | None]:
        diagnosis, malignancy, four = values.get(rule.source), self._malignancy(values), rule.four_class
        classes = [c.code for c in four.classes if diagnosis in c.diagnoses] if four else []
        return {
            "malignancy": malignancy,
            "four_class": classes[0] if classes else None,
            "four_class_version": four.version if four else None,
            "releasable": malignancy is not None and diagnosis not in rule.undetermined,
        }

    def _malignancy(self, values: Mapping[str, object]) -> str | None:
        rule, diagnosis = self.derivation, values.get(self.source)
        if rule is None:
            return None
        grade = rule.by_grade
        if grade is not None and diagnosis in grade.when:
            groups = {"benign": grade.benign, "malignant": grade.malignant, "undetermined": grade.undetermined}
            diagnosis = values.get(grade.field)
        else:
            groups = {"benign": rule.benign, "malignant": rule.malignant}
            groups |= {"no_lesion": rule.no_lesion, "undetermined": rule.undetermined}
        return next((name for name, codes in groups.items() if diagnosis in codes), None)


def _wall_motion_index(answer: object) -> float | None:
    if not isinstance(answer, list | tuple):
        return None
    index = wall_motion.of_answer([str(code) for code in answer]).score_index
    return None if index is None else round(index, 2)


def domains(folder: Path = FOLDER) -> tuple[str, ...]:
    """The organ domains that have a file, by name; raises BadConfiguration for a file that is not plain YAML."""
    found = []
    for path in sorted(folder.glob("*.yaml")):
        text = _read(path)
        if isinstance(text, dict) and text.get("kind") == "domain":
            found.append(path.stem)
    return tuple(found)


@cache
def load(domain: str, folder: Path = FOLDER) -> Domain:
    """The organ's form; read once per process.

    Raises NotFound for an organ without a file and BadConfiguration for a file that does not hold together."""
    if domain not in domains(folder):
        raise NotFound("There is no such organ domain.")
    try:
        file = DomainFile.model_validate(_read(folder / f"{domain}.yaml"))
        commons = [CommonFile.model_validate(_read(_shared(folder, name))) for name in file.extends]
    except ValidationError as error:
        raise BadConfiguration(f"The vocabulary of {domain} is not well formed.") from error
    parts: list[CommonFile | DomainFile] = [*commons, file]
    # Each section stands where it is named first.
    sections = tuple({s.code: s for part in [file, *commons] for s in part.sections}.values())
    shared = [field for common in commons for field in common.fields]
    if not set(file.without) <= {field.code for field in shared}:
        raise BadConfiguration(f"The vocabulary of {domain} does without a field that there is not.")
    fields = (*file.fields, *(field for field in shared if field.code not in file.without))
    order = [section.code for section in sections]
    _hold_together(domain, file, fields, order)
    ranks = {code: rank for part in parts for code, rank in part.truth_ranks.items()}
    ordered = tuple(sorted(fields, key=lambda field: order.index(field.section)))
    options = {field.code: options_of(field, _lists(folder)) for field in fields if field.type in CODED}
    if file.derive is not None:
        _derivation_fits(file.code, file.derive, options)
    _wall_motion_fits(domain, fields, options)
    return Domain(file.code, file.version, file.label, sections, ordered, options, file.derive, ranks)


def _read(path: Path) -> object:
    if not path.is_file():
        raise BadConfiguration("A vocabulary file that another one extends is missing.")
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise BadConfiguration("A vocabulary file is not plain YAML.") from error


def _shared(folder: Path, name: str) -> Path:
    """A file of the same folder, or the one that comes with the program."""
    own = folder / f"{name}.yaml"
    return own if own.is_file() else FOLDER / f"{name}.yaml"


def _lists(folder: Path) -> tuple[Path, ...]:
    return (folder / "lists", FOLDER / "lists")


def _hold_together(domain: str, file: DomainFile, fields: tuple[FieldSpec, ...], sections: list[str]) -> None:
    codes = [field.code for field in fields]
    known = {*codes, "malignancy"}
    named = {DIAGNOSIS, file.derive.source if file.derive else DIAGNOSIS} | {
        field.at_most for field in fields if field.at_most
    }
    for field in fields:
        conditions = [c for c in (field.applies, field.required) if c is not None and not isinstance(c, bool)]
        named |= {test.field for condition in conditions for test in condition.when}
    if file.code != domain or len(set(codes)) != len(codes):
        raise BadConfiguration(f"The vocabulary of {domain} has a wrong name or the same field twice.")
    if not named <= known or not {field.section for field in fields} <= set(sections):
        raise BadConfiguration(f"The vocabulary of {domain} names a field or section that it does not have.")


def _derivation_fits(domain: str, rule: Derivation, options: Mapping[str, tuple[Option, ...]]) -> None:
    """Every diagnosis on offer says what it is, once, so that no label stays without benign or malignant."""
    grouped = [*rule.benign, *rule.malignant, *rule.no_lesion, *rule.undetermined]
    grouped += rule.by_grade.when if rule.by_grade else ()
    offered = [option.code for option in options.get(rule.source, ())]
    if sorted(grouped) != sorted(offered):
        raise BadConfiguration(f"The vocabulary of {domain} does not sort each diagnosis into one group.")


def _wall_motion_fits(domain: str, fields: tuple[FieldSpec, ...], options: Mapping[str, tuple[Option, ...]]) -> None:
    """At most one such field, whose findings all have a score or say that nothing was seen."""
    asked = [field for field in fields if field.type == "wall_motion"]
    known = wall_motion.SCORES.keys() | wall_motion.NOT_SEEN
    for field in asked:
        codes = {option.code for option in options[field.code]}
        if len(asked) > 1 or not codes <= known or wall_motion.NOT_EVALUATED not in codes:
            raise BadConfiguration(f"The wall motion of {domain} has findings without a score, or is asked for twice.")

"""What an organ's YAML file may say, checked by Pydantic when it is loaded."""

from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FieldType = Literal["code", "codes", "number", "integer", "boolean", "text", "wall_motion"]
Malignancy = Literal["benign", "malignant", "no_lesion", "undetermined"]
# Types whose answers are codes of a list.
CODED: Final = frozenset({"code", "codes", "wall_motion"})
# Answers of this section are never offered from an earlier case.
DIAGNOSIS_SECTION: Final = "diagnosis"


class Strict(BaseModel):
    """Unknown keys are refused, so that a misspelt rule cannot be passed over; nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Label(Strict):
    """The same words in both languages of the pages."""

    ja: str
    en: str


class Option(Strict):
    """One choice: `code` is unique within its field; `system` names the code system it comes from.

    `synonyms` are what people type to find it: abbreviations, other spellings, the reading in kana."""

    code: str
    label: Label
    system: str = "99USDB"
    synonyms: tuple[str, ...] = ()


class ListChoice(Strict):
    """Which rows of lists/<name>.tsv a field offers; conditions are met together, `include` also gives the order."""

    name: str
    system: str | None = None
    prefix: str = ""
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()


class Test(Strict):
    """True when a value of `field` (or what `derive` makes of it) is in `any_of`, or none is in `none_of`.

    A field that has no value meets neither: nothing is asked for before it is known to apply."""

    __test__ = False
    field: str
    any_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if bool(self.any_of) == bool(self.none_of):
            raise ValueError("a condition has either any_of or none_of")
        return self


class Condition(Strict):
    """True when all of its tests are."""

    when: tuple[Test, ...] = Field(min_length=1)


class AutoFill(Strict):
    """Where a value comes from: the attribute of core.dicom.facts.InstanceFacts, its DICOM tag, and a transform."""

    fact: str
    tag: str = Field(pattern=r"^\([0-9A-F]{4},[0-9A-F]{4}\)$")
    keyword: str
    transform: Literal["as_is", "first", "top_code_90"] = "as_is"


class FieldSpec(Strict):
    """One question of the form.

    A `text` field shows what a tag says and takes no entry: free text is where names leak. `wall_motion` is a finding
    for each of the 17 segments of the left ventricle, in their order. `applies` says when the field is asked at all;
    `at_most` names a number it may not exceed; of the fields that share `one_of`, one must have a value. `remember`:
    what a curator answered last is offered to them in the next case; never for what belongs to the diagnosis."""

    code: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    label: Label
    section: str
    type: FieldType
    list: ListChoice | None = None
    options: tuple[Option, ...] = ()
    unit: Label | None = None
    min: float | None = None
    max: float | None = None
    step: float | None = None
    required: bool | Condition = False
    applies: Condition | None = None
    at_most: str | None = None
    one_of: str | None = None
    auto: AutoFill | None = None
    remember: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        coded = self.type in CODED
        if coded == (self.list is None and not self.options):
            raise ValueError("a coded field has a list or options, and only a coded field does")
        if self.type == "text" and (self.auto is None or self.required is not False):
            raise ValueError("a text field is filled from a tag only")
        numeric = self.type in ("number", "integer")
        if numeric and (self.min is None or self.max is None or self.unit is None):
            raise ValueError("a number has a smallest and a largest value and a unit")
        if self.remember and (self.section == DIAGNOSIS_SECTION or self.type not in ("code", "codes", "boolean")):
            raise ValueError("only a choice is remembered, and never one of the diagnosis")
        if not numeric and (self.min, self.max, self.step, self.unit, self.at_most) != (None,) * 5:
            raise ValueError("only a number has limits, a step or a unit")
        return self

    @property
    def readonly(self) -> bool:
        return self.type == "text"


class Section(Strict):
    code: str
    label: Label


class FourClass(Strict):
    """One of the four classes that a classifier is trained on."""

    code: str
    label: Label
    diagnoses: tuple[str, ...]


class FourClassMap(Strict):
    """A versioned map: what was trained with an older one stays known by its version."""

    version: int = Field(ge=1)
    classes: tuple[FourClass, ...] = Field(min_length=4, max_length=4)


class ByGrade(Strict):
    """Diagnoses whose malignancy another field decides."""

    field: str
    when: tuple[str, ...]
    benign: tuple[str, ...]
    malignant: tuple[str, ...]
    undetermined: tuple[str, ...] = ()


class Derivation(Strict):
    """What follows from the diagnosis; each diagnosis stands in one of the groups or under `by_grade`."""

    source: str = Field(alias="from")
    benign: tuple[str, ...]
    malignant: tuple[str, ...]
    no_lesion: tuple[str, ...] = ()
    undetermined: tuple[str, ...] = ()
    by_grade: ByGrade | None = None
    four_class: FourClassMap | None = None


class CommonFile(Strict):
    """A file that organs extend."""

    kind: Literal["common"]
    sections: tuple[Section, ...]
    fields: tuple[FieldSpec, ...]
    truth_ranks: dict[str, int]


class DomainFile(Strict):
    """An organ's file.

    `without` names fields of the files it extends that it does not ask for, or asks for in its own way. `sections`
    come before those of the files it extends, which it may name too, to bring them into its order. `derive` is for
    organs whose diagnosis is a lesion; without it no ROI is asked for."""

    kind: Literal["domain"]
    code: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: int = Field(ge=1)
    label: Label
    extends: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    fields: tuple[FieldSpec, ...]
    derive: Derivation | None = None
    truth_ranks: dict[str, int] = {}

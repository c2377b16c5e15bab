"""Answers in words: what a code or a number of the form means, in both languages."""

from collections.abc import Sequence
from typing import Any, Final

from core.curation.wall_motion import by_finding
from core.vocabulary.domain import Domain
from core.vocabulary.schema import FieldSpec, Label

YES, NO = Label(ja="あり", en="Yes"), Label(ja="なし", en="No")
DERIVED: Final = {
    "malignancy": Label(ja="良性・悪性", en="Benign or malignant"),
    "truth_rank": Label(ja="根拠の順位（1が最良）", en="Rank of the basis (1 is best)"),
    "four_class": Label(ja="4分類", en="Class of four"),
    "four_class_version": Label(ja="4分類の版", en="Version of the classes"),
    "releasable": Label(ja="診断が確定している", en="The diagnosis is settled"),
    "wall_motion_index": Label(ja="壁運動スコアインデックス（WMSI）", en="Wall motion score index (WMSI)"),
}
_MALIGNANCY: Final = {
    "benign": Label(ja="良性", en="Benign"),
    "malignant": Label(ja="悪性", en="Malignant"),
    "no_lesion": Label(ja="病変なし", en="No lesion"),
    "undetermined": Label(ja="判定できない", en="Undetermined"),
}


def label_of(organ: Domain, code: str) -> Label:
    """The name of a field, also of one that is derived; an unknown field is shown by its code."""
    spec = _spec(organ, code)
    return spec.label if spec else DERIVED.get(code, Label(ja=code, en=code))


def words_of(organ: Domain, code: str, value: Any) -> list[Label]:  # noqa: ANN401 -- any answer
    """What an answer says, a label for each of its parts; empty for none."""
    if value is None or value == "" or value == []:
        return []
    if code == "releasable":
        return [Label(ja="はい", en="Yes") if value else Label(ja="いいえ", en="No")]
    if isinstance(value, bool):
        return [YES if value else NO]
    if isinstance(value, int | float):
        spec = _spec(organ, code)
        unit = spec.unit if spec and spec.unit else Label(ja="", en="")
        return [Label(ja=f"{value:.10g} {unit.ja}".strip(), en=f"{value:.10g} {unit.en}".strip())]
    if (spec := _spec(organ, code)) is not None and spec.type == "wall_motion":
        return _wall_motion(organ, code, value)
    codes: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    return [_choice(organ, code, str(one)) for one in codes]


def _wall_motion(organ: Domain, code: str, findings: Sequence[str]) -> list[Label]:
    """Each finding with the numbers of its segments."""
    found = []
    for finding, segments in by_finding(findings).items():
        label, numbers = _choice(organ, code, finding), " ".join(map(str, segments))
        found.append(Label(ja=f"{label.ja}（{numbers}）", en=f"{label.en} ({numbers})"))
    return found


def codes_of(value: Any) -> list[str]:  # noqa: ANN401 -- any answer
    """The codes of an answer as they are stored; none for a number."""
    if isinstance(value, bool) or value is None or isinstance(value, int | float):
        return []
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]


def _choice(organ: Domain, code: str, chosen: str) -> Label:
    known = {option.code: option.label for option in organ.options.get(code, ())}
    if code == "malignancy":
        known = _MALIGNANCY
    if code == "four_class" and organ.four_class:
        known = {one.code: one.label for one in organ.four_class.classes}
    return known.get(chosen, Label(ja=chosen, en=chosen))


def _spec(organ: Domain, code: str) -> FieldSpec | None:
    return next((field for field in organ.fields if field.code == code), None)

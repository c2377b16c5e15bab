"""Checking a form's answers: wrong ones are problems, missing required ones are gaps; no reason repeats a value."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from core.curation.wall_motion import NOT_EVALUATED, SEGMENTS
from core.vocabulary.schema import Condition, FieldSpec, Label, Option

Value = str | list[str] | float | int | bool
Options = Mapping[str, tuple[Option, ...]]
Malignancy = Callable[[Mapping[str, object]], str | None]


@dataclass(frozen=True)
class Gap:
    """A required field (or a group of which one is required) that has no answer yet."""

    field: str
    label: Label


@dataclass(frozen=True)
class Problem:
    """An answer that cannot be taken, and why, in words for a person."""

    field: str
    reason: Label


UNKNOWN_FIELD = Label(ja="この項目はフォームにありません。", en="The form has no such field.")
READ_ONLY = Label(
    ja="この項目は画像のタグから取得され、入力できません。", en="This comes from the image's tags and takes no entry."
)
WRONG_TYPE = Label(ja="値の種類が違います。", en="The value is of the wrong kind.")
WRONG_CODE = Label(ja="選択肢にない値です。", en="This is not one of the choices.")
TWICE = Label(ja="同じ選択肢が二度あります。", en="The same choice is there twice.")
OUT_OF_RANGE = Label(ja="範囲外の値です。", en="The value is out of range.")
OFF_STEP = Label(ja="刻みに合わない値です。", en="The value is finer than the step allows.")
TOO_LARGE = Label(ja="対になる値より大きい値です。", en="The value is larger than the one it belongs to.")


def check_answers(
    fields: Sequence[FieldSpec], options: Options, values: Mapping[str, object], malignancy: Malignancy
) -> tuple[dict[str, Value], list[Gap], list[Problem]]:
    """(right and applicable values, gaps, problems). Answers to fields that do not apply are left out in silence."""
    known = {field.code for field in fields}
    problems = [Problem(code, UNKNOWN_FIELD) for code in values if code not in known]
    clean: dict[str, Value] = {}
    for field in fields:
        given = values.get(field.code)
        if _empty(given):
            continue
        value, reason = check_value(field, options, given)
        if reason is not None:
            problems.append(Problem(field.code, reason))
        elif value is not None:
            clean[field.code] = value
    applicable = _applicable(fields, clean, malignancy)
    clean = {code: value for code, value in clean.items() if code in applicable}
    problems += _too_large(fields, clean)
    wrong = {problem.field for problem in problems}
    clean = {code: value for code, value in clean.items() if code not in wrong}
    return clean, _gaps(fields, clean, applicable, wrong, malignancy), problems


def check_value(field: FieldSpec, options: Options, value: object) -> tuple[Value | None, Label | None]:
    """(the value as it is stored, None) or (None, why it cannot be)."""
    match field.type:
        case "text":
            return None, READ_ONLY
        case "boolean":
            return (value, None) if isinstance(value, bool) else (None, WRONG_TYPE)
        case "code":
            return _code(field, options, value)
        case "codes":
            return _codes(field, options, value)
        case "wall_motion":
            return _wall_motion(field, options, value)
        case _:
            return _number(field, value)


def _empty(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, list | tuple) and not value)


def _code(field: FieldSpec, options: Options, value: object) -> tuple[Value | None, Label | None]:
    if not isinstance(value, str):
        return None, WRONG_TYPE
    return (value, None) if any(o.code == value for o in options[field.code]) else (None, WRONG_CODE)


def _codes(field: FieldSpec, options: Options, value: object) -> tuple[Value | None, Label | None]:
    """The order is kept: the first basis is the one that decided."""
    if not isinstance(value, list | tuple) or not all(isinstance(code, str) for code in value):
        return None, WRONG_TYPE
    codes = [str(code) for code in value]
    if not set(codes) <= {option.code for option in options[field.code]}:
        return None, WRONG_CODE
    return (codes, None) if len(set(codes)) == len(codes) else (None, TWICE)


def _wall_motion(field: FieldSpec, options: Options, value: object) -> tuple[Value | None, Label | None]:
    """A finding for each segment, in their order; one that nobody has looked at says so by its code."""
    if not isinstance(value, list | tuple) or len(value) != SEGMENTS or not all(isinstance(v, str) for v in value):
        return None, WRONG_TYPE
    codes = [str(code) for code in value]
    return (codes, None) if set(codes) <= {option.code for option in options[field.code]} else (None, WRONG_CODE)


def _is_whole(field: FieldSpec, value: Value | None) -> bool:
    is_partial = field.type == "wall_motion" and isinstance(value, list) and NOT_EVALUATED in value
    return value is not None and not is_partial


def _number(field: FieldSpec, value: object) -> tuple[Value | None, Label | None]:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None, WRONG_TYPE
    if field.type == "integer" and value != int(value):
        return None, WRONG_TYPE
    if not (field.min is None or field.max is None or field.min <= value <= field.max):
        return None, OUT_OF_RANGE
    if field.step is not None and abs(value / field.step - round(value / field.step)) > 1e-6 * max(
        1.0, value / field.step
    ):
        return None, OFF_STEP
    return (int(value) if field.type == "integer" else float(value)), None


def holds(condition: Condition, clean: Mapping[str, object], malignancy: Malignancy) -> bool:
    """True when every test of the condition is met by the answers so far."""
    for test in condition.when:
        answer = malignancy(clean) if test.field == "malignancy" else clean.get(test.field)
        if _empty(answer):
            return False
        given = {str(code) for code in answer} if isinstance(answer, list | tuple) else {str(answer)}
        if (test.any_of and not given & set(test.any_of)) or given & set(test.none_of):
            return False
    return True


def _applicable(fields: Sequence[FieldSpec], clean: Mapping[str, object], malignancy: Malignancy) -> set[str]:
    """Fields that are asked; taken again until stable, since one that does not apply cannot make another apply."""
    applicable = {field.code for field in fields}
    while True:
        seen = {code: value for code, value in clean.items() if code in applicable}
        left = {
            f.code for f in fields if f.code in applicable and (f.applies is None or holds(f.applies, seen, malignancy))
        }
        if left == applicable:
            return applicable
        applicable = left


def _too_large(fields: Sequence[FieldSpec], clean: Mapping[str, Value]) -> list[Problem]:
    problems = []
    for field in fields:
        own, other = clean.get(field.code), clean.get(field.at_most or "")
        if isinstance(own, int | float) and isinstance(other, int | float) and own > other:
            problems.append(Problem(field.code, TOO_LARGE))
    return problems


def _gaps(
    fields: Sequence[FieldSpec],
    clean: Mapping[str, Value],
    applicable: set[str],
    wrong: set[str],
    malignancy: Malignancy,
) -> list[Gap]:
    gaps = []
    groups: dict[str, list[FieldSpec]] = {}
    for field in fields:
        if field.code not in applicable:
            continue
        if field.one_of:
            groups.setdefault(field.one_of, []).append(field)
        needed = field.required if isinstance(field.required, bool) else holds(field.required, clean, malignancy)
        if needed and not _is_whole(field, clean.get(field.code)) and field.code not in wrong:
            gaps.append(Gap(field.code, field.label))
    for group in groups.values():
        if not any(field.code in clean or field.code in wrong for field in group):
            gaps.append(Gap(group[0].code, group[0].label))
    return gaps

"""The heart: a form without a lesion, whose wall motion is a finding for each of 17 segments."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from core.curation.wall_motion import NOT_EVALUATED, NOT_SEEN, SCORES, by_finding, of_answer, score_index
from core.errors import BadConfiguration, Malformed
from core.package import contract
from core.queries.case_form import Question, questions_of, rules_of, sections_of
from core.queries.case_words import words_of
from core.services.record import UCUM, leaving
from core.vocabulary.domain import FOLDER, load
from tests.organs import HEART, HYPOKINETIC, NOBODY_LOOKED, NORMAL
from tests.organs import NOT_SEEN as UNSEEN

FORM = load("heart")
findings = st.lists(st.sampled_from([option.code for option in FORM.options["wall_motion"]]), min_size=17, max_size=17)


def gaps_of(values: dict[str, object]) -> set[str]:
    return {gap.field for gap in FORM.check(values)[1]}


def entries_of(values: dict[str, Any]) -> dict[str, Any]:
    return {code: {"value": value, "source": "manual", "tag": None} for code, value in values.items()}


def test_a_whole_form_has_no_gap_and_asks_for_no_roi() -> None:
    clean, gaps, problems = FORM.check(HEART)
    assert clean == HEART and gaps == [] and problems == []
    assert not FORM.has_lesion(HEART) and rules_of(FORM) == {}
    assert FORM.derive(HEART) == {"truth_rank": 1, "wall_motion_index": 1.2}
    assert load("liver").has_lesion({"diagnosis": "LIV-HCC"}) and not load("liver").has_lesion(
        {"diagnosis": "LIV-NONE"}
    )


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"wall_motion": None}, {"wall_motion"}),
        ({"wall_motion": [NORMAL] * 16 + [NOBODY_LOOKED]}, {"wall_motion"}),
        ({"wall_motion": [UNSEEN] * 17}, set()),
        ({"edv_ml": None}, {"edv_ml"}),
        ({"edv_ml": None, "esv_ml": None, "lvef_method": "EF-VIS"}, set()),
        ({"views": []}, {"views"}),
        ({"heart_rate": None}, {"heart_rate"}),
    ],
)
def test_what_is_missing(change: dict[str, object], missing: set[str]) -> None:
    assert gaps_of(HEART | change) == missing


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("wall_motion", [NORMAL] * 16),
        ("wall_motion", [NORMAL] * 16 + ["264850008"]),
        ("wall_motion", [NORMAL] * 16 + [1]),
        ("wall_motion", NORMAL),
        ("basis", ["DX-FU"]),
        ("esv_ml", 130.0),
        ("lvef_percent", 95.0),
    ],
)
def test_a_wrong_answer_is_not_taken(field: str, value: object) -> None:
    clean, _, problems = FORM.check(HEART | {field: value})
    assert [problem.field for problem in problems] == [field] and field not in clean


@settings(deadline=None, max_examples=50)
@given(findings)
def test_the_index_is_the_mean_of_what_was_seen(codes: list[str]) -> None:
    clean, _, problems = FORM.check({"wall_motion": codes})
    assert problems == [] and clean["wall_motion"] == codes
    scores = [SCORES[code] for code in codes if code not in NOT_SEEN]
    index = FORM.derive(clean)["wall_motion_index"]
    assert index == (None if not scores else round(sum(scores) / len(scores), 2))
    assert of_answer(codes) == score_index(dict(enumerate(codes, 1)))
    assert sorted(segment for segments in by_finding(codes).values() for segment in segments) == list(range(1, 18))


def test_an_answer_of_another_length_has_no_index() -> None:
    with pytest.raises(Malformed):
        of_answer([NORMAL] * 16)


def test_the_page_asks_segment_by_segment_and_names_the_keys() -> None:
    questions = {question.spec.code: question for question in questions_of(FORM, entries_of(HEART), {})}
    assert [section.code for section, _, _ in sections_of(FORM.sections, list(questions.values()))][:5] == [
        "diagnosis", "examination", "function", "wall", "valves",
    ]  # fmt: skip
    wall = questions["wall_motion"]
    assert [number for number, _, _ in wall.segments] == list(range(1, 18))
    assert wall.segments[0][1].ja == "1 前壁基部" and wall.segments[13][2] == HYPOKINETIC
    assert [(key, option.label.en) for key, option in wall.keys] == [
        ("1", "Normal wall motion"), ("2", "Hypokinesis"), ("3", "Akinesis"), ("4", "Dyskinesis"), ("0", "Not visualized"),
    ]  # fmt: skip
    assert [label.en for label in wall.words] == [
        "Normal wall motion (1 2 3 4 5 6 7 8 9 10 11 12)", "Hypokinesis (13 14 15)", "Not visualized (16 17)",
    ]  # fmt: skip
    empty: Question = next(q for q in questions_of(FORM, {}, {}) if q.spec.code == "wall_motion")
    assert {finding for _, _, finding in empty.segments} == {NOT_EVALUATED}


def test_no_roi_words_stand_in_the_answers_that_leave() -> None:
    values = leaving("heart", entries_of(HEART | FORM.derive(HEART)))
    assert values["wall_motion"]["kind"] == "codes" and len(values["wall_motion"]["codes"]) == 17
    assert values["wall_motion_index"] == {"kind": "number", "value": 1.2, "unit": "1", "source": "manual"}
    assert "malignancy" not in values and "four_class" not in values
    checked: TypeAdapter[Any] = TypeAdapter(contract.Values)
    for value in values.values():
        value.pop("codes", None) if value["kind"] != "codes" else None
    checked.validate_python(values)


def test_every_unit_and_code_fits_the_package_that_leaves() -> None:
    unit, code = TypeAdapter(contract.Unit), TypeAdapter(contract.Code)
    for field in FORM.fields:
        if field.unit is not None:
            unit.validate_python(UCUM.get(field.unit.en, field.unit.en))
        for option in FORM.options.get(field.code, ()):
            code.validate_python(option.code)


def test_codes_of_diagnoses_mean_the_same_in_every_organ() -> None:
    known = {o.code for name in ("liver", "breast", "thyroid") for o in load(name).options["diagnosis"]}
    assert not known & {o.code for o in FORM.options["diagnosis"]}
    assert words_of(FORM, "truth_rank", 1)[0].en == "1"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("without: [basis", "without: [basiss"),
        ('"122288", "373121007"]', '"122288"]'),
        ('"122288", "373121007"]', '"122288", "373121007", "125223"]'),
        ("  - code: gls_percent", "  - code: wall_again\n    type: wall_motion\n    section: wall\n    label: {ja: あ, en: a}\n"
         "    list: {name: echo_wall_motion, include: [\"373121007\"]}\n  - code: gls_percent"),
    ],
)  # fmt: skip
def test_a_form_that_does_not_hold_together_is_refused(tmp_path: Path, old: str, new: str) -> None:
    text = (FOLDER / "heart.yaml").read_text("utf-8")
    assert text.count(old) == 1
    (tmp_path / "heart.yaml").write_text(text.replace(old, new), "utf-8")
    with pytest.raises(BadConfiguration):
        load("heart", tmp_path)

"""The forms of the organs: labels, answers, what is filled in, what follows."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadConfiguration, NotFound
from core.vocabulary import domain as vocabulary
from core.vocabulary.domain import FOLDER, Domain, domains, load
from core.vocabulary.schema import Label

LIVER = {
    "diagnosis": "LIV-HCC",
    "hcc_grade": "GR-MOD",
    "basis": ["DX-HIST-BX", "MR"],
    "lesion_count": "N1",
    "segment": ["277959000", "277962002"],
    "size_long_mm": 31.4,
    "size_short_mm": 28.0,
    "earlier_treatment": "TX-NAIVE",
    "background": "19943007",
    "aetiology": "50711007",
    "image_mode": "399009009",
    "image_quality": "IQ-DIAG",
    "transducer_type": "CURVED LINEAR",
    "sex": "F",
    "age_years": 67,
}
LIVER_FORM = load("liver")
FACTS = {
    "manufacturer": "GE Healthcare",
    "model": "LOGIQE9",
    "software": ["R6", "x"],
    "transducer_data": ["C1-5-D", "71001"],
    "transducer_type": "CURVED LINEAR",
    "mechanical_index": 1.2,
    "depth_mm": 150.4,
    "frame_time_ms": 33.333,
    "heart_rate": 71,
    "sex": "F",
    "age_years": 94,
}


def codes(items: object) -> set[str]:
    return {item.field for item in items}  # type: ignore[attr-defined]


def test_the_organs_are_there() -> None:
    assert domains() == ("breast", "heart", "liver", "thyroid")


@pytest.mark.parametrize("name", domains())
def test_every_label_is_in_japanese_and_english(name: str) -> None:
    domain = load(name)
    labels = [domain.label, *(s.label for s in domain.sections), *(f.label for f in domain.fields)]
    labels += [option.label for options in domain.options.values() for option in options]
    labels += [c.label for c in domain.four_class.classes] if domain.four_class else []
    assert all(label.ja.strip() and label.en.strip() for label in labels)
    assert all(label.en.isascii() or "é" in label.en for label in labels)
    assert all(bool(f.unit.ja) == bool(f.unit.en) for f in domain.fields if f.unit is not None)


@pytest.mark.parametrize("name", domains())
def test_no_field_takes_free_text(name: str) -> None:
    domain = load(name)
    for field in domain.fields:
        if field.type == "text":
            clean, _, problems = domain.check({field.code: "山田 太郎"})
            assert not clean and codes(problems) == {field.code}


def test_a_whole_liver_form_has_no_gap_and_no_problem() -> None:
    clean, gaps, problems = load("liver").check(LIVER)
    assert clean == LIVER and gaps == [] and problems == []


def test_an_empty_form_asks_for_what_every_case_needs() -> None:
    _, gaps, problems = load("liver").check({})
    assert problems == []
    assert {"diagnosis", "basis", "image_mode", "sex", "age_years"} <= codes(gaps)
    assert not {"hcc_grade", "primary_site", "segment", "follow_up_months"} & codes(gaps)


@pytest.mark.parametrize(
    ("change", "gap"),
    [
        ({"diagnosis": "LIV-MET"}, "primary_site"),
        ({"hcc_grade": None}, "hcc_grade"),
        ({"basis": ["DX-FU"]}, "follow_up_months"),
        ({"basis": ["DX-CEUS"]}, "contrast_agent"),
        ({"segment": []}, "segment"),
        ({"aetiology": ""}, "aetiology"),
    ],
)
def test_what_is_needed_depends_on_the_answers(change: dict[str, object], gap: str) -> None:
    _, gaps, problems = load("liver").check(LIVER | change)
    assert codes(gaps) == {gap} and problems == []


def test_a_case_without_a_lesion_needs_no_lesion_fields() -> None:
    clean, gaps, problems = load("liver").check(LIVER | {"diagnosis": "LIV-NONE", "lesion_count": "N0"})
    assert gaps == [] and problems == []
    assert not {"segment", "size_long_mm", "hcc_grade"} & set(clean)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("diagnosis", "LIV-NOPE"),
        ("diagnosis", ["LIV-HCC"]),
        ("basis", "CT"),
        ("basis", ["CT", "CT"]),
        ("basis", ["CT", 3]),
        ("size_long_mm", "31"),
        ("size_long_mm", float("nan")),
        ("size_long_mm", 4000),
        ("size_long_mm", 31.44),
        ("size_short_mm", 40.0),
        ("age_years", True),
        ("age_years", 91),
        ("age_years", 4.5),
        ("no_such_field", 1),
    ],
)
def test_a_wrong_answer_is_a_problem_and_not_taken(field: str, value: object) -> None:
    clean, gaps, problems = load("liver").check(LIVER | {field: value})
    assert codes(problems) == {field} and field not in clean
    assert field not in codes(gaps)
    assert all(isinstance(p.reason, Label) and str(value) not in p.reason.en for p in problems)


@given(
    st.dictionaries(
        st.sampled_from([*LIVER, "findings", "x"]), st.none() | st.text() | st.floats() | st.lists(st.text())
    )
)
def test_check_never_fails_and_what_it_takes_it_takes_again(values: dict[str, object]) -> None:
    clean, _, _ = LIVER_FORM.check(values)
    assert LIVER_FORM.check(clean)[0] == clean
    assert LIVER_FORM.check(clean)[2] == []


def test_tags_fill_what_they_can_and_say_which_tag() -> None:
    filled = load("liver").autofill(FACTS)
    assert {code: f.value for code, f in filled.items()} == {
        "manufacturer": "GE Healthcare",
        "model": "LOGIQE9",
        "software": "R6",
        "transducer": "C1-5-D",
        "transducer_type": "CURVED LINEAR",
        "mechanical_index": 1.2,
        "depth_mm": 150.0,
        "frame_time_ms": 33.333,
        "heart_rate": 71,
        "sex": "F",
        "age_years": 90,
    }
    assert filled["depth_mm"].source_tag == "(0018,5050)" and filled["sex"].source_tag == "(0010,0040)"
    enterable = {c: f.value for c, f in filled.items() if not load("liver").field(c).readonly}
    assert load("liver").check(enterable)[2] == []


def test_facts_that_do_not_fit_fill_nothing() -> None:
    wrong = {"transducer_type": "BANANA", "heart_rate": 9000, "sex": "", "mechanical_index": None, "manufacturer": 3}
    assert load("liver").autofill(wrong) == {}
    assert load("breast").autofill({}) == {}


def test_what_follows_from_the_answers() -> None:
    liver, breast = load("liver"), load("breast")
    assert liver.derive(LIVER) == {
        "malignancy": "malignant",
        "truth_rank": 1,
        "four_class": "hcc",
        "four_class_version": 1,
        "releasable": True,
    }
    assert liver.derive({"diagnosis": "LIV-CYST", "basis": ["US"]})["truth_rank"] == 5
    assert liver.derive({"diagnosis": "LIV-UND"})["releasable"] is False
    assert liver.derive({})["malignancy"] is None and liver.derive({})["releasable"] is False
    assert breast.derive({"diagnosis": "71232009"})["malignancy"] is None
    assert breast.derive({"diagnosis": "71232009", "phyllodes_grade": "PH-MAL"})["malignancy"] == "malignant"
    assert breast.derive({"diagnosis": "BR-FA"})["four_class"] == "fibroadenoma"


def test_every_basis_has_a_truth_rank() -> None:
    for name in domains():
        domain = load(name)
        assert {option.code for option in domain.options["basis"]} <= set(domain.truth_ranks)


def test_breast_needs_one_category_and_grade_fields_only_when_malignant() -> None:
    breast = load("breast")
    _, gaps, _ = breast.check({"diagnosis": "BR-CYST"})
    assert "category_jabts" in codes(gaps)
    clean, gaps, problems = breast.check({"diagnosis": "BR-INV", "er": "POS", "category_birads": "4C"})
    assert "category_jabts" not in codes(gaps) and clean["er"] == "POS" and problems == []
    assert "er" not in breast.check({"diagnosis": "BR-CYST", "er": "POS"})[0]


ORGAN = """
kind: domain
code: thyroid
version: 1
label: {ja: 甲状腺, en: Thyroid}
extends: [common]
fields:
  - code: diagnosis
    label: {ja: 診断名, en: Diagnosis}
    section: diagnosis
    type: code
    options:
      - {code: TH-PTC, label: {ja: 乳頭癌, en: Papillary carcinoma}}
      - {code: TH-ADN, label: {ja: 腺腫様結節, en: Adenomatous nodule}}
    required: true
derive: {from: diagnosis, benign: [TH-ADN], malignant: [TH-PTC]}
"""


def test_a_new_organ_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "thyroid.yaml").write_text(ORGAN, "utf-8")
    assert domains(tmp_path) == ("thyroid",)
    thyroid = load("thyroid", tmp_path)
    assert isinstance(thyroid, Domain)
    assert thyroid.derive({"diagnosis": "TH-PTC", "basis": ["DX-CYTO"]}) | {"releasable": None} == {
        "malignancy": "malignant",
        "truth_rank": 2,
        "four_class": None,
        "four_class_version": None,
        "releasable": None,
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("type: code\n", "type: cod\n"),
        ("benign: [TH-ADN]", "benign: []"),
        ("section: diagnosis", "section: nowhere"),
        ("required: true", "required: true\n    requird: 1"),
        ("required: true", "required: {when: [{field: none, any_of: [x]}]}"),
        ("code: TH-ADN", "code: TH-PTC"),
        ("extends: [common]", "extends: [absent]"),
        ("code: thyroid", "code: other"),
        ("version: 1", "version: !!python/object/apply:os.getcwd []"),
    ],
)
def test_a_file_that_does_not_hold_together_is_refused(tmp_path: Path, old: str, new: str) -> None:
    (tmp_path / "thyroid.yaml").write_text(ORGAN, "utf-8")
    load("thyroid", tmp_path)
    vocabulary.load.cache_clear()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "thyroid.yaml").write_text(ORGAN.replace(old, new, 1), "utf-8")
    with pytest.raises(BadConfiguration):
        load("thyroid", broken)


def test_unknown_organ_and_field() -> None:
    with pytest.raises(NotFound):
        load("../secrets")
    with pytest.raises(NotFound):
        load("liver").field("nope")


def test_a_folder_may_bring_its_own_common_file_and_lists(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "lists", tmp_path / "lists")
    for name in ("common", "liver"):
        shutil.copy(FOLDER / f"{name}.yaml", tmp_path)
    assert load("liver", tmp_path).fields == load("liver").fields

"""A new organ is configuration only: the thyroid is a YAML and its lists, and everything that a form does works with it."""

import csv
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from core.dicom.facts import read_facts
from core.package import contract
from core.queries.case_form import Question, questions_of, quick_of, sections_of
from core.services.record import UCUM
from core.settings import Settings
from core.vocabulary.domain import FOLDER, load
from ml.phantom import make_study
from tests import organs
from web.render import domain_name

ROOT = Path(__file__).resolve().parents[3]
THYROID = load("thyroid")
FORM = organs.THYROID | {
    "echogenic_foci": ["FOCI-PUNCT", "FOCI-MACRO"],
    "jsum_shape": "JSH-IRR",
    "jsum_halo": "JHA-NO",
    "transducer_type": "LINEAR",
}


def rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / "lists" / f"{name}.tsv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def gaps_of(values: dict[str, object]) -> set[str]:
    return {gap.field for gap in THYROID.check(values)[1]}


def test_no_line_of_the_program_knows_the_thyroid() -> None:
    rooms = ("core", "api", "web", "workers", "commands")
    sources = [p for room in rooms for kind in ("*.py", "*.js", "*.html") for p in (ROOT / room).rglob(kind)]
    assert len(sources) > 200
    assert [str(p) for p in sources if re.search("thyroid|甲状腺", p.read_text("utf-8"), re.IGNORECASE)] == []


def test_a_hospital_names_it_in_its_settings_and_no_other_has_it() -> None:
    named = Settings(role="site", site_code="KYOTO01", domains=("liver", "thyroid"), _env_file=None)  # type: ignore[call-arg]
    assert named.domains == ("liver", "thyroid")
    assert "thyroid" not in Settings.model_fields["domains"].default
    assert domain_name("ja", "thyroid") == "甲状腺結節" and domain_name("en", "thyroid") == "Thyroid nodules"


def test_a_whole_form_has_no_gap_and_no_problem() -> None:
    clean, gaps, problems = THYROID.check(FORM)
    assert clean == FORM and gaps == [] and problems == []


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"cytology": None}, {"cytology"}),
        ({"basis": ["DX-HIST-SURG"], "cytology": None}, set()),
        ({"basis": ["DX-FU"]}, {"follow_up_months"}),
        ({"diagnosis": "TH-MET"}, {"primary_site"}),
        ({"diagnosis": "TH-LRN"}, {"low_risk_type"}),
        ({"side": []}, {"side"}),
        ({"level": []}, {"level"}),
        ({"side": ["40867004"], "level": []}, set()),
        ({"echogenic_foci": []}, {"echogenic_foci"}),
        ({"category_tirads": None}, {"category_tirads"}),
        ({"category_tirads": None, "category_jsum": "JSJ-HIGH"}, set()),
        ({"background": None}, {"background"}),
        ({"diagnosis": "TH-NONE", "lesion_count": "N0", "category_tirads": None}, set()),
    ],
)
def test_what_is_missing_depends_on_the_answers(change: dict[str, object], missing: set[str]) -> None:
    assert gaps_of(FORM | change) == missing


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("diagnosis", "LIV-HCC"),
        ("cytology", "VII"),
        ("side", ["73056007"]),
        ("size_short_mm", 13.0),
        ("size_long_mm", 201.0),
        ("echogenic_foci", ["FOCI-PUNCT", "FOCI-PUNCT"]),
        ("category_tirads", "4C"),
        ("tsh", -1.0),
    ],
)
def test_a_wrong_answer_is_not_taken(field: str, value: object) -> None:
    clean, _, problems = THYROID.check(FORM | {field: value})
    assert [problem.field for problem in problems] == [field] and field not in clean


def test_findings_of_a_solid_part_are_not_asked_of_a_cyst() -> None:
    clean, gaps, problems = THYROID.check(FORM | {"composition": "COMP-CYST"})
    assert not {code for code in clean if code.startswith("jsum_")} and gaps == [] and problems == []


def test_what_follows_from_a_diagnosis() -> None:
    derived = THYROID.derive(FORM)
    assert (derived["malignancy"], derived["truth_rank"], derived["releasable"]) == ("malignant", 2, True)
    assert derived["four_class"] is None and derived["four_class_version"] is None
    assert THYROID.derive({"diagnosis": "TH-ADN"})["malignancy"] == "benign"
    low = THYROID.derive({"diagnosis": "TH-LRN", "low_risk_type": "LRN-NIFTP"})
    assert (low["malignancy"], low["releasable"]) == ("undetermined", True)
    assert THYROID.derive({"diagnosis": "TH-UND"})["releasable"] is False


def asked(values: dict[str, object], automatic: dict[str, dict[str, object]]) -> dict[str, Question]:
    entries = automatic | {code: {"value": v, "source": "manual", "tag": None} for code, v in values.items()}
    return {question.spec.code: question for question in questions_of(THYROID, entries, automatic)}


def test_the_page_asks_its_questions_and_says_where_each_value_is_from() -> None:
    dataset = make_study(2, "breast", "sequoia", 0, 1).instances[0].dataset
    filled = THYROID.autofill(asdict(read_facts(dataset, dataset.file_meta)))
    automatic = {c: {"value": f.value, "source": "tag", "tag": f.source_tag} for c, f in filled.items()}
    manual = {code: value for code, value in FORM.items() if code not in automatic} | {"sex": "O"}
    questions = asked(manual, automatic)
    assert list(questions) == [field.code for field in THYROID.fields]
    assert questions["transducer_type"].tag == "(0018,6031)" and questions["transducer_type"].source == "tag"
    assert questions["depth_mm"].source == "tag" and questions["age_years"].tag == "(0010,1010)"
    sex = questions["sex"]
    assert sex.value == "O" and sex.source == "manual" and sex.automatic == automatic["sex"]["value"]
    assert (
        questions["diagnosis"].words[0].ja == "乳頭癌" and questions["diagnosis"].words[0].en == "Papillary carcinoma"
    )
    assert not questions["primary_site"].is_asked and questions["cytology"].is_needed
    shown = [section.code for section, _, _ in sections_of(THYROID.sections, list(questions.values()))]
    assert shown == ["diagnosis", "lesion", "background", "findings", "examination", "device", "patient"]


def test_every_unit_and_code_fits_the_package_that_leaves() -> None:
    unit, code = TypeAdapter(contract.Unit), TypeAdapter(contract.Code)
    for field in THYROID.fields:
        if field.unit is not None:
            unit.validate_python(UCUM.get(field.unit.en, field.unit.en))
        for option in THYROID.options.get(field.code, ()):
            code.validate_python(option.code)


def test_the_number_keys_choose_the_commonest() -> None:
    keys = [option.code for option in quick_of(THYROID)]
    assert len(keys) == 9 and keys[:3] == ["TH-PTC", "TH-FTC", "TH-ADN"]


def test_codes_mean_the_same_in_every_organ() -> None:
    """Pages look a diagnosis up by its code alone."""
    known = {o.code for name in ("liver", "breast") for o in load(name).options["diagnosis"]}
    assert not known & {o.code for o in THYROID.options["diagnosis"]}


@pytest.mark.parametrize("name", ["diagnosis", "site", "findings", "category", "background"])
def test_every_row_says_how_sure_it_is_and_what_a_clinician_must_see(name: str) -> None:
    for row in rows(f"thyroid_{name}"):
        assert all(row[column].strip() for column in ("code_system", "code", "english", "japanese"))
        assert row["status"] in {"CID", "STD", "SRC", "MEM", "LOCAL"}
        assert row["status"] != "MEM" or "clinician" in row["note"]
        assert row["status"] != "SRC" or row["note"]


def test_the_points_of_the_american_lexicon() -> None:
    """The points in the notes are those of the published table."""
    points: dict[str, list[int]] = {}
    for row in rows("thyroid_findings"):
        if found := re.search(r"(\d) points$", row["note"]):
            points.setdefault(row["code"].partition("-")[0], []).append(int(found.group(1)))
    assert points == {
        "COMP": [0, 0, 1, 2],
        "ECHO": [0, 1, 1, 2, 3],
        "TSHAPE": [0, 3],
        "TMARG": [0, 0, 2, 3],
        "FOCI": [0, 0, 1, 2, 3],
    }

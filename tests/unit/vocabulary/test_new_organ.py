"""An organ that nobody knew is one file in a folder: it loads, its rules work, and its form is drawn in both languages."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest

from core.queries.case_form import LONG, questions_of, quick_of, rules_of, sections_of
from core.services.defaults import offered
from core.vocabulary.domain import Domain, domains, load
from core.vocabulary.schema import FieldSpec, Label
from web.render import environment
from web.texts import LANGUAGES, Language, text

SPLEEN = """
kind: domain
code: spleen
version: 1
label: {ja: 脾臓, en: Spleen}
extends: [common]
without: [follow_up_months]
sections:
  - {code: size, label: {ja: 大きさ, en: Size}}
fields:
  - code: diagnosis
    label: {ja: 診断名, en: Diagnosis}
    section: diagnosis
    type: code
    list: {name: spleen_diagnosis}
    required: true
  - code: length_mm
    label: {ja: 長さ, en: Length}
    section: size
    type: number
    unit: {ja: mm, en: mm}
    min: 20
    max: 400
    step: 0.5
    required: true
  - code: width_mm
    label: {ja: 幅, en: Width}
    section: size
    type: number
    unit: {ja: mm, en: mm}
    min: 10
    max: 300
    at_most: length_mm
    applies: {when: [{field: diagnosis, any_of: [SP-BIG]}]}
  - code: position
    label: {ja: 体位, en: Position}
    section: examination
    type: code
    options:
      - {code: PO-SUP, label: {ja: 背臥位, en: Supine}}
      - {code: PO-LEFT, label: {ja: 左側臥位, en: Left side down}}
    remember: true
"""
LIST = """code_system\tcode\tenglish\tjapanese\tstatus\tnote\tsynonyms
99USDB\tSP-NORM\tNormal spleen\t異常なし\tLOCAL\t\tいじょうなし
99USDB\tSP-BIG\tSplenomegaly\t脾腫\tLOCAL\t\tひしゅ
"""


@pytest.fixture
def spleen(tmp_path: Path) -> Domain:
    (tmp_path / "spleen.yaml").write_text(SPLEEN, "utf-8")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "spleen_diagnosis.tsv").write_text(LIST, "utf-8")
    assert domains(tmp_path) == ("spleen",)
    return load("spleen", tmp_path)


def test_its_rules_work_and_no_roi_is_asked_for(spleen: Domain) -> None:
    values = {"diagnosis": "SP-BIG", "length_mm": 140.5, "width_mm": 60, "basis": ["CT"]}
    clean, gaps, problems = spleen.check(values)
    assert clean == values and problems == [] and "length_mm" not in {gap.field for gap in gaps}
    assert [p.field for p in spleen.check(values | {"width_mm": 141})[2]] == ["width_mm"]
    assert "width_mm" not in spleen.check(values | {"diagnosis": "SP-NORM"})[0]
    assert spleen.derive(values) == {"truth_rank": 3} and not spleen.has_lesion(values)
    assert [section.code for section in spleen.sections][:2] == ["size", "diagnosis"]
    assert "follow_up_months" not in {field.code for field in spleen.fields}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_its_form_is_drawn(spleen: Domain, lang: Language) -> None:
    entries = {"diagnosis": {"value": "SP-BIG", "source": "manual", "tag": None}}
    questions = questions_of(spleen, entries, {}, {"position": "PO-LEFT"})
    form = {
        "version": 3,
        "sections": sections_of(spleen.sections, questions),
        "questions": questions,
        "rules": rules_of(spleen),
        "derived": {},
        "quick": quick_of(spleen),
        "may_edit": True,
        "long": LONG,
        "offered": 1,
        "roi_size": None,
    }
    words = {"t": partial(text, lang), "lang": lang, "form": form, "case": SimpleNamespace(id=uuid4())}
    drawn = (
        environment()
        .get_template("case/answers.html")
        .render(words | {"form": form | {"derived": {"truth_rank": None}}})
    )
    for label in (
        spleen.field("length_mm").label,
        spleen.options["diagnosis"][1].label,
        Label(ja="左側臥位", en="Left side down"),
    ):
        assert getattr(label, lang) in drawn
    assert 'data-words="脾腫 | Splenomegaly | SP-BIG | ひしゅ"' in drawn
    assert 'data-least="20.0" data-most="400.0" data-step="0.5"' in drawn and "20 – 400" in drawn
    assert "data-usual='\"PO-LEFT\"'" in drawn and "data-rules='{}'" in drawn


@pytest.mark.parametrize(("section", "type_"), [("diagnosis", "code"), ("size", "number")])
def test_nothing_of_the_diagnosis_and_no_number_is_remembered(section: str, type_: str) -> None:
    label = {"ja": "あ", "en": "a"}
    body: dict[str, object] = {"code": "x", "label": label, "section": section, "type": type_}
    body |= {"options": [{"code": "A", "label": label}]} if type_ == "code" else {"unit": label, "min": 0, "max": 1}
    FieldSpec.model_validate(body)
    with pytest.raises(ValueError, match="never one of the diagnosis"):
        FieldSpec.model_validate(body | {"remember": True})


@pytest.mark.parametrize("name", domains())
def test_in_no_organ_is_a_diagnosis_or_its_basis_remembered(name: str) -> None:
    kept = {field.code for field in load(name).fields if field.remember}
    assert {"examiner_class", "transducer_type"} <= kept and not {"diagnosis", "basis"} & kept


class _Rows:
    """A session that knows these remembered answers."""

    def __init__(self, **values: object) -> None:
        self._rows = [SimpleNamespace(field=field, value=value) for field, value in values.items()]

    def exec(self, _: object) -> list[SimpleNamespace]:
        return self._rows


def test_only_what_can_still_be_answered_is_offered() -> None:
    rows = _Rows(examiner_class="EX-SPEC", transducer_type="GONE", image_mode="399009009", diagnosis="LIV-HCC", afp=3.0)
    entries = {"image_mode": {"value": "399009009", "source": "manual", "tag": None}}
    found = offered(rows, SimpleNamespace(user_id=uuid4()), load("liver"), entries)  # type: ignore[arg-type]
    assert found == {"examiner_class": "EX-SPEC"}

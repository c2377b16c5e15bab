"""The forms take their facts from what the DICOM reader really gives."""

from dataclasses import asdict, fields

import pytest

from core.dicom.facts import InstanceFacts, read_facts
from core.vocabulary.domain import domains, load
from ml.phantom import make_study


@pytest.mark.parametrize("name", domains())
def test_every_source_is_a_fact_of_the_reader(name: str) -> None:
    known = {field.name for field in fields(InstanceFacts)}
    assert {field.auto.fact for field in load(name).fields if field.auto is not None} <= known


@pytest.mark.parametrize(("domain", "probe"), [("liver", "CURVED LINEAR"), ("breast", "LINEAR")])
def test_a_console_file_fills_the_device_half_of_the_form(domain: str, probe: str) -> None:
    study = make_study(2, domain, "sequoia", 0, 1)
    ds = study.instances[0].dataset
    facts = asdict(read_facts(ds, ds.file_meta))
    filled = load(domain).autofill(facts)
    expected = {"manufacturer", "model", "software", "transducer", "transducer_type", "depth_mm", "mechanical_index"}
    assert expected | {"frame_time_ms", "heart_rate", "sex", "age_years"} == set(filled)
    assert filled["transducer_type"].value == probe and filled["sex"].value == study.patient.sex

"""What a model that draws the ventricle says of a heart arrives in a real Orthanc: borders, volumes, EF, for research."""

import json
from pathlib import Path

import highdicom as hd
import pydicom
import pytest

from commands import orthanc
from core.models.people import Role
from ml.phantom import to_bytes
from ml.phantom_heart import HeartTruth, heart_study
from tests.modelled import kept, put_in_effect
from tests.postgres_fixture import ScratchPostgres
from tests.results import errors_of, stored_at
from tests.served import serve
from tests.tiny_models import save_heart
from tests.viewer_site import hospital

FRAMES = 20  # one beat and a little


def test_beats_arrive_beside_the_cines(postgres: ScratchPostgres, tmp_path: Path) -> None:
    if orthanc.program() is None:
        pytest.skip("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
    with (
        hospital(tmp_path) as known,
        serve(postgres, "site", domains=("heart",), **known.changes) as served,
        orthanc.running(tmp_path / "o") as pacs,
    ):
        served.person("pi", [(Role.SITEPI, "*"), (Role.SITEIT, "*")])
        served.person("kaneko", [(Role.CUR, "*")])
        study = heart_study(1, "logiq-e9", FRAMES)
        case = known.pull(served, study)
        case.make_candidates()
        pacs.store(to_bytes(instance) for instance in study.instances)
        known.changes["peers_file"].write_text(json.dumps([{"name": "pacs", "url": pacs.dicom_web}]))
        put_in_effect(served, save_heart(tmp_path / "echo"), "pi", "heart")
        with kept(served):
            served.node.inference._patience = 60
            answer = served.client.post(f"/api/v1/cases/{case.id}/infer/report", headers=served.bearer("kaneko"))
        assert answer.status_code == 200, answer.text
        assert {key: answer.json()[key] for key in ("images", "objects", "lesions")} == {
            "images": 2,
            "objects": 4,
            "lesions": 2,
        }
        found = stored_at(pacs)
    reports = {_of(one): one for one in found if one.Modality == "SR"}
    assert [one.Modality for one in found].count("PR") == 2
    for instance in study.instances:
        made, truth = reports[instance.dataset.SOPInstanceUID], instance.truth
        assert isinstance(truth, HeartTruth) and errors_of(made, tmp_path) == ""
        content = hd.sr.ComprehensiveSR.from_dataset(made).content
        ends = [
            one.roi.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber
            for one in content.get_planar_roi_measurement_groups()
        ]
        assert tuple(ends) == truth.ends[0]
        (whole,) = content.get_image_measurement_groups()
        (fraction,) = whole.get_measurements()
        assert (fraction.name.value, float(fraction.value)) == ("18043-0", pytest.approx(truth.ef_percent, abs=8))


def _of(report: pydicom.Dataset) -> str:
    """The image that a report is about."""
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    return str(study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID)

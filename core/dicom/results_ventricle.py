"""The left ventricle that a model drew, as an SR (TID 1500): the border at both ends of each beat, volumes and EF.

Names of measurements and methods are those of the adult echo report (TID 5200, PS3.16), with LOINC codes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import highdicom as hd
import numpy as np
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from core.curation.shapes import Points
from core.dicom.results import RATIO, SCHEME, SCORE, Drawn, Speaker, algorithm, document, evidence, nothing, region

VENTRICLE: Final = CodedConcept("87878005", "SCT", "Left ventricle")
FRACTION: Final = CodedConcept("18043-0", "LN", "Left Ventricular Ejection Fraction by US")
DIASTOLIC: Final = CodedConcept("18026-5", "LN", "Left Ventricular End Diastolic Volume")
SYSTOLIC: Final = CodedConcept("18148-7", "LN", "Left Ventricular End Systolic Volume")
DISKS: Final = CodedConcept("125208", "DCM", "Method of Disks, Single Plane")
PERCENT: Final = CodedConcept("%", "UCUM", "percent")
MILLILITRE: Final = CodedConcept("ml", "UCUM", "milliliter")
NO_BEAT: Final = CodedConcept("NOBEAT", SCHEME, "No beat of the ventricle was found")


@dataclass(frozen=True)
class End:
    """One end of a beat: the frame (from 1), the open border in pixels from one end of the mitral plane to the other, how
    sure the model is, and the volume in ml by disks; None where the picture has no scale."""

    frame: int
    border: Points
    score: float
    volume_ml: float | None

    @property
    def outline(self) -> NDArray[np.float64]:
        """(n + 1, 2): closed along the mitral plane."""
        return np.asarray([*self.border, self.border[0]], np.float64)


@dataclass(frozen=True)
class Beat:
    """End diastole, the end systole after it, and the ejection fraction in percent of the two."""

    diastole: End
    systole: End
    fraction_percent: float


def report(image: Dataset, beats: Sequence[Beat], speaker: Speaker) -> Dataset:
    """A Comprehensive SR of one cine (its header): for each beat two regions with their volumes, and the EF."""
    source = evidence(image)
    groups = [group for number, beat in enumerate(beats, 1) for group in _groups(source, number, beat, speaker)]
    return document(source, groups or [nothing(source, speaker, NO_BEAT)], speaker)


def drawn(beats: Sequence[Beat]) -> list[Drawn]:
    """The borders for a presentation state."""
    ends = [(end, words) for beat in beats for end, words in ((beat.diastole, "LV ED"), (beat.systole, "LV ES"))]
    return [Drawn(end.frame, end.outline, f"{words} {end.score:.2f}", end.border[0]) for end, words in ends]


def _groups(source: Dataset, number: int, beat: Beat, speaker: Speaker) -> Iterator[Any]:
    for end, name, volume in ((beat.diastole, "ED", DIASTOLIC), (beat.systole, "ES", SYSTOLIC)):
        measured = [hd.sr.Measurement(SCORE, round(end.score, 4), RATIO)]
        if end.volume_ml is not None:
            measured.append(hd.sr.Measurement(volume, round(end.volume_ml, 1), MILLILITRE, method=DISKS))
        yield hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(uid=hd.UID(), identifier=f"AI beat {number} {name}"),
            referenced_region=region(source, end.frame, end.outline),
            finding_type=VENTRICLE,
            algorithm_id=algorithm(speaker),
            measurements=measured,
        )
    frames = [beat.diastole.frame, beat.systole.frame]
    yield hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=hd.UID(), identifier=f"AI beat {number}"),
        source_images=[
            hd.sr.SourceImageForMeasurementGroup(str(source.SOPClassUID), str(source.SOPInstanceUID), frames)
        ],
        finding_type=VENTRICLE,
        algorithm_id=algorithm(speaker),
        measurements=[hd.sr.Measurement(FRACTION, round(beat.fraction_percent, 1), PERCENT, method=DISKS)],
    )

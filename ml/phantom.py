"""Generated ultrasound studies for the demo and the tests: `python -m ml.phantom OUT --seed N` writes them as files.

Every patient, hospital and picture is invented. The same seed gives the same bytes."""

import argparse
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pydicom.data
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import generate_uid

from core.errors import Malformed
from ml.phantom_cine import Box, View, still, sweep
from ml.phantom_devices import DEVICES, IDENTIFYING
from ml.phantom_dicom import STILLS, Exam, Picture, dataset, store_cine
from ml.phantom_lesions import codes, grow
from ml.phantom_people import INSTITUTIONS, Patient, make_operator, make_patient
from ml.phantom_screens import BurnedText, Screen

__all__ = ["DEVICES", "IDENTIFYING", "BurnedText", "Patient", "PhantomInstance", "PhantomStudy", "Truth"]
NO_LESION = {"liver": "LIV-NONE", "breast": "BR-NONE"}


@dataclass(frozen=True)
class Truth:
    """What is on the picture: the diagnosis code of the vocabulary and the lesion of each frame.

    `boxes` are tight boxes x, y, width, height in pixels of the whole stored frame and `centres` their middles x, y;
    both are in frame order, with None where the lesion is not on the frame."""

    code: str
    boxes: tuple[Box | None, ...]
    mm_per_px: float

    @property
    def centres(self) -> tuple[tuple[float, float] | None, ...]:
        return tuple(None if box is None else (box[0] + box[2] / 2, box[1] + box[3] / 2) for box in self.boxes)


@dataclass(frozen=True)
class PhantomInstance:
    """One file: its dataset, what is on it, every text in its pixels, and whether callipers were left on it."""

    dataset: Dataset
    truth: Truth
    texts: tuple[BurnedText, ...]
    callipers: bool


@dataclass(frozen=True)
class PhantomStudy:
    """One examination of one patient."""

    patient: Patient
    accession: str
    study_uid: str
    domain: str
    device: str
    instances: tuple[PhantomInstance, ...]


def make_study(
    seed: int, domain: str, device: str, stills: int, cine_frames: int, diagnosis: str | None = None
) -> PhantomStudy:
    """A study of `stills` single pictures and, if `cine_frames` is above 0, one cine, in this order.

    `diagnosis` is a code of `phantom_lesions.codes(domain)` or the domain's no-lesion code; else the seed chooses.
    Raises Malformed for an unknown domain, device or diagnosis."""
    if domain not in NO_LESION:
        raise Malformed("There are phantoms of liver and breast only.")
    rng = np.random.default_rng([seed, 1])
    patient = make_patient(rng, domain)
    exam = _exam(rng, patient, domain, device, INSTITUTIONS[int(rng.integers(len(INSTITUTIONS)))], utf8=bool(seed % 2))
    return _study(rng, exam, diagnosis, stills, cine_frames)


def demo_studies(seed: int) -> list[PhantomStudy]:
    """Seven studies of six patients of one hospital: four liver patients (one examined twice) and two breast patients.

    The first is the usual case of four pictures and one cine; one comes from a console that no mask rule knows."""
    rng = np.random.default_rng([seed, 2])
    institution = INSTITUTIONS[int(rng.integers(len(INSTITUTIONS)))]
    plans = (
        ("liver", "logiq-e9", "LIV-HCC", 4, 20, False),
        ("liver", "aplio", "LIV-CYST", 3, 12, True),
        ("liver", "sequoia", "LIV-HEM", 3, 16, False),
        ("liver", "unknown", "LIV-MET", 2, 12, True),
        ("breast", "epiq", "BR-FA", 3, 12, False),
        ("breast", "logiq-e9", "BR-INV", 4, 16, True),
    )
    studies: list[PhantomStudy] = []
    patients: list[Patient] = []
    for domain, device, diagnosis, stills, frames, utf8 in plans:
        patient = make_patient(rng, domain)
        while any(patient.latin == other.latin or patient.patient_id == other.patient_id for other in patients):
            patient = make_patient(rng, domain)
        patients.append(patient)
        exam = _exam(rng, patient, domain, device, institution, utf8)
        studies.append(_study(rng, exam, diagnosis, stills, frames))
    later = _exam(rng, patients[0], "liver", "aplio", institution, utf8=False)
    studies.insert(1, _study(rng, later, "LIV-HCC", 2, 0))
    return studies


def to_bytes(instance: PhantomInstance) -> bytes:
    """The instance as a DICOM file (PS3.10)."""
    buffer = io.BytesIO()
    dcmwrite(buffer, instance.dataset, enforce_file_format=True)
    return buffer.getvalue()


def wheel_ultrasound() -> list[Path]:
    """The four real ultrasound files that come with pydicom: RGB, palette, a JPEG cine and JPEG 2000."""
    folder = Path(pydicom.data.__file__).parent / "test_files"
    return [folder / f"examples_{name}.dcm" for name in ("rgb_color", "palette", "ybr_color", "jpeg2k")]


def _exam(
    rng: np.random.Generator, patient: Patient, domain: str, device: str, institution: tuple[str, str], utf8: bool
) -> Exam:
    if device not in DEVICES:
        raise Malformed("There is no phantom console of that name.")
    started = datetime(2023, 1, 10, 9) + timedelta(days=int(rng.integers(1000)), seconds=int(rng.integers(8 * 3600)))  # noqa: DTZ001 - a console knows no zone
    entropy = rng.bytes(16).hex()
    settings = {"mi": rng.uniform(0.7, 1.3), "tis": rng.uniform(0.2, 0.9), "rate": float(rng.integers(24, 38))}
    settings |= {"gain": float(rng.integers(48, 62)), "heart_rate": float(rng.integers(58, 92))}
    return Exam(
        patient=patient,
        device=DEVICES[device],
        domain=domain,
        study_uid=str(generate_uid(entropy_srcs=[entropy, "study"])),
        series_uid=str(generate_uid(entropy_srcs=[entropy, "series"])),
        accession=f"US{started:%y}{int(rng.integers(10**6)):06d}",
        started=started,
        institution=institution,
        operator=make_operator(rng),
        utf8=utf8,
        settings=settings,
    )


def _study(rng: np.random.Generator, exam: Exam, diagnosis: str | None, stills: int, cine_frames: int) -> PhantomStudy:
    known = codes(exam.domain)
    code = diagnosis or known[int(rng.integers(len(known)))]
    if code not in (*known, NO_LESION[exam.domain]):
        raise Malformed("There is no phantom of that diagnosis.")
    width, height = exam.device.view[2:]
    lesion = grow(rng, code) if code in known else None
    view = View(rng, exam.domain, lesion, width, height)
    screen = Screen(exam.device, view.converter, _values(exam), exam.domain)
    made = [_still(rng, exam, view, screen, code, number) for number in range(1, stills + 1)]
    if cine_frames:
        made.append(_cine(rng, exam, view, screen, code, stills + 1, cine_frames))
    return PhantomStudy(exam.patient, exam.accession, exam.study_uid, exam.domain, exam.device.key, tuple(made))


def _still(rng: np.random.Generator, exam: Exam, view: View, screen: Screen, code: str, number: int) -> PhantomInstance:
    picture, box = view.picture(still(rng, view.grid), rng)
    on_screen = _onto_screen(exam, box)
    callipers = number == 2 and box is not None
    typed = exam.patient.latin.split()[0].upper() if number == 3 and exam.domain == "liver" else ""
    pixels, texts = screen.show(picture, on_screen if callipers else None, typed)
    store = STILLS[(number - 1) % len(STILLS)]
    ds = store(_header(exam, view, screen, number), pixels)
    return PhantomInstance(ds, Truth(code, (on_screen,), view.converter.mm_per_px), texts, callipers)


def _cine(
    rng: np.random.Generator, exam: Exam, view: View, screen: Screen, code: str, number: int, frames: int
) -> PhantomInstance:
    screens: list[Picture] = []
    boxes: list[Box | None] = []
    texts: tuple[BurnedText, ...] = ()
    for probe in sweep(rng, view.grid, frames):
        picture, box = view.picture(probe, rng)
        pixels, texts = screen.show(picture)
        screens.append(pixels)
        boxes.append(_onto_screen(exam, box))
    ds = store_cine(_header(exam, view, screen, number), screens, 1000 / exam.settings["rate"])
    return PhantomInstance(ds, Truth(code, tuple(boxes), view.converter.mm_per_px), texts, False)


def _header(exam: Exam, view: View, screen: Screen, number: int) -> Dataset:
    left, top = exam.device.view[:2]
    face = (view.converter.face_px[0] + left, view.converter.face_px[1] + top)
    return dataset(exam, number, screen.region, face, view.converter.mm_per_px)


def _onto_screen(exam: Exam, box: Box | None) -> Box | None:
    left, top = exam.device.view[:2]
    return None if box is None else (box[0] + left, box[1] + top, box[2], box[3])


def _values(exam: Exam) -> dict[str, str]:
    """What the screen's patterns are filled with."""
    probe, centre_khz, _ = exam.device.probes[exam.domain]
    return {
        "latin": exam.patient.latin,
        "kanji": exam.patient.kanji,
        "patient_id": exam.patient.patient_id,
        "birth_date": f"{exam.patient.birth_date:%Y/%m/%d}",
        "institution": exam.institution[0],
        "institution_kanji": exam.institution[1],
        "operator": exam.operator.split("^")[0],
        "date": f"{exam.started:%Y/%m/%d}",
        "time": f"{exam.started:%H:%M:%S}",
        "probe": probe,
        "preset": {"liver": "Abdomen", "breast": "Breast", "heart": "Cardiac"}[exam.domain],
        "mhz": f"{centre_khz / 1000:.1f}",
        "depth_cm": {"liver": "15.0", "breast": "4.0", "heart": "16.0"}[exam.domain],
        "gain": f"{exam.settings['gain']:.0f}",
        "dr": "62",
        "rate": f"{exam.settings['rate']:.0f}",
        "mi": f"{exam.settings['mi']:.1f}",
        "tis": f"{exam.settings['tis']:.1f}",
    }


def write(studies: Sequence[PhantomStudy], folder: Path) -> list[Path]:
    """One folder for each study, files in order of their number."""
    written: list[Path] = []
    for n, study in enumerate(studies, start=1):
        place = folder / f"study{n:02d}"
        place.mkdir(parents=True, exist_ok=True)
        for number, instance in enumerate(study.instances, start=1):
            path = place / f"{number:04d}.dcm"
            path.write_bytes(to_bytes(instance))
            written.append(path)
    return written


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m ml.phantom", description="Write the generated demo studies.")
    parser.add_argument("out", type=Path, help="folder to write into")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    write(demo_studies(options.seed), options.out)


if __name__ == "__main__":
    main()

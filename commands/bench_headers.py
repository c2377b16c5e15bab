"""How long the header of an image takes to de-identify, beside dicognito and deid on the same files in the same run."""

import importlib
import logging
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import datetime
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from core.deid import candidate, headers, release
from core.deid.candidate import Index
from core.deid.pseudonyms import Pseudonyms
from core.dicom.facts import needles, read_identity
from core.dicom.part10 import frame_bytes, open_part10
from core.dicom.quiet import PARSER_ERRORS
from core.errors import Refused, Unavailable
from ml.phantom import make_study, to_bytes

REAL: Final = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "dicom"
STUDIES: Final = 4
PSEUDONYMS: Final = Pseudonyms(
    "5f7dd9c5-6f0b-4d66-a6f7-27e8a5d30001", b"k" * 32, -700, datetime.fromisoformat("2019-05-06T09:30:15")
)
_Run = Callable[[Path], object]


def bench_headers(rounds: int, folder: Path) -> dict[str, Any]:
    """Medians and maxima in milliseconds a file, from the file on disk to the bytes of the new header, and ratios.

    Of the real files beside the checkout, else of generated studies written into `folder`. `parts` are ours alone:
    reading with every check, de-identifying, writing. Each tool sees every file `rounds` times; the first, which loads
    tables and modules, does not count. A tool that cannot do a file is not measured on it, and says how many those were."""
    files = sorted(REAL.rglob("*.dcm")) or _generated(folder)
    indexes = {path: found for path in files if (found := _index(path)) is not None}
    with _silence():
        tools: dict[str, _Run] = {"sonobank": lambda path: _ours(path, indexes[path])}
        tools |= {"dicognito": _dicognito(), "deid": _deid()}
        took = {name: {path: _times(run, path, rounds) for path in indexes} for name, run in tools.items()}
    medians = {name: _medians(times) for name, times in took.items()}
    result: dict[str, Any] = {"files": len(indexes), "rounds": rounds, "real": REAL.exists()}
    for name, times in medians.items():
        done = list(times.values())
        result[name] = {"median_ms": _ms(statistics.median(done)), "max_ms": _ms(max(done)), "files": len(done)}
    result["parts"] = _parts(indexes, rounds)
    for name in ("dicognito", "deid"):
        ratios = [
            medians[name][path] / medians["sonobank"][path] for path in medians[name] if path in medians["sonobank"]
        ]
        result[f"{name}_against_sonobank"] = round(statistics.median(ratios), 2)
    return result


def _ours(path: Path, index: Index) -> bytes:
    with path.open("rb") as fp:
        source = open_part10(fp, path.stat().st_size)
    return _written(source.dataset, index)


def _written(dataset: Dataset, index: Index) -> bytes:
    return release.header_bytes(headers.deidentify(dataset, PSEUDONYMS, index))


def _parts(indexes: dict[Path, Index], rounds: int) -> dict[str, float]:
    """Medians over the files, in ms; `needles`: the same with the patient's values looked for in what stays."""
    took: dict[str, list[float]] = {"read": [], "deidentify": [], "write": [], "needles": []}
    for path, index in indexes.items():
        for _ in range(rounds):
            with path.open("rb") as fp:
                begun = time.perf_counter()
                dataset = open_part10(fp, path.stat().st_size).dataset
            took["read"].append(time.perf_counter() - begun)
            begun = time.perf_counter()
            header = headers.deidentify(dataset, PSEUDONYMS, index)
            took["deidentify"].append(time.perf_counter() - begun)
            begun = time.perf_counter()
            release.header_bytes(header)
            took["write"].append(time.perf_counter() - begun)
            values, begun = needles(read_identity(dataset)), time.perf_counter()
            try:
                headers.deidentify(dataset, PSEUDONYMS, index, needles=values)
            except Refused:  # a station named like its scanner
                continue
            took["needles"].append(time.perf_counter() - begun)
    return {name: _ms(statistics.median(times)) for name, times in took.items()}


def _dicognito() -> _Run:
    anonymizer = _peer("dicognito.anonymizer").Anonymizer(seed="sonobank")

    def run(path: Path) -> object:
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        anonymizer.anonymize(dataset)
        return _header_of(dataset)

    return run


def _deid() -> _Run:
    replace, recipe = _peer("deid.dicom").replace_identifiers, _peer("deid.config").DeidRecipe(deid="dicom.ultrasound")

    def run(path: Path) -> object:
        dataset = replace(dicom_files=[str(path)], deid=recipe, save=False, remove_private=True)[0]
        dataset.pop("PixelData", None)
        return _header_of(dataset)

    return run


def _header_of(dataset: Dataset) -> bytes:
    """As far as the peer's result still is a file that can be written."""
    out = BytesIO()
    dcmwrite(out, dataset, enforce_file_format=False)
    return out.getvalue()


def _peer(module: str) -> Any:  # noqa: ANN401 - packages of the tests, without types
    try:
        return importlib.import_module(module)
    except ImportError:
        raise Unavailable(
            f"{module.partition('.')[0]} is not installed; it comes with the packages of the tests."
        ) from None


def _times(run: _Run, path: Path, rounds: int) -> list[float]:
    """Seconds of each round after the first; none when the tool cannot do the file."""
    times = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        try:
            run(path)
        except (*PARSER_ERRORS, Refused):
            return []
        times.append(time.perf_counter() - begun)
    return times[1:]


def _medians(times: dict[Path, list[float]]) -> dict[Path, float]:
    return {path: statistics.median(found) for path, found in times.items() if found}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


def _index(path: Path) -> Index | None:
    """The candidate's index with nothing masked; None for a file that is refused."""
    try:
        with path.open("rb") as fp:
            source = open_part10(fp, path.stat().st_size)
            if source.pixel is None:
                return None
            plan = candidate.plan(source.dataset, source.pixel, [], [])
            masked = (
                plan.response(*candidate.sandboxed_mask(*plan.request(frame_bytes(fp, source, number))))
                for number in range(len(source.frames))
            )
            return candidate.write_candidate(masked, plan, BytesIO())
    except Refused:
        return None


def _generated(folder: Path) -> list[Path]:
    files = []
    for seed in range(STUDIES):
        for number, instance in enumerate(
            make_study(seed, domain="liver", device="logiq-e9", stills=4, cine_frames=8).instances
        ):
            path = folder / f"{seed}-{number}.dcm"
            path.write_bytes(to_bytes(instance))
            files.append(path)
    return files


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing of what the peers print, warn of or log."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)

"""`./run deid IN OUT --keys DIR`: de-identify a folder of ultrasound images without a server."""

import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.main import given_path
from commands.progress import Bar
from core.deid.headers import METHOD
from core.errors import Malformed, Unavailable
from core.folder import mapping
from core.folder.linkage import Linkage
from core.folder.places import Places
from core.folder.rules import Rules, shipped, with_published
from core.folder.run import Options, Outcome
from core.folder.run import run as run_folder

_FIELDS = ("input", "output", "status", "reason", "rule", "masks")


In = Annotated[Path, typer.Argument(metavar="IN", help="folder of DICOM files; it is only read")]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="receives the candidates")]
Keys = Annotated[Path, typer.Option(help="secrets and linkage, mode 0700; made at the first run; not in IN or OUT")]
Json = Annotated[bool, typer.Option("--json", help="the last line of the output is JSON")]
Jobs = Annotated[int, typer.Option(min=0, max=256, help="files at a time; 0: one a core")]
RulesFile = Annotated[Path | None, typer.Option(help="device rules that a site has published, as JSON")]
Confirm = Annotated[bool, typer.Option(help="confirm at once every image of a known device on which no text is found")]
ConfirmedBy = Annotated[str | None, typer.Option(help="who confirms; goes into the key folder, never into OUT")]
Mapping = Annotated[bool, typer.Option(help="write uid_mapping.csv and patid_mapping.csv into the key folder")]
StudyIsPatient = Annotated[bool, typer.Option(help="files without PatientID: one patient a study, instead of refused")]


def deid(
    source: In,
    out: Out,
    keys: Keys,
    as_json: Json = False,
    jobs: Jobs = 0,
    rules: RulesFile = None,
    confirm_known_devices: Confirm = False,
    confirmed_by: ConfirmedBy = None,
    write_mapping: Mapping = False,
    study_is_patient: StudyIsPatient = False,
) -> None:
    """De-identify every ultrasound image below IN. Each file becomes a candidate in OUT, is held, or is refused.

    A candidate is masked by its device's rule and says in its header that no person has seen it yet. A second run
    does only what is missing or has changed."""
    name = " ".join((confirmed_by or "").split())
    if confirm_known_devices != bool(name):
        raise Malformed("--confirm-known-devices and --confirmed-by NAME belong together.")
    os.umask(0o077)
    places = Places.of(given_path(source), given_path(out), given_path(keys))
    wanted = with_published(given_path(rules)) if rules else shipped()
    options = Options(wanted, jobs or len(os.sched_getaffinity(0)), name or None, study_is_patient)
    begun = time.monotonic()
    try:
        with Bar() as bar:
            outcomes = run_folder(places, options, bar.show)
        if write_mapping:
            _write_mapping(places)
    except Unavailable as trouble:
        typer.echo(f"sonobank: {trouble.message}", err=True)
        raise typer.Exit(1) from None
    seconds = time.monotonic() - begun
    print(json.dumps(_summary(outcomes, wanted, seconds)) if as_json else _table(outcomes))


def _write_mapping(places: Places) -> None:
    linkage = Linkage(places.keys, places.open_keys())
    try:
        mapping.write(places.keys, linkage)
    finally:
        linkage.close()


def _summary(outcomes: Sequence[Outcome], rules: Rules, seconds: float) -> dict[str, Any]:
    return {
        "files": [{name: getattr(one, name) for name in _FIELDS} for one in outcomes],
        "counts": {"candidate": 0, "held": 0, "refused": 0} | Counter(one.status.value for one in outcomes),
        "written": sum(one.is_new for one in outcomes),
        "confirmed": sum(one.is_confirmed for one in outcomes),
        "seconds": round(seconds, 3),
        "versions": {"method": METHOD, "rules": rules.version},
    }


def _table(outcomes: Sequence[Outcome]) -> str:
    """One line a file that did not become a candidate, then the counts."""
    counts = Counter(one.status.value for one in outcomes)
    lines = [f"{one.status.value:<9}  {one.input!r}: {one.reason}" for one in outcomes if one.reason]
    said = ", ".join(f"{counts[status]} {status}" for status in ("candidate", "held", "refused"))
    return "\n".join([*lines, f"{len(outcomes)} files: {said}. No person has seen the candidates yet."])

"""`./run deid IN OUT --keys DIR`: de-identify a folder of ultrasound images without a server."""

import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
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


def deid(
    source: Annotated[Path, typer.Argument(metavar="IN", help="folder of DICOM files; it is only read")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="receives the candidates")],
    keys: Annotated[Path, typer.Option(help="secrets and linkage, mode 0700; made at the first run; not in IN or OUT")],
    as_json: Annotated[bool, typer.Option("--json", help="the last line of the output is JSON")] = False,
    jobs: Annotated[int, typer.Option(min=0, max=256, help="files at a time; 0: one a core")] = 0,
    rules: Annotated[Path | None, typer.Option(help="device rules that a site has published, as JSON")] = None,
    confirm_known_devices: Annotated[
        bool, typer.Option(help="confirm at once all images of known devices on which no text is found")
    ] = False,
    confirmed_by: Annotated[str | None, typer.Option(help="who confirms")] = None,
    write_mapping: Annotated[
        bool, typer.Option(help="write uid_mapping.csv and patid_mapping.csv into the key folder")
    ] = False,
    study_is_patient: Annotated[
        bool, typer.Option(help="files without PatientID: one patient a study, instead of refused")
    ] = False,
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
    if not as_json:
        print(_table(outcomes))
    else:
        print(json.dumps(_summary(outcomes, wanted, seconds)))


def _write_mapping(places: Places) -> None:
    linkage = Linkage(places.keys, places.open_keys())
    try:
        mapping.write(places.keys, linkage)
    finally:
        linkage.close()


def _summary(outcomes: Sequence[Outcome], rules: Rules, seconds: float) -> dict[str, Any]:
    return {
        "files": [asdict(one) for one in outcomes],
        "counts": {"candidate": 0, "held": 0, "refused": 0} | Counter(one.status.value for one in outcomes),
        "new": sum(one.is_new for one in outcomes),
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

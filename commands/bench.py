"""Measure this machine: JSON with raw samples on stdout, medians and ratios against a peer of the same run."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer
from pydicom.uid import UID

from commands.demo import Running, running
from commands.demo_nodes import Layout
from commands.demo_person import Person
from commands.memory import pss_mb as pss_mb_of
from commands.memory import tree
from commands.orthanc import Orthanc, free_port
from commands.orthanc import running as orthanc_running
from core.dicom.peer import AS_STORED, DicomWebPeer, values
from core.errors import Malformed
from ml.phantom import make_study, to_bytes

ROOT = Path(__file__).resolve().parent.parent
INSTANCES_PER_STUDY, STUDIES = 40, 8


def bench(
    what: Annotated[str, typer.Argument(help="chain, pages, ui, deid or infer")] = "chain",
    rounds: Annotated[int, typer.Option(min=1, max=9)] = 3,
    run: Annotated[Path | None, typer.Option(help="of infer: the RUN or pipeline folder that answers")] = None,
) -> None:
    """Measure; every loop is bounded and stays on loopback."""
    measures: dict[str, Callable[[int], dict[str, Any]]] = {
        "chain": _chain,
        "pages": _pages,
        "ui": _ui,
        "deid": _deid,
        "infer": lambda rounds: _infer(run, rounds),
    }
    if what not in measures:
        raise Malformed(f"What can be measured now: {', '.join(measures)}.")
    print(json.dumps(measures[what](rounds)))


def _deid(rounds: int) -> dict[str, Any]:
    from commands import bench_deid  # its peers are packages of the tests

    return bench_deid.measure(rounds)


def _infer(run: Path | None, rounds: int) -> dict[str, Any]:
    """A minute of live frames a round, through a demo site."""
    from commands.bench_infer import stream

    if run is None:
        raise Malformed("Say which model is to answer: --run RUN.")
    return stream(run, rounds)


def _chain(rounds: int) -> dict[str, Any]:
    result: dict[str, Any] = {"when": time.strftime("%F %T"), "rounds": rounds}
    result["second_start_seconds"] = _second_starts(rounds)
    result["demo_once"] = [_demo_once(seed) for seed in range(1, rounds + 1)]
    result |= _retrieval(rounds)
    result["medians"] = {
        "second_start_seconds": statistics.median(result["second_start_seconds"]),
        "demo_once_seconds": statistics.median(run["wall_seconds"] for run in result["demo_once"]),
        "retrieve_instances_per_second": statistics.median(result["retrieve_instances_per_second"]),
        "plain_get_instances_per_second": statistics.median(result["plain_get_instances_per_second"]),
        "idle_pss_mb": result["idle_pss_mb"]["total"],
    }
    medians = result["medians"]
    medians["retrieve_against_plain_get"] = round(
        medians["retrieve_instances_per_second"] / medians["plain_get_instances_per_second"], 3
    )
    return result


def _ui(rounds: int) -> dict[str, Any]:
    """The case page in Chromium (the packages of the tests bring its driver)."""
    from commands.bench_ui import user_interface

    return user_interface(rounds)


def _pages(rounds: int) -> dict[str, Any]:
    """The worklist of 5,000 cases at the server, and the case page in Chromium (the packages of the tests bring its driver)."""
    from commands.bench_case import case_page
    from commands.bench_worklist import worklist_seconds

    return {"worklist_seconds": worklist_seconds(rounds), "case_page": case_page(rounds)}


def demo_layout(folder: str) -> Layout:
    """The demo on free ports."""
    while True:
        base = free_port()
        if base < 60000:
            return Layout(Path(folder), 1, base)


def _second_starts(rounds: int) -> list[float]:
    """Seconds from the command to every node ready, on data that is there."""
    with tempfile.TemporaryDirectory() as folder:
        layout, samples = demo_layout(folder), []
        for _ in range(rounds + 1):
            begun = time.monotonic()
            with running(layout):
                samples.append(round(time.monotonic() - begun, 2))
        return samples[1:]


def _demo_once(seed: int) -> dict[str, Any]:
    """The headless demo on an empty folder, as a user runs it."""
    with tempfile.TemporaryDirectory() as folder:
        base = free_port()
        begun = time.monotonic()
        done = subprocess.run(
            [str(ROOT / "run"), "demo", "--once", "--json", "--seed", str(seed)],
            env={"PATH": "/usr/bin:/bin", "HOME": folder, "SONOBANK_DATA_DIR": f"{folder}/var", "SONOBANK_PORT": str(min(base, 60000))},
            stdout=subprocess.PIPE, stderr=sys.stderr, check=True, cwd=ROOT,
        )  # fmt: skip
        summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return {"wall_seconds": round(time.monotonic() - begun, 1), "ok": summary["ok"], "stages": summary["stages"]}


def _retrieval(rounds: int) -> dict[str, Any]:
    """Pull studies from a real Orthanc: our retrieval beside plain sequential GETs of the same instances."""
    with tempfile.TemporaryDirectory() as folder, orthanc_running(Path(folder) / "orthanc") as orthanc:
        layout = demo_layout(f"{folder}/nodes")
        with running(layout) as nodes:
            time.sleep(10)
            idle = pss_mb(nodes)
            ours, plain = [], []
            for round_ in range(rounds):
                charts = [fill_orthanc(orthanc, 100 * round_ + number) for number in range(STUDIES)]
                plain.append(_plain_gets(orthanc, [study_uid for _, _, study_uid in charts]))
                ours.append(_pull(nodes, orthanc, charts))
            return {"retrieve_instances_per_second": ours, "plain_get_instances_per_second": plain, "idle_pss_mb": idle}


def fill_orthanc(
    orthanc: Orthanc, seed: int, stills: int = INSTANCES_PER_STUDY, cine_frames: int = 0
) -> tuple[str, str, str]:
    """One study of many stills, and one cine if it has frames; (chart ID, accession, study UID)."""
    study = make_study(1000 + seed, "liver", "epiq", 4, cine_frames)
    source = [instance for instance in study.instances if instance.dataset.get("NumberOfFrames", 1) == 1]
    contents = [to_bytes(instance) for instance in study.instances if instance not in source]
    for number in range(stills):
        instance = source[number % len(source)]
        uid = UID(f"{study.study_uid[:55]}.{number + 1}")
        instance.dataset.SOPInstanceUID = instance.dataset.file_meta.MediaStorageSOPInstanceUID = uid
        contents.append(to_bytes(instance))
    orthanc.store(contents)
    return study.patient.patient_id, study.accession, study.study_uid


def _plain_gets(orthanc: Orthanc, study_uids: list[str]) -> float:
    count, begun = 0, time.monotonic()
    with DicomWebPeer(orthanc.dicom_web) as peer, httpx2.Client(timeout=60, trust_env=False) as client:
        for study_uid in study_uids:
            for entry in peer.instances(study_uid):
                path = f"/studies/{study_uid}/series/{values(entry, '0020000E')[0]}/instances/{values(entry, '00080018')[0]}"
                client.get(orthanc.dicom_web + path, headers={"Accept": AS_STORED, "Accept-Encoding": "identity"})
                count += 1
    return round(count / (time.monotonic() - begun), 1)


def _pull(nodes: Running, orthanc: Orthanc, charts: list[tuple[str, str, str]]) -> float:
    """Instances a second from the first RETRIEVING to the last CURATING; staged, sealed, with facts and rows."""
    site = nodes.layout.sites[0]
    peers = [{"name": "pacs", "url": orthanc.dicom_web}]
    (nodes.layout.keys(site.name) / "peers.json").write_text(json.dumps(peers))
    person = Person(site.url, "curator", nodes.papers[site.name]["users"]["curator"])
    begun = time.monotonic()
    ids = [
        person.call("POST", "/api/v1/cases", json={"chart_id": chart, "accession": accession, "domain": "liver"})["id"]
        for chart, accession, _ in charts
    ]
    left = set(ids)
    while left:  # one light question: the bench must not be the load that it measures
        arrived = person.call("GET", "/api/v1/cases", params={"state": "CURATING", "limit": 500})["cases"]
        left -= {case["id"] for case in arrived}
        if time.monotonic() - begun > 300:
            raise Malformed("the retrieval took more than 300 s")
        time.sleep(0.25)
    rate = round(len(ids) * INSTANCES_PER_STUDY / (time.monotonic() - begun), 1)
    for case_id in ids:  # the candidates of this round are not the load of the next
        for image in person.call("GET", f"/api/v1/cases/{case_id}")["images"]:
            while not person.call("GET", f"/api/v1/images/{image['id']}/mask")["digest"]:
                time.sleep(0.5)
    return rate


def pss_mb(nodes: Running) -> dict[str, float]:
    """Proportional set size of every process of the demo, databases included, in MB."""
    found: dict[str, float] = {}
    for name, process in nodes.processes.items():
        found[name] = sum(map(pss_mb_of, tree(process.pid)))
    for node in nodes.layout.nodes:
        pid_file = nodes.layout.folder / node.name / "pg" / "cluster" / "postmaster.pid"
        found[f"{node.name}-postgres"] = sum(map(pss_mb_of, tree(int(pid_file.read_text().split()[0]))))
    found["total"] = sum(found.values())
    return {name: round(size, 1) for name, size in found.items()}

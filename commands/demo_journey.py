"""The demo's own people at work, over public HTTP only: what they do, an outsider can do with the same log-ins."""

import hashlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx2
from PIL import Image

from commands.demo_answers import answers_for, answers_to_texts
from commands.demo_nodes import DemoNode, Layout
from commands.demo_person import Person
from core.errors import Unavailable
from ml.client import Sonobank
from ml.connection import PullFailed
from ml.phantom import PhantomInstance, PhantomStudy, demo_studies, to_bytes
from ml.phantom_heart import heart_study

PATIENCE: Final = 120.0
STAGES: Final = (
    "flag",
    "retrieve",
    "curate",
    "mask",
    "confirm",
    "release",
    "pack",
    "relay",
    "receive",
    "replicate",
    "dataset",
)
_REACHED: Final = {
    "release": {"DEIDENTIFIED", "STAGED", "SEND_FAILED", "SENT", "RECEIVED", "ACCEPTED", "REPLICATED"},
    "pack": {"STAGED", "SEND_FAILED", "SENT", "RECEIVED", "ACCEPTED", "REPLICATED"},
    "relay": {"SENT", "RECEIVED", "ACCEPTED", "REPLICATED"},
    "receive": {"ACCEPTED", "REPLICATED"},
    "replicate": {"REPLICATED"},
}


class Journey:
    """From a flag to a pulled dataset. Run again, it finds what is done already and goes on."""

    def __init__(
        self, layout: Layout, papers: dict[str, Any], seed: int, cases: int, say: Callable[[str], None]
    ) -> None:
        self._layout, self._papers, self._say = layout, papers, say
        self._seed = seed
        self._most = cases
        self._studies: list[tuple[DemoNode, PhantomStudy]] = []
        self._stages: dict[str, dict[str, Any]] = {}
        self._cases: dict[str, tuple[DemoNode, PhantomStudy]] = {}
        self._facts: dict[str, Any] = {}
        self._people: dict[tuple[str, str], Person] = {}

    def _with_site(self, number: int, study: PhantomStudy) -> tuple[DemoNode, PhantomStudy]:
        return self._layout.sites[number % len(self._layout.sites)], study

    def __enter__(self) -> "Journey":
        return self

    def __exit__(self, *exc: object) -> None:
        for person in self._people.values():
            person.close()

    def run(self) -> dict[str, Any]:
        """The summary: ok, seconds, and for each stage its count and seconds."""
        begun, error = time.monotonic(), None
        self._stages = {}
        if not self._studies:
            made = demo_studies(self._seed)[: self._most]
            self._studies = [self._with_site(number, study) for number, study in enumerate(made)]
        try:
            self._fill_pacs()
            self._flag()
            self._retrieve()
            self._curate()
            self._follow_packages()
            self._dataset()
        except Unavailable as trouble:
            error = trouble.message
        ok = error is None and set(self._stages) >= set(STAGES) and all(s["count"] for s in self._stages.values())
        return {
            "ok": ok, "seconds": round(time.monotonic() - begun, 1), "seed": self._seed, "stages": self._stages, "error": error,
        } | self._facts  # fmt: skip

    def leave_for_hands(self) -> list[str]:
        """Two more studies and a heart flagged and pulled, for whoever opens the worklist; returns their cases."""
        done, self._cases = self._cases, {}
        studies, self._studies = self._studies, []
        try:
            more = [*demo_studies(self._seed + 1)[:2], heart_study(self._seed)]
            self._studies = [self._with_site(0, study) for study in more]
            self._fill_pacs()
            self._flag()
            self._retrieve()
            return list(self._cases)
        finally:
            self._cases, self._studies = done | self._cases, [*studies, *self._studies]

    @contextmanager
    def _stage(self, name: str) -> Iterator[dict[str, Any]]:
        begun = time.monotonic()
        entry = self._stages.setdefault(name, {"count": 0, "seconds": 0.0})
        yield entry
        entry["seconds"] = round(entry["seconds"] + time.monotonic() - begun, 2)
        self._say(f"{name:<9} {entry['count']:>4}   {entry['seconds']:.1f} s")

    def _person(self, node: DemoNode, name: str) -> Person:
        """Each person logs in once."""
        if (node.name, name) not in self._people:
            self._people[node.name, name] = Person(node.url, name, self._papers[node.name]["users"][name])
        return self._people[node.name, name]

    def _fill_pacs(self) -> None:
        """The consoles store the generated studies at the stand-in PACS by STOW-RS."""
        pacs = self._layout.pacs
        token = self._papers[pacs.name]["tokens"]["admin"]
        with httpx2.Client(
            base_url=pacs.url, timeout=60, headers={"Authorization": f"Bearer {token}"}, trust_env=False
        ) as client:
            for _, study in self._studies:
                body, boundary = _multipart([to_bytes(instance) for instance in study.instances])
                kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
                headers = {"Content-Type": kind, "Accept": "application/dicom+json"}
                try:
                    answer = client.post("/dicom-web/studies", content=body, headers=headers)
                except httpx2.HTTPError:
                    raise Unavailable("the PACS does not answer") from None
                if answer.status_code != 200:
                    raise Unavailable(f"the PACS answered {answer.status_code} to a STOW")

    def _flag(self) -> None:
        """The examiner flags the first study by REST and the others by a list."""
        with self._stage("flag") as stage:
            for node in self._layout.sites:
                studies = [study for site, study in self._studies if site is node]
                examiner = self._person(node, "examiner")
                for study in studies[:1]:
                    body = {"chart_id": study.patient.patient_id, "accession": study.accession, "domain": study.domain}
                    case = examiner.call("POST", "/api/v1/cases", json=body)
                    self._cases[case["id"]] = (node, study)
                lines = [f"{s.patient.patient_id},{s.domain},{s.accession}" for s in studies[1:]]
                text = "\n".join(["chart_id,domain,accession", *lines])
                answers = examiner.call(
                    "POST", "/api/v1/cases/csv", content=text.encode(), headers={"Content-Type": "text/csv"}
                )
                for study, answer in zip(studies[1:], answers, strict=True):
                    if not answer["ok"]:
                        raise Unavailable(f"a flag was refused: {answer['reason']}")
                    self._cases[answer["case_id"]] = (node, study)
            stage["count"] = len(self._cases)

    def _retrieve(self) -> None:
        """Wait until the workers have pulled every flagged study, complete."""
        with self._stage("retrieve") as stage:
            for case_id, (node, study) in self._cases.items():
                curator = self._person(node, "curator")
                case = _until(lambda c=curator, i=case_id: _arrived(c.call("GET", f"/api/v1/cases/{i}")), "retrieval")  # type: ignore[misc]
                if len(case["images"]) != len(study.instances):
                    raise Unavailable("a study came incomplete")
                stage["count"] += len(case["images"])

    def _curate(self) -> None:
        for case_id, (node, study) in self._cases.items():
            curator = self._person(node, "curator")
            case = curator.call("GET", f"/api/v1/cases/{case_id}")
            if case["state"] == "CURATING":
                self._answer(curator, case, study)
            else:
                with self._stage("curate") as stage:
                    stage["count"] += len(case["images"])
            for image, instance in zip(case["images"], study.instances, strict=True):
                self._look_and_confirm(curator, case, image, instance)
            if case["state"] == "CURATING":
                curator.call("POST", f"/api/v1/cases/{case_id}/register")

    def _answer(self, curator: Person, case: dict[str, Any], study: PhantomStudy) -> None:
        """Form, picks and the ROI that a curator sees: here the generator knows where the lesion is."""
        with self._stage("curate") as stage:
            form = curator.call("GET", f"/api/v1/cases/{case['id']}/form")
            values = answers_for(study.domain, study.instances[0].truth)
            curator.call("PUT", f"/api/v1/cases/{case['id']}/form", json={"values": values, "version": form["version"]})
            lesion, known = str(uuid4()), curator.call("GET", f"/api/v1/cases/{case['id']}/rois")
            for image, instance in zip(case["images"], study.instances, strict=True):
                if image["picked"] is None:
                    pick = {"picked": True, "version": image["pick_version"]}
                    curator.call("PUT", f"/api/v1/images/{image['id']}/pick", json=pick)
                if not any(roi["image_id"] == image["id"] for roi in known):
                    self._draw(curator, image, instance, lesion)
                stage["count"] += 1

    @staticmethod
    def _draw(curator: Person, image: dict[str, Any], instance: PhantomInstance, lesion: str) -> None:
        boxes = [(frame, box) for frame, box in enumerate(instance.truth.boxes, 1) if box is not None]
        for frame, (x, y, width, height) in boxes[:: max(1, len(boxes) // 3)][:3]:
            box = {"frame": frame, "x": x, "y": y, "width": width, "height": height}
            body = box | {"margin": 8, "label": instance.truth.code, "lesion_id": lesion}
            curator.call("POST", f"/api/v1/images/{image['id']}/rois", json=body)

    def _look_and_confirm(
        self, curator: Person, case: dict[str, Any], image: dict[str, Any], instance: PhantomInstance
    ) -> None:
        """Look at every frame that must be seen, check that the banner is black, confirm the digest that came with the frames."""
        path = f"/api/v1/images/{image['id']}"
        with self._stage("mask") as stage:
            mask = _until(lambda: _written(curator.call("GET", f"{path}/mask")), "candidate")
            while mask["state"] == "PROPOSED" and (said := answers_to_texts(mask, instance)):
                curator.call("POST", f"{path}/mask/texts", json={"answers": said, "revision": mask["revision"]})
                mask = _until(lambda: _written(curator.call("GET", f"{path}/mask")), "candidate")
            stage["count"] += 1
        with self._stage("confirm") as stage:
            stage["count"] += 1
            if mask["state"] == "CONFIRMED" or case["state"] != "CURATING":
                return
            digests = set()
            for frame in mask["to_show"]:
                answer = curator.send("GET", f"{path}/candidate/frames/{frame}")
                digests.add(answer.headers["Sonobank-Digest"])
                _banner_is_black(answer.content, instance)
            if len(digests) != 1:
                raise Unavailable("the candidate changed while it was looked at")
            curator.call("POST", f"{path}/mask/confirm", json={"digest": digests.pop()})

    def _follow_packages(self) -> None:
        """Watch each package on its way, as far as signed receipts tell the site."""
        begun = {name: time.monotonic() for name in _REACHED}
        for case_id, (node, _) in self._cases.items():
            transfer = self._person(node, "transfer")
            for name, states in _REACHED.items():

                def reached(
                    i: str = case_id, known: set[str] = states, who: Person = transfer
                ) -> dict[str, Any] | None:
                    packages = who.call("GET", "/api/v1/packages", params={"case_id": i})
                    stuck = [p for p in packages[:1] if p["state"] in {"HELD", "QUARANTINED"}]
                    if stuck:
                        raise Unavailable(f"a package is {stuck[0]['state']}: {stuck[0]['reason']}")
                    return packages[0] if packages and packages[0]["state"] in known else None

                _until(reached, name)
                entry = self._stages.setdefault(name, {"count": 0, "seconds": 0.0})
                entry["count"] += 1
                entry["seconds"] = round(time.monotonic() - begun[name], 2)
        for name in _REACHED:
            self._say(f"{name:<9} {self._stages[name]['count']:>4}   {self._stages[name]['seconds']:.1f} s")

    def _dataset(self) -> None:
        """The domain lead freezes a version of each organ's dataset; the developer pulls it in five lines."""
        with self._stage("dataset") as stage:
            lead = self._person(self._layout.central, "lead")
            frozen, hashes = {}, {}
            for domain in sorted({study.domain for _, study in self._cases.values()}):
                if domain not in {dataset["name"] for dataset in lead.call("GET", "/api/v1/datasets")}:
                    lead.call("POST", "/api/v1/datasets", json={"name": domain, "domain": domain})
                begun = lead.call("POST", f"/api/v1/datasets/{domain}/versions")
                path = f"/api/v1/datasets/{domain}/versions/{begun['version']}"
                version = _until(lambda p=path: _frozen(lead.call("GET", p)), "dataset")  # type: ignore[misc]
                hashes[domain] = self._pull(domain, version)
                frozen[domain] = {"version": version["version"], "hash": version["hash"], "counts": version["counts"]}
                stage["count"] += version["counts"]["images"]
            self._facts |= {"datasets": frozen, "files": hashes}

    def _pull(self, domain: str, version: dict[str, Any]) -> dict[str, str]:
        """{path: sha256} of what was pulled, hashed again here."""
        central = self._layout.central
        with tempfile.TemporaryDirectory() as folder:
            client = Sonobank(central.url, self._papers[central.name]["tokens"]["developer"])
            try:
                client.dataset(domain, version=version["version"]).pull(folder)
            except PullFailed as trouble:
                raise Unavailable(str(trouble)) from None
            files = [
                path for path in sorted(Path(folder).rglob("*")) if path.is_file() and path.name != "manifest.json"
            ]
            return {
                path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
            }


def _multipart(parts: list[bytes]) -> tuple[bytes, str]:
    boundary = uuid4().hex
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return b"".join(head + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode(), boundary


def _until(ask: Callable[[], dict[str, Any] | None], what: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if (found := ask()) is not None:
            return found
        time.sleep(0.15)
    raise Unavailable(f"{what} took more than {PATIENCE:.0f} s")


def _arrived(case: dict[str, Any]) -> dict[str, Any] | None:
    if case["state"] in {"RETRIEVE_FAILED", "EXCLUDED", "WITHDRAWN"}:
        raise Unavailable(f"a case is {case['state']}: {case['reason']}")
    return case if case["state"] in {"CURATING", "REGISTERED"} else None


def _written(mask: dict[str, Any]) -> dict[str, Any] | None:
    if mask["hold"]:
        raise Unavailable(f"a candidate is held: {mask['hold']}")
    return mask if mask["digest"] and mask["text_read"] else None


def _frozen(version: dict[str, Any]) -> dict[str, Any] | None:
    if version["state"] == "FAILED":
        raise Unavailable(f"the dataset failed: {version['reason']}")
    return version if version["state"] == "FROZEN" else None


def _banner_is_black(png: bytes, instance: PhantomInstance) -> None:
    """What a curator's eyes do: no identifying text may be left on the picture."""
    picture = Image.open(io.BytesIO(png)).convert("L")
    for text in instance.texts:
        x, y, width, height = text.box
        if text.identifying and picture.crop((x, y, x + width, y + height)).getextrema()[1] > 16:  # type: ignore[operator]
            raise Unavailable("text that identifies is left on the candidate")

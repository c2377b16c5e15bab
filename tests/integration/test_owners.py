"""Role x route x owner: what is another domain's, another site's or another person's looks like what does not exist."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from httpx2 import Response
from sqlmodel import Session, col, select

from core.db import transaction
from core.models.archive import Instance, Series, Study
from core.models.bank import BankCase, BankImage, BankRoi, RecordVersion, Site
from core.models.curation import Edit, ImageMask, MaskState, Pick, Roi
from core.models.datasets import Dataset, DatasetFile, DatasetVersion, VersionState
from core.models.people import ApiToken, Role, User
from core.models.proposals import ModelProposal, ProposalSet
from core.models.reads import Read, ReadState, ReviewComment
from core.models.sitecase import CaseState, ImageState, SiteCase, SiteImage
from core.models.training import TrainingRun, TrainingState
from core.models.transfer import Package, PackageState, Parcel, ParcelState, SignedMessage
from core.package import signing
from core.security import session_cookie_name
from core.services.curation import roi_body
from tests.factories.packages import make_packed
from tests.postgres_fixture import ScratchPostgres
from tests.route_table import READING, ROUTES, SITE, STEPS, Page
from tests.served import Served, serve

SITE_ROLES = (Role.EXAM, Role.CUR, Role.REG, Role.SITEPI, Role.SITEIT, Role.XFER)
BODIES: dict[str, dict[str, Any]] = {
    "PUT /api/v1/cases/{case_id}/form": {"values": {}, "version": 0},
    "PUT /api/v1/images/{image_id}/pick": {"picked": True, "version": 0},
    "POST /api/v1/images/{image_id}/rois": {
        "frame": 1, "x": 1, "y": 1, "width": 9, "height": 9, "label": "LIV-HCC",
    },
    "PUT /api/v1/rois/{roi_id}": {
        "frame": 1, "x": 1, "y": 1, "width": 9, "height": 9, "label": "LIV-HCC", "version": 1,
    },
    "PUT /api/v1/images/{image_id}/marks": {"beats": [], "version": 0},
    "PUT /api/v1/images/{image_id}/mask": {"rects": [], "revision": 1},
    "POST /api/v1/images/{image_id}/mask/confirm": {"digest": "0" * 64},
    "POST /api/v1/images/{image_id}/mask/texts": {"answers": {"0": "leave"}, "revision": 1},
    "PUT /api/v1/reads/{read_id}/form": {"values": {}, "version": 0},
    "POST /api/v1/reads/{read_id}/images/{image_id}/rois": {
        "frame": 1, "x": 1, "y": 1, "width": 9, "height": 9, "label": "LIV-HCC",
    },
    "PUT /api/v1/reads/{read_id}/rois/{roi_id}": {
        "frame": 1, "x": 1, "y": 1, "width": 9, "height": 9, "label": "LIV-HCC", "version": 1,
    },
    "POST /api/v1/cases/{case_id}/reads": {"readers": [str(UUID(int=1))]},
}  # fmt: skip


@dataclass
class Things:
    """The objects of one organ domain at the site."""

    case_id: UUID
    image_id: UUID
    roi_id: UUID
    package_id: UUID
    proposal_id: UUID
    edit_id: UUID
    read_id: UUID
    comment_id: UUID

    def fill(self, path: str) -> str:
        for name, value in vars(self).items():
            path = path.replace(f"{{{name}}}", str(value))
        return path.replace("{frame}", "1")


def make_things(served: Served, domain: str, by: UUID) -> Things:
    with transaction(served.node.engine, "test.things") as session:
        case = SiteCase(domain=domain, state=CaseState.CURATING, route="rest", flagged_by=by)
        session.add(case)
        session.flush()
        image = SiteImage(case_id=case.id, number=1, state=ImageState.REFUSED, size=1, frames=1, rows=60, columns=80)
        session.add(image)
        session.flush()
        roi = Roi(image_id=image.id, frame=1, x=1, y=1, width=9, height=9, margin=0, label="LIV-HCC")
        mask = ImageMask(image_id=image.id, revision=1, state=MaskState.PROPOSED)
        package = Package(case_id=case.id, case_version=1, state=PackageState.SENT)
        looked = ProposalSet(image_id=image.id, digest="0" * 64, model="dark blobs", model_version="1")
        # Of another person: a reading of one's own would hide everything else of the case.
        reader = User(name=f"reader of {domain}")
        session.add_all([roi, mask, package, looked, Pick(image_id=image.id, picked=True), reader])
        session.flush()
        proposal = ModelProposal(set_id=looked.id, frame=1, kind="rectangle", points=[[1, 1], [9, 9]], score=0.5)
        edit = Edit(case_id=case.id, kind="roi", object_id=roi.id, version=1, body=roi_body(roi), by=by)
        read = Read(case_id=case.id, reader_id=reader.id, assigned_by=by, state=ReadState.ASSIGNED)
        comment = ReviewComment(case_id=case.id, by=by)
        session.add_all([proposal, edit, read, comment])
    return Things(case.id, image.id, roi.id, package.id, proposal.id, edit.id, read.id, comment.id)


def unknown() -> Things:
    return Things(*(uuid4() for _ in range(8)))


def same_404(theirs: Response, nobodys: Response) -> None:
    """Byte for byte the answer for a thing that does not exist."""
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.content == nobodys.content
    kept = [{name: value for name, value in answer.headers.items() if name != "date"} for answer in (theirs, nobodys)]
    assert kept[0] == kept[1]


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres) -> Iterator[Served]:
    with serve(postgres, "site") as served:
        served.person("liver", [(role, "liver") for role in SITE_ROLES])
        yield served


@pytest.fixture(scope="module")
def head(site: Served) -> dict[str, str]:
    return site.bearer("liver")


@pytest.fixture(scope="module")
def own(site: Served) -> Things:
    return make_things(site, "liver", site.people["liver"].id)


@pytest.fixture(scope="module")
def theirs(site: Served) -> Things:
    return make_things(site, "breast", site.people["liver"].id)


def calls() -> list[tuple[str, str, dict[str, Any] | None]]:
    """Every call of the site's API that names an object: (method, path, body)."""
    found: list[tuple[str, str, dict[str, Any] | None]] = []
    for route, need in SITE.items():
        method, path = route.split(" ")
        if isinstance(need, Page) or not any(f"{{{name}}}" in path for name in vars(unknown())):
            continue
        if "{step}" in path:
            found += [(method, path.replace("{step}", s), {"reason": "wrong-patient"}) for s in STEPS]
        else:
            found.append((method, path, BODIES.get(route)))
    return found


def test_every_body_belongs_to_a_route() -> None:
    assert set(BODIES) <= set(SITE)


def test_another_domains_objects_do_not_exist(site: Served, head: dict[str, str], own: Things, theirs: Things) -> None:
    for method, path, body in calls():
        foreign = site.client.request(method, theirs.fill(path), headers=head, json=body)
        nothing = site.client.request(method, unknown().fill(path), headers=head, json=body)
        same_404(foreign, nothing)


JSON_PAGES = {
    "PUT /cases/{case_id}/defaults": {"forget": []},
    "PUT /cases/{case_id}/form": {"values": {}, "version": 0},
    "PUT /cases/{case_id}/images/{image_id}/pick": {"picked": True, "version": 0},
    "POST /cases/{case_id}/images/{image_id}/rois": BODIES["POST /api/v1/images/{image_id}/rois"],
    "PUT /cases/{case_id}/rois/{roi_id}": BODIES["PUT /api/v1/rois/{roi_id}"],
    "PUT /cases/{case_id}/images/{image_id}/marks": BODIES["PUT /api/v1/images/{image_id}/marks"],
    "PUT /cases/{case_id}/images/{image_id}/mask": BODIES["PUT /api/v1/images/{image_id}/mask"],
    "POST /cases/{case_id}/presence": {},
    "POST /cases/{case_id}/images/{image_id}/mask/confirm": BODIES["POST /api/v1/images/{image_id}/mask/confirm"],
    "POST /cases/{case_id}/images/{image_id}/mask/texts": BODIES["POST /api/v1/images/{image_id}/mask/texts"],
    "POST /cases/{case_id}/images/{image_id}/proposals/{proposal_id}": {"answer": "reject"},
    "PUT /reads/{read_id}/form": {"values": {}, "version": 0},
    "POST /reads/{read_id}/images/{image_id}/rois": BODIES["POST /api/v1/images/{image_id}/rois"],
    "PUT /reads/{read_id}/rois/{roi_id}": BODIES["PUT /api/v1/rois/{roi_id}"],
}


def pages_of_objects() -> list[str]:
    """Every page and form of the site that names an object."""
    names = [f"{{{name}}}" for name in vars(unknown())]
    return [route for route, need in SITE.items() if isinstance(need, Page) and any(name in route for name in names)]


@pytest.mark.parametrize("route", pages_of_objects())
def test_another_domains_pages_do_not_exist(site: Served, theirs: Things, route: str) -> None:
    """The page, and every form of it, for a thing of another domain is the page for a thing that nobody has."""
    method, path = route.split(" ")
    with signed_in(site, "liver") as client:
        answers = [
            client.request(method, things.fill(path).replace("{step}", "retry"), **_body(route))
            for things in (theirs, unknown())
        ]
    assert [answer.status_code for answer in answers] == [404, 404], route
    assert answers[0].content == answers[1].content


def _body(route: str) -> dict[str, Any]:
    if route in JSON_PAGES:
        return {"json": JSON_PAGES[route]}
    return {"data": {"picked": "yes", "version": "0", "reason": "wrong-patient"}} if route.startswith("POST") else {}


@contextmanager
def signed_in(site: Served, name: str) -> Iterator[Any]:
    client = site.client
    client.cookies.set(session_cookie_name(site.settings), site.cookie(name))
    client.headers["Sec-Fetch-Site"] = "same-origin"
    try:
        yield client
    finally:
        client.cookies.clear()
        del client.headers["Sec-Fetch-Site"]


def test_ones_own_objects_do(site: Served, head: dict[str, str], own: Things) -> None:
    """The same calls reach their service: the 404 above is not for want of a good request."""
    for method, path, body in calls():
        if path.startswith("/api/v1/reads/"):
            continue  # a reading is its reader's alone, whoever may see the case: tests/integration/test_reads.py
        answer = site.client.request(method, own.fill(path), headers=head, json=body)
        refused = {422} if path.endswith("/reads") and method == "POST" else set()  # nobody of that id may read
        assert answer.status_code in {200, 409} | refused, (method, path, answer.text)
        with transaction(site.node.engine, "test.again") as session:
            session.get_one(SiteCase, own.case_id).state = CaseState.CURATING


def test_lists_hold_ones_own_only(site: Served, head: dict[str, str], own: Things, theirs: Things) -> None:
    cases = site.client.get("/api/v1/cases", headers=head).json()
    assert ([case["id"] for case in cases["cases"]], cases["total"]) == ([str(own.case_id)], 1)
    assert site.client.get("/api/v1/cases?domain=breast", headers=head).json()["total"] == 0
    packages = site.client.get("/api/v1/packages", headers=head).json()
    assert [package["id"] for package in packages] == [str(own.package_id)]
    assert site.client.get(f"/api/v1/packages?case_id={theirs.case_id}", headers=head).json() == []


def test_nobody_flags_for_another_domain(site: Served, head: dict[str, str]) -> None:
    body = {"chart_id": "00123456", "domain": "breast", "accession": "A1"}
    assert site.client.post("/api/v1/cases", headers=head, json=body).status_code == 403
    text = "chart_id,domain,accession\n00123456,breast,A1\n"
    lines = site.client.post("/api/v1/cases/csv", headers=head | {"content-type": "text/csv"}, content=text).json()
    assert [(line["ok"], line["reason"]) for line in lines] == [(False, "You may not do this.")]


def test_a_right_in_one_domain_is_none_in_another(site: Served, theirs: Things) -> None:
    """Who curates livers and may see that breasts are there reads them, and changes nothing."""
    site.person("mixed", [*((role, "liver") for role in SITE_ROLES), (Role.SITEPI, "breast")])
    head = site.bearer("mixed")
    for method, path, body in calls():
        answer = site.client.request(method, theirs.fill(path), headers=head, json=body)
        if method == "GET" and "/frames" not in path and not path.endswith("/shown") and "/reads" not in path:
            assert answer.status_code == 200, path
        else:
            assert answer.status_code in {403, 404}, (path, answer.text)


@pytest.fixture(scope="module")
def central(postgres: ScratchPostgres) -> Iterator[Served]:
    with serve(postgres, "central") as served:
        served.person("liver", [(role, "liver") for role in (Role.DOM, Role.CENOP, Role.AIDEV)])
        with transaction(served.node.engine, "test.bank") as session:
            session.add(Site(code="KYOTO01", name="Kyoto"))
            session.flush()
            for domain in ("liver", "breast"):
                fill_bank(session, domain, served.people["liver"].id)
        yield served


@pytest.fixture(scope="module")
def lead(central: Served) -> dict[str, str]:
    return central.bearer("liver")


def test_another_domains_cases_do_not_exist(central: Served, lead: dict[str, str]) -> None:
    get = central.client.get
    own = get("/api/v1/cases", headers=lead).json()
    assert [case["domain"] for case in own] == ["liver"]
    assert get(f"/api/v1/cases/{own[0]['id']}", headers=lead).status_code == 200
    with transaction(central.node.engine, "test.find") as session:
        theirs = next(case.id for case in session.exec(select(BankCase)) if case.domain == "breast")
    same_404(get(f"/api/v1/cases/{theirs}", headers=lead), get(f"/api/v1/cases/{uuid4()}", headers=lead))
    assert [count["domain"] for count in get("/api/v1/counts", headers=lead).json()] == ["liver"]


@pytest.mark.parametrize(
    "route",
    [route for route, need in ROUTES["central"].items() if "{name}" in route and not isinstance(need, Page)],
    ids=lambda route: route.split("/v1/")[1],
)
def test_another_domains_datasets_do_not_exist(central: Served, lead: dict[str, str], route: str) -> None:
    method, path = route.split(" ")
    path = path.replace("{version}", "1").replace("{sha256}", "a" * 64)
    theirs, nobodys, own = (
        central.client.request(method, path.replace("{name}", name), headers=lead)
        for name in ("breast-set", "no-such-set", "liver-set")
    )
    same_404(theirs, nobodys)
    assert own.status_code != 404 or path.endswith("a" * 64)  # its blob is not in the store


@pytest.mark.parametrize("route", [route for route in ROUTES["central"] if "{run_id}" in route])
def test_another_domains_trainings_do_not_exist(central: Served, lead: dict[str, str], route: str) -> None:
    method, path = route.split(" ")
    with transaction(central.node.engine, "test.runs") as session:
        statement = (
            select(TrainingRun.id, Dataset.domain)
            .join(DatasetVersion, col(DatasetVersion.id) == TrainingRun.dataset_version_id)
            .join(Dataset, col(Dataset.id) == DatasetVersion.dataset_id)
        )
        runs = {domain: str(run) for run, domain in session.exec(statement)}
    with signed_in(central, "liver") as client:
        how = {} if path.startswith("/training") else {"headers": lead}
        theirs, nobodys, own = (
            client.request(method, path.replace("{run_id}", run), **how)
            for run in (runs["breast"], str(uuid4()), runs["liver"])
        )
    assert (theirs.status_code, theirs.content) == (404, nobodys.content)
    assert own.status_code != 404


def test_a_dataset_of_another_domain_cannot_be_made(central: Served, lead: dict[str, str]) -> None:
    answer = central.client.post("/api/v1/datasets", headers=lead, json={"name": "mine", "domain": "breast"})
    assert answer.status_code == 403
    assert [d["name"] for d in central.client.get("/api/v1/datasets", headers=lead).json()] == ["liver-set"]


@pytest.mark.parametrize("route", [route for route in READING if "{study}" in route])
def test_another_domains_studies_do_not_exist(central: Served, lead: dict[str, str], route: str) -> None:
    method, path = route.split(" ")

    def ask(uid: str) -> Response:
        names = {"study": f"{uid}.1", "series": f"{uid}.2", "instance": f"{uid}.3", "frames": "1"}
        filled = path.replace("{path:path}", "7FE00010").format(**names)
        return central.client.request(method, filled, headers=lead | {"accept": "*/*"})

    theirs, nobodys, own = ask("2.25.2"), ask("2.25.9"), ask("2.25.1")
    if path.endswith(("/series", "/instances")):
        assert (theirs.status_code, theirs.content) == (nobodys.status_code, nobodys.content)  # an empty search
        assert method == "HEAD" or (own.status_code == 200 and own.content != theirs.content)
    else:
        same_404(theirs, nobodys)
        assert own.status_code == 200 or not path.endswith("/metadata")  # its blob is not in the store


def test_searches_find_ones_own_only(central: Served, lead: dict[str, str]) -> None:
    for level in ("studies", "series", "instances"):
        found = central.client.get(f"/dicom-web/{level}", headers=lead | {"accept": "application/dicom+json"})
        assert {row["0020000D"]["Value"][0] for row in found.json()} == {"2.25.1.1"}


def fill_bank(session: Session, domain: str, by: UUID) -> None:
    """One accepted case, one frozen dataset and one archived instance of this domain."""
    case = BankCase(
        id=uuid4(), site="KYOTO01", research_id=uuid4(), domain=domain, version=1, package_id=uuid4(),
        accepted_month="2026-10",
    )  # fmt: skip
    session.add(case)
    session.flush()
    image = BankImage(
        id=uuid4(), case_id=case.id, sop_instance_uid="2.25.7", sha256="a" * 64, rows=6, columns=8, frames=1
    )
    session.add_all([image, RecordVersion(case_id=case.id, version=1, record={"domain": domain})])
    session.flush()
    box = {"frame": 1, "x": 1, "y": 1, "width": 2, "height": 2, "margin": 0}
    session.add(BankRoi(id=uuid4(), image_id=image.id, lesion_id=uuid4(), label="LIV-HCC", **box))
    dataset = Dataset(name=f"{domain}-set", domain=domain)
    session.add(dataset)
    session.flush()
    version = DatasetVersion(
        dataset_id=dataset.id, n=1, state=VersionState.FROZEN, hash="b" * 64, cases=[], created_by=by
    )
    session.add(version)
    session.flush()
    run = TrainingRun(
        dataset_version_id=version.id, task="detect", recipe="trial", seed=0, budget_minutes=1,
        state=TrainingState.QUEUED, created_by=by,
    )  # fmt: skip
    session.add(run)
    session.add(DatasetFile(version_id=version.id, path="images/1.dcm", sha256="a" * 64, size=10, kind="image"))
    uid = {"liver": "2.25.1", "breast": "2.25.2"}[domain]
    study = Study(study_uid=f"{uid}.1", domain=domain, modalities=["US"], series_count=1, instance_count=1)
    session.add(study)
    session.flush()
    series = Series(study_id=study.id, series_uid=f"{uid}.2", modality="US", instance_count=1)
    session.add(series)
    session.flush()
    session.add(
        Instance(
            series_id=series.id, sop_instance_uid=f"{uid}.3", sop_class_uid="1.2.840.10008.5.1.4.1.1.6.1",
            transfer_syntax="1.2.840.10008.1.2.1", sha256="a" * 64, size=10, metadata_json="{}",
        )
    )  # fmt: skip


@pytest.mark.parametrize("role", ["relay", "central"])
def test_a_machine_speaks_for_its_own_site_only(postgres: ScratchPostgres, role: str) -> None:
    with serve(postgres, role) as served:
        served.person("kyoto", [(Role.MACHINE, "*")], site="KYOTO01")
        served.person("relay", [(Role.MACHINE, "*")], site="*")
        packed = make_packed(site="OSAKA02")
        with transaction(served.node.engine, "test.parcel") as session:
            public = packed.site_key.public_key()
            session.add(Site(code="OSAKA02", name="O", keys={signing.key_id(public): signing.write_public(public)}))
            session.add(SignedMessage(site="OSAKA02", n=1, body="{}", signature="0"))
        own, every = served.bearer("kyoto"), served.bearer("relay")
        announced = {"header": packed.header.decode(), "signature": packed.signature}
        assert served.client.post("/api/v1/parcels", json=announced, headers=own).status_code == 403
        assert served.client.post("/api/v1/parcels", json=announced, headers=every).status_code == 201
        assert served.client.post("/api/v1/parcels", json=announced, headers=own).status_code == 403
        here = f"/api/v1/parcels/OSAKA02/{packed.facts.package_id}"
        for other in (f"/api/v1/parcels/OSAKA02/{uuid4()}", f"/api/v1/parcels/KYOTO01/{uuid4()}"):
            same_404(served.client.get(here, headers=own), served.client.get(other, headers=own))
            same_404(
                served.client.put(f"{here}/content?offset=0", headers=own, content=b"x"),
                served.client.put(f"{other}/content?offset=0", headers=own, content=b"x"),
            )
        same_404(
            served.client.get("/api/v1/messages?site=OSAKA02", headers=own),
            served.client.get("/api/v1/messages?site=NARA03", headers=own),
        )
        assert served.client.get("/api/v1/messages?site=KYOTO01", headers=own).json() == {"messages": []}
        assert served.client.get(here, headers=every).json()["received"] == 0
        assert len(served.client.get("/api/v1/messages?site=OSAKA02", headers=every).json()["messages"]) == 1
        with transaction(served.node.engine, "test.untouched") as session:
            assert [(p.state, p.received) for p in session.exec(select(Parcel))] == [(ParcelState.RECEIVING, 0)]


def test_a_machine_without_a_site_speaks_for_none(postgres: ScratchPostgres) -> None:
    with serve(postgres, "relay") as served:
        served.person("machine", [(Role.MACHINE, "*")], site="KYOTO01")
        with transaction(served.node.engine, "test.no-site") as session:
            session.merge(served.people["machine"]).site = None
        answer = served.client.get("/api/v1/messages?site=None", headers=served.bearer("machine"))
        assert answer.status_code == 404


def test_another_persons_token_does_not_exist(postgres: ScratchPostgres) -> None:
    with serve(postgres, "pacs") as served:
        served.person("sato", [(Role.SITEIT, "*")])
        served.person("ito", [(Role.SITEIT, "*")])
        served.person("admin", [(Role.ADMIN, "*")])
        head, theirs = served.bearer("sato"), served.bearer("ito")
        with transaction(served.node.engine, "test.tokens") as session:
            ids = {t.user_id: t.id for t in session.exec(select(ApiToken))}
        ito = ids[served.people["ito"].id]
        delete = served.client.delete
        same_404(delete(f"/api/v1/tokens/{ito}", headers=head), delete(f"/api/v1/tokens/{uuid4()}", headers=head))
        assert {t["id"] for t in served.client.get("/api/v1/tokens", headers=head).json()} == {
            str(ids[served.people["sato"].id])
        }
        assert served.client.get("/api/v1/me", headers=theirs).status_code == 200
        assert delete(f"/api/v1/tokens/{ito}", headers=served.bearer("admin")).status_code == 204
        assert served.client.get("/api/v1/me", headers=theirs).status_code == 401

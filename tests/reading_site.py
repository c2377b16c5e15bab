"""A site whose cases are rows alone, for tests of what people say about them: no PACS, no pictures, quick to make."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from starlette.testclient import TestClient

from core.db import transaction
from core.models.curation import Roi
from core.models.people import Role
from core.models.sitecase import CaseState, ImageState, SiteCase, SiteImage
from core.permissions import Actor, rights_of
from core.security import session_cookie_name
from core.services import curation
from tests.served import Served

REGION = {
    "x0": 0, "y0": 0, "x1": 639, "y1": 479, "spatial_format": 1, "data_type": 1, "unit_x": 3, "unit_y": 3,
    "delta_x": 0.05, "delta_y": 0.05,
}  # fmt: skip
Grants = Mapping[str, Sequence[Role]]


@dataclass(frozen=True)
class DeskCase:
    """A case in curation: image 1 is a still, image 2 a cine of five frames; a pixel is 0.5 mm."""

    served: Served
    id: UUID
    number: int
    images: tuple[UUID, ...]

    def answer(self, actor: Actor, **values: object) -> None:
        with transaction(self.served.node.engine, "test.answer") as session:
            _, version = curation.present_form(session, session.get_one(SiteCase, self.id))
            curation.save_form(session, actor, self.id, values, version)

    def draw(self, actor: Actor, image: int = 1, **changes: Any) -> UUID:
        with transaction(self.served.node.engine, "test.draw") as session:
            return curation.add_roi(session, actor, self.images[image - 1], box(**changes)).id


def box(**changes: Any) -> Roi:
    """A rectangle of frame 1 as a page would send it."""
    known = {"frame": 1, "x": 100.0, "y": 80.0, "width": 40.0, "height": 30.0, "margin": 8.0, "label": "LIV-HCC"}
    return Roi(**known | {"lesion_id": uuid4(), "image_id": uuid4()} | changes)


def make_case(served: Served, by: str, domain: str = "liver", state: CaseState = CaseState.CURATING) -> DeskCase:
    with transaction(served.node.engine, "test.case") as session:
        case = SiteCase(domain=domain, state=state, route="rest", flagged_by=served.people[by].id)
        session.add(case)
        session.flush()
        made = [
            SiteImage(
                case_id=case.id, number=number, state=ImageState.STAGED, size=1, frames=frames, rows=480, columns=640,
                facts={"regions": [REGION], "mm_per_px": [0.5, 0.5]},
            )
            for number, frames in ((1, 1), (2, 5))
        ]  # fmt: skip
        session.add_all(made)
        session.flush()
        return DeskCase(served, case.id, case.number, tuple(image.id for image in made))


def actor_of(served: Served, grants: Grants, name: str, domain: str = "*") -> Actor:
    return Actor(name, served.people[name].id, rights_of([(role, domain) for role in grants[name]]))


@contextmanager
def signed_in(served: Served, name: str, lang: str = "en") -> Iterator[TestClient]:
    """The browser of one of the people."""
    client = served.client
    client.cookies.clear()
    client.cookies.update({session_cookie_name(served.settings): served.cookie(name)})
    client.headers.update({"Sec-Fetch-Site": "same-origin", "Accept-Language": lang})
    try:
        yield client
    finally:
        client.cookies.clear()
        for header in ("Sec-Fetch-Site", "Accept-Language"):
            client.headers.pop(header, None)

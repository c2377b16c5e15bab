"""A site that holds images of an invented console which no mask rule knows, for tests of the rules that a site makes."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from sqlmodel import Session, select

from core.db import reading, transaction
from core.models.curation import ImageMask, MaskState
from core.models.people import Role
from core.models.sitecase import CaseState, ImageState, SiteCase, SiteImage
from core.node import SiteNode
from core.permissions import Actor
from core.services import masks
from tests.sites import person

MAKER, MODEL = "Hakusan Medical Works", "EchoView 300"
ROWS, COLUMNS = 576, 768


def officer(node: SiteNode, name: str = "mori") -> Actor:
    return person(node, name, Role.SITEPI)


def content(**changes: Any) -> dict[str, Any]:
    """A rule that hides the lower bar and the clock of that console."""
    known: dict[str, Any] = {
        "manufacturer": MAKER, "model": MODEL, "aliases": [], "software": "", "image_type": "", "rows": ROWS,
        "columns": COLUMNS, "scale": "refuse", "outside": True, "rects": [[0, 536, 768, 40], [622, 0, 146, 60]],
    }  # fmt: skip
    return known | changes


def hold(
    node: SiteNode,
    by: UUID,
    images: int = 2,
    *,
    domain: str = "liver",
    rows: int = ROWS,
    columns: int = COLUMNS,
    state: CaseState = CaseState.CURATING,
    **facts: Any,
) -> list[SiteImage]:
    """A case with images of the console, with rows and proposals but without bytes."""
    with transaction(node.engine, "test.hold") as session:
        case = SiteCase(domain=domain, state=state, route="rest", flagged_by=by)
        session.add(case)
        session.flush()
        known: dict[str, Any] = {
            "manufacturer": MAKER, "model": MODEL, "software": ["2.4.1"], "image_type": ["ORIGINAL", "PRIMARY"],
            "modality": "US", "rows": rows, "columns": columns,
            "regions": [{"x0": 30, "y0": 34, "x1": 500, "y1": 400, "data_type": 1}],
        }  # fmt: skip
        made = [
            SiteImage(
                id=uuid4(), case_id=case.id, number=number, state=ImageState.STAGED, size=1, frames=1, rows=rows,
                columns=columns, facts=known | facts,
            )
            for number in range(1, images + 1)
        ]  # fmt: skip
        session.add_all(made)
        session.flush()
        masks.propose(session, made)
        return made


def current(node: SiteNode, images: Sequence[SiteImage]) -> list[ImageMask]:
    with reading(node.engine) as session:
        return [_current(session, image.id) for image in images]


def _current(session: Session, image_id: UUID) -> ImageMask:
    of_image = select(ImageMask).where(ImageMask.image_id == image_id, ImageMask.state != MaskState.VOID)
    return session.exec(of_image).one()

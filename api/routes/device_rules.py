"""The site's own mask rules as JSON: to take to another site, and to bring from one as drafts."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field
from sqlmodel import SQLModel

from api.deps import NodeDep, SessionDep, may
from core.deid.local_rules import LONGEST, MOST_ALIASES, MOST_RECTS, Scale
from core.permissions import Actor, Verb
from core.services import device_exchange

router = APIRouter(prefix="/api/v1", tags=["site"])
Officer = Annotated[Actor, may(Verb.DEVICE_RULES)]
Name = Annotated[str, Field(max_length=LONGEST)]
Rect = tuple[
    Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)], Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]
]


class RuleContent(SQLModel):
    """For which images a rule is, and what it blanks: x, y, width, height in pixels of a frame of that size."""

    manufacturer: Name
    model: Name
    aliases: list[Name] = Field(default=[], max_length=MOST_ALIASES)
    software: Name = Field(default="", description="part of the software version; empty: any")
    image_type: Name = Field(default="", description=r"part of ImageType, joined by \; empty: any")
    rows: int = Field(gt=0)
    columns: int = Field(gt=0)
    scale: Scale = Field(description="other sizes: exact says nothing of them, refuse leaves them unknown")
    outside: bool = Field(description="also everything outside the ultrasound regions")
    rects: list[Rect] = Field(max_length=MOST_RECTS)


class RuleIn(SQLModel):
    rule: str = Field(default="", max_length=40)
    content: RuleContent


class RulesIn(SQLModel):
    format: Literal["sonobank-device-rules-v1"]
    site: str = Field(default="", pattern=r"^[A-Za-z0-9-]{0,20}$")
    rules: list[RuleIn] = Field(max_length=device_exchange.MOST)


class RuleOut(RuleIn):
    version: int
    sha256: str
    note: str
    tested: dict[str, int]


class RulesOut(SQLModel):
    format: str
    site: str
    rules: list[RuleOut]


class DraftOut(SQLModel):
    id: UUID
    rule: str
    state: str


@router.get("/device-rules")
def device_rules(node: NodeDep, session: SessionDep, actor: Officer) -> RulesOut:
    """Every rule that is in use here, with its version and the counts of its test."""
    return RulesOut.model_validate(device_exchange.export(session, actor, node.settings.site_code or ""))


@router.post("/device-rules", status_code=201)
def import_device_rules(body: RulesIn, session: SessionDep, actor: Officer) -> list[DraftOut]:
    """Drafts of these rules: they mask nothing until a person has tested and published them here."""
    given: list[dict[str, Any]] = [one.model_dump(mode="json") for one in body.rules]
    made = device_exchange.take_in(session, actor, given, body.site)
    return [DraftOut(id=rule.id, rule=rule.code, state=rule.state) for rule in made]

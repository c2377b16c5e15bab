"""How curation gets on: what waits for a result, what a site aims at, and where a person wants to be reminded."""

from datetime import date, datetime
from typing import Final
from uuid import UUID

from sqlmodel import Field, SQLModel

from core.models.base import Created

# Why a case waits (PS3.16 CID 7015): 128717 diagnosis, 128718 histology.
WAIT_REASONS: Final = {"pathology": "128718", "diagnosis": "128717"}


class CaseWait(SQLModel, table=True):
    """A case in curation that waits for a result until a day; its state stays CURATING."""

    __tablename__ = "case_wait"
    case_id: UUID = Field(primary_key=True, foreign_key="site_case.id")
    until: date
    reason: str = Field(max_length=16)
    by: UUID = Field(foreign_key="user.id")
    at: datetime = Created()


class Target(SQLModel, table=True):
    """How many registered cases of a diagnosis the site aims at; code "" is the whole organ."""

    domain: str = Field(primary_key=True, max_length=32)
    code: str = Field(primary_key=True, max_length=32)
    amount: int


class Reminder(SQLModel, table=True):
    """Where a person's reminders go, and the day of the last one: at most one a day."""

    user_id: UUID = Field(primary_key=True, foreign_key="user.id")
    address: str = Field(max_length=254)
    sent_on: date | None = None

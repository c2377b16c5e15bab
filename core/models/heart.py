"""What people say of a cine of the heart beside its contours: the view, and which frames begin and end a systole."""

from typing import Any
from uuid import UUID

from sqlmodel import Field, SQLModel

from core.models.base import Json


class FrameMarks(SQLModel, table=True):
    """`view` is a code of the list echo_view (CID 12226). `beats` [[frame of end diastole, frame of end systole], ...],
    in their order, frames from 1; one of the two may be null (core/curation/beats.py)."""

    __tablename__ = "frame_marks"
    image_id: UUID = Field(primary_key=True, foreign_key="site_image.id")
    view: str | None = Field(default=None, max_length=32)
    beats: list[list[Any]] = Json(list)
    version: int = 1

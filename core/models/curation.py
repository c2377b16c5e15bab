"""What people say about a case: picks, form, ROIs and masks; each object has a version, nothing is overwritten."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import TEXT
from sqlmodel import Field, SQLModel

from core.ids import uuid7
from core.models.base import Created, Json, Moment


class MaskState(StrEnum):
    PROPOSED = "PROPOSED"
    CONFIRMED = "CONFIRMED"
    VOID = "VOID"


MASK_MOVES: Final[dict[MaskState, frozenset[MaskState]]] = {
    MaskState.PROPOSED: frozenset({MaskState.CONFIRMED, MaskState.VOID}),
    MaskState.CONFIRMED: frozenset({MaskState.VOID}),
    MaskState.VOID: frozenset(),
}


class Pick(SQLModel, table=True):
    """Whether an image is registered; a rejected one carries a coded reason."""

    __table_args__ = (Index("ix_pick_rejected", "image_id", postgresql_where=text("picked IS FALSE")),)
    image_id: UUID = Field(primary_key=True, foreign_key="site_image.id")
    picked: bool
    reason: str | None = Field(default=None, max_length=32)
    version: int = 1


class Form(SQLModel, table=True):
    """The domain's answers: {field: {"value", "source": tag|manual|derived, "tag"}}."""

    case_id: UUID = Field(primary_key=True, foreign_key="site_case.id")
    values: dict[str, Any] = Json(dict)
    version: int = 1


class Roi(SQLModel, table=True):
    """One object on one image, drawn as a track: a shape on each keyframe, in pixels of the stored frame.

    `use` is lesion, caliper, landmark or lv (the contour of the left ventricle); only a lesion leaves with the case.
    `keyframes` [[frame, [[x, y], ...]], ...], frames from 1; what the points of a `kind` mean is said in
    core/curation/shapes.py, what lies between two keyframes in tracks.py. `out_of_view` [[first, last], ...];
    `uncertain` [[frame, index of the point], ...]. `frame, x, y, width, height` is the tight box of the first
    keyframe, derived from it; `margin` is what the crop recipe adds to it on every side."""

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    image_id: UUID = Field(foreign_key="site_image.id", index=True)
    lesion_id: UUID = Field(default_factory=uuid4)
    frame: int
    x: float
    y: float
    width: float
    height: float
    margin: float
    label: str = Field(max_length=32)
    kind: str = Field(default="rectangle", max_length=16)
    use: str = Field(default="lesion", max_length=16)
    keyframes: list[Any] = Json(list)
    out_of_view: list[list[int]] = Json(list)
    uncertain: list[list[int]] = Json(list)
    deleted: bool = False
    version: int = 1


class How(StrEnum):
    """Why a version was saved: something new, or an edit (`Edit.of`) taken back or done again."""

    DO = "do"
    UNDO = "undo"
    REDO = "redo"


class Edit(SQLModel, table=True):
    """One saved version of one object; the history that undo, diff and restore read."""

    __table_args__ = (
        UniqueConstraint("kind", "object_id", "version"),
        Index("ix_edit_case", "case_id", "id"),
        Index("ix_edit_by_at", "by", "at"),
    )
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="site_case.id")
    kind: str = Field(max_length=16)
    object_id: UUID
    version: int
    body: dict[str, Any] = Json(dict)
    by: UUID = Field(foreign_key="user.id")
    how: str = Field(default=How.DO, max_length=8)
    of: UUID | None = Field(default=None, foreign_key="edit.id")
    at: datetime = Created()


class CasePresence(SQLModel, table=True):
    """Who has a case open: the page of each person says so again and again; `image` is the number they look at."""

    __tablename__ = "case_presence"
    case_id: UUID = Field(primary_key=True, foreign_key="site_case.id")
    user_id: UUID = Field(primary_key=True, foreign_key="user.id")
    image: int | None = None
    at: datetime = Created()


class ImageMask(SQLModel, table=True):
    """One proposal of rectangles and the candidate made from it. A change makes a new row and voids the old one.

    `reasons` says for each rectangle why it is there; `candidate` is the index of the sealed pixel stream;
    `to_show` are the frame numbers (from 1) with a distinct overlay, which a person must have seen. `texts` are the
    places with text that may identify, as `core.services.texts` keeps them; what is written there is kept nowhere.
    `text_read`: the present candidate was looked through for text. `is_drawn`: a person's own rectangles, which no
    rule replaces."""

    __tablename__ = "image_mask"
    __table_args__ = (
        UniqueConstraint("image_id", "revision"),
        Index("ix_image_mask_open", "image_id", postgresql_where=text("state = 'PROPOSED'")),
    )
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    image_id: UUID = Field(foreign_key="site_image.id", index=True)
    revision: int
    state: MaskState = Field(sa_type=TEXT)
    rects: list[list[int]] = Json(list)
    reasons: list[str] = Json(list)
    rule_id: str | None = Field(default=None, max_length=200)
    rule_version: str | None = Field(default=None, max_length=64)
    must_look: bool = True
    is_drawn: bool = False
    candidate: dict[str, Any] = Json(dict)
    digest: str | None = Field(default=None, max_length=64)
    to_show: list[int] = Json(list)
    texts: list[dict[str, Any]] = Json(list)
    text_read: bool = False
    hold: str | None = Field(default=None, max_length=400)
    confirmed_by: UUID | None = Field(default=None, foreign_key="user.id")
    confirmed_at: datetime | None = Moment(default=None)
    created_at: datetime = Created()


class MaskView(SQLModel, table=True):
    """That a person was given this frame of this candidate; `is_shown` once it was on their screen."""

    __tablename__ = "mask_view"
    mask_id: UUID = Field(primary_key=True, foreign_key="image_mask.id")
    user_id: UUID = Field(primary_key=True, foreign_key="user.id")
    frame: int = Field(primary_key=True)
    is_shown: bool

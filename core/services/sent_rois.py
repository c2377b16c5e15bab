"""An ROI as a page or another program sends it: a track by its keyframes, or the rectangle of one frame by its box."""

from typing import Annotated, Any, Self
from uuid import UUID, uuid4

from pydantic import BaseModel, Field, model_validator

from core.curation.shapes import MOST_POINTS, Kind
from core.models.curation import Roi
from core.services.drawing import BOX, MOST_KEYFRAMES, MOST_UNCERTAIN, Use

Coordinate = Annotated[float, Field(ge=0, le=65_535, allow_inf_nan=False)]
Points = Annotated[list[tuple[Coordinate, Coordinate]], Field(min_length=1, max_length=MOST_POINTS)]
FrameNumber = Annotated[int, Field(ge=1, le=1_000_000)]
Pair = tuple[FrameNumber, FrameNumber]
Mark = tuple[FrameNumber, Annotated[int, Field(ge=0, lt=MOST_POINTS)]]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{0,32}$")]


class Drawn(BaseModel):
    """What both a new and a changed ROI may say; pixels of the stored frame, (0, 0) its upper left corner, frames from 1.

    What is left out stays as it is, or is the usual for a new one: a rectangle, of a lesion, always in view."""

    kind: Kind | None = Field(default=None, description="what the points of a keyframe mean")
    use: Use | None = Field(default=None, description="lesion unless said; only a lesion leaves with the case")
    keyframes: Annotated[list[tuple[FrameNumber, Points]], Field(min_length=1, max_length=MOST_KEYFRAMES)] | None = (
        Field(
            default=None,
            description="[[frame, [[x, y], …]], …]; without it the rectangle of frame, x, y, width, height",
        )
    )
    out_of_view: list[Pair] | None = Field(default=None, max_length=MOST_KEYFRAMES, description="[[first, last], …]")
    uncertain: list[Mark] | None = Field(
        default=None, max_length=MOST_UNCERTAIN, description="[[frame, index of the point], …]"
    )
    frame: FrameNumber | None = None
    x: Coordinate | None = None
    y: Coordinate | None = None
    width: Coordinate | None = None
    height: Coordinate | None = None
    margin: Annotated[float, Field(ge=0, le=4096, allow_inf_nan=False)] | None = Field(
        default=None, description="what the crop adds to the tight box on every side"
    )
    label: Label | None = Field(default=None, description="diagnosis code of the domain's list, for a lesion")
    lesion_id: UUID | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        given = [getattr(self, name) is not None for name in BOX]
        if any(given) and not all(given) and self.keyframes is None:
            raise ValueError("a box has frame, x, y, width and height")
        return self

    def change(self) -> dict[str, Any]:
        """What is said, for `curation.change_roi`. The box of one that has keyframes follows from them."""
        left_out = {"id", "version", *(BOX if self.keyframes is not None else ())}
        return self.model_dump(exclude=left_out, exclude_none=True)


class NewRoi(Drawn):
    """`id` is drawn by the sender, so that a request that is sent twice makes one ROI."""

    id: UUID = Field(default_factory=uuid4)

    @model_validator(mode="after")
    def _lies_somewhere(self) -> Self:
        if self.keyframes is None and self.frame is None:
            raise ValueError("an ROI has keyframes or a box")
        return self

    def made(self, image_id: UUID) -> Roi:
        """The row; its box is derived when it is added."""
        values: dict[str, Any] = dict.fromkeys(BOX, 0) | {"margin": 0.0, "label": ""} | self.change()
        return Roi(**values, id=self.id, image_id=image_id)


class ChangedRoi(Drawn):
    version: int = Field(ge=1, description="the version that you saw")
    deleted: bool = False

"""What may be drawn: shapes that fit their use and lie in the picture, their box, and what old senders leave as it is."""

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.curation.shapes import box_of
from core.curation.tracks import interpolate
from core.errors import Malformed
from core.models.curation import ImageMask, MaskState, Roi
from core.models.sitecase import ImageState, SiteImage
from core.services import drawing
from core.services.registering import under_mask
from core.services.rois import measures
from tests.tracks import FRAMES, tracks

REGION = {
    "x0": 100, "y0": 50, "x1": 899, "y1": 699, "spatial_format": 1, "data_type": 1, "unit_x": 3, "unit_y": 3,
    "delta_x": 0.02, "delta_y": 0.05,
}  # fmt: skip
SQUARE = [[100, 100], [300, 200]]


def an_image(**changes: Any) -> SiteImage:
    facts = {"regions": [REGION]}
    known: dict[str, Any] = {"case_id": uuid4(), "number": 1, "state": ImageState.STAGED, "size": 1, "facts": facts}
    return SiteImage(**(known | {"frames": 60, "rows": 768, "columns": 1024} | changes))


def a_roi(**changes: Any) -> Roi:
    known: dict[str, Any] = {"image_id": uuid4(), "frame": 0, "x": 0, "y": 0, "width": 0, "height": 0, "margin": 8.0}
    return Roi(**(known | {"label": "LIV-HCC", "keyframes": [[1, SQUARE]]} | changes))


def settled(roi: Roi, image: SiteImage | None = None) -> Roi:
    drawing.settle(image or an_image(), "liver", roi)
    return roi


def test_a_box_alone_is_a_rectangle_of_one_keyframe() -> None:
    roi = settled(a_roi(keyframes=[], frame=7, x=10, y=20, width=30, height=40))
    assert (roi.kind, roi.keyframes) == ("rectangle", [[7, [[10.0, 20.0], [40.0, 60.0]]]])
    assert (roi.frame, roi.x, roi.y, roi.width, roi.height) == (7, 10, 20, 30, 40)


def test_the_box_is_that_of_the_first_keyframe() -> None:
    later = [9, [[50, 50], [60, 50], [50, 60]]]
    roi = settled(a_roi(kind="ellipse", keyframes=[[3, [[200, 200], [260, 200], [200, 220]]], later]))
    assert (roi.frame, roi.x, roi.y, roi.width, roi.height) == (3, 140, 180, 120, 40)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "ellipse", "keyframes": []}, "keyframes"),
        ({"keyframes": [[61, SQUARE]]}, "1 to 60"),
        ({"out_of_view": [[50, 61]]}, "1 to 60"),
        ({"keyframes": [[1, [[-1, 0], [20, 20]]]]}, "inside"),
        ({"keyframes": [[1, SQUARE], [2, [[1000, 700], [1025, 760]]]]}, "inside"),
        ({"keyframes": [[1, [[10, 10], [10.5, 200]]]]}, "one pixel"),
        ({"kind": "ellipse", "keyframes": [[1, [[20, 20], [40, 20], [20, 45]]]]}, "outline"),
        ({"kind": "spline", "keyframes": [[1, [[0, 0], [200, 0], [200, 200], [0, 200]]]]}, "outline"),
        ({"kind": "polygon", "keyframes": [[1, SQUARE]]}, "points"),
        ({"kind": "line", "keyframes": [[1, SQUARE]]}, "fit its use"),
        ({"use": "caliper", "label": ""}, "fit its use"),
        ({"use": "caliper", "kind": "points", "label": "", "keyframes": [[1, [[1, 1]]]]}, "fit its use"),
        ({"use": "landmark", "kind": "points", "label": "", "keyframes": [[1, SQUARE]]}, "fit its use"),
        ({"use": "lv", "kind": "line", "label": "", "keyframes": [[1, [*SQUARE, *SQUARE]]]}, "fit its use"),
        ({"use": "star"}, "An ROI is of"),
        ({"kind": "star"}, "not a track"),
        ({"label": ""}, "diagnosis"),
        ({"label": "BRE-DCIS"}, "diagnosis"),
        ({"use": "landmark", "kind": "points", "label": "X-1", "keyframes": [[1, [[1, 1]]]]}, "landmark"),
        ({"use": "caliper", "kind": "points"}, "no class"),
        ({"uncertain": [[1, 2]]}, "uncertain"),
        ({"uncertain": [[2, 0]]}, "uncertain"),
        ({"keyframes": [[n, SQUARE] for n in range(1, 2002)]}, "too many"),
        ({"kind": "polygon", "keyframes": [[n, SQUARE * 200] for n in range(1, 52)]}, "too many"),
    ],
)  # fmt: skip
def test_what_may_not_be_drawn(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(Malformed, match=said):
        settled(a_roi(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "polygon", "keyframes": [[1, [*SQUARE, [100, 200]]]]},
        {"kind": "spline", "keyframes": [[1, [*SQUARE, [100, 200]]], [60, [*SQUARE, [100, 300], [90, 150]]]]},
        {"use": "caliper", "kind": "points", "label": "", "keyframes": [[1, [[0, 0], [1024, 768]]]]},
        {"use": "landmark", "kind": "points", "label": "", "keyframes": [[1, [[5, 5]]]]},
        {"use": "landmark", "kind": "points", "label": "LIV-CYST", "keyframes": [[1, [[5, 5]]]]},
        {"use": "lv", "kind": "line", "label": "", "keyframes": [[1, [[1, 9], [2, 5], [3, 1], [4, 5], [5, 9]]]]},
        {"out_of_view": [[20, 60]], "uncertain": [[1, 1], [1, 0], [1, 1]]},
    ],
)  # fmt: skip
def test_what_may_be_drawn(changes: dict[str, Any]) -> None:
    roi = settled(a_roi(**changes))
    assert len(roi.uncertain) == (2 if "uncertain" in changes else 0)
    assert roi.frame == 1 and all(
        type(number) is float for _, points in roi.keyframes for xy in points for number in xy
    )


def test_whoever_knows_only_boxes_changes_the_class_and_keeps_the_shape() -> None:
    roi = settled(a_roi(kind="ellipse", keyframes=[[3, [[200, 200], [260, 200], [200, 220]]]], out_of_view=[[9, 12]]))
    before = roi.keyframes
    box = {"frame": 3, "x": 140.0, "y": 180.0, "width": 120.0, "height": 40.0}
    drawing.changed(roi, box | {"label": "LIV-CYST", "deleted": False})
    assert (settled(roi).label, roi.kind, roi.keyframes, roi.out_of_view) == ("LIV-CYST", "ellipse", before, [[9, 12]])
    drawing.changed(roi, box | {"x": 150.0})
    settled(roi)
    assert (roi.kind, roi.keyframes, roi.out_of_view) == ("rectangle", [[3, [[150, 180], [270, 220]]]], [])


@settings(max_examples=60, deadline=None)
@given(tracks(), st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 60), st.integers(1, 60))
def test_under_the_mask_is_what_any_frame_says(track: Any, x: int, y: int, width: int, height: int) -> None:
    keyframes = [[frame, [list(point) for point in points]] for frame, points in track.keyframes]
    roi = a_roi(kind=track.kind, keyframes=keyframes, out_of_view=[list(span) for span in track.out_of_view])
    mask = ImageMask(image_id=uuid4(), revision=1, state=MaskState.CONFIRMED, rects=[[x, y, width, height]])
    shown = [shape for frame in range(1, FRAMES + 1) if (shape := interpolate(track, frame))]
    touched = any(drawing.touch(box_of(shape), (x, y, width, height)) for shape in shown)
    assert under_mask(roi, mask) == touched


def test_millimetres_come_from_the_region_that_holds_the_whole_box() -> None:
    image = an_image()
    found = measures(settled(a_roi()), image)
    assert (found.centre_px, found.crop) == ((200, 150), (92, 92, 216, 116))
    assert (found.centre_mm, found.size_mm, found.length_mm) == ((20.0, 50.0), (40.0, 50.0), None)
    across = measures(settled(a_roi(keyframes=[[1, [[90, 100], [300, 200]]]])), image)
    assert (across.centre_mm, across.size_mm) == (None, None)
    edge = measures(settled(a_roi(keyframes=[[1, [[100, 50], [900, 700]]]])), image)
    assert edge.size_mm == (160.0, 325.0)


def test_a_calliper_has_a_length() -> None:
    roi = settled(a_roi(use="caliper", kind="points", label="", keyframes=[[1, [[100, 100], [400, 180]]]]))
    assert measures(roi, an_image()).length_mm == 72.1


def test_the_crop_ends_at_the_picture() -> None:
    roi = settled(a_roi(keyframes=[[1, [[2, 3], [1020, 767]]]]))
    assert measures(roi, an_image()).crop == (0, 0, 1024, 768)

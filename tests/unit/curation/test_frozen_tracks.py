"""A lesion on its way: what of a track leaves the hospital, and how it stands in a dataset's frames."""

from typing import Any
from uuid import uuid4

from core.models.bank import BankImage, BankRoi
from core.models.curation import Roi
from core.services.drawing import track_of
from core.services.record import path_of
from workers.freeze import annotation_of

IMAGE = BankImage(
    id=uuid4(), case_id=uuid4(), sop_instance_uid="2.25.1", sha256="0" * 64, rows=300, columns=400, frames=9
)


def a_roi(**changes: Any) -> BankRoi:
    known: dict[str, Any] = {"id": uuid4(), "image_id": IMAGE.id, "lesion_id": uuid4(), "label": "LIV-HCC", "margin": 8}
    return BankRoi(**(known | {"frame": 1, "x": 10, "y": 20, "width": 30, "height": 40} | changes))


def on(roi: BankRoi, frame: int) -> Any:
    return annotation_of(roi, track_of(roi), frame, IMAGE)


def test_a_box_of_before_is_a_rectangle_on_its_frame() -> None:
    roi = a_roi()
    found = on(roi, 1)
    assert (found["bbox"], found["area"], found["segmentation"]) == ([10, 20, 30, 40], 1200, [])
    assert (found["track_id"], found["lesion_id"]) == (str(roi.id), str(roi.lesion_id))
    assert on(roi, 2) is None


def test_between_keyframes_a_lesion_is_marked_too_and_out_of_view_it_is_not() -> None:
    one, other = [[10, 20], [40, 20], [40, 60]], [[30, 20], [60, 20], [60, 60]]
    roi = a_roi(kind="polygon", keyframes=[[1, one], [5, other]], out_of_view=[[2, 2]])
    assert [bool(on(roi, frame)) for frame in range(1, 7)] == [True, False, True, True, True, False]
    middle = on(roi, 3)
    assert (middle["bbox"], middle["area"]) == ([20, 20, 30, 40], 600)
    assert middle["segmentation"] == [[20, 20, 50, 20, 50, 60]]
    assert [on(roi, frame)["is_keyframe"] for frame in (1, 3, 5)] == [True, False, True]


def test_what_turns_out_of_the_picture_on_its_way_is_cut_at_it() -> None:
    low = [[200, 30], [390, 30], [200, 35]]
    turned = [[200, 30], [200 + 134.35, 30 + 134.35], [200 - 3.54, 30 + 3.54]]
    roi = a_roi(kind="ellipse", keyframes=[[1, low], [5, turned]])
    x, y, width, height = on(roi, 4)["bbox"]
    assert y == 0 and min(x, width, height) > 0 and x + width <= 400 and y + height <= 300


def test_a_rectangle_on_one_frame_leaves_as_it_always_did() -> None:
    known: dict[str, Any] = {"image_id": uuid4(), "frame": 1, "x": 10, "y": 20, "width": 30, "height": 40, "margin": 8}
    plain = Roi(**known, label="LIV-HCC", keyframes=[[1, [[10, 20], [40, 60]]]])
    assert path_of(plain) == {}
    plain.out_of_view = [[4, 6]]
    assert path_of(plain) == {
        "keyframes": ({"frame": 1, "points": ((10.0, 20.0), (40.0, 60.0))},),
        "out_of_view": ((4, 6),),
    }

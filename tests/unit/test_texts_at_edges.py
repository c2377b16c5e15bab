"""Writing at the edge of a mask goes with it, before anybody is asked."""

import pytest

from core.deid.masks import Rect
from core.deid.text_judge import Finding, Kind
from core.deid.text_line import Box
from core.services.texts import _cut, rect_of

RULE = Rect(0, 0, 640, 40)
TEXT = Rect(10, 100, 200, 20)


@pytest.mark.parametrize(
    ("kind", "box", "said"),
    [
        (Kind.LABEL, (10, 34, 60, 46), ("identifier", "cut")),
        (Kind.LABEL, (10, 42, 60, 56), ("identifier", "cut")),
        (Kind.LABEL, (10, 44, 60, 58), ("label", "x")),
        (
            Kind.LABEL,
            (215, 102, 260, 118),
            ("label", "x"),
        ),  # beside a text that is masked already stands what it is about
        (Kind.QUESTION, (212, 102, 260, 118), ("identifier", "x")),
        (Kind.QUESTION, (10, 42, 60, 56), ("identifier", "x")),
        (Kind.QUESTION, (10, 60, 60, 74), ("question", "x")),
    ],
)
def test_what_an_edge_cuts_goes_and_what_stands_apart_stays(kind: Kind, box: Box, said: tuple[str, str]) -> None:
    found = _cut(Finding(1, box, kind, "x"), [RULE, TEXT], [RULE])
    assert (found.kind, found.what) == said and found.box == box


def test_a_mask_over_a_line_has_room_for_a_letter_at_each_end_inside_the_image() -> None:
    assert rect_of((100, 50, 180, 66), 640, 480) == Rect(84, 47, 112, 22)
    assert rect_of((4, 1, 100, 17), 110, 480) == Rect(0, 0, 110, 20)
    assert rect_of((50, 100, 66, 180), 640, 480) == Rect(47, 84, 22, 112)  # running down

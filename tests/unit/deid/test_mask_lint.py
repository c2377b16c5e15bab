"""The linter finds rules that cannot work; the known broken ones of published rule sets are its regression list."""

import pytest

from core.deid.local_rules import Content, rule_of
from core.deid.mask_lint import lint
from core.deid.mask_rules import Rule, catalogue, read_rule
from core.deid.masks import DeviceFacts


def row(line: int, model: str = "", rects: str = "(0,0,100,20)", action: str = "blank", **more: str) -> Rule:
    cells = {"model_rule": model, "rects_x_y_w_h": "" if action == "allow" else rects, "action": action}
    return read_rule(cells | more, line)


def kinds(*rules: Rule, seen: tuple[DeviceFacts, ...] = ()) -> list[tuple[int, str]]:
    return [(finding.line, finding.kind) for finding in lint(rules, seen)]


def test_786_for_768() -> None:
    good = row(2, "iU22", rows_rule="=768", columns_rule="=1024")
    slip = row(3, "iU22", rows_rule="=786", columns_rule="=1024")
    assert kinds(good, slip) == [(3, "size")]


def test_a_model_asked_of_the_manufacturer() -> None:
    model = row(2, "EPIQ", rows_rule="=600")
    wrong = row(3, manufacturer_rule="~EPIQ", rows_rule="=768")
    assert (3, "never") in kinds(model, wrong)


def test_a_misspelt_attribute() -> None:
    assert kinds(row(2, "x", other_conditions="Manfacturer=ADAC")) == [(2, "unread")]


def test_hdi_5000_never_fires_for_what_its_images_say() -> None:
    """The published rule asks for 476 rows and HDI 5000; the images have 480 rows and say HDI5000/DVS."""
    image = DeviceFacts("ATL", "HDI5000/DVS", (), 480, 640)
    found = [one for one in lint(catalogue(), [image]) if one.line in {15, 202}]
    assert [(one.line, one.kind, one.text) for one in found] == [
        (line, "size", "Images of this device have 640 x 480 pixels.") for line in (15, 202)
    ]
    other = row(2, "HDI-7000", rows_rule="=480")
    assert kinds(other, seen=(DeviceFacts("ATL", "HDI7000", (), 480, 640),)) == [(2, "name")]
    assert kinds(other, seen=(DeviceFacts("ATL", "HDI-7000", (), 480, 640),)) == []


def test_conditions_that_exclude_what_they_ask_for() -> None:
    impossible = row(2, "x", other_conditions="image_type=SECONDARY & image_type_exclude=SECOND")
    assert kinds(impossible) == [(2, "never")]
    assert kinds(row(2, "x", other_conditions="image_type=SECONDARY & image_type_exclude=0001")) == []


def test_a_rectangle_beside_the_image_and_a_rule_that_stands_twice() -> None:
    assert kinds(row(2, "x", rows_rule="=480", columns_rule="=90")) == [(2, "outside")]
    assert kinds(row(2, "x"), row(3, "x")) == [(3, "double")]


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ("(0,0,100,20)", "(0,0,100,20) (0,0,50,10)", [(3, "overlap")]),
        ("(0,0,100,20)", "(0,0,100,21)", []),
        ("(0,0,50,20) (50,0,50,20)", "(10,5,80,10)", [(3, "overlap")]),
    ],
)
def test_a_rule_that_adds_nothing(wide: str, narrow: str, expected: list[tuple[int, str]]) -> None:
    found = kinds(row(2, "~S20", wide), row(3, "=S2000", narrow, rows_rule="=480"))
    assert found == expected


def test_rules_of_other_devices_or_sizes_are_left_alone() -> None:
    small = row(3, "S2000", "(0,0,50,10)", rows_rule="=480")
    assert kinds(row(2, "S3000"), small) == []
    assert kinds(row(2, "S2000", rows_rule="=768"), small) == []
    assert kinds(row(2, "S2000", other_conditions="image_type=SECONDARY"), small) == []


def test_one_lets_pass_what_another_blanks() -> None:
    blank = row(2, "S2000")
    assert kinds(blank, row(3, "=S2000", action="allow")) == [(3, "contradict")]
    assert kinds(blank, row(3, "S3000", action="allow")) == []


def own(code: str, **changes: object) -> Rule:
    values = {
        "manufacturer": "", "model": "S2000", "aliases": [], "software": "", "image_type": "", "rows": 480,
        "columns": 640, "scale": "exact", "outside": False, "rects": [[0, 0, 640, 30]],
    }  # fmt: skip
    return rule_of(code, 1, Content.of(values | changes))


def test_rules_of_the_site_shadow_and_contradict() -> None:
    shipped = row(2, "=S2000", rows_rule="=480", columns_rule="=640")
    assert kinds(own("site-a"), shipped) == [(2, "shadowed")]
    assert kinds(own("site-a"), row(2, "S2000")) == []  # it is still used at other sizes
    assert [kind for _, kind in kinds(own("site-a"), own("site-b", rects=[[0, 0, 640, 31]]))].count("contradict") == 2
    assert kinds(own("site-a"), own("site-b", rows=600, columns=800)) == []


def test_the_shipped_catalogue() -> None:
    found = lint()
    counted = {kind: sum(one.kind == kind for one in found) for kind in {one.kind for one in found}}
    assert counted == {"unread": 4, "outside": 1, "size": 1, "never": 1, "double": 5, "overlap": 44, "contradict": 9}
    assert {(29, "unread"), (30, "unread"), (60, "outside"), (190, "size"), (199, "never")} <= {
        (one.line, one.kind) for one in found
    }

"""The site's own rules: what they may say, that they go before the catalogue, and that names are not widened wrongly."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.deid.device_aliases import groups, makers, models
from core.deid.local_rules import Content, rule_of, start_rects
from core.deid.mask_rules import Rule, catalogue, read_rule
from core.deid.masks import DeviceFacts, Rect, propose
from core.dicom.ultrasound import Region
from core.errors import Malformed

US = "1.2.840.10008.5.1.4.1.1.6.1"
FAN = Region(120, 90, 700, 500, data_type=1)


def device(maker: str | None, model: str | None, rows: int = 600, columns: int = 800, **more: Any) -> DeviceFacts:
    return DeviceFacts(maker, model, more.pop("software", ()), rows, columns, sop_class_uid=US, **more)


def values(**changes: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "manufacturer": "Philips Medical Systems", "model": "CX50", "aliases": [], "software": "", "image_type": "",
        "rows": 600, "columns": 800, "scale": "refuse", "outside": True, "rects": [[0, 0, 800, 30]],
    }  # fmt: skip
    return known | changes


def rule(code: str = "site-000000000001", number: int = 1, **changes: Any) -> Rule:
    return rule_of(code, number, Content.of(values(**changes)))


def used(facts: DeviceFacts, *own: Rule, regions: tuple[Region, ...] = (FAN,)) -> tuple[str | None, str | None]:
    proposal = propose(facts, regions, (*own, *catalogue()))
    return proposal.rule_id, proposal.rule_version


CX50 = device("Philips Medical Systems", "CX50")


def test_a_rule_of_the_site_goes_before_the_catalogue_and_is_sure() -> None:
    own = rule()
    before = propose(CX50, (FAN,), catalogue())
    after = propose(CX50, (), (own, *catalogue()))
    assert before.rule_id and before.rule_id.startswith("us-")
    assert (after.rule_id, after.rule_version) == (own.id, own.version)
    assert after.rects == (Rect(0, 0, 800, 30),) and not after.must_look
    assert "regions" not in after.reason


def test_what_lies_outside_the_regions_goes_too_or_stays() -> None:
    with_regions = propose(CX50, (FAN,), (rule(),))
    hidden = sum(rect.width * rect.height for rect in with_regions.rects)
    assert hidden == 600 * 800 - 581 * 411
    alone = propose(CX50, (FAN,), (rule(outside=False),))
    assert alone.rects == (Rect(0, 0, 800, 30),)


@pytest.mark.parametrize(
    ("scale", "facts", "expected"),
    [
        ("refuse", device("Philips Medical Systems", "CX50", 480, 640), None),
        ("proportional", device("Philips Medical Systems", "CX50", 300, 400), "site"),
        ("proportional", device("Philips Medical Systems", "CX50", 300, 500), "us"),
        ("exact", device("Philips Medical Systems", "CX50", 300, 400), "us"),
    ],
)
def test_other_sizes_are_unknown_scaled_or_left_to_other_rules(
    scale: str, facts: DeviceFacts, expected: str | None
) -> None:
    found, _ = used(facts, rule(scale=scale))
    assert (found or "").partition("-")[0] == (expected or "")


def test_a_refusal_does_not_reach_a_size_that_another_rule_of_the_site_knows() -> None:
    small = rule("site-000000000002", rows=300, columns=400, rects=[[0, 0, 400, 15]])
    assert used(device("Philips Medical Systems", "CX50", 300, 400), rule(), small)[0] == "site-000000000002"


def test_software_and_image_type_narrow_a_rule_and_several_join() -> None:
    all_of_them = rule()
    some = rule("site-000000000002", software="^CX50_3", image_type="SECONDARY", rects=[[0, 570, 800, 30]])
    facts = device("Philips Medical Systems", "CX50", software=("CX50_3.1",), image_type=("DERIVED", "SECONDARY"))
    proposal = propose(facts, (), (all_of_them, some))
    assert proposal.rule_id == "site-000000000002+site-000000000001"
    assert proposal.rule_version == f"{some.version}+{all_of_them.version}" and len(proposal.rule_version) <= 64
    assert proposal.rects == (Rect(0, 0, 800, 30), Rect(0, 570, 800, 30))
    assert used(CX50, some)[0] != some.id


def test_the_whole_name_counts_whatever_its_case_and_spaces() -> None:
    assert used(device("philips  medical systems", "cx50"), rule())[0] == "site-000000000001"
    for maker, model in (("Philips Medical Systems", "CX50 xMATRIX"), ("Philips", "CX50"), (None, "CX50")):
        assert used(device(maker, model), rule())[0] != "site-000000000001"
    assert used(device("Philips Medical Systems", "CX-50"), rule(aliases=["CX-50"]))[0] == "site-000000000001"
    assert used(device("Anybody", "CX50"), rule(manufacturer=""))[0] == "site-000000000001"


@pytest.mark.parametrize(
    "changes",
    [
        {"model": ""}, {"model": "a|b"}, {"model": "~CX"}, {"model": "x" * 65}, {"software": "/(a+)+$/"},
        {"image_type": "a|b"}, {"scale": "sometimes"}, {"rows": 0}, {"columns": 99_999}, {"rects": [[0, 0, 801, 9]]},
        {"rects": [[-1, 0, 9, 9]]}, {"rects": [[0, 0, 0, 9]]}, {"rects": [[0, 0, 9]]}, {"rects": [], "outside": False},
        {"rects": [[0, 0, 9, 9]] * 33}, {"aliases": ["a"] * 17}, {"rows": "six hundred"},
    ],
)  # fmt: skip
def test_what_cannot_be_a_rule_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        Content.of(values(**changes))


names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="|~=^/"), min_size=1,
                max_size=20)  # fmt: skip
rects = st.lists(st.tuples(*[st.integers(0, 50)] * 2, *[st.integers(1, 50)] * 2), min_size=1, max_size=5)


@given(names, names, st.lists(names, max_size=3), rects, st.sampled_from(["exact", "proportional", "refuse"]))
def test_a_rule_comes_back_from_its_json_and_fires_for_its_own_device(
    maker: str, model: str, aliases: list[str], boxes: list[tuple[int, int, int, int]], scale: str
) -> None:
    made = Content.of(
        values(manufacturer=maker, model=model, aliases=aliases, rows=100, columns=100, rects=boxes, scale=scale)
    )
    assert Content.of(made.as_dict()) == made and Content.of(made.as_dict()).sha256 == made.sha256
    own = rule_of("site-000000000001", 3, made)
    assert own is rule_of("site-000000000001", 3, Content.of(made.as_dict()))
    proposal = propose(device(maker, model, 100, 100), (), (own,))
    assert proposal.rule_version == f"3.{made.sha256[:12]}"
    painted = {(x, y) for r in proposal.rects for x in range(r.x, r.x + r.width) for y in range(r.y, r.y + r.height)}
    assert painted == {(x, y) for a, b, w, h in boxes for x in range(a, a + w) for y in range(b, b + h)}


def test_where_a_person_begins_to_draw() -> None:
    assert start_rects(CX50, ()) == (Rect(0, 0, 800, 60),)
    assert start_rects(CX50, (FAN,)) == ()
    assert start_rects(CX50, (FAN,), [Rect(5, 10, 90, 20), Rect(5, 500, 90, 20)]) == (Rect(0, 0, 800, 34),)


# Other names


@pytest.mark.parametrize(
    ("maker", "model", "rows", "columns"),
    [
        ("ATL", "HDI5000/DVS", 476, 640),
        ("Philips Medical Systems", "HDI 5000", 476, 640),
        ("GE Healthcare", "LOGIQ S8", 873, 1552),
        ("CANON_MEC", "TUS-A500", 720, 960),
        ("TOSHIBA_MEC_US", "Aplio 500", 720, 960),
        ("FUJIFILM Healthcare Corporation", "Noblus", 600, 800),
        ("SIEMENS", "SEQUOIA", 480, 640),
    ],
)
def test_a_rule_that_should_fire_fires(maker: str, model: str, rows: int, columns: int) -> None:
    assert propose(device(maker, model, rows, columns), ()).rule_id is not None


@pytest.mark.parametrize(
    ("maker", "model", "rows", "columns"),
    [
        # a rule for every ATL at this size is not one for every Philips
        ("Philips Medical Systems", "Another", 476, 640),
        ("Philipsen", "HDI5000/DVS 2", 476, 640),
        ("Canon", "EOS 5", 720, 960),
        ("Getinge", "Noblus", 600, 800),
        ("Agfa", "LOGI Q S8", 873, 1552),
    ],
)
def test_a_name_that_only_looks_alike_is_nobodys(maker: str, model: str, rows: int, columns: int) -> None:
    assert propose(device(maker, model, rows, columns), ()).rule_id is None


def test_a_longer_or_shorter_model_is_another_one() -> None:
    seven = read_rule({"model_rule": "~LOGIQ7", "rects_x_y_w_h": "(0,0,9,9)", "action": "blank"}, 2)
    assert seven.is_device(device("GE", "LOGIQ 7"), has_regions=False)
    assert not seven.is_device(device("GE", "LOGIQ 700"), has_regions=False)
    for word in ("LOGIQ 70", "LOGIQ", "LOGIQ 7 Expert"):
        assert models(word) == (word,)


def test_nothing_is_let_pass_by_another_name() -> None:
    row = {"manufacturer_rule": "~Philips", "model_rule": "~HDI 5000", "action": "allow"}
    allow = read_rule(row, 2)
    assert allow.is_device(device("Philips", "HDI 5000"), has_regions=False)
    assert not allow.is_device(device("ATL", "HDI 5000"), has_regions=False)
    assert not allow.is_device(device("Philips", "HDI5000/DVS"), has_regions=False)


def test_a_maker_is_a_whole_word() -> None:
    assert makers("ATLAS") == ("ATLAS",) and makers("Gemini") == ("Gemini",) and makers(None) == models(None) == ()
    assert "ATL" in makers("Philips Medical Systems") and "GEMS" in makers("GE Vingmed Ultrasound")
    assert "Canon" in makers("TOSHIBA_MEC_US")


def test_no_name_stands_for_two_devices() -> None:
    for kind in ("maker", "model"):
        every = [" ".join(name.casefold().split()) for group in groups(kind) for name in group]
        assert len(every) == len(set(every))

"""Proposals: rules win over regions, unknown devices are looked at, nothing is left as it is unseen."""

import csv
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.deid.mask_lint import lint
from core.deid.mask_rules import catalogue, catalogue_version, read_rule
from core.deid.masks import MOST_RECTS, DeviceFacts, Rect, kept_regions, propose
from core.dicom.facts import read_facts
from core.dicom.part10 import open_part10
from core.dicom.ultrasound import Region, regions

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "dicom"
US = "1.2.840.10008.5.1.4.1.1.6.1"


def device(maker: str | None, model: str | None, rows: int, columns: int, **more: object) -> DeviceFacts:
    return DeviceFacts(maker, model, (), rows, columns, sop_class_uid=US, **more)  # type: ignore[arg-type]


def painted(rects: tuple[Rect, ...], rows: int, columns: int) -> np.ndarray:
    counts = np.zeros((rows, columns), np.int32)
    for x, y, width, height in rects:
        assert x >= 0 and y >= 0 and width > 0 and height > 0 and x + width <= columns and y + height <= rows
        counts[y : y + height, x : x + width] += 1
    return counts


boxes = st.tuples(st.integers(-5, 60), st.integers(-5, 60), st.integers(1, 50), st.integers(1, 50))


@given(st.lists(boxes, max_size=6), st.integers(0, 12))
def test_everything_outside_the_regions_is_covered_once(found: list[tuple[int, int, int, int]], band: int) -> None:
    kept = [
        Region(max(x, 0), max(y, 0), min(x + w, 64), min(y + h, 48) - 1, data_type=1)
        for x, y, w, h in found
        if x < 64 and y < 48 and x + w > 0 and min(y + h, 48) - 1 >= max(y, 0)
    ]
    kept = [Region(one.x0, one.y0, min(one.x1, 63), one.y1, data_type=1) for one in kept]
    rows = [{"manufacturer_rule": "=Maker", "rects_x_y_w_h": f"(0,0,64,{band})", "action": "blank", "rows_rule": "48"}]
    rules = [read_rule(row, 2) for row in rows] if band else []
    proposal = propose(device("Maker", None, 48, 64), kept, rules)
    counts = painted(proposal.rects, 48, 64)
    usable = kept_regions(kept, 48, 64)
    wanted = np.full((48, 64), not (band and not usable))
    for one in usable:
        wanted[one.y0 : one.y1 + 1, one.x0 : one.x1 + 1] = False
    wanted[:band] = True
    assert counts.max() <= 1 and len(proposal.rects) <= MOST_RECTS
    assert np.array_equal(counts > 0, wanted)


def test_a_known_device_with_regions() -> None:
    facts = device("Philips Medical Systems", "CX50", 600, 800)
    proposal = propose(facts, [Region(120, 40, 799, 518, data_type=1)])
    counts = painted(proposal.rects, 600, 800)
    assert counts[:59].all() and counts[:, :120].all() and not counts[60:519, 120:].any()
    assert not proposal.must_look and proposal.rule_version == catalogue_version()
    assert proposal.rule_id is not None and proposal.rule_id.startswith("us-")


def test_a_known_device_without_regions_is_looked_at() -> None:
    proposal = propose(device("G.E. Medical Systems", "LOGIQ 700", 480, 640), [])
    assert proposal.rects == (Rect(0, 0, 640, 41),) and proposal.must_look


def test_a_smaller_copy_is_scaled_and_another_shape_is_not() -> None:
    scaled = propose(device("G.E. Medical Systems", "LOGIQ 700", 240, 320), [])
    assert scaled.rects == (Rect(0, 0, 320, 21),) and "scaled" in scaled.reason
    other = propose(device("G.E. Medical Systems", "LOGIQ 700", 240, 330), [])
    assert other.rects == (Rect(0, 0, 330, 240),) and other.must_look and other.rule_id is None


def test_an_unknown_device_keeps_its_regions_or_nothing() -> None:
    facts = device("Acme", "One", 100, 100)
    assert propose(facts, []).rects == (Rect(0, 0, 100, 100),)
    kept = propose(facts, [Region(10, 20, 89, 79, data_type=1)])
    assert kept.must_look and not painted(kept.rects, 100, 100)[20:80, 10:90].any()
    whole = propose(facts, [Region(0, 0, 99, 99, data_type=0)])
    assert whole.rects == (Rect(0, 0, 100, 100),)


def test_sequoia_regions_do_not_protect_the_banner() -> None:
    facts = device("ACUSON", "SEQUOIA", 480, 640)
    whole, fan = Region(0, 0, 639, 479, data_type=0), Region(100, 20, 500, 400, data_type=1)
    assert kept_regions([whole, fan], 480, 640) == (fan,)
    counts = painted(propose(facts, [whole]).rects, 480, 640)
    assert counts[:30].all() and counts[30:46, 553:].all() and propose(facts, [whole]).must_look
    assert painted(propose(facts, [whole, fan]).rects, 480, 640)[:30].all()


def test_a_rule_that_allows_is_no_reason_to_leave_an_image_unmasked() -> None:
    facts = device("GE Healthcare", "LOGIQBook", 434, 532)
    assert propose(facts, []).rects == (Rect(0, 0, 532, 434),)
    assert not propose(facts, [Region(10, 10, 500, 400, data_type=1)]).must_look


def test_too_many_regions_keep_the_largest() -> None:
    many = [Region(4 * n % 200, 4 * (n // 50), 4 * n % 200 + 1, 4 * (n // 50) + 1, data_type=1) for n in range(200)]
    proposal = propose(device("Acme", "One", 200, 300), [*many, Region(100, 100, 290, 190, data_type=1)])
    assert len(proposal.rects) <= MOST_RECTS
    assert not painted(proposal.rects, 200, 300)[100:191, 100:291].any()


@pytest.mark.parametrize(
    ("row", "fits"),
    [
        ({"manufacturer_rule": "^GE|^G.E."}, True), ({"manufacturer_rule": "=G.E."}, False),
        ({"manufacturer_rule": "~medical"}, True), ({"manufacturer_rule": "/(?i)^g\\.e\\. med/"}, True),
        ({"model_rule": "LOGIQ"}, True), ({"model_rule": "~VIVID|700"}, True), ({"model_rule": "=LOGIQ"}, False),
        ({"other_conditions": "Modality=US & image_type_exclude=0000"}, False),
        ({"other_conditions": "image_type=ORIGINAL|X"}, True), ({"other_conditions": "requires_ultrasound_regions=True"}, False),
        ({"other_conditions": "SOPClassUIDstartsWith:1.2.840.10008.5.1.4.1.1.6"}, True),
        ({"other_conditions": "ImplementationVersionName~MINDRAY"}, False),
    ],
)  # fmt: skip
def test_operators(row: dict[str, str], fits: bool) -> None:
    rule = read_rule({"rects_x_y_w_h": "(0,0,9,9)", "action": "blank", **row}, 2)
    facts = device("G.E. Medical  Systems", "LOGIQ 700", 480, 640, image_type=("ORIGINAL", "PRIMARY", "", "0000"))
    assert not rule.problem and rule.is_device(facts, has_regions=False) is fits


@pytest.mark.parametrize(
    "row",
    [
        {
            "rects_x_y_w_h": "(0,0,9,9)",
            "action": "blank",
            "other_conditions": "SeriesDescription~FFR",
            "model_rule": "x",
        },
        {"rects_x_y_w_h": "(0,0,9,9)", "action": "blank"},
        {"rects_x_y_w_h": "__import__('os')", "action": "blank", "model_rule": "x"},
        {"rects_x_y_w_h": "(0,0,9,9)", "action": "blank", "model_rule": "/(/"},
        {"rects_x_y_w_h": "(0,0,9,9)", "action": "blank", "model_rule": "x", "rows_rule": ">400"},
    ],
)
def test_what_is_not_understood_is_not_used(row: dict[str, str]) -> None:
    rule = read_rule(row, 2)
    assert rule.problem and not rule.is_device(device("x", "x", 480, 640), has_regions=True)


def test_the_linter_finds_what_is_wrong_in_the_shipped_catalogue() -> None:
    found = {(finding.line, finding.kind) for finding in lint()}
    assert {(29, "unread"), (30, "unread"), (60, "outside"), (190, "size"), (199, "never"), (258, "unread")} <= found
    assert len(catalogue()) == 434


def test_every_burned_in_string_is_covered_or_looked_at() -> None:
    if not SHARED.exists():
        pytest.skip("../shared/data is absent: burned-in truth")
    with (SHARED / "burned_in_truth.tsv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    covered = 0
    for row in rows:
        path = SHARED / row["file"]
        with path.open("rb") as fp:
            source = open_part10(fp, path.stat().st_size)
        assert source.pixel is not None
        found = regions(source.dataset, source.pixel.rows, source.pixel.columns)
        proposal = propose(DeviceFacts.of(asdict(read_facts(source.dataset))), found)
        x0, y0, x1, y1 = (int(row[name]) for name in ("x0", "y0", "x1", "y1"))
        is_covered = painted(proposal.rects, source.pixel.rows, source.pixel.columns)[y0:y1, x0:x1].mean() >= 0.9
        assert is_covered or proposal.must_look, row["kind"]
        covered += int(is_covered)
    assert len(rows) == 29 and covered >= 28

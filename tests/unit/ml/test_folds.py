"""Folds: what belongs together is never split, and every image has one."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.data import BadFolder, Item
from ml.folds import at_random, bound, grouped, holdout


def item(number: int, patient: str = "", group: str = "", label: str = "benign", sha256: str = "") -> Item:
    return Item(
        Path("x"), f"{number}.png", sha256 or f"{number:064x}", 10, 10, patient, group or f"g{number}", "train", label
    )


ITEMS = st.lists(
    st.tuples(st.sampled_from(["", *"abcdefgh"]), st.sampled_from(["", *"ijklmnop"]), st.sampled_from(["b", "m", "n"])),
    min_size=2,
    max_size=40,
).map(lambda rows: [item(n, *row) for n, row in enumerate(rows)])


@settings(deadline=None)
@given(ITEMS, st.integers(2, 5), st.integers(0, 99))
def test_grouped_folds_never_split_a_unit(items: list[Item], folds: int, seed: int) -> None:
    if len(bound(items)) < folds:
        with pytest.raises(BadFolder):
            grouped(items, folds, seed)
        return
    of = grouped(items, folds, seed)
    for key in ("unit", "group", "sha256"):
        places: dict[str, set[int]] = {}
        for one, fold in zip(items, of, strict=True):
            places.setdefault(getattr(one, key), set()).add(fold)
        assert all(len(found) == 1 for found in places.values())
    assert set(of) == set(range(folds)) and of == grouped(items, folds, seed)


@settings(deadline=None)
@given(ITEMS, st.integers(0, 9))
def test_a_holdout_never_splits_a_unit(items: list[Item], seed: int) -> None:
    if len(bound(items)) < 5:
        return
    kept, held = holdout(items, 0.2, seed)
    assert sorted(kept + held) == list(range(len(items))) and held
    assert not {items[i].unit for i in kept} & {items[i].unit for i in held}
    assert not {items[i].group for i in kept} & {items[i].group for i in held}


def test_classes_are_spread_evenly() -> None:
    items = [item(n, patient=f"p{n // 3}", label="m" if n // 3 % 4 == 0 else "b") for n in range(600)]
    counts = Counter(zip(grouped(items, 5, 0), (one.label for one in items), strict=True))
    assert all(abs(counts[fold, "m"] - 30) <= 3 and abs(counts[fold, "b"] - 90) <= 3 for fold in range(5))


def test_seeds_differ_and_random_folds_split_units() -> None:
    items = [item(n, patient=f"p{n // 4}") for n in range(200)]
    assert grouped(items, 5, 0) != grouped(items, 5, 1)
    of = at_random(items, 5, 0)
    assert any(len(set(of[n : n + 4])) > 1 for n in range(0, 200, 4)) and set(Counter(of).values()) == {40}

"""Folds and holdouts that never split a patient or a group; random folds exist to measure how much leaks without that."""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml.data import BadFolder, Item
from ml.run_folder import replace


def keep_setting(out: Path, setting: Mapping[str, Any]) -> None:
    """Write what the folds of OUT have in common. Raises BadFolder when OUT holds folds of another setting.

    How many of the folds are wanted (`only_first`) makes no other fold: a holdout can be gone on with to all of them."""
    out.mkdir(parents=True, exist_ok=True)
    place = out / "setting.json"
    if place.exists() and json.loads(place.read_text("utf-8")) | {"only_first": setting["only_first"]} != setting:
        raise BadFolder("The folder holds folds of another setting: choose another --out.")
    replace(place, json.dumps(setting, indent=1).encode())


def joined(keys: Sequence[Iterable[str]]) -> list[list[int]]:
    """Indices whose keys meet, directly or through others; in order of first appearance."""
    parent = list(range(len(keys)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[str, int] = {}
    for index, of in enumerate(keys):
        for key in of:
            a, b = root(index), root(first.setdefault(key, index))
            parent[max(a, b)] = min(a, b)
    together: dict[int, list[int]] = defaultdict(list)
    for index in range(len(keys)):
        together[root(index)].append(index)
    return list(together.values())


def bound(items: Sequence[Item]) -> list[list[int]]:
    """Indices of items that must stay together: same unit, same group, or the same file."""
    return joined([{i.unit, f"file:{i.sha256}"} | ({f"group:{i.group}"} if i.group else set()) for i in items])


def grouped(items: Sequence[Item], folds: int, seed: int) -> list[int]:
    """The fold of every item, 0 to folds - 1; what belongs together is in one, classes are spread evenly.

    Raises BadFolder when there are fewer units than folds."""
    units = bound(items)
    if folds < 2 or len(units) < folds:
        raise BadFolder(f"{len(units)} patients or groups cannot make {folds} folds.")
    random.Random(seed).shuffle(units)
    units.sort(key=len, reverse=True)  # stable: equal sizes stay shuffled
    total = Counter(item.label for item in items)
    loads: list[Counter[str]] = [Counter() for _ in range(folds)]
    result, used = [0] * len(items), [0] * folds
    for number, unit in enumerate(units):
        counts = Counter(items[index].label for index in unit)
        left = len(units) - number
        empty = [fold for fold in range(folds) if not used[fold]]
        choice = empty if left <= len(empty) else range(folds)
        # The fold that is emptiest in the classes of this unit, each class weighed by how rare it is.
        fold = min(
            choice, key=lambda f: (sum(n * loads[f][label] / total[label] for label, n in counts.items()), used[f])
        )
        loads[fold] += counts
        used[fold] += len(unit)
        for index in unit:
            result[index] = fold
    return result


def at_random(items: Sequence[Item], folds: int, seed: int) -> list[int]:
    """Folds that ignore patients and groups: only to measure what that hides, never to choose or report a model."""
    if folds < 2 or len(items) < folds:
        raise BadFolder(f"{len(items)} images cannot make {folds} folds.")
    by_label: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        by_label[item.label].append(index)
    result, place = [0] * len(items), 0
    chance = random.Random(seed)
    for label in sorted(by_label):
        chance.shuffle(by_label[label])
        for index in by_label[label]:
            result[index] = place % folds
            place += 1
    return result


def holdout(items: Sequence[Item], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices kept and indices held out, about `fraction` of the units, never splitting one. Raises BadFolder."""
    if not 0 < fraction < 1:
        raise BadFolder("The part that is held out must lie between 0 and 1.")
    parts = max(2, round(1 / fraction))
    fold = grouped(items, parts, seed)
    return [i for i, f in enumerate(fold) if f], [i for i, f in enumerate(fold) if not f]

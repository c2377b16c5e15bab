"""The refusal to judge a model on what it saw: the same file, the same pixels, the same patient or group."""

from collections.abc import Sequence
from pathlib import Path

from ml import run_folder
from ml.data import Item
from ml.samples import pixel_digests


class SawIt(ValueError):
    """The model saw data that it is to be judged on."""


def refuse_seen(run: Path, items: Sequence[Item], other_source: bool = False) -> None:
    """Raises SawIt, naming how many, when training or choosing looked at any of the items; BadRun without seen.json.

    `other_source`: patients and groups are numbered by someone else, so that equal numbers say nothing; files and
    pixels are compared all the same."""
    if not (run / "seen.json").exists():
        raise run_folder.BadRun("The run does not say what it saw (seen.json): it cannot be judged fairly.")
    seen = run_folder.seen(run)
    files = sum(item.sha256 in seen["images"] for item in items)
    pixels = sum(digest in seen["pixels"] for digest in pixel_digests(items)) if seen["pixels"] else 0
    keys = [{item.unit} | ({f"group:{item.group}"} if item.group else set()) for item in items]
    units = 0 if other_source else sum(bool(of & seen["units"]) for of in keys)
    if files or pixels or units:
        raise SawIt(
            f"The model saw what it is to be judged on: of {len(items)} images {files} as the same file, {pixels} as the "
            f"same pixels, {units} by patient or group. No figure is given."
        )

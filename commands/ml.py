"""`./run ml`: import a set, train, judge: the AI part on data folders, without a server."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer

from commands.main import given_path
from core.errors import Refused
from ml.annotations import BadFolder

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@contextmanager
def refusals() -> Iterator[None]:
    """What is wrong with a folder or a run is said in a sentence, with exit code 2."""
    try:
        yield
    except ValueError as wrong:
        if isinstance(wrong, BadFolder) or type(wrong).__module__.startswith("ml."):
            raise Refused(str(wrong)) from None
        raise


@app.callback()
def ml() -> None:
    """The AI part: data folders, training, judging. Research use only."""


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(help="a COCO folder, a csv with images (and masks), or a folder a class")],
    out: Annotated[str, typer.Option(help="the data folder to make")],
    name: Annotated[str, typer.Option(help="the data set's name")],
    each_image_alone: Annotated[
        bool, typer.Option(help="images without patient and group are of different people")
    ] = False,
    drop_conflicts: Annotated[bool, typer.Option(help="leave out duplicates that bear two classes")] = False,
    seed: Annotated[int, typer.Option(help="draws the tune part where the set has none")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="what came in as one JSON object")] = False,
) -> None:
    """Make a data folder of an outside set; what belongs together stays in one split."""
    from ml.imports import Choices, import_folder  # NumPy and Pillow: not for help

    with refusals():
        choices = Choices(each_image_alone, drop_conflicts, seed)
        made = import_folder(given_path(source), given_path(out), name, choices)
    if as_json:
        print(json.dumps(asdict(made), ensure_ascii=False))
        return
    print(f"{made.images} images of {made.units} patients or groups, {made.boxes} boxes; hash {made.hash}")
    for split, counts in made.counts.items():
        print(f"  {split}: " + ", ".join(f"{label} {n}" for label, n in counts.items()))
    print("  tune was drawn here" if made.tune_drawn else "  splits are the source's own")
    for same in made.duplicates:
        print("  same pixels: " + ", ".join(same))
    for same in made.conflicts:
        print(("  dropped, two classes: " if made.dropped else "  KEPT though of two classes: ") + ", ".join(same))

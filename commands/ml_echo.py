"""`./run ml train echo` and `./run ml ef`: the part of `./run ml` about the heart."""

import json
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer

from commands.main import given_path
from commands.ml import app, needs_training, refusals, train
from commands.ml_detect import Json, Out, Seed
from core.errors import Refused


@train.command("echo")
def train_echo(
    data: Annotated[str, typer.Option(help="data folder of clips with traced frames")],
    out: Out,
    seed: Seed = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="other than the recipe's")] = None,
    batch: Annotated[int | None, typer.Option(min=2, help="other than the recipe's")] = None,
    size: Annotated[int | None, typer.Option(help="side of the network's input in pixels, a multiple of 16")] = None,
    per_clip: Annotated[int | None, typer.Option(min=1, help="frames of each clip in an epoch")] = None,
    as_json: Json = False,
) -> None:
    """Train the border of the left ventricle; ED, ES, volumes and EF of a clip come out of it by rules."""
    needs_training()
    from ml.run_folder import read
    from ml.tasks.echo import Recipe
    from ml.tasks.echo import train as run_training

    asked: dict[str, Any] = {"epochs": epochs, "batch": batch, "side": size, "per_clip": per_clip}
    recipe = replace(Recipe(), **{key: value for key, value in asked.items() if value is not None})
    with refusals():
        run = run_training(given_path(data), given_path(out), recipe, seed)
        if read(run.path)["state"] == "cancelled":
            raise Refused("The training was cancelled; the same command goes on with it.")
        metrics = json.loads((run.path / "metrics.json").read_text("utf-8"))
    print(json.dumps({"task": "echo", "run": out, **metrics}) if as_json else json.dumps(metrics, indent=1))


@app.command("ef")
def ef(
    run: Annotated[str, typer.Option(help="run folder of the task echo")],
    data: Annotated[str, typer.Option(help="data folder of clips")],
    split: Annotated[str, typer.Option()] = "test",
    as_json: Annotated[bool, typer.Option("--json", help="a JSON object a line")] = False,
) -> None:
    """Measure the clips of a folder: ED, ES, volumes, EF and its class, or why not. Research use only."""
    from ml.clips import clips_of
    from ml.data import load
    from ml.heart import Heart

    with refusals():
        heart = Heart.open(given_path(run))
        for clip in clips_of(load(given_path(data), (split,)).items):
            said = heart.clip(clip).measured
            told: dict[str, Any] = {"video": clip.video, "ef_percent": said.fraction_percent, "ef_class": said.ef_class}
            told |= {"reason": said.reason, "beats": [asdict(beat) for beat in said.beats]}
            figure = said.reason if said.fraction_percent is None else f"{said.fraction_percent:.1f} %  {said.ef_class}"
            print(json.dumps(told) if as_json else f"{clip.video}  {figure}")

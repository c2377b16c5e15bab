"""Recipes of classification: everything that a training does beyond data and seed, frozen and written into run.json."""

import statistics
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from ml.class_map import fitting
from ml.data import BadFolder, Folder
from ml.samples import has_boxes

SMALL_PX: Final = 96  # of the longer side: larger inputs of such pictures are made up


@dataclass(frozen=True)
class Recipe:
    """`members` are networks whose logits are averaged in one graph; "cnn10/2" sees the input at half its size.

    `views`: augmented views of each image an epoch, drawn anew each time. `kept_views`, for members "tail": so many
    views of each training image go once through the body of EfficientNet-Lite0, which stays as ImageNet left it, and
    every epoch draws from them: a tenth of the time. `frozen`: blocks of EfficientNet that stay as
    ImageNet left them. `side`, in pixels, is the input's; `margin` is added to a box on each side. `resize` is "crop" or
    "fit" (ml.images). `by_form`: what the box's form says (ml.form) is added to the logits, and the networks learn the rest.
    `beside`: names of other recipes, whose networks are trained as those say, at their own side, and answer with these:
    the mean of all recipes' logits."""

    name: str
    members: tuple[str, ...]
    side: int = 112
    margin: float = 0.25
    resize: str = "crop"
    epochs: int = 10
    batch: int = 32
    rate: float = 1e-3
    decay: float = 0.02
    views: int = 1
    kept_views: int = 0
    smoothing: float = 0.05
    ema: float = 0.98
    frozen: int = 0
    turn_degrees: float = 12.0
    shift: float = 0.08
    zoom: float = 0.15
    contrast: float = 0.25
    erase: float = 0.2
    by_form: bool = False
    beside: tuple[str, ...] = ()

    @property
    def parts(self) -> "tuple[Recipe, ...]":
        """This recipe alone, and those beside it."""
        return (replace(self, beside=()), *(replace(RECIPES[name], by_form=self.by_form) for name in self.beside))

    @property
    def has_body(self) -> bool:
        """Whether its networks read the maps of a body; those of several recipes together read pictures."""
        return self.kept_views > 0 and not self.beside

    @property
    def document(self) -> dict[str, Any]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


RECIPES = {
    recipe.name: recipe
    for recipe in (
        # The seed's: ten weight layers from nothing, ten augmented views of every image.
        Recipe("cnn10", ("cnn10",), side=96, epochs=3, views=10, rate=2e-3, frozen=0),
        Recipe("cnn10-small", ("cnn10",), side=64, margin=0.0, epochs=10, rate=2e-3, batch=64),
        Recipe("efflite0", ("efflite0",), epochs=10),
        Recipe("efflite0-small", ("efflite0",), side=64, epochs=8, batch=64),
        Recipe("pair", ("efflite0", "cnn10/2"), epochs=10),
        Recipe("pair-small", ("efflite0", "cnn10"), side=64, epochs=8, batch=64),
        Recipe("tails-fit", ("tail",) * 2, side=128, resize="fit", epochs=4, kept_views=6, rate=5e-4, decay=0.05),
        Recipe("tails-form", ("tail",) * 2, side=128, epochs=4, kept_views=6, rate=5e-4, decay=0.05, by_form=True),
        Recipe("tails", ("tail",) * 2, side=128, epochs=4, kept_views=6, rate=5e-4, decay=0.05),
        Recipe(
            "tails-small", ("tail",) * 2, side=96, margin=0.0, epochs=3, batch=64, kept_views=4, rate=7e-4, decay=0.05
        ),
        Recipe("tiny", ("cnn10",), side=32, epochs=2, batch=8),  # for tests and the demo
    )
}
RECIPES["mixed-small"] = replace(RECIPES["tails-small"], name="mixed-small", beside=("cnn10-small",))


def recipe(name: str, **other: float | None) -> Recipe:
    """A recipe by name with some values changed. Raises BadFolder for a name that is none."""
    if name not in RECIPES:
        raise BadFolder(f"There is no recipe {name}; there are {', '.join(RECIPES)}.")
    changed: dict[str, Any] = {key: value for key, value in other.items() if value is not None}
    return replace(RECIPES[name], **changed)


def measured_best(folder: Folder, classes: str | None = None) -> str:
    """The recipe that did best on data of this kind (docs/models): lesions in boxes, small pictures, or others."""
    if has_boxes(folder.items, fitting(folder.labels, classes)):
        return "tails-form"
    side = statistics.median(max(item.width, item.height) for item in folder.items)
    return "mixed-small" if side < SMALL_PX else "tails"

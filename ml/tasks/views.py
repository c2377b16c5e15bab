"""What a training step is fed with: augmented views of crops, made on the fly, or drawn from views that a fixed body saw.

Only training samples are augmented, after the split: no view of a held-out image is ever made for training."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from ml.images import crop, fitted
from ml.networks.efficientnet_lite import Body
from ml.samples import Sample, pictures
from ml.tasks.recipes import Recipe

MEAN, STD = 0.5, 0.5  # of rgb / 255: -1 to 1, as the ImageNet weights expect
ROOM = 1.25  # training crops are cut wider, so that shifted and turned views show what is really there


class Views(Protocol):
    """Training planes of the samples at `indices`, another view at each call."""

    def __call__(self, indices: Tensor) -> Tensor: ...


class Fresh:
    """Views made anew at every step."""

    def __init__(self, samples: Sequence[Sample], recipe: Recipe) -> None:
        self._wide, self._change = cut(samples, recipe, ROOM), augmented(recipe)

    def __call__(self, indices: Tensor) -> Tensor:
        planes = torch.stack([self._change(self._wide[index]) for index in indices])
        return planes.contiguous(memory_format=torch.channels_last)


class Kept:
    """Views that the body has seen: maps (n, views, channels, rows, columns)."""

    def __init__(self, maps: Tensor) -> None:
        self._maps = maps

    def __call__(self, indices: Tensor) -> Tensor:
        drawn = torch.randint(self._maps.shape[1], (len(indices),))
        return self._maps[indices, drawn].contiguous(memory_format=torch.channels_last)


class Store:
    """The body's maps of samples, kept for the folds and seeds that come back to the same ones.

    View v of a sample is always the same one: seeded by what it shows, not by fold or seed."""

    def __init__(self) -> None:
        self._body: Body | None = None
        self._plain: dict[str, Tensor] = {}
        self._changed: dict[str, Tensor] = {}

    def views(self, samples: Sequence[Sample], recipe: Recipe) -> Views:
        """What training draws from."""
        if not recipe.has_body:
            return Fresh(samples, recipe)
        self._fill(self._changed, samples, recipe, self._augmented)
        return Kept(torch.stack([self._changed[_key(one, recipe)] for one in samples]))

    def looked(self, samples: Sequence[Sample], recipe: Recipe) -> Tensor:
        """(2, n, ...) what is judged: each sample as it is, and mirrored left to right."""
        if not recipe.has_body:
            planes = fed(cut(samples, recipe))
            return torch.stack([planes, planes.flip(-1)])
        self._fill(self._plain, samples, recipe, lambda one, given: [one, one.flip(-1)])
        return torch.stack([self._plain[_key(one, recipe)] for one in samples], dim=1)

    @torch.no_grad()
    def _fill(
        self,
        held: dict[str, Tensor],
        samples: Sequence[Sample],
        recipe: Recipe,
        change: Callable[[Tensor, Recipe], list[Tensor]],
    ) -> None:
        missing = [one for one in samples if _key(one, recipe) not in held]
        if not missing:
            return
        self._body = self._body or Body().eval().to(memory_format=torch.channels_last)
        room = ROOM if held is self._changed else 1.0
        for one, pixels in zip(missing, cut(missing, recipe, room), strict=True):
            torch.manual_seed(int(_key(one, recipe)[:12], 16))
            views = change(pixels if room > 1 else fed(pixels[None])[0], recipe)
            held[_key(one, recipe)] = self._body(
                torch.stack(views).contiguous(memory_format=torch.channels_last)
            ).contiguous()

    @staticmethod
    def _augmented(pixels: Tensor, recipe: Recipe) -> list[Tensor]:
        change = augmented(recipe)
        return [change(pixels) for _ in range(recipe.kept_views)]


def _key(sample: Sample, recipe: Recipe) -> str:
    told = f"{sample.item.sha256} {sample.box} {recipe.side} {recipe.margin} {recipe.resize} {recipe.kept_views}"
    return hashlib.sha256(told.encode()).hexdigest()


def cut(samples: Sequence[Sample], recipe: Recipe, room: float = 1.0) -> Tensor:
    """(n, 3, s, s) uint8: each lesion with its margin, or the whole image; `room` widens the view and s alike."""
    side, cuts = round(recipe.side * room), []
    for rgb, sample in zip(pictures(samples), samples, strict=True):
        box, margin = sample.box, recipe.margin
        if box is None:
            box, margin = (0.0, 0.0, float(rgb.shape[1]), float(rgb.shape[0])), 0.0
        if sample.box is not None and recipe.resize == "fit":
            shown = np.zeros((side, side, 3), np.uint8)
            start = (side - recipe.side) // 2
            inner = slice(start, start + recipe.side)
            shown[inner, inner] = fitted(rgb, box, margin, recipe.side, recipe.side, 0)
        else:
            shown = crop(rgb, box, ((1 + 2 * margin) * room - 1) / 2, side, side, 0)
        cuts.append(shown.transpose(2, 0, 1))
    return torch.from_numpy(np.ascontiguousarray(np.stack(cuts)))


def augmented(recipe: Recipe) -> Callable[[Tensor], Tensor]:
    """What a training view may be: mirrored, turned, moved, closer or farther, brighter, covered in part."""
    change: Callable[[Tensor], Tensor] = v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomAffine(
                recipe.turn_degrees,
                (recipe.shift, recipe.shift),
                (1 - recipe.zoom, 1 + recipe.zoom),
                interpolation=v2.InterpolationMode.BILINEAR,
            ),
            v2.CenterCrop(recipe.side),
            v2.ColorJitter(brightness=recipe.contrast, contrast=recipe.contrast),
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomErasing(recipe.erase, scale=(0.02, 0.15), value=0.0),
            v2.Normalize([MEAN] * 3, [STD] * 3),
        ]
    )
    return change


def fed(pixels: Tensor) -> Tensor:
    """(n, 3, s, s) uint8 as the network takes it."""
    return ((pixels.float() / 255 - MEAN) / STD).contiguous(memory_format=torch.channels_last)

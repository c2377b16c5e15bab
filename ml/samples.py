"""What a classifier sees of a data folder: one sample a lesion where there are boxes, otherwise one an image. NumPy."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ml.class_map import ClassMap
from ml.data import BadFolder, Item
from ml.digests import shown
from ml.images import Rgb, read

Corner = tuple[float, float, float, float]


@dataclass(frozen=True)
class Sample:
    """One picture to be named: an image, or a box (x, y, width, height) on it; `target` counts the classes of the map."""

    item: Item
    box: Corner | None
    target: int
    lesion: int  # its number on the image, from 0


def samples_of(items: Iterable[Item], classes: ClassMap, by_box: bool) -> list[Sample]:
    """Every lesion or image whose class the map has. Raises BadFolder for a label that the map does not know."""
    found = []
    for item in items:
        boxes = [(b.x, b.y, b.width, b.height) for b in item.boxes]
        names = [b.category if b.category in classes.of else item.label for b in item.boxes]
        pairs = zip(boxes, names, strict=True) if by_box else [(None, item.label)]
        for number, (box, name) in enumerate(pairs):
            if name in classes.of:
                found.append(Sample(item, box, classes.classes.index(classes.of[name]), number))
            elif name and name not in classes.left_out:
                raise BadFolder("The folder has a class that the model's class map does not know.")
    return found


def has_boxes(items: Iterable[Item], classes: ClassMap) -> bool:
    """Whether regions are to be cut out: every image of a class that is to be named has one."""
    named = [item for item in items if item.label in classes.of]
    return bool(named) and all(item.boxes for item in named)


def pictures(samples: Sequence[Sample]) -> list[Rgb]:
    """The whole picture of each sample, (rows, columns, 3); read once an image. Raises BadFolder."""
    held: dict[str, Rgb] = {}
    for sample in samples:
        if (key := str(sample.item.path)) not in held:
            held[key] = picture(sample.item)
    return [held[str(sample.item.path)] for sample in samples]


def picture(item: Item) -> Rgb:
    """One item's pixels. Raises BadFolder when the file is no picture, or has another size than the annotations say."""
    try:
        rgb = read(item.path)
    except ValueError as error:
        raise BadFolder("An image of the folder is not a whole picture.") from error
    if rgb.shape[:2] != (item.height, item.width):
        raise BadFolder("An image of the folder has another size than its annotations say.")
    return rgb


def pixel_digests(items: Sequence[Item]) -> list[str]:
    """The digest of what each item shows. Raises BadFolder when a file is no picture."""
    try:
        with ThreadPoolExecutor(2) as pool:
            return [found.digest for found in pool.map(lambda item: shown(item.path), items)]
    except ValueError as error:
        raise BadFolder("An image of the folder is not a whole picture.") from error

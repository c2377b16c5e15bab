"""Small sets of beating hearts in the form of EchoNet-Dynamic: a dark half ellipse on grey speckle, with its lines and EF."""

import csv
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

SIDE, FRAMES, BEAT, FIRST = 64, 20, 12, 3
CHORDS = 20


@dataclass(frozen=True)
class Small:
    """Half widths and length in pixels of each frame; ED and ES as frames from 0, and EF of the round disks."""

    half: NDArray[np.float64]
    long: NDArray[np.float64]
    middle: float

    @property
    def ends(self) -> tuple[int, int]:
        return FIRST, FIRST + BEAT // 2

    @property
    def ef_percent(self) -> float:
        volumes = self.half**2 * self.long
        diastole, systole = (volumes[frame] for frame in self.ends)
        return float(100 * (1 - systole / diastole))


def heart(seed: int) -> Small:
    rng = np.random.default_rng(seed)
    shut = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(FRAMES) - FIRST) / BEAT)
    half = rng.uniform(11, 14) * (1 - rng.uniform(0.1, 0.35) * shut)
    return Small(half, rng.uniform(34, 40) * (1 - 0.08 * shut), rng.uniform(28, 36))


def frames(small: Small, seed: int) -> list[NDArray[np.uint8]]:
    """(64, 64, 3) RGB; the apex is at row 8."""
    rng = np.random.default_rng([seed, 1])
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    found = []
    for half, long in zip(small.half, small.long, strict=True):
        inside = (((x - small.middle) / half) ** 2 + ((y - 8 - long) / long) ** 2 < 1) & (y < 8 + long)
        grey = np.where(inside, 15, 130) + rng.normal(0, 12, (SIDE, SIDE))
        found.append(np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2))
    return found


def lines(small: Small, frame: int) -> list[list[float]]:
    """The long axis from apex to base, then the chords."""
    half, long = float(small.half[frame]), float(small.long[frame])
    found = [[small.middle, 8.0, small.middle, 8 + long]]
    for height in np.linspace(0.02, 1, CHORDS):
        wide = half * float(np.sqrt(1 - (1 - height) ** 2))
        found.append([small.middle - wide, 8 + height * long, small.middle + wide, 8 + height * long])
    return found


def echonet(place: Path, train: int = 4, tune: int = 2, test: int = 3, first: int = 0) -> list[Small]:
    """Write the set; returns its hearts in the order of FileList.csv."""
    (place / "Videos").mkdir(parents=True)
    splits = ["TRAIN"] * train + ["VAL"] * tune + ["TEST"] * test
    hearts = [heart(first + number) for number in range(len(splits))]
    with (
        (place / "FileList.csv").open("w", newline="") as listed,
        (place / "VolumeTracings.csv").open("w", newline="") as drawn,
    ):
        files, traced = csv.writer(listed), csv.writer(drawn)
        files.writerow(["FileName", "EF", "ESV", "EDV", "FrameHeight", "FrameWidth", "FPS", "NumberOfFrames", "Split"])
        traced.writerow(["FileName", "X1", "Y1", "X2", "Y2", "Frame"])
        for number, (small, split) in enumerate(zip(hearts, splits, strict=True)):
            name = f"0X{first + number:012X}"
            files.writerow([name, small.ef_percent, 1, 2, SIDE, SIDE, 25, FRAMES, split])
            for frame in reversed(small.ends):  # systole comes first, as it may
                traced.writerows([f"{name}.avi", *line, frame] for line in lines(small, frame))
            video(place / "Videos" / f"{name}.avi", frames(small, first + number))
    return hearts


def video(path: Path, pictures: list[NDArray[np.uint8]]) -> None:
    """Motion JPEG in AVI."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuvj420p"
        stream.options = {"qscale": "2"}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())

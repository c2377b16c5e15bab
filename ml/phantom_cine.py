"""A generated ultrasound view: tissue, a lesion and a moving probe, picture by picture with the lesion's true box."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.phantom_lesions import Lesion
from ml.phantom_tissue import Field, Geometry, Grid, Speckle, breast, liver, value_noise

Box = tuple[int, int, int, int]
DYNAMIC_RANGE_DB = 62.0
LIVER = Geometry(radius_mm=50.0, span=0.58, depth_mm=150.0)
BREAST = Geometry(radius_mm=0.0, span=23.0, depth_mm=40.0)


@dataclass(frozen=True)
class Probe:
    """Where the probe is: shifts in depth samples and lines, and how far the plane is off the lesion's middle (0-1)."""

    depth_shift: float
    line_shift: float
    away: float


@dataclass(frozen=True)
class Converter:
    """Scan conversion by linear interpolation into a picture of (height, width) pixels, computed once for a view."""

    shape: tuple[int, int]
    mm_per_px: float
    face_px: tuple[float, float]
    inside: NDArray[np.bool_]
    corners: tuple[NDArray[np.int32], ...]
    weights: tuple[Field, ...]

    @classmethod
    def fit(cls, grid: Grid, width: int, height: int) -> "Converter":
        """The largest picture of the whole field of view that fits, centred, with square pixels."""
        geometry = grid.geometry
        wide_mm, top_mm, bottom_mm = geometry.extent_mm()
        scale = max(wide_mm / (width - 1), (bottom_mm - top_mm) / (height - 1))
        middle, face = (width - 1) / 2, -top_mm / scale
        x = ((np.arange(width) - middle) * scale).astype(np.float32)
        z = ((np.arange(height) - face) * scale).astype(np.float32)
        depth, line = geometry.to_line(*np.meshgrid(x, z))
        row = depth / np.float32(grid.depth_step_mm)
        column = (line + np.float32(geometry.span)) / np.float32(grid.line_step)
        inside = (row >= 0) & (row < grid.depth_samples - 1) & (column >= 0) & (column < geometry.lines - 1)
        row, column = row[inside], column[inside]
        i, j = row.astype(np.int32), column.astype(np.int32)
        down, right = row - i, column - j
        first = i * geometry.lines + j
        corners = (first, first + 1, first + geometry.lines, first + geometry.lines + 1)
        weights = ((1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right)
        return cls((height, width), scale, (middle, face), inside, corners, weights)

    def picture(self, lines: Field, outside: float) -> Field:
        """(height, width) picture of one set of scan lines."""
        flat = lines.ravel()
        values = sum(flat[c] * w for c, w in zip(self.corners, self.weights, strict=True))
        result = np.full(self.shape, outside, dtype=np.float32)
        result[self.inside] = values
        return result


class View:
    """One organ of one patient under one probe; ask it for pictures."""

    def __init__(self, rng: np.random.Generator, domain: str, lesion: Lesion | None, width: int, height: int) -> None:
        self.geometry = {"liver": LIVER, "breast": BREAST}[domain]
        self.grid = Grid.around(self.geometry)
        self.lesion = lesion
        self.converter = Converter.fit(self.grid, width, height)
        self._x, self._z = self.grid.coordinates()
        self._tissue, _ = {"liver": liver, "breast": breast}[domain](rng, self._x, self._z)
        self._speckle = Speckle.scattered(rng, self.grid)
        shade = value_noise(
            rng, np.linspace(-50, 50, self.geometry.lines, dtype=np.float32), np.zeros(1, np.float32), 9, 1
        )
        self._shade = 1.2 * shade[None, :]
        depth = np.linspace(0, 1, self.grid.depth_samples, dtype=np.float32)[:, None]
        # What the gain does not make up for: weak far field, and receiver noise that the gain lifts with depth.
        self._gain = 1.5 - 9.0 * depth**2.2
        self._noise_db = -44.0 + 17.0 * depth**1.5

    def picture(self, probe: Probe, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Box | None]:
        """(height, width) uint8 picture and the lesion's tight box x, y, w, h in pixels of it."""
        x, z, tissue = (self._see(field, probe) for field in (self._x, self._z, self._tissue))
        turn = probe.away * np.pi / 2
        power = np.cos(turn) ** 2 * self._see(self._speckle.here, probe)
        power += np.sin(turn) ** 2 * self._see(self._speckle.away, probe)
        power += 2 * np.sin(turn) * np.cos(turn) * self._see(self._speckle.cross, probe)
        level, box = tissue, None
        if self.lesion is not None:
            level, attenuation, reach = self._with_lesion(self.lesion, x, z, tissue, probe)
            level = level - _across(np.cumsum(attenuation, axis=0), 4) * np.float32(self.grid.depth_step_mm)
            box = self._box(reach)
        level = level + self._gain + self._shade
        noise = 10 ** (self._noise_db / 10) * rng.exponential(1.0, level.shape).astype(np.float32)
        echo = 10 * np.log10(10 ** (level / 10) * np.maximum(power, 1e-6) + noise)
        grey = np.clip(0.47 + echo / DYNAMIC_RANGE_DB, 0, 1)
        lines = np.asarray(255 * grey**1.12, dtype=np.float32)
        return np.rint(self.converter.picture(lines, 0.0)).astype(np.uint8), box

    def _with_lesion(self, lesion: Lesion, x: Field, z: Field, tissue: Field, probe: Probe) -> tuple[Field, ...]:
        """`Lesion.look`, worked out only near the lesion; it is the smaller the further the plane is off its middle."""
        lesion = lesion.scaled(float(np.sqrt(max(1 - (0.75 * probe.away) ** 2, 0.1))))
        far = np.float32(2.4 * max(lesion.half_width_mm, lesion.half_height_mm))
        near = (np.abs(x - np.float32(lesion.x_mm)) < far) & (np.abs(z - np.float32(lesion.z_mm)) < far)
        rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
        level, attenuation, reach = tissue.copy(), np.zeros_like(tissue), np.full_like(tissue, np.float32(9.0))
        if rows.size:
            part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            level[part], attenuation[part], reach[part] = lesion.look(x[part], z[part], tissue[part])
        return level, attenuation, reach

    def _see(self, field: Field, probe: Probe) -> Field:
        return self.grid.window(field, probe.depth_shift, probe.line_shift)

    def _box(self, reach: Field) -> Box | None:
        seen = self.converter.picture(reach, np.inf) <= 1
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        if rows.size == 0:
            return None
        x, y = int(columns[0]), int(rows[0])
        return x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1


def _across(lines: Field, reach: int) -> Field:
    """Mean over neighbouring lines: a beam is wider than one line, so a shadow has no hard side."""
    padded = np.cumsum(np.pad(lines, ((0, 0), (reach + 1, reach)), mode="edge"), axis=1)
    return np.asarray((padded[:, 2 * reach + 1 :] - padded[:, : -2 * reach - 1]) / (2 * reach + 1), dtype=np.float32)


def sweep(rng: np.random.Generator, grid: Grid, frames: int) -> Iterator[Probe]:
    """A hand that sways and a patient who breathes: one probe position for each frame."""
    phase, sway = rng.uniform(0, 2 * np.pi, 3), rng.uniform(0.35, 0.7)
    reach_lines, reach_depth = grid.margin_lines * sway, grid.margin_depth * 0.5 * sway
    for frame in range(frames):
        t = 2 * np.pi * frame / max(frames, 24)
        lines = reach_lines * (0.8 * np.sin(t + phase[0]) + 0.15 * np.sin(3.1 * t + phase[1]))
        depth = reach_depth * np.sin(1.3 * t + phase[2])
        yield Probe(float(depth), float(lines), float(0.5 - 0.5 * np.cos(t + 0.4)) * 0.9)


def still(rng: np.random.Generator, grid: Grid) -> Probe:
    """A plane near the lesion's middle, as an examiner freezes it."""
    lines, depth = rng.uniform(-0.5, 0.5) * grid.margin_lines, rng.uniform(-0.4, 0.4) * grid.margin_depth
    return Probe(float(depth), float(lines), float(rng.uniform(0, 0.35)))

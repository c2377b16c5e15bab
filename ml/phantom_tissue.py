"""Generated B-mode tissue: speckle, layers and vessels on the scan lines of a probe, and their conversion to a picture.

Arrays of scan lines are (depth samples, lines), depth first, float32. Levels are dB relative to parenchyma or gland."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
AXIAL_STEP_MM = 0.3


@dataclass(frozen=True)
class Geometry:
    """How the probe looks: `radius_mm` 0 is a linear probe (`span` in mm), otherwise convex (`span` in radians).

    `span` is half of the field of view. x (right) and z (down) are in mm, zero at the middle of the probe's face."""

    radius_mm: float
    span: float
    depth_mm: float
    lines: int = 288

    @property
    def convex(self) -> bool:
        return self.radius_mm > 0

    def to_xz(self, depth_mm: Field, lateral: Field) -> tuple[Field, Field]:
        """(depth, angle or offset) of scan line samples to x and z in mm."""
        if not self.convex:
            return lateral, depth_mm
        reach = self.radius_mm + depth_mm
        return reach * np.sin(lateral), reach * np.cos(lateral) - np.float32(self.radius_mm)

    def to_line(self, x_mm: Field, z_mm: Field) -> tuple[Field, Field]:
        """x and z in mm to (depth, angle or offset)."""
        if not self.convex:
            return z_mm, x_mm
        below = z_mm + np.float32(self.radius_mm)
        return np.hypot(x_mm, below) - np.float32(self.radius_mm), np.arctan2(x_mm, below)

    def extent_mm(self) -> tuple[float, float, float]:
        """Width, top and bottom of the field of view in mm."""
        if not self.convex:
            return 2 * self.span, 0.0, self.depth_mm
        top = self.radius_mm * (np.cos(self.span) - 1)
        return 2 * (self.radius_mm + self.depth_mm) * float(np.sin(self.span)), float(top), self.depth_mm


@dataclass(frozen=True)
class Grid:
    """The scan lines, with a margin all round so that the probe can sway over tissue that stays itself."""

    geometry: Geometry
    depth_samples: int
    margin_depth: int
    margin_lines: int
    line_step: float

    @classmethod
    def around(cls, geometry: Geometry) -> "Grid":
        samples = round(geometry.depth_mm / AXIAL_STEP_MM) if geometry.convex else 420
        return cls(geometry, samples, samples // 12, geometry.lines // 8, 2 * geometry.span / (geometry.lines - 1))

    @property
    def depth_step_mm(self) -> float:
        return self.geometry.depth_mm / (self.depth_samples - 1)

    @property
    def shape(self) -> tuple[int, int]:
        return self.depth_samples + 2 * self.margin_depth, self.geometry.lines + 2 * self.margin_lines

    def coordinates(self) -> tuple[Field, Field]:
        """x and z in mm of every sample, margins included."""
        depth = (np.arange(self.shape[0], dtype=np.float32) - self.margin_depth) * np.float32(self.depth_step_mm)
        line = (np.arange(self.shape[1], dtype=np.float32) - self.margin_lines) * np.float32(self.line_step)
        depths, lines = np.meshgrid(depth, line - np.float32(self.geometry.span), indexing="ij")
        return self.geometry.to_xz(depths, lines)

    def window(self, whole: Field, depth_shift: float, line_shift: float) -> Field:
        """What the probe sees after it moved by a fraction of samples and lines; the shifts stay inside the margins."""
        top, left = self.margin_depth + depth_shift, self.margin_lines + line_shift
        row, column = int(np.floor(top)), int(np.floor(left))
        down, right = np.float32(top - row), np.float32(left - column)
        rows, columns = self.depth_samples, self.geometry.lines
        block = whole[row : row + rows + 1, column : column + columns + 1]
        across = block[:, :-1] * (1 - right) + block[:, 1:] * right
        return np.asarray(across[:-1] * (1 - down) + across[1:] * down, dtype=np.float32)


def value_noise(rng: np.random.Generator, x_mm: Field, z_mm: Field, cell_x_mm: float, cell_z_mm: float) -> Field:
    """Smooth random field with unit spread and features of about one cell, the same for the same place in mm."""
    table = rng.standard_normal((64, 64)).astype(np.float32)
    u, v = x_mm / np.float32(cell_x_mm) + 512, z_mm / np.float32(cell_z_mm) + 512
    column, row = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    right, down = u - column, v - row
    right, down = right * right * (3 - 2 * right), down * down * (3 - 2 * down)
    column, row = column & 63, row & 63
    beside, below = (column + 1) & 63, (row + 1) & 63
    upper = table[row, column] * (1 - right) + table[row, beside] * right
    lower = table[below, column] * (1 - right) + table[below, beside] * right
    return np.asarray((upper * (1 - down) + lower * down) * np.float32(1.5), dtype=np.float32)


def band(z_mm: Field, centre_mm: Field | float, width_mm: float) -> Field:
    """1 on a line at `centre_mm` that fades out over `width_mm`."""
    return np.asarray(np.exp(-(((z_mm - centre_mm) / width_mm) ** 2)), dtype=np.float32)


def step(value: Field, edge: Field | float, softness: float) -> Field:
    """0 below the edge, 1 above it."""
    return np.asarray(np.clip((value - edge) / softness * 0.5 + 0.5, 0, 1), dtype=np.float32)


def _blur(noise: NDArray[np.complex64], sigma_depth: float, sigma_lines: float) -> NDArray[np.complex64]:
    """Convolve with a Gaussian point spread, in samples and lines, and bring the mean power back to one."""
    down, across = (np.fft.fftfreq(n).astype(np.float32) for n in noise.shape)
    gain = np.exp(-2 * (np.pi * sigma_depth * down[:, None]) ** 2 - 2 * (np.pi * sigma_lines * across[None, :]) ** 2)
    blurred = np.fft.ifft2(np.fft.fft2(noise) * gain)
    return np.asarray(blurred / np.sqrt(np.mean(np.abs(blurred) ** 2)), dtype=np.complex64)


@dataclass(frozen=True)
class Speckle:
    """Echo power of random scatterers; turning from `here` to `away` is the plane leaving the slice (fully at 1)."""

    here: Field
    away: Field
    cross: Field

    @classmethod
    def scattered(cls, rng: np.random.Generator, grid: Grid, looks: int = 2) -> "Speckle":
        """Sum of `looks` compounded Rayleigh fields; the beam is narrow at its focus and wider above and below."""
        depth = np.arange(grid.shape[0], dtype=np.float32)[:, None] / grid.shape[0]
        spread = np.clip(np.abs(depth - 0.45) * 2.2, 0, 1)
        total = [np.zeros(grid.shape, dtype=np.float32) for _ in range(3)]
        for _ in range(looks):
            pair = []
            for _ in range(2):
                raw = rng.standard_normal((2, *grid.shape), dtype=np.float32)
                noise = np.asarray(raw[0] + 1j * raw[1], dtype=np.complex64)
                narrow, wide = _blur(noise, 1.25, 1.1), _blur(noise, 1.4, 2.4)
                pair.append(narrow * np.sqrt(1 - spread) + wide * np.sqrt(spread))
            here, away = pair
            total[0] += np.abs(here) ** 2 / looks
            total[1] += np.abs(away) ** 2 / looks
            total[2] += np.real(here * np.conj(away)) / looks
        return cls(*total)


def liver(rng: np.random.Generator, x: Field, z: Field) -> tuple[Field, Field]:
    """Abdominal wall, parenchyma, vessels and diaphragm: level in dB and attenuation beyond the usual in dB/mm."""
    sag = 0.6 * value_noise(rng, x, np.zeros_like(z), 22.0, 1.0)
    level = 1.3 * value_noise(rng, x, z, 5.0, 4.0) + 1.0 * value_noise(rng, x, z, 28.0, 22.0)
    vessels = np.zeros_like(x)
    for wall_db in (0.0, 0.0, 0.0, 10.0, 10.0):
        vessels += _vessel(rng, x, z, wall_db)
    level += np.maximum(vessels, -26)
    capsule = 17.0 + 2.0 * sag
    wall = 4.0 - 6.0 * step(z, 4.0 + sag, 1.0) + 4.0 * step(z, 10.5 + sag, 1.2)
    wall += 7.0 * np.clip(np.sin(z * 3.4 + 2 * value_noise(rng, x, z, 16.0, 3.0)), 0.2, 1) - 3
    inside = step(z, capsule, 0.8)
    level = wall * (1 - inside) + level * inside + 10 * band(z, capsule, 0.8) + 7 * band(z, 1.2, 1.0)
    centre_x, centre_z, bow = rng.uniform(-35, -5), rng.uniform(28, 40), rng.uniform(96, 108)
    reach = np.hypot(x - np.float32(centre_x), z - np.float32(centre_z))
    beyond = step(reach, bow + 1.2 * sag, 1.6)
    mirrored = -9 - 0.12 * np.clip(reach - bow, 0, 60)
    level = level * (1 - beyond) + mirrored * beyond + 15 * band(reach, bow + 1.2 * sag, 1.3)
    return np.asarray(level, dtype=np.float32), np.zeros_like(x)


def _vessel(rng: np.random.Generator, x: Field, z: Field, wall_db: float) -> Field:
    """A tube that tapers along a bent line: dark inside, bright along its wall when it is a portal vein."""
    start = np.array([rng.uniform(-70, 70), rng.uniform(45, 120)])
    turn = start + np.array([rng.uniform(-45, 45), rng.uniform(-25, 25)])
    end = turn + np.array([rng.uniform(-40, 40), rng.uniform(-30, 25)])
    widest = rng.uniform(2.2, 4.6)
    along = np.linspace(0, 1, 10)[:, None]
    points = ((1 - along) ** 2 * start + 2 * along * (1 - along) * turn + along**2 * end).astype(np.float32)
    nearest = np.full_like(x, np.inf)
    for n, (here, there) in enumerate(pairwise(points)):
        way, right, down = there - here, x - here[0], z - here[1]
        part = np.clip((right * way[0] + down * way[1]) / np.float32(way @ way), 0, 1)
        radius = np.float32(widest) * (1 - np.float32(0.06) * (n + part))
        distance = np.hypot(right - part * way[0], down - part * way[1]) / radius
        np.minimum(nearest, distance, out=nearest)
    lumen = 1 - step(nearest, 1.0, 0.3)
    return np.asarray(-26 * lumen + wall_db * band(nearest, 1.4, 0.35), dtype=np.float32)


def breast(rng: np.random.Generator, x: Field, z: Field) -> tuple[Field, Field]:
    """Skin, fat lobules, gland, pectoral muscle and pleura: level in dB and attenuation beyond the usual in dB/mm."""
    flat = np.zeros_like(z)
    front = 8.0 + 1.6 * value_noise(rng, x, flat, 7.0, 1.0)
    back = 21.5 + 1.3 * value_noise(rng, x, flat, 9.0, 1.0)
    ridge = np.exp(-((value_noise(rng, x, z, 6.5, 3.8) / 0.26) ** 2))
    fat = -11.0 + 6.5 * ridge + 0.8 * value_noise(rng, x, z, 2.0, 1.5)
    gland = (
        1.5 + 2.0 * value_noise(rng, x, z, 3.6, 1.5) - 4.0 * np.exp(-((value_noise(rng, x, z, 6.0, 1.8) / 0.2) ** 2))
    )
    waves = np.sin(z * 5.2 + x * 0.35 + 1.5 * value_noise(rng, x, z, 9.0, 2.0))
    muscle = -9.0 + 8.0 * np.clip(waves, 0.3, 1)
    in_gland, in_muscle = step(z, front, 0.7), step(z, back + 2.2, 0.5)
    level = fat * (1 - in_gland) + gland * in_gland
    level = level - 8 * band(z, back + 0.9, 0.9)
    level = level * (1 - in_muscle) + muscle * in_muscle
    level += 7 * band(z, back + 2.3, 0.35) + 9 * band(z, 0.6, 0.5) + 5 * band(z, 1.9, 0.3)
    pleura = 34.5 + 0.8 * value_noise(rng, x, flat, 14.0, 1.0)
    level -= 9 * step(z, pleura, 0.5) - 15 * band(z, pleura, 0.4)
    return np.asarray(level, dtype=np.float32), np.zeros_like(x)

"""The lesions of the generated studies: how each diagnosis looks on B-mode, by its code in the vocabulary."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ml.phantom_tissue import Field, band, step, value_noise

Look = tuple[Field, Field]


@dataclass(frozen=True)
class Lesion:
    """A tumour in tissue: centre and half axes in mm, tilt in radians, and the waves of its edge.

    `waves` holds (count, amplitude, phase) of the edge around the outline; `seed` fixes what is random inside."""

    code: str
    x_mm: float
    z_mm: float
    half_width_mm: float
    half_height_mm: float
    tilt: float
    waves: tuple[tuple[int, float, float], ...]
    seed: int

    def scaled(self, factor: float) -> "Lesion":
        """The same lesion cut further from its middle."""
        return replace(self, half_width_mm=self.half_width_mm * factor, half_height_mm=self.half_height_mm * factor)

    def reach(self, x: Field, z: Field) -> tuple[Field, Field]:
        """How far out each place is (1 is the edge) and its direction in radians."""
        cos, sin = np.float32(np.cos(self.tilt)), np.float32(np.sin(self.tilt))
        right, down = x - np.float32(self.x_mm), z - np.float32(self.z_mm)
        u = (right * cos + down * sin) / np.float32(self.half_width_mm)
        v = (down * cos - right * sin) / np.float32(self.half_height_mm)
        angle = np.arctan2(v, u)
        edge = np.ones_like(angle)
        for count, amplitude, phase in self.waves:
            edge += np.float32(amplitude) * np.cos(count * angle + np.float32(phase))
        return np.asarray(np.hypot(u, v) / edge, dtype=np.float32), np.asarray(angle, dtype=np.float32)

    def look(self, x: Field, z: Field, tissue: Field) -> tuple[Field, Field, Field]:
        """Level in dB with the lesion in `tissue`, attenuation beyond the usual in dB/mm, and `reach`."""
        reach, angle = self.reach(x, z)
        softness = _SOFTNESS_MM.get(self.code, 0.5) / min(self.half_width_mm, self.half_height_mm)
        inside = 1 - step(reach, 1.0, softness)
        rng = np.random.default_rng(self.seed)
        own, rim = _LOOKS[self.code](rng, x, z, reach, angle)
        level = tissue * (1 - inside) + own * inside + rim
        attenuation = inside * np.float32(_ATTENUATION_DB_PER_MM[self.code])
        return level, np.asarray(attenuation, dtype=np.float32), reach


def _cyst(rng: np.random.Generator, x: Field, z: Field, reach: Field, angle: Field) -> Look:
    back_wall = np.clip(np.sin(angle), 0, 1) + 0.4 * np.clip(-np.sin(angle), 0, 1)
    return np.full_like(reach, -48), np.asarray(8 * band(reach, 1.03, 0.05) * back_wall, dtype=np.float32)


def _hcc(rng: np.random.Generator, x: Field, z: Field, reach: Field, angle: Field) -> Look:
    cells = value_noise(rng, x, z, 6.0, 5.0)
    septa = 7 * np.exp(-((value_noise(rng, x, z, 7.0, 6.0) / 0.13) ** 2))
    mosaic = np.float32(-3.0) + 5.5 * np.tanh(2.2 * cells) + septa
    halo = band(reach, 0.92, 0.09)
    return mosaic * (1 - halo) - 12 * halo, np.zeros_like(reach)


def _haemangioma(rng: np.random.Generator, x: Field, z: Field, reach: Field, angle: Field) -> Look:
    bright = np.float32(8.5) + 0.8 * value_noise(rng, x, z, 3.0, 3.0)
    return bright + 3.5 * band(reach, 0.94, 0.07), np.zeros_like(reach)


def _metastasis(rng: np.random.Generator, x: Field, z: Field, reach: Field, angle: Field) -> Look:
    centre = 1 - step(reach, 0.62, 0.16)
    core = 4.5 + 1.5 * value_noise(rng, x, z, 4.0, 4.0)
    necrosis = -14 * (1 - step(reach, 0.2, 0.12))
    return centre * (core + necrosis) - 13 * (1 - centre), np.zeros_like(reach)


def _fibroadenoma(rng: np.random.Generator, x: Field, z: Field, reach: Field, angle: Field) -> Look:
    inside = np.float32(-12.0) + 0.9 * value_noise(rng, x, z, 1.6, 1.2)
    return inside, 4.5 * band(reach, 1.05, 0.05)


def _carcinoma(rng: np.random.Generator, x: Field, z: Field, reach: Field, angle: Field) -> Look:
    inside = np.float32(-19.0) + 2.0 * value_noise(rng, x, z, 1.8, 1.4)
    inside = inside + 20 * step(value_noise(rng, x, z, 0.7, 0.5), 2.5, 0.4)
    spikes = np.clip(np.cos(11 * angle + 2.0 * np.sin(2 * angle)) - 0.45, 0, 1)
    outside = step(reach, 0.95, 0.15) * np.exp(-np.clip(reach - 1, 0, 9) / 0.34)
    return inside, outside * (4.0 - 34 * spikes)


def _dcis(rng: np.random.Generator, x: Field, z: Field, reach: Field, angle: Field) -> Look:
    inside = np.float32(-8.5) + 3.0 * value_noise(rng, x, z, 2.2, 1.4)
    foci = 18 * step(value_noise(rng, x, z, 0.7, 0.5), 2.3, 0.4)
    return inside + foci, np.zeros_like(reach)


_LOOKS: dict[str, Callable[[np.random.Generator, Field, Field, Field, Field], Look]] = {
    "LIV-CYST": _cyst,
    "LIV-HCC": _hcc,
    "LIV-HEM": _haemangioma,
    "LIV-MET": _metastasis,
    "BR-CYST": _cyst,
    "BR-FA": _fibroadenoma,
    "BR-INV": _carcinoma,
    "BR-DCIS": _dcis,
}
# Negative is less than the tissue round it: what lies behind looks brighter.
_ATTENUATION_DB_PER_MM = {
    "LIV-CYST": -0.32,
    "LIV-HCC": -0.10,
    "LIV-HEM": -0.06,
    "LIV-MET": 0.04,
    "BR-CYST": -0.9,
    "BR-FA": -0.35,
    "BR-INV": 1.25,
    "BR-DCIS": 0.05,
}
_SIZES_MM = {  # smallest and largest long half axis, and height to width
    "LIV-CYST": (9.0, 20.0, 0.92),
    "LIV-HCC": (14.0, 26.0, 0.9),
    "LIV-HEM": (8.0, 16.0, 0.95),
    "LIV-MET": (10.0, 20.0, 0.95),
    "BR-CYST": (4.0, 8.0, 0.72),
    "BR-FA": (5.0, 9.0, 0.56),
    "BR-INV": (3.6, 6.2, 1.12),
    "BR-DCIS": (5.0, 9.0, 0.5),
}
_SOFTNESS_MM = {"LIV-HCC": 0.9, "LIV-MET": 1.2, "BR-INV": 1.3, "BR-DCIS": 1.6, "BR-CYST": 0.3}
_ROUGHNESS = {"LIV-CYST": 0.02, "BR-CYST": 0.02, "BR-FA": 0.03, "BR-INV": 0.07, "BR-DCIS": 0.1}


def codes(domain: str) -> tuple[str, ...]:
    """The diagnoses that can be drawn in this organ."""
    prefix = {"liver": "LIV-", "breast": "BR-"}[domain]
    return tuple(code for code in _LOOKS if code.startswith(prefix))


def grow(rng: np.random.Generator, code: str) -> Lesion:
    """A lesion of this diagnosis at a place where the organ is seen well."""
    low, high, flatness = _SIZES_MM[code]
    half_width = rng.uniform(low, high)
    rough = _ROUGHNESS.get(code, 0.045)
    counts = (2, 3, 5, 7, 11) if code == "BR-INV" else (2, 3, 4, 5)
    waves = tuple((n, rough * rng.uniform(0.3, 1.0), rng.uniform(0, 2 * np.pi)) for n in counts)
    if code.startswith("LIV-"):
        x, z = rng.uniform(-32, 32), rng.uniform(58, 88)
    else:
        x, z = rng.uniform(-7, 7), rng.uniform(13.5, 16.5)
    height = half_width * flatness * rng.uniform(0.92, 1.08)
    return Lesion(code, x, z, half_width, height, rng.uniform(-0.35, 0.35), waves, int(rng.integers(2**31)))

"""A generated heart: cines of the apical four- and two-chamber views whose ventricle has a known volume on every frame.

The cavity is an ellipsoid with the semi-axes a (long), b and c, cut off by the plane of the mitral valve half of a
below its middle; the apex points at the probe. b is its half width in the four-chamber view, c in the two-chamber view.
Volume: pi b c times the integral of 1 - z^2/a^2 from -a to a/2, which is 9/8 a. x and z are mm as in phantom_tissue."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from ml.phantom import PhantomInstance, PhantomStudy, Truth, _exam, _values
from ml.phantom_cine import DYNAMIC_RANGE_DB, Converter
from ml.phantom_dicom import Exam, dataset, store_cine
from ml.phantom_people import INSTITUTIONS, make_patient
from ml.phantom_screens import BurnedText, Screen
from ml.phantom_tissue import Field, Geometry, Grid, Speckle, band, step, value_noise

Picture = NDArray[np.uint8]
Points = tuple[tuple[float, float], ...]
GEOMETRY: Final = Geometry(radius_mm=4.0, span=0.72, depth_mm=160.0)
CODE: Final = "HT-NORM"
VIEWS: Final = {"399214001": "a4c", "399232001": "a2c"}  # CID 12226
APEX_MM: Final = 22.0  # how deep the apex lies; it moves least
SYSTOLE: Final = 0.36  # part of the cycle from the R wave to end systole
ECG_HZ: Final = 500
CONTOUR_POINTS: Final = 61


@dataclass(frozen=True)
class Ventricle:
    """Semi-axes in mm at one moment."""

    a: float
    b: float
    c: float

    @property
    def volume_ml(self) -> float:
        return float(np.pi * self.b * self.c * 9 / 8 * self.a / 1000)

    @property
    def middle_mm(self) -> float:
        """How deep the middle of the whole ellipsoid lies."""
        return APEX_MM + self.a

    @property
    def valve_mm(self) -> float:
        """How deep the plane of the mitral valve lies."""
        return self.middle_mm + self.a / 2


@dataclass(frozen=True)
class Beats:
    """How the heart goes: ventricles at end diastole and end systole, time between frames, between and to R waves, in ms."""

    diastole: Ventricle
    systole: Ventricle
    frame_ms: float
    rr_ms: float
    first_r_ms: float
    frames: int

    def at(self, ms: float) -> Ventricle:
        """Smallest SYSTOLE of a cycle after each R wave, largest at the R wave."""
        phase = ((ms - self.first_r_ms) / self.rr_ms) % 1.0
        part = phase / SYSTOLE / 2 if phase < SYSTOLE else 0.5 + (phase - SYSTOLE) / (1 - SYSTOLE) / 2
        shut = float(0.5 - 0.5 * np.cos(2 * np.pi * part))
        one, other = self.diastole, self.systole
        return Ventricle(*(x + (y - x) * shut for x, y in zip(_axes(one), _axes(other), strict=True)))

    @property
    def r_waves_ms(self) -> tuple[float, ...]:
        count = int((self.frames * self.frame_ms - self.first_r_ms) / self.rr_ms) + 1
        return tuple(self.first_r_ms + self.rr_ms * beat for beat in range(count))


@dataclass(frozen=True)
class HeartTruth(Truth):
    """Beside the code: the view, and of each frame the volume in ml and the contour in pixels of the stored frame.

    A contour goes from one end of the valve's plane over the apex to the other; `ends` are (ED, ES), frames from 1."""

    view: str
    volumes_ml: tuple[float, ...]
    contours: tuple[Points, ...]
    ends: tuple[tuple[int, int], ...]
    r_waves_ms: tuple[float, ...]

    @property
    def ef_percent(self) -> float:
        """Of the first whole beat."""
        diastole, systole = (self.volumes_ml[frame - 1] for frame in self.ends[0])
        return 100 * (diastole - systole) / diastole


def heart_study(seed: int, device: str = "logiq-e9", frames: int = 45) -> PhantomStudy:
    """A study of two cines, A4C and A2C, of one heart; with fewer frames than a beat has they hold no whole beat.

    Raises Malformed for an unknown device."""
    rng = np.random.default_rng([seed, 3])
    patient = make_patient(rng, "heart")
    institution = INSTITUTIONS[int(rng.integers(len(INSTITUTIONS)))]
    exam = _exam(rng, patient, "heart", device, institution, utf8=bool(seed % 2))
    beats = _beats(rng, frames)
    settings = exam.settings | {"rate": 1000 / beats.frame_ms, "heart_rate": round(60_000 / beats.rr_ms)}
    exam = replace(exam, settings=settings)
    cines = tuple(_cine(rng, exam, beats, view, number) for number, view in enumerate(VIEWS, start=1))
    return PhantomStudy(patient, exam.accession, exam.study_uid, "heart", exam.device.key, cines)


def _axes(one: Ventricle) -> tuple[float, float, float]:
    return one.a, one.b, one.c


def _beats(rng: np.random.Generator, frames: int) -> Beats:
    a, b = rng.uniform(54, 60), rng.uniform(22, 25)
    wide = Ventricle(a, b, b * rng.uniform(0.94, 1.04))
    squeeze = rng.uniform(0.66, 0.84)
    tight = Ventricle(wide.a * rng.uniform(0.84, 0.9), wide.b * squeeze, wide.c * squeeze * rng.uniform(0.97, 1.03))
    frame_ms = float(rng.uniform(28, 34))
    return Beats(
        wide, tight, frame_ms, frame_ms * int(rng.integers(26, 31)), frame_ms * int(rng.integers(2, 6)), frames
    )


class HeartView:
    """One view of the beating heart; ask it for pictures."""

    def __init__(self, rng: np.random.Generator, view: str, width: int, height: int) -> None:
        self.grid = Grid.around(GEOMETRY)
        self.converter = Converter.fit(self.grid, width, height)
        self.is_four_chamber = VIEWS[view] == "a4c"
        self._speckle = Speckle.scattered(rng, self.grid)
        whole_x, whole_z = self.grid.coordinates()
        self._x, self._z = (self.grid.window(field, 0.0, 0.0) for field in (whole_x, whole_z))
        self._grain = value_noise(rng, self._x, self._z, 7.0, 5.0)
        depth = np.linspace(0, 1, self.grid.depth_samples, dtype=np.float32)[:, None]
        self._gain, self._noise_db = 1.0 - 8.0 * depth**2.2, -42.0 + 16.0 * depth**1.5

    def picture(self, heart: Ventricle, rng: np.random.Generator, away: float) -> Picture:
        """(height, width) uint8; `away` (0-1) is how far the speckle has turned since the first frame."""
        level = self._tissue(heart) + 1.5 * self._grain + self._gain
        turn = away * np.pi / 2
        seen = [self.grid.window(f, 0.0, 0.0) for f in (self._speckle.here, self._speckle.away, self._speckle.cross)]
        power = np.cos(turn) ** 2 * seen[0] + np.sin(turn) ** 2 * seen[1] + np.sin(2 * turn) * seen[2]
        noise = 10 ** (self._noise_db / 10) * rng.exponential(1.0, level.shape).astype(np.float32)
        echo = 10 * np.log10(10 ** (level / 10) * np.maximum(power, 1e-6) + noise)
        grey = np.clip(0.47 + echo / DYNAMIC_RANGE_DB, 0, 1)
        return np.rint(self.converter.picture(np.asarray(255 * grey**1.12, dtype=np.float32), 0.0)).astype(np.uint8)

    def half_width(self, heart: Ventricle) -> float:
        return heart.b if self.is_four_chamber else heart.c

    def contour(self, heart: Ventricle) -> Points:
        """Pixels (x, y) of the picture, from the left end of the valve's plane over the apex to the right one."""
        turns = np.linspace(-2 * np.pi / 3, 2 * np.pi / 3, CONTOUR_POINTS)
        x, z = self.half_width(heart) * np.sin(turns), heart.middle_mm - heart.a * np.cos(turns)
        scale, (face_x, face_y) = self.converter.mm_per_px, self.converter.face_px
        return tuple((float(px), float(py)) for px, py in zip(x / scale + face_x, z / scale + face_y, strict=True))

    def _tissue(self, heart: Ventricle) -> Field:
        """Level in dB: lung outside, muscle round the cavity, its bright border, the valve, the atrium, the right heart."""
        half, x, z = self.half_width(heart), self._x, self._z
        away = _away(x, z, heart.middle_mm, half, heart.a)
        muscle = 9.0 * (heart.volume_ml / 110) ** -0.25
        below = step(z, heart.valve_mm, 0.8)
        in_cavity, in_muscle = 1 - step(away, 0.0, 0.8), 1 - step(away, muscle, 1.2)
        level = np.full_like(x, -15.0)
        if self.is_four_chamber:
            right = _away(x + half + muscle + 13, z, heart.middle_mm + 14, 16.0, heart.a * 0.78)
            level += (1.0 + 14 * (1 - step(right, 4.0, 1.0))) * (1 - in_muscle)
            level -= 30 * (1 - step(right, 0.0, 0.8)) * (1 - in_muscle)
        atrium = _away(x, z, heart.valve_mm + 24, half * 0.95, 25.0)
        level = level * (1 - in_muscle) + 2.0 * in_muscle + 11 * band(away, muscle, 1.0)
        under = np.where(atrium < 0, -34.0, -6.0) + 8 * band(atrium, 1.5, 1.4)
        level = level * (1 - below) + under * below
        blood = in_cavity * (1 - below)
        level = level * (1 - blood) - 36 * blood
        level += 9 * band(away, 0.6, 0.8) * (1 - below)
        closed = np.asarray(heart.valve_mm + 0.12 * (half - np.abs(x)), dtype=np.float32)
        leaflets = band(z, closed, 0.9) * (1 - step(np.abs(x), half * 0.9, 2.0))
        return np.asarray(np.maximum(level, -36) + 34 * leaflets, dtype=np.float32)


def _away(x: Field, z: Field, middle: float, half: float, tall: float) -> Field:
    """About how many mm outside of an ellipse a place is; negative inside."""
    right, down = x / np.float32(half), (z - np.float32(middle)) / np.float32(tall)
    reach = np.hypot(right, down) + np.float32(1e-6)
    return np.asarray((reach - 1) * reach / np.hypot(right / half, down / tall + 1e-9), dtype=np.float32)


def _cine(rng: np.random.Generator, exam: Exam, beats: Beats, view: str, number: int) -> PhantomInstance:
    left, top, width, height = exam.device.view
    seen = HeartView(rng, view, width, height)
    screen = Screen(exam.device, seen.converter, _values(exam), exam.domain)
    hearts = [beats.at(frame * beats.frame_ms) for frame in range(beats.frames)]
    pictures: list[Picture] = []
    texts: tuple[BurnedText, ...] = ()
    for frame, heart in enumerate(hearts):
        away = 0.5 - 0.5 * np.cos(2 * np.pi * frame * beats.frame_ms / beats.rr_ms)
        shown, texts = screen.show(seen.picture(heart, rng, float(away)))
        pictures.append(shown)
    face = (seen.converter.face_px[0] + left, seen.converter.face_px[1] + top)
    ds = store_cine(dataset(exam, number, screen.region, face, seen.converter.mm_per_px), pictures, beats.frame_ms)
    ds.RWaveTimeVector = list(beats.r_waves_ms)
    ds.WaveformSequence = DicomSequence([_waveform(rng, beats)])
    contours = tuple(tuple((x + left, y + top) for x, y in seen.contour(heart)) for heart in hearts)
    volumes = tuple(heart.volume_ml for heart in hearts)
    boxes = (None,) * beats.frames
    scale = seen.converter.mm_per_px
    truth = HeartTruth(CODE, boxes, scale, view, volumes, contours, ends_of(beats, volumes), beats.r_waves_ms)
    return PhantomInstance(ds, truth, texts, False)


def ends_of(beats: Beats, volumes: Sequence[float]) -> tuple[tuple[int, int], ...]:
    """(frame of end diastole, frame of end systole) of each beat that is whole as far as end systole."""
    found = []
    for wave in beats.r_waves_ms:
        diastole = round(wave / beats.frame_ms)
        last = diastole + int(beats.rr_ms / beats.frame_ms)
        systole = diastole + int(np.argmin(volumes[diastole:last])) if diastole < len(volumes) else last
        if diastole + SYSTOLE * beats.rr_ms / beats.frame_ms < len(volumes) - 1:
            found.append((diastole + 1, systole + 1))
    return tuple(found)


def _waveform(rng: np.random.Generator, beats: Beats) -> Dataset:
    """One lead (II) as 16-bit samples of 2.5 microvolts (PS3.3 C.10.9), from the first frame to the last."""
    ms = np.arange(0, beats.frames * beats.frame_ms, 1000 / ECG_HZ)
    mv = 0.01 * rng.standard_normal(ms.size)
    shapes = ((-170, 28, 0.12), (-28, 9, -0.1), (0, 11, 1.1), (28, 10, -0.25), (270, 55, 0.3))  # P, Q, R, S, T
    for wave in (beats.first_r_ms - beats.rr_ms, *beats.r_waves_ms, beats.r_waves_ms[-1] + beats.rr_ms):
        for after, width, height in shapes:
            mv += height * np.exp(-(((ms - wave - after) / width) ** 2))
    group, channel = Dataset(), Dataset()
    channel.ChannelSourceSequence = DicomSequence([_code("2:2", "MDC", "Lead II")])
    channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor = "2.5", "1"
    channel.ChannelSensitivityUnitsSequence = DicomSequence([_code("uV", "UCUM", "microvolt")])
    channel.ChannelBaseline, channel.ChannelSampleSkew, channel.WaveformBitsStored = "0", "0", 16
    group.MultiplexGroupTimeOffset, group.WaveformOriginality = "0", "ORIGINAL"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = 1, ms.size
    group.SamplingFrequency = str(ECG_HZ)
    group.ChannelDefinitionSequence = DicomSequence([channel])
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.WaveformData = np.rint(mv / 0.0025).astype("<i2").tobytes()
    group["WaveformData"].VR = "OW"
    return group


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item

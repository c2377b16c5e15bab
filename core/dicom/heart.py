"""What a file says of the heartbeat beside its pictures: the times of the R waves, and the ECG where it carries a waveform.

R Wave Time Vector (0018,6060): PS3.3 C.8.5.6. Waveform Sequence (5400,0100): PS3.3 C.10.9; its samples times
sensitivity and correction factor, plus the baseline, are physical units. The retired curves (50xx) are not read."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from core.dicom.quiet import PARSER_ERRORS
from core.dicom.ultrasound import integer_of, number_of

MOST_R_WAVES: Final = 1000
MOST_GROUPS: Final = 8
MOST_CHANNELS: Final = 64
MOST_SAMPLES: Final = 2_000_000
MOST_KEPT: Final = 2000
MOST_MV: Final = 1000.0
LONGEST_MS: Final = 3_600_000.0
FASTEST_HZ: Final = 100_000.0
_MV_OF: Final = {"V": 1000.0, "mV": 1.0, "uV": 0.001}
_TYPES: Final = {
    (8, "SB"): "i1",
    (8, "UB"): "u1",
    (16, "SS"): "i2",
    (16, "US"): "u2",
    (32, "SL"): "i4",
    (32, "UL"): "u4",
}
# Lead II as ISO/IEEE 11073-10101 and SCP-ECG name it: the one in which R is usually tallest.
_LEAD_II: Final = frozenset({"2:2", "5.6.3-9-2"})
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ecg:
    """One lead: `mv` in millivolts, a sample each `step_ms`, the first `start_ms` after the first frame.

    A sample that was not taken is None."""

    start_ms: float
    step_ms: float
    mv: tuple[float | None, ...]


def r_waves_ms(ds: Dataset) -> tuple[float, ...]:
    """Times of the R waves in ms after the first frame, in order; empty for a vector that makes no sense."""
    try:
        value: Any = ds.get("RWaveTimeVector")
        values = list(value) if isinstance(value, MultiValue | list) else [] if value in (None, "") else [value]
        times = [float(one) for one in values]
    except PARSER_ERRORS:
        return ()
    is_sound = len(times) <= MOST_R_WAVES and all(math.isfinite(one) and abs(one) <= LONGEST_MS for one in times)
    return tuple(sorted(set(times))) if is_sound else ()


def ecg(ds: Dataset, last_ms: float) -> Ecg | None:
    """The ECG of a cine whose last frame was taken `last_ms` after its first, cut to that time and a second around it.

    Of several leads it is lead II, else the first that is measured in volts. None where there is none, and where
    anything of it does not fit together: a wrong trace is worse than none."""
    found = [one for group in _groups(ds) if (one := _lead(ds, group)) is not None]
    best = min(found, key=lambda one: not one[0], default=None)
    return _cut(*best[1:], last_ms) if best is not None else None


def _groups(ds: Dataset) -> Iterator[Dataset]:
    try:
        sequence: Any = ds.get("WaveformSequence") or ()
        groups = [] if isinstance(sequence, str | bytes) else list(sequence)[:MOST_GROUPS]
    except PARSER_ERRORS:
        return
    yield from groups


def _lead(ds: Dataset, group: Dataset) -> tuple[bool, float, float, Floats] | None:
    """(whether it is lead II, start in ms, step in ms, millivolts with NaN for what is missing) of one multiplex group."""
    rate, start = number_of(group, "SamplingFrequency"), number_of(group, "MultiplexGroupTimeOffset") or 0.0
    if rate is None or not 0 < rate <= FASTEST_HZ or abs(start) > LONGEST_MS:
        return None
    try:
        channels = list(group.get("ChannelDefinitionSequence") or ())
        samples = _samples(ds, group, len(channels))
        scales = [_scale(channel) for channel in channels]
        usable = [(not _is_lead_ii(one), at) for at, one in enumerate(channels) if scales[at] is not None]
    except PARSER_ERRORS:
        return None
    if samples is None or not usable:
        return None
    is_other, at = min(usable)
    factor, baseline = scales[at] or (0.0, 0.0)
    mv = samples[:, at] * factor + baseline
    seen = mv[np.isfinite(mv)]
    if not seen.size or np.abs(seen).max() > MOST_MV:
        return None
    return not is_other, start, 1000.0 / rate, mv


def _samples(ds: Dataset, group: Dataset, channels: int) -> Floats | None:
    """(samples, channels) as stored, NaN for the padding value; None unless the bytes are exactly as many as stated."""
    stated, count = integer_of(group, "NumberOfWaveformChannels"), integer_of(group, "NumberOfWaveformSamples")
    kind = _TYPES.get((integer_of(group, "WaveformBitsAllocated") or 0, str(group.get("WaveformSampleInterpretation"))))
    data = group.get("WaveformData")
    if kind is None or stated != channels or count is None or not isinstance(data, bytes):
        return None
    if not 1 <= channels <= MOST_CHANNELS or not 1 <= count <= MOST_SAMPLES:
        return None
    order = ">" if ds.original_encoding[1] is False else "<"
    dtype = np.dtype(order + kind)
    size = channels * count * dtype.itemsize
    if len(data) - size not in (0, size % 2):
        return None
    raw = np.frombuffer(data, dtype, channels * count)
    values: Floats = raw.astype(np.float64)
    padding = group.get("WaveformPaddingValue")
    if isinstance(padding, bytes) and len(padding) >= dtype.itemsize:
        values[raw == np.frombuffer(padding, dtype, 1)[0]] = np.nan
    return values.reshape(count, channels)


def _scale(channel: Dataset) -> tuple[float, float] | None:
    """(millivolts a unit of the samples, millivolts of sample 0); None for a channel that is not measured in volts."""
    units: Any = channel.get("ChannelSensitivityUnitsSequence") or ()
    mv = _MV_OF.get(str(units[0].get("CodeValue"))) if len(units) == 1 else None
    sensitivity = number_of(channel, "ChannelSensitivity")
    correction = number_of(channel, "ChannelSensitivityCorrectionFactor")
    if mv is None or not sensitivity or correction == 0:
        return None
    baseline = number_of(channel, "ChannelBaseline") or 0.0
    return sensitivity * (1.0 if correction is None else correction) * mv, baseline * mv


def _is_lead_ii(channel: Dataset) -> bool:
    source: Any = channel.get("ChannelSourceSequence") or ()
    return len(source) == 1 and str(source[0].get("CodeValue")) in _LEAD_II


def _cut(start_ms: float, step_ms: float, mv: Floats, last_ms: float) -> Ecg | None:
    first = max(0, math.ceil((-1000.0 - start_ms) / step_ms))
    beyond = min(len(mv), math.floor((last_ms + 1000.0 - start_ms) / step_ms) + 1)
    kept = mv[first:beyond]
    if kept.size < 2 or not np.isfinite(kept).any():
        return None
    every = -(-kept.size // MOST_KEPT)
    return Ecg(round(start_ms + first * step_ms, 3), round(step_ms * every, 6), _thinned(kept, every))


def _thinned(mv: Floats, every: int) -> tuple[float | None, ...]:
    """One of so many samples: the one farthest from the middle, so that no R wave falls out."""
    middle = float(np.nanmedian(mv))
    padded = np.concatenate([mv, np.full(-len(mv) % every, np.nan)]).reshape(-1, every)
    away = np.nan_to_num(np.abs(padded - middle), nan=-1.0)
    chosen = padded[np.arange(len(padded)), away.argmax(axis=1)]
    return tuple(None if math.isnan(one) else round(float(one), 3) for one in chosen)

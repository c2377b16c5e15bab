"""R waves and the ECG of a file; nothing that does not fit together becomes a trace."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from core.dicom.heart import MOST_KEPT, Ecg, ecg, r_waves_ms

CINE_MS = 1000.0


def coded(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    return item


def channel(unit: str = "uV", lead: str = "2:1", **values: object) -> Dataset:
    item = Dataset()
    item.ChannelSensitivity, item.ChannelSensitivityCorrectionFactor, item.ChannelBaseline = "5", "1", "0"
    item.ChannelSensitivityUnitsSequence, item.ChannelSourceSequence = [coded(unit)], [coded(lead)]
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def waveform(samples: np.ndarray, *channels: Dataset, **values: object) -> Dataset:
    """A data set with one group of (samples, channels)."""
    group = Dataset()
    group.NumberOfWaveformSamples, group.NumberOfWaveformChannels = samples.shape
    group.SamplingFrequency, group.MultiplexGroupTimeOffset = "500", "0"
    group.ChannelDefinitionSequence = list(channels)
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.WaveformData = samples.astype("<i2").tobytes()
    for keyword, value in values.items():
        setattr(group, keyword, value)
    ds = Dataset()
    ds.WaveformSequence = [group]
    return ds


def ramp(count: int = 500, channels: int = 1) -> np.ndarray:
    return np.arange(count * channels).reshape(count, channels)


def trace(ds: Dataset, last_ms: float = CINE_MS) -> Ecg:
    found = ecg(ds, last_ms)
    assert found is not None
    return found


def test_r_waves_are_in_order_or_not_there() -> None:
    ds = Dataset()
    assert r_waves_ms(ds) == ()
    ds.RWaveTimeVector = [950.0, 50.0, 50.0]
    assert r_waves_ms(ds) == (50.0, 950.0)
    ds.RWaveTimeVector = 40.0
    assert r_waves_ms(ds) == (40.0,)
    for nonsense in ([math.nan], [math.inf, 3.0], [1e9], [float(n) for n in range(2000)]):
        ds.RWaveTimeVector = nonsense
        assert r_waves_ms(ds) == ()


def test_samples_become_millivolts() -> None:
    found = trace(waveform(ramp(), channel(ChannelBaseline="100", ChannelSensitivityCorrectionFactor="2")))
    assert (found.start_ms, found.step_ms, len(found.mv)) == (0.0, 2.0, 500)
    assert found.mv[:3] == (0.1, 0.11, 0.12)
    assert trace(waveform(ramp(), channel("mV", ChannelSensitivity="0.01"))).mv[100] == pytest.approx(1.0)


def test_lead_ii_is_taken_before_the_others_and_only_volts_count() -> None:
    samples = ramp(500, 3)
    found = trace(waveform(samples, channel("mm[Hg]"), channel(), channel(lead="5.6.3-9-2")))
    assert found.mv[0] == pytest.approx(0.01)
    assert trace(waveform(samples, channel("mm[Hg]"), channel(), channel("Pa"))).mv[0] == pytest.approx(0.005)
    assert ecg(waveform(samples, *[channel("mm[Hg]")] * 3), CINE_MS) is None


def test_what_was_not_sampled_is_a_gap_and_only_the_time_of_the_cine_is_kept() -> None:
    samples = ramp(5000)
    samples[20] = -32768
    found = trace(waveform(samples, channel(), WaveformPaddingValue=np.array(-32768, "<i2").tobytes()))
    assert found.mv[20] is None and found.mv[21] == pytest.approx(0.105)
    assert len(found.mv) == 1001  # a second beyond the cine of one second
    late = trace(waveform(ramp(5000), channel(), MultiplexGroupTimeOffset="-4000"))
    assert late.start_ms == -1000.0 and late.mv[0] == pytest.approx(1500 * 0.005)


def test_a_long_trace_is_thinned_without_losing_its_peaks() -> None:
    samples = np.zeros((40_000, 1))
    samples[12_345] = 400
    found = trace(waveform(samples, channel()), 80_000)
    assert len(found.mv) <= MOST_KEPT
    assert found.mv.count(2.0) == 1
    assert found.start_ms + found.mv.index(2.0) * found.step_ms == pytest.approx(24_690, abs=found.step_ms)


@pytest.mark.parametrize(
    "wrong",
    [
        {"NumberOfWaveformSamples": 499},
        {"NumberOfWaveformSamples": 10**9},
        {"NumberOfWaveformChannels": 2},
        {"WaveformBitsAllocated": 12},
        {"WaveformSampleInterpretation": "AB"},
        {"SamplingFrequency": "0"},
        {"SamplingFrequency": "1e9"},
        {"MultiplexGroupTimeOffset": "1e12"},
        {"WaveformData": b""},
        {"ChannelDefinitionSequence": []},
    ],
)
def test_what_does_not_fit_together_is_no_trace(wrong: dict[str, object]) -> None:
    assert ecg(waveform(ramp(), channel()), CINE_MS) is not None
    assert ecg(waveform(ramp(), channel(), **wrong), CINE_MS) is None


@pytest.mark.parametrize(
    "wrong", [{"ChannelSensitivity": "0"}, {"ChannelSensitivity": "9e9"}, {"ChannelSensitivity": None}]
)
def test_a_channel_without_a_sane_scale_is_no_trace(wrong: dict[str, object]) -> None:
    assert ecg(waveform(ramp(), channel(**wrong)), CINE_MS) is None


@given(st.binary(max_size=64), st.integers(0, 40), st.integers(0, 5), st.sampled_from([8, 16, 32]))
def test_no_bytes_make_it_fail(data: bytes, samples: int, channels: int, bits: int) -> None:
    kind = {8: "SB", 16: "SS", 32: "SL"}[bits]
    ds = waveform(ramp(2), channel(), WaveformData=data, WaveformBitsAllocated=bits, WaveformSampleInterpretation=kind)
    ds.WaveformSequence[0].NumberOfWaveformSamples = samples
    ds.WaveformSequence[0].NumberOfWaveformChannels = channels
    found = ecg(ds, CINE_MS)
    assert found is None or (samples == len(found.mv) and samples * bits // 8 <= len(data))

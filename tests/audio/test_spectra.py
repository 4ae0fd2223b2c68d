import re
import sys

import numpy as np
import pytest
import torch

from quantbench.audio import spectra
from quantbench.audio.spectra import log_mel, magnitudes, mel_distance, mel_filters, stft_distance
from quantbench.errors import ConfigError
from quantbench.install import how_to_install
from tests.audio.signals import speech

pytest.importorskip("transformers", reason="needs the extra 'audio'")


def waveforms(*shape, samples=6080):
    number = int(np.prod(shape))
    return torch.from_numpy(np.stack([speech(samples / 16000, seed=i) for i in range(number)])).view(*shape, samples)


def direct_magnitudes(waveform, window):
    padded = np.pad(waveform, window // 2, mode="reflect")
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    starts = range(0, len(padded) - window + 1, window // 4)
    return np.stack([np.abs(np.fft.rfft(padded[s : s + window] * hann)) for s in starts])


def slaney(sample_rate, window, bands):
    """Slaney's mel filters from their definition: linear to 1 kHz, logarithmic above, of unit area."""

    def to_hertz(mel):
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(np.log(6.4) / 27 * (mel - 15)))

    highest = 15 + 27 * np.log(sample_rate / 2 / 1000) / np.log(6.4)
    edges = to_hertz(np.linspace(0, highest, bands + 2))
    bins = np.fft.rfftfreq(window, 1 / sample_rate)
    triangles = [np.interp(bins, edges[i : i + 3], [0, 1, 0]) * 2 / (edges[i + 2] - edges[i]) for i in range(bands)]
    return np.stack(triangles, 1)


def oshaughnessy(sample_rate, window, bands):
    """Triangles of height 1 on O'Shaughnessy's scale, mel = 2595 log10(1 + f / 700), from its definition."""
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + sample_rate / 2 / 700), bands + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(window, 1 / sample_rate)
    return np.stack([np.interp(bins, edges[i : i + 3], [0, 1, 0]) for i in range(bands)], 1)


@pytest.mark.parametrize(("sample_rate", "window", "bands"), [(16000, 512, 40), (44100, 2048, 320), (16000, 512, 200)])
def test_mel_filters_are_those_of_both_definitions(recwarn, sample_rate, window, bands):
    assert np.allclose(mel_filters(sample_rate, window, bands), slaney(sample_rate, window, bands), atol=1e-12)
    filters = mel_filters(sample_rate, window, bands, slaney=False)
    assert np.allclose(filters, oshaughnessy(sample_rate, window, bands), atol=1e-12)
    assert not recwarn  # of bands that hold no frequency


def test_heights_of_neighbouring_mel_filters_add_up_to_one():
    filters = mel_filters(16000, 512, 40, slaney=False)
    peaks = filters.argmax(0)
    assert np.all(np.diff(peaks) > 0)
    assert np.allclose(filters[peaks[0] + 1 : peaks[-1]].sum(1), 1)


@pytest.mark.parametrize(("window", "bands"), [(32, 5), (512, 80), (2048, 320)])
def test_log_mel_is_that_of_a_direct_computation(window, bands):
    waveform = waveforms(1)[0].double()
    expected = np.log10(np.maximum(direct_magnitudes(waveform.numpy(), window) @ slaney(16000, window, bands), 1e-5))
    found = log_mel(waveform, 16000, window, bands)
    assert found.shape == expected.shape
    assert np.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("window", "samples"), [(16, 37), (16, 9), (32, 64)])
def test_the_written_out_gradient_is_that_of_the_magnitudes(window, samples):
    waveform = torch.randn(2, samples, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: magnitudes(x, window), waveform)


def test_the_gradient_of_the_mel_distance_is_autograds():
    a, b = waveforms(2).double(), waveforms(2).flip(0).double()
    found, expected = (a.clone().requires_grad_() for _ in range(2))
    mel_distance(found, b, 16000, [512], [80]).sum().backward()
    filters = torch.from_numpy(slaney(16000, 512, 80))
    hann = torch.hann_window(512, dtype=torch.float64)
    mels = [
        (torch.stft(x, 512, 128, window=hann, return_complex=True).abs().mT @ filters).clamp(1e-5).log10()
        for x in (expected, b)
    ]
    (mels[0] - mels[1]).abs().mean((1, 2)).sum().backward()
    assert torch.allclose(found.grad, expected.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("distance", [lambda a, b: mel_distance(a, b, 16000), stft_distance])
def test_distances_are_per_waveform_and_zero_for_equal_ones(distance):
    a, b = waveforms(3, 2), waveforms(3, 2).flip(0)
    assert torch.equal(distance(a, a), torch.zeros(3, 2))
    found = distance(a, b)
    assert found.shape == (3, 2)
    for trial in range(3):
        assert torch.equal(found[trial], distance(a[trial], b[trial]))


def test_gradients_do_not_depend_on_the_number_of_trials():
    b = waveforms(3, 2).flip(0)
    together, alone = waveforms(3, 2).requires_grad_(), waveforms(3, 2)[1:2].requires_grad_()
    mel_distance(together, b, 16000).sum().backward()
    mel_distance(alone, b[1:2], 16000).sum().backward()
    assert torch.equal(together.grad[1], alone.grad[0])


def test_a_gain_of_ten_moves_log_mel_by_one():
    noise = 0.1 * torch.randn(6080, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(log_mel(10 * noise, 16000, 512, 80) - log_mel(noise, 16000, 512, 80), torch.tensor(1.0), atol=1e-4)
    assert mel_distance(10 * noise, noise, 16000).item() == pytest.approx(7, abs=1e-3)
    loud, soft = (magnitudes(x, 512).double() for x in (10 * noise, noise))
    assert stft_distance(10 * noise, noise, [512]).item() == pytest.approx(2 + (loud - soft).mean().item(), rel=1e-4)


@pytest.mark.parametrize("distance", [lambda a, b: mel_distance(a, b, 16000), stft_distance])
def test_the_gradient_of_silence_is_finite(distance):
    silence = torch.zeros(2, 6080, requires_grad=True)
    distance(silence, waveforms(2)).sum().backward()
    assert silence.grad.isfinite().all()


def test_a_waveform_too_short_for_the_window_is_refused():
    with pytest.raises(ConfigError, match=r"window of 2048 samples of a waveform of 1024 samples"):
        log_mel(torch.zeros(1024), 16000, 2048, 80)
    assert log_mel(torch.zeros(1025), 16000, 2048, 80).shape == (3, 80)


def test_without_the_extra_the_install_command_is_named(monkeypatch):
    spectra._aligned_filters.cache_clear()
    spectra.mel_filters.cache_clear()
    monkeypatch.setitem(sys.modules, "transformers.audio_utils", None)
    with pytest.raises(ConfigError, match=re.escape(how_to_install("audio"))):
        log_mel(torch.zeros(6080), 16000, 512, 80)

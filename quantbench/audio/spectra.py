"""Short-time spectra of waveforms and distances between them; differentiable."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from quantbench.errors import ConfigError

STFT_WINDOWS = (2048, 512)
FLOOR = 1e-5
SMALLEST_POWER = 1e-16
"""Below it a magnitude has no gradient: that of a square root at 0 is infinite."""


def magnitudes(waveform: Tensor, window: int) -> Tensor:
    """Magnitude spectrum (..., bins, frames): Hann window, a quarter of it between frames, centred, ends mirrored."""
    if waveform.shape[-1] <= window // 2:
        raise ConfigError(f"waveform of {waveform.shape[-1]} samples: a spectrum of {window} needs more than {window // 2}")
    flat = waveform.reshape(-1, waveform.shape[-1])
    spectrum = torch.stft(flat, window, window // 4, window=_hann(window, waveform.device), return_complex=True)
    parts = torch.view_as_real(spectrum)
    power = parts.square().sum(-1)
    magnitude = power.clamp_min(SMALLEST_POWER).sqrt()
    return magnitude.view(*waveform.shape[:-1], *magnitude.shape[1:])


def log_mel(waveform: Tensor, sample_rate: int, window: int, bands: int, floor: float = FLOOR) -> Tensor:
    """Decimal logarithm of mel magnitudes, (..., samples) to (..., bands, frames), as DAC is trained on."""
    mel = _filters(sample_rate, window, bands, waveform.device) @ magnitudes(waveform, window)
    return mel.clamp_min(floor).log10()


def mel_distance(a: Tensor, b: Tensor, sample_rate: int, windows: Sequence[int], bands: Sequence[int]) -> Tensor:
    """Mean absolute difference of log-mel spectra, summed over scales: twice (..., samples) to (...).

    Kumar et al. (2023), arXiv 2306.06546.
    """
    total = torch.zeros(a.shape[:-1], device=a.device)
    for window, number in zip(windows, bands, strict=True):
        spectra = [log_mel(waveform, sample_rate, window, number) for waveform in (a, b)]
        total = total + (spectra[0] - spectra[1]).abs().mean((-2, -1))
    return total


def stft_distance(a: Tensor, b: Tensor, windows: Sequence[int] = STFT_WINDOWS) -> Tensor:
    """Mean absolute difference of magnitudes, plus that of the logarithms of their squares, summed over windows: to (...)."""
    total = torch.zeros(a.shape[:-1], device=a.device)
    for window in windows:
        one, other = magnitudes(a, window), magnitudes(b, window)
        logs = 2 * (one.clamp_min(FLOOR).log10() - other.clamp_min(FLOOR).log10()).abs()
        total = total + ((one - other).abs() + logs).mean((-2, -1))
    return total


@lru_cache(maxsize=64)
def _hann(window: int, device: torch.device) -> Tensor:
    return torch.hann_window(window, device=device)


@lru_cache(maxsize=64)
def _filters(sample_rate: int, window: int, bands: int, device: torch.device) -> Tensor:
    """Slaney's mel filters, (bands, bins)."""
    try:
        from transformers.audio_utils import mel_filter_bank
    except ImportError as error:
        raise ConfigError("loss=audio: needs the extra 'audio': pip install 'quantbench[audio]'") from error
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that narrow bands hold no frequency of a short window, as in the original
        filters = mel_filter_bank(window // 2 + 1, bands, 0.0, sample_rate / 2, sample_rate, norm="slaney", mel_scale="slaney")
    return torch.from_numpy(filters.T.copy()).float().to(device)

"""Distances between waveforms by their short-time spectra: what codecs of speech are trained on.

The numbers are those of the Descript Audio Codec's training code (Kumar et al., High-fidelity audio compression with
improved RVQGAN, NeurIPS 2023): Hann windows, a hop of a quarter window, frames centred by reflection at both ends.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from quantbench.components import ALIGNED
from quantbench.errors import ConfigError
from quantbench.install import how_to_install

WINDOWS = (32, 64, 128, 256, 512, 1024, 2048)
BANDS = (5, 10, 20, 40, 80, 160, 320)
"""Windows and mel bands of the published configurations."""
STFT_WINDOWS = (2048, 512)
FLOOR = 1e-5
"""Magnitudes below this count as this."""
SMALLEST = 1e-20
"""A magnitude below this has no direction, hence no gradient."""


class _Magnitude(torch.autograd.Function):
    """Magnitudes of the short-time spectrum, with zero frames and bins that fill both up to a multiple of ALIGNED.

    The gradient of silence is zero. The backward pass is written out, because that of torch.fft.rfft runs a complex
    transform of twice the size.
    """

    @staticmethod
    def forward(ctx: Any, waveform: Tensor, window: int) -> Tensor:
        padded = nn.functional.pad(waveform, (window // 2, window // 2), mode="reflect")
        spectrum = torch.fft.rfft(padded.unfold(-1, window, window // 4) * hann(window, waveform.dtype, waveform.device))
        waveforms, frames, bins = spectrum.shape
        filled = waveform.new_zeros(waveforms, _aligned(frames), _aligned(bins))
        real, imaginary = spectrum.real, spectrum.imag
        magnitude = filled[:, :frames, :bins]
        # three times as quick as abs(), which guards against an overflow that waveforms cannot bring about
        torch.addcmul(real * real, imaginary, imaginary, out=magnitude)
        magnitude.sqrt_()
        ctx.save_for_backward(spectrum, filled)
        ctx.samples, ctx.window = waveform.shape[-1], window
        return filled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        spectrum, filled = ctx.saved_tensors
        samples, window = ctx.samples, ctx.window
        used = (slice(None), slice(spectrum.shape[1]), slice(spectrum.shape[2]))
        size = gradient[used] / filled[used].clamp_min(SMALLEST)
        size[..., 1:-1] *= 0.5  # irfft counts these bins twice
        frames = torch.fft.irfft(spectrum * size, n=window, norm="forward")
        frames *= hann(window, frames.dtype, frames.device)
        padded = _overlap_add(frames, samples + window)
        half = window // 2
        found = padded[:, half : half + samples].clone()
        found[:, 1 : half + 1] += padded[:, :half].flip(-1)
        found[:, samples - 1 - half : samples - 1] += padded[:, half + samples :].flip(-1)
        return found, None


def _aligned(size: int) -> int:
    return size + -size % ALIGNED


def _overlap_add(frames: Tensor, samples: int) -> Tensor:
    """Sum of frames (waveforms, frames, window) a quarter window apart: (waveforms, samples)."""
    waveforms, number, window = frames.shape
    hop = window // 4
    quarters = frames.view(waveforms, number, 4, hop)
    found = frames.new_zeros(waveforms, samples)
    for i in range(4):
        found[:, i * hop : (i + number) * hop].view(waveforms, number, hop).add_(quarters[:, :, i])
    return found


def magnitudes(waveform: Tensor, window: int) -> Tensor:
    """Magnitudes of the short-time spectrum, not normalised: (..., samples) -> (..., frames, window // 2 + 1).

    Frames are ``window`` samples long, a quarter of that apart and centred: there are samples // (window // 4) + 1.
    Differentiable once.

    Raises:
        ConfigError: ``window`` is not a multiple of 4 or the waveform is too short for it.
    """
    found = _magnitudes(waveform, window)[:, : _frames(waveform, window), : window // 2 + 1]
    return found.reshape(*waveform.shape[:-1], *found.shape[1:])


def _frames(waveform: Tensor, window: int) -> int:
    return waveform.shape[-1] // (window // 4) + 1


def _magnitudes(waveform: Tensor, window: int) -> Tensor:
    """Of all waveforms one after the other, filled up: (waveforms, at least frames, at least window // 2 + 1)."""
    samples = waveform.shape[-1]
    if window % 4 or samples <= window // 2:
        raise ConfigError(
            f"a spectrum with a window of {window} samples of a waveform of {samples} samples: the window must be a "
            f"multiple of 4 and the waveform longer than half of it"
        )
    found: Tensor = _Magnitude.apply(waveform.reshape(-1, samples), window)  # type: ignore[no-untyped-call]
    return found


def log_mel(waveform: Tensor, sample_rate: int, window: int, bands: int, floor: float = FLOOR) -> Tensor:
    """log10 of mel magnitudes, at least ``floor``: (..., samples) -> (..., frames, bands). ``sample_rate`` in Hz.

    Raises:
        ConfigError: the waveform is too short for ``window``, or the extra ``audio`` is not installed.
    """
    filters = _aligned_filters(sample_rate, window, bands, waveform.dtype, waveform.device)
    found = _magnitudes(waveform, window)
    # a product for each waveform, of aligned sizes: its numbers do not depend on how many others there are
    mel = torch.bmm(found, filters.expand(len(found), -1, -1))[:, : _frames(waveform, window), :bands]
    return mel.clamp_min(floor).log10().reshape(*waveform.shape[:-1], *mel.shape[1:])


def mel_distance(
    a: Tensor, b: Tensor, sample_rate: int, windows: Sequence[int] = WINDOWS, bands: Sequence[int] = BANDS
) -> Tensor:
    """Multi-scale mel distance: twice (..., samples) -> (...). ``sample_rate`` in Hz.

    The sum over the scales, each a window with its number of bands, of the mean absolute difference of ``log_mel``.
    In the Descript Audio Codec: MelSpectrogramLoss with pow 1 and mag_weight 0.
    """
    scales = [
        (log_mel(a, sample_rate, window, number) - log_mel(b, sample_rate, window, number)).abs().mean((-2, -1))
        for window, number in zip(windows, bands, strict=True)
    ]
    return torch.stack(scales, -1).sum(-1)


def stft_distance(a: Tensor, b: Tensor, windows: Sequence[int] = STFT_WINDOWS) -> Tensor:
    """Multi-scale distance of short-time spectra: twice (..., samples) -> (...).

    The sum over the windows of the mean absolute differences of magnitudes and of log10 of their squares. In the
    Descript Audio Codec: MultiScaleSTFTLoss with its defaults.
    """
    scales = []
    for window in windows:
        first, second = magnitudes(a, window), magnitudes(b, window)
        level = first.clamp_min(FLOOR).log10() - second.clamp_min(FLOOR).log10()
        scales.append(((first - second).abs() + 2 * level.abs()).mean((-2, -1)))
    return torch.stack(scales, -1).sum(-1)


@lru_cache(maxsize=64)
def hann(window: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The periodic Hann window, (window,)."""
    return torch.hann_window(window, dtype=torch.float64).to(device, dtype)


@lru_cache(maxsize=64)
def _aligned_filters(sample_rate: int, window: int, bands: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Slaney's, (window // 2 + 1, bands), with zeros that fill both up to a multiple of ALIGNED."""
    filled = torch.zeros(_aligned(window // 2 + 1), _aligned(bands), dtype=dtype)
    filled[: window // 2 + 1, :bands] = torch.from_numpy(mel_filters(sample_rate, window, bands))
    return filled.to(device)


@lru_cache(maxsize=64)
def mel_filters(sample_rate: int, window: int, bands: int, slaney: bool = True) -> NDArray[np.float64]:
    """Triangular filters with centres equally spaced on a mel scale, (window // 2 + 1, bands).

    Args:
        sample_rate: in Hz.
        slaney: of unit area (per Hz) on Slaney's scale, as librosa's; else of height 1 on O'Shaughnessy's, as HTK's.

    Raises ConfigError when the extra ``audio`` is not installed.
    """
    try:
        from transformers.audio_utils import mel_filter_bank
    except ImportError as error:
        raise ConfigError(f"mel spectra need the extra 'audio': {how_to_install('audio')}") from error
    norm, scale = ("slaney", "slaney") if slaney else (None, "htk")
    with warnings.catch_warnings(action="ignore"):  # bands that hold no frequency are their user's to refuse
        found = mel_filter_bank(window // 2 + 1, bands, 0.0, sample_rate / 2, sample_rate, norm=norm, mel_scale=scale)
    return np.asarray(found)

"""The discriminators of the Descript Audio Codec: they learn to tell recordings from reconstructions."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from quantbench.errors import ConfigError

PERIODS = (2, 3, 5, 7, 11)
WINDOWS = (2048, 1024, 512)
BANDS = ((0.0, 0.1), (0.1, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))
"""Shares of the spectrum, each with convolutions of its own."""
SLOPE = 0.1
PEAK = 0.8

Maps = list[Tensor]
"""What every layer of a discriminator gives; the last is its score."""


class Critic(nn.Module):
    """Multi-period and multi-band, multi-resolution discriminators: waveforms (segments, samples) to maps of each.

    Kumar et al. (2023), arXiv 2306.06546: five periods and three resolutions. Waveforms are freed of their mean and brought
    to one peak. Our reading of the spectrogram: Hann windows, a quarter of them between frames, centred.

    Args:
        channels: of the first layers; 32 in the published model, whose discriminators by period have up to 32 times as many.
    """

    def __init__(self, channels: int = 32, periods: tuple[int, ...] = PERIODS, windows: tuple[int, ...] = WINDOWS) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            [*(OfPeriod(period, channels) for period in periods), *(OfSpectrum(window, channels) for window in windows)]
        )
        self.shortest = max(window // 2 + 1 for window in windows)

    def forward(self, waveforms: Tensor) -> list[Maps]:
        if waveforms.shape[-1] < self.shortest:
            raise ConfigError(f"segments of {waveforms.shape[-1]} samples: the discriminators need at least {self.shortest}")
        centred = waveforms - waveforms.mean(-1, keepdim=True)
        normal = PEAK * centred / (centred.abs().amax(-1, keepdim=True) + 1e-9)
        return [part(normal) for part in self.parts]


class OfPeriod(nn.Module):
    """Looks at every ``period``-th sample: the waveform folded into rows of ``period``."""

    def __init__(self, period: int, channels: int) -> None:
        super().__init__()
        self.period = period
        widths = [1, channels, 4 * channels, 16 * channels, 32 * channels, 32 * channels]
        strides = [3, 3, 3, 3, 1]
        self.layers = nn.ModuleList(
            _conv(*pair, (5, 1), (stride, 1)) for pair, stride in zip(itertools.pairwise(widths), strides, strict=True)
        )
        self.score = _conv(widths[-1], 1, (3, 1), (1, 1))

    def forward(self, waveforms: Tensor) -> Maps:
        padded = nn.functional.pad(waveforms.unsqueeze(1), (0, self.period - waveforms.shape[-1] % self.period), "reflect")
        folded = padded.unflatten(-1, (-1, self.period))
        return _maps(self.layers, self.score, folded)


class OfSpectrum(nn.Module):
    """Looks at the complex spectrogram, its bands each with layers of their own."""

    def __init__(self, window: int, channels: int) -> None:
        super().__init__()
        self.window = window
        bins = window // 2 + 1
        self.edges = [(int(low * bins), int(high * bins)) for low, high in BANDS]
        self.bands = nn.ModuleList(
            nn.ModuleList(
                [
                    _conv(2, channels, (3, 9), (1, 1)),
                    *(_conv(channels, channels, (3, 9), (1, 2)) for _ in range(3)),
                    _conv(channels, channels, (3, 3), (1, 1)),
                ]
            )
            for _ in BANDS
        )
        self.score = _conv(channels, 1, (3, 3), (1, 1))

    def forward(self, waveforms: Tensor) -> Maps:
        window = torch.hann_window(self.window, device=waveforms.device)
        spectrum = torch.stft(waveforms, self.window, self.window // 4, window=window, return_complex=True)
        image = torch.view_as_real(spectrum).permute(0, 3, 2, 1)  # (segments, 2, frames, bins)
        maps: Maps = []
        ends = []
        for (low, high), layers in zip(self.edges, self.bands, strict=True):
            band = image[..., low:high]
            for layer in layers:  # type: ignore[union-attr]
                band = nn.functional.leaky_relu(layer(band), SLOPE)
                maps.append(band)
            ends.append(band)
        return [*maps, self.score(torch.cat(ends, dim=-1))]


def critic_loss(real: list[Maps], fake: list[Maps]) -> Tensor:
    """Least squares (Mao et al. 2017): recordings should score 1, reconstructions 0. A scalar, summed over discriminators."""
    return torch.stack([(1 - a[-1]).square().mean() + b[-1].square().mean() for a, b in zip(real, fake, strict=True)]).sum()


def adversarial_loss(fake: list[Maps]) -> Tensor:
    """Reconstructions should score 1. A scalar, summed over discriminators."""
    return torch.stack([(1 - one[-1]).square().mean() for one in fake]).sum()


def feature_loss(real: list[Maps], fake: list[Maps]) -> Tensor:
    """Mean absolute difference of every map but the scores, summed. A scalar; no gradient goes into ``real``."""
    pairs = [pair for a, b in zip(real, fake, strict=True) for pair in zip(a[:-1], b[:-1], strict=True)]
    return torch.stack([(a.detach() - b).abs().mean() for a, b in pairs]).sum()


def _maps(layers: nn.ModuleList, score: nn.Module, x: Tensor) -> Maps:
    maps: Maps = []
    for layer in layers:
        x = nn.functional.leaky_relu(layer(x), SLOPE)
        maps.append(x)
    return [*maps, score(x)]


def _conv(inputs: int, outputs: int, kernel: tuple[int, int], stride: tuple[int, int]) -> nn.Module:
    padding = ((kernel[0] - 1) // 2, (kernel[1] - 1) // 2)
    convolution: nn.Module = weight_norm(nn.Conv2d(inputs, outputs, kernel, stride, padding))
    return convolution

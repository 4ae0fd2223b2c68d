"""The critic of the Descript Audio Codec (Kumar et al. 2023, arXiv 2306.06546), and the losses that it gives.

Two kinds of discriminator look at one waveform: at its samples folded by a period, and at bands of its complex
spectrogram. Those of the waveform at lower sample rates, of which the published settings have none, are left out. Each
gives the outputs of its layers, the feature maps, and last a map of scores: near 1 where it takes the waveform for real,
near 0 where it does not.

What a critic learns lies in its parameters, and all else that it reads is a setting or a non-persistent buffer:
``torch.func.functional_call`` works, and so do parameters exchanged by hand. The losses take any function from
waveforms to feature maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from quantbench.errors import ConfigError

PERIODS = (2, 3, 5, 7, 11)
"""In samples."""

WINDOWS = (2048, 1024, 512)
"""In samples; a window moves by a quarter of its length."""

BANDS = ((0.0, 0.1), (0.1, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))
"""From and to, as parts of half the sample rate."""

CHANNELS = 32
"""Of the published critic."""

SLOPE = 0.1
"""Of the leaky ReLU after every layer but the last."""

PEAK = 0.8
"""To which a waveform is scaled."""

SILENCE = 1e-9
"""Added to a peak before the division."""

FeatureMaps = list[list[Tensor]]
"""Of each discriminator the outputs of its layers; the last one holds the scores."""


class PeriodDiscriminator(nn.Module):
    """Folds a waveform into rows of ``period`` samples; its layers see one column at a time."""

    def __init__(self, period: int, channels: int) -> None:
        super().__init__()
        self.period = period
        widths = (1, channels, 4 * channels, 16 * channels, 32 * channels, 32 * channels)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(widths[i], widths[i + 1], (5, 1), stride=(3 if i < 4 else 1, 1), padding=(2, 0)))
            for i in range(5)
        )
        self.score = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def fold(self, waveform: Tensor) -> Tensor:
        """(batch, samples) to (batch, 1, rows, period), the end mirrored.

        By ``period`` samples where the length is a multiple of it: the published code adds a row there too.
        """
        missing = self.period - waveform.shape[-1] % self.period
        return mirrored(waveform, 0, missing).reshape(len(waveform), 1, -1, self.period)

    def forward(self, waveform: Tensor) -> list[Tensor]:
        maps = features(self.layers, self.fold(waveform))
        return [*maps, self.score(maps[-1])]


class BandDiscriminator(nn.Module):
    """Sees the complex spectrogram of one window, each band through layers of its own; one layer scores all bands."""

    window: Tensor

    def __init__(self, length: int, bands: Sequence[tuple[float, float]], channels: int) -> None:
        super().__init__()
        self.length, self.hop = length, length // 4
        self.bins = band_bins(length, bands)
        self.bands = nn.ModuleList(self._layers(channels) for _ in bands)
        self.score = weight_norm(nn.Conv2d(channels, 1, (3, 3), padding=(1, 1)))
        window = torch.hann_window(length, dtype=torch.float64).to(torch.get_default_dtype())
        self.register_buffer("window", window, persistent=False)

    @staticmethod
    def _layers(channels: int) -> nn.ModuleList:
        # (inputs, taps over frequency, stride over frequency)
        shapes = [(2, 9, 1), (channels, 9, 2), (channels, 9, 2), (channels, 9, 2), (channels, 3, 1)]
        return nn.ModuleList(
            weight_norm(nn.Conv2d(inputs, channels, (3, taps), stride=(1, stride), padding=(1, taps // 2)))
            for inputs, taps, stride in shapes
        )

    def spectrogram(self, waveform: Tensor) -> Tensor:
        """(batch, samples) to (batch, 2, frames, bins), real and imaginary part; a frame for each hop that is begun."""
        margin = (self.length - self.hop) // 2
        padded = mirrored(waveform, margin, margin + (-waveform.shape[-1] % self.hop))
        frames = padded.unfold(-1, self.length, self.hop) * self.window
        return torch.view_as_real(torch.fft.rfft(frames)).permute(0, 3, 1, 2)

    def forward(self, waveform: Tensor) -> list[Tensor]:
        spectrogram = self.spectrogram(waveform)
        by_band = [
            features(band.children(), spectrogram[..., low:high])
            for band, (low, high) in zip(self.bands, self.bins, strict=True)
        ]
        joined = torch.cat([maps[-1] for maps in by_band], dim=-1)
        return [*(one for maps in by_band for one in maps), self.score(joined)]


class Critic(nn.Module):
    """The discriminators of the Descript Audio Codec; waveforms (batch, samples) to the feature maps of each.

    Args:
        periods: one discriminator of folded samples for each, in samples.
        windows: one discriminator of spectrograms for each, in samples, multiples of 8.
        bands: into which spectrograms are cut, as parts of half the sample rate.
        channels: the width that all layers scale with; 32 in the published critic.
    """

    def __init__(
        self,
        periods: Sequence[int] = PERIODS,
        windows: Sequence[int] = WINDOWS,
        bands: Sequence[tuple[float, float]] = BANDS,
        channels: int = CHANNELS,
    ) -> None:
        super().__init__()
        check(periods, windows, bands, channels)
        self.shortest = max([*(period + 1 for period in periods), *windows])
        """The fewest samples that every discriminator can take."""
        self.discriminators = nn.ModuleList(
            [
                *(PeriodDiscriminator(period, channels) for period in periods),
                *(BandDiscriminator(window, bands, channels) for window in windows),
            ]
        )

    def forward(self, waveform: Tensor) -> FeatureMaps:
        if waveform.dim() != 2:
            raise ValueError(f"a critic takes waveforms (batch, samples), not {tuple(waveform.shape)}")
        if waveform.shape[-1] < self.shortest:
            raise ConfigError(f"waveforms of {waveform.shape[-1]} samples: this critic needs at least {self.shortest}")
        waveform = normalised(waveform)
        return [discriminator(waveform) for discriminator in self.discriminators]


def check(periods: Sequence[int], windows: Sequence[int], bands: Sequence[tuple[float, float]], channels: int) -> None:
    """Raise ConfigError when a critic cannot have these settings."""
    for name, numbers in {"periods": periods, "channels": [channels]}.items():
        if any(number < 1 for number in numbers):
            raise ConfigError(f"critic.{name}={list(numbers)}: must be at least 1")
    if not (periods or windows):
        raise ConfigError("critic.periods and critic.windows are empty: one of them must not be")
    if windows and not bands:
        raise ConfigError("critic.bands is empty: must not be where critic.windows is not")
    for band in bands:
        if not 0 <= band[0] < band[1] <= 1:
            raise ConfigError(f"critic.bands: {list(band)} must rise and lie between 0 and 1")
    for window in windows:
        if window < 8 or window % 8:
            raise ConfigError(f"critic.windows={list(windows)}: each must be a multiple of 8")
        for band, (low, high) in zip(bands, band_bins(window, bands), strict=True):
            if low == high:
                raise ConfigError(f"critic.windows={list(windows)}: {window} samples leave the band {list(band)} without a bin")


def band_bins(window: int, bands: Sequence[tuple[float, float]]) -> list[tuple[int, int]]:
    """First bin and the one after the last of each band."""
    bins = window // 2 + 1
    return [(int(low * bins), int(high * bins)) for low, high in bands]


def normalised(waveform: Tensor) -> Tensor:
    """Each waveform (batch, samples) less its mean, scaled to a peak of 0.8."""
    centred = waveform - waveform.mean(-1, keepdim=True)
    return PEAK * centred / (centred.abs().max(-1, keepdim=True).values + SILENCE)


def mirrored(waveform: Tensor, before: int, after: int) -> Tensor:
    """A waveform (batch, samples) continued by its mirror image, the first and last sample not repeated.

    As torch's own reflection, whose gradient on a GPU depends on the order of additions.
    """
    head = waveform[:, 1 : before + 1].flip(-1)
    tail = waveform[:, waveform.shape[-1] - 1 - after : -1].flip(-1)
    return torch.cat([head, waveform, tail], dim=-1)


def features(layers: Iterable[nn.Module], x: Tensor) -> list[Tensor]:
    """The output of each layer after its leaky ReLU."""
    maps = []
    for layer in layers:
        x = functional.leaky_relu(layer(x), SLOPE)
        maps.append(x)
    return maps


def critic_loss(critic: Callable[[Tensor], FeatureMaps], real: Tensor, fake: Tensor) -> Tensor:
    """What a critic learns from: square distance of real scores from 1 and of fake ones from 0.

    Mean over a discriminator's scores, sum over discriminators. No gradient reaches ``fake``.
    """
    losses = [
        (1 - of_real[-1]).square().mean() + of_fake[-1].square().mean()
        for of_real, of_fake in zip(critic(real), critic(fake.detach()), strict=True)
    ]
    return torch.stack(losses).sum()


def generator_losses(critic: Callable[[Tensor], FeatureMaps], real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """What a codec learns from: the adversarial loss and feature matching, for ``fake`` of the same shape as ``real``.

    Adversarial: square distance of fake scores from 1, mean over a discriminator's scores, sum over discriminators.
    Feature matching: absolute difference of fake and real feature maps, scores left out, mean over a map, sum over all
    maps. No gradient reaches ``real``, nor the critic by way of it.
    """
    of_fake = critic(fake)
    with torch.no_grad():
        of_real = critic(real)
    adversarial = [(1 - maps[-1]).square().mean() for maps in of_fake]
    matching = [
        functional.l1_loss(one, other)
        for maps, wanted in zip(of_fake, of_real, strict=True)
        for one, other in zip(maps[:-1], wanted[:-1], strict=True)
    ]
    return torch.stack(adversarial).sum(), torch.stack(matching).sum()

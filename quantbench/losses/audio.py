"""The losses of neural audio codecs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from quantbench.audio import spectra
from quantbench.components import at_least, component
from quantbench.errors import ConfigError
from quantbench.losses.base import Loss


@component
class Audio(Loss):
    """Weighted sum of multi-scale log-mel distance, multi-resolution STFT distance and mean absolute error of the waveform.

    The default weights are those with which the Descript Audio Codec was published (Kumar et al. 2023, arXiv 2306.06546),
    without its discriminators.

    Attributes:
        mel: weight of the log-mel distance, summed over all ``windows``.
        stft: weight of the STFT distance.
        waveform: weight of the mean absolute error of samples.
        windows: of the log-mel distance, in samples.
        bands: mel bands of each window.
    """

    mel: float = 15.0
    stft: float = 0.0
    waveform: float = 0.0
    windows: tuple[int, ...] = (32, 64, 128, 256, 512, 1024, 2048)
    bands: tuple[int, ...] = (5, 10, 20, 40, 80, 160, 320)

    def check(self) -> None:
        weights = {name: getattr(self, name) for name in ("mel", "stft", "waveform")}
        for name, weight in weights.items():
            at_least(f"loss.{name}", weight, 0)
        if not any(weights.values()):
            raise ConfigError("loss.mel=0, loss.stft=0, loss.waveform=0: at least one weight must be above 0")
        if len(self.windows) != len(self.bands) or not self.windows:
            raise ConfigError(
                f"loss.bands={list(self.bands)}: must give a number for each of loss.windows={list(self.windows)}"
            )
        at_least("loss.windows", self.windows, 8)
        at_least("loss.bands", self.bands, 1)

    def check_input(self, sample_rate: int | None, lengths: Mapping[str, int]) -> None:
        if sample_rate is None:
            raise ConfigError("loss: compares waveforms; choose simulator=audio, or loss=mse")
        longest = max([*(self.windows if self.mel else ()), *(spectra.STFT_WINDOWS if self.stft else ()), 0])
        for setting, samples in lengths.items():
            if samples <= longest // 2:
                raise ConfigError(f"{setting}={samples}: must be above {longest // 2} for a spectrum of {longest} samples")

    def each(self, output: Tensor, target: Tensor, sample_rate: int | None) -> Tensor:
        assert sample_rate is not None
        total = torch.zeros(output.shape[:2], device=output.device)
        if self.mel:
            total = total + self.mel * spectra.mel_distance(output, target, sample_rate, self.windows, self.bands)
        if self.stft:
            total = total + self.stft * spectra.stft_distance(output, target)
        if self.waveform:
            total = total + self.waveform * (output - target).abs().mean(-1)
        return total

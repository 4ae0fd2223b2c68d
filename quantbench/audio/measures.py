"""What a codec made of a waveform: distances that are always there, and perceptual measures where their packages are."""

from __future__ import annotations

import torch
from torch import Tensor

from quantbench.audio.spectra import log_mel

SCALES = ((2048, 150), (512, 80))
"""Windows, in samples, and mel bands of the log-mel distance."""
MOST_DECIBEL = 100.0
SILENT = 10 ** (-60 / 20)


@torch.no_grad()
def measure(output: Tensor, target: Tensor, sample_rate: int, thorough: bool) -> dict[str, float]:
    """Measures of clips (clips, samples)."""
    decibel = [20 * (log_mel(output, sample_rate, *s) - log_mel(target, sample_rate, *s)).abs().mean() for s in SCALES]
    return {"mel_distance_db": float(sum(decibel)) / len(SCALES), "si_sdr_db": float(si_sdr(output, target).mean())}


def si_sdr(output: Tensor, target: Tensor) -> Tensor:
    target = target - target.mean(-1, keepdim=True)
    output = output - output.mean(-1, keepdim=True)
    scale = (output * target).sum(-1, keepdim=True) / target.square().sum(-1, keepdim=True)
    signal, noise = (scale * target).square().sum(-1), (output - scale * target).square().sum(-1)
    return 10 * torch.log10(signal / noise).clamp(-MOST_DECIBEL, MOST_DECIBEL)

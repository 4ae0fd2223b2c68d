"""What a codec made of waveforms: distances that are always there, and perceptual measures where their packages are."""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quantbench.audio.spectra import log_mel

Array = NDArray[np.float32]

SCALES = ((2048, 150), (512, 80))
"""Windows, in samples, and mel bands of the log-mel distance."""
MOST_DECIBEL = 100.0
SILENT = 10 ** (-60 / 20)
"""Root mean square below which a target is silence, of which nothing can be said."""
PERCEPTUAL_RATE = 16000
"""Hz, for wide-band PESQ and ViSQOL's speech mode."""
SHORTEST = {"pesq": 0.25, "stoi": 0.4, "visqol": 1.0}
"""Seconds below which a measure says nothing."""


@torch.no_grad()
def measure(output: Tensor, target: Tensor, sample_rate: int, thorough: bool) -> dict[str, float]:
    """Means over clips, twice (clips, samples), of what can be measured; a measure that no clip has is left out.

    ``mel_distance_db``: mean absolute difference of log-mel magnitudes in dB, over two resolutions. ``si_sdr_db``:
    scale-invariant signal-to-distortion ratio. Either alone can be fooled: the first does not hear phase, the second hears
    little else. If ``thorough``, also ``pesq`` (wide band), ``stoi`` and ``visqol`` (speech mode), each where its package is
    installed. ``clips`` is the number measured, ``clips_skipped`` that of silent targets and of clips at least one measure
    could not judge.
    """
    audible = target.square().mean(-1).sqrt() > SILENT
    output, target = output[audible], target[audible]
    skipped = int((~audible).sum())
    if not len(target):
        return {"clips": 0.0, "clips_skipped": float(skipped)}
    found = {
        "mel_distance_db": float(mel_distance_db(output, target, sample_rate).mean()),
        "si_sdr_db": float(si_sdr_db(output, target).mean()),
    }
    if thorough:
        perceived, failed = _perceptual(output, target, sample_rate)
        found |= perceived
        skipped += failed
        found |= {"clips": float(len(target)), "clips_skipped": float(skipped)}
    return found


def mel_distance_db(output: Tensor, target: Tensor, sample_rate: int) -> Tensor:
    """Mean absolute difference of log-mel magnitudes in dB, averaged over ``SCALES``: (..., samples) to (...)."""
    each = [
        20 * (log_mel(output, sample_rate, *scale) - log_mel(target, sample_rate, *scale)).abs().mean((-2, -1))
        for scale in SCALES
    ]
    return torch.stack(each).mean(0)


def si_sdr_db(output: Tensor, target: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio, within 100 dB either way: (..., samples) to (...).

    Le Roux et al. (2019), arXiv 1811.02508: the target is scaled to be as near to the output as can be; means are removed.
    """
    output, target = (one.double() - one.double().mean(-1, keepdim=True) for one in (output, target))
    scale = (output * target).sum(-1, keepdim=True) / target.square().sum(-1, keepdim=True)
    signal, noise = (scale * target).square().sum(-1), (output - scale * target).square().sum(-1)
    least = 10 ** (-MOST_DECIBEL / 10)
    ratio = 10 * torch.log10((signal / noise).clamp(least, 1 / least))
    # Nothing at all, or nothing of the target, is as far from it as can be; 0 / 0 would be no number.
    return torch.where((signal == 0) & (noise == 0), -MOST_DECIBEL, ratio)


def _perceptual(output: Tensor, target: Tensor, sample_rate: int) -> tuple[dict[str, float], int]:
    """Means of the measures whose packages are there, and how many clips at least one of them could not judge."""
    judges = _judges()
    values: dict[str, list[float]] = {name: [] for name in judges}
    failed = 0
    for degraded, reference in zip(output.cpu().numpy(), target.cpu().numpy(), strict=True):
        if not np.isfinite(degraded).all():
            failed += 1
            continue
        pair = [_resampled(one, sample_rate) for one in (reference, degraded)]
        judged = {name: _judge(judge, name, *pair) for name, judge in judges.items()}
        failed += any(math.isnan(value) for value in judged.values())
        for name, value in judged.items():
            values[name] += [] if math.isnan(value) else [value]
    return {name: float(np.mean(every)) for name, every in values.items() if every}, failed


def _judge(judge: Callable[[Array, Array], float], name: str, reference: Array, degraded: Array) -> float:
    """What a package says of one clip; NaN where it is too short or the package can say nothing of it."""
    if len(reference) < SHORTEST[name] * PERCEPTUAL_RATE:
        return math.nan
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # pystoi warns, and gives 1e-5, where speech is too short
            return float(judge(reference, degraded))
    except Exception:  # each package has errors of its own for clips without speech
        return math.nan


def _judges() -> dict[str, Callable[[Array, Array], float]]:
    every = {"pesq": _pesq, "stoi": _stoi, "visqol": _visqol}
    packages = {"pesq": "pesq", "stoi": "pystoi", "visqol": "visqol"}
    return {name: judge for name, judge in every.items() if importlib.util.find_spec(packages[name])}


def _pesq(reference: Array, degraded: Array) -> float:
    """Wide-band PESQ (ITU-T P.862.2), a mean opinion score of 1.0 to 4.64."""
    from pesq import pesq

    return float(pesq(PERCEPTUAL_RATE, reference, degraded, "wb"))


def _stoi(reference: Array, degraded: Array) -> float:
    """Short-time objective intelligibility (Taal et al. 2011), at most 1."""
    from pystoi import stoi

    return float(stoi(reference, degraded, PERCEPTUAL_RATE))


def _visqol(reference: Array, degraded: Array) -> float:
    """ViSQOL (Chinen et al. 2020, arXiv 2004.09584), speech mode, its polynomial mapping scaled to 5."""
    pair = (one.astype(np.float64) for one in (reference, degraded))
    return float(_visqol_api().measure_from_arrays(*pair, PERCEPTUAL_RATE).moslqo)


@lru_cache(maxsize=1)
def _visqol_api() -> Any:
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode="speech", use_lattice_model=False)
    return api


def _resampled(waveform: Array, sample_rate: int) -> Array:
    if sample_rate == PERCEPTUAL_RATE:
        return waveform
    import soxr

    found: Array = soxr.resample(waveform, sample_rate, PERCEPTUAL_RATE)
    return found

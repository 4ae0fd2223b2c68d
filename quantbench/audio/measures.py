"""How near decoded waveforms are to the originals: for evaluation, without gradients."""

from __future__ import annotations

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
from quantbench.errors import ConfigError
from quantbench.install import how_to_install

Array = NDArray[np.float64]
Judge = Callable[[Array, Array], float | None]
"""Scores (target, output), (samples,) each at JUDGED_RATE; None where the clip cannot be scored."""

MEL_SCALES = ((2048, 150), (512, 80))
"""Window and mel bands."""
SILENT = 10 ** (-60 / 20)
"""A target whose RMS, about its mean, lies below -60 dBFS is not measured."""
INAUDIBLE = 10 ** (-100 / 20)
"""An output whose RMS lies below -100 dBFS gets the lowest score; the libraries would divide by its power."""
SI_SDR_LIMIT = 100.0
JUDGED_RATE = 16000
LOWEST_MOS = 1.0
PESQ_SECONDS = 0.25
STOI_SECONDS = 0.4
CHUNK = 64
"""Clips at a time, so that memory stays bounded."""


@torch.no_grad()
def measure(output: Tensor, target: Tensor, sample_rate: int, thorough: bool) -> dict[str, float]:
    """Means over the clips: twice (clips, samples), at ``sample_rate`` Hz, full scale 1.

    Always ``mel_distance_db`` (mean absolute difference of mel magnitudes in dB, mean of two scales) and ``si_sdr_db``
    (Le Roux et al., SDR - half-baked or well done?, ICASSP 2019). If ``thorough`` also, of the packages installed,
    ``pesq`` (ITU-T P.862.2, wide band), ``stoi`` (Taal et al. 2011) and ``visqol`` (speech mode with the polynomial
    mapping to MOS).

    ``clips`` counts the clips with at least one measure, ``clips_skipped`` those left out of at least one: their target
    is silent, or they hold too little speech for it. A measure of no clip is left out. Where an output is not finite,
    so is each mean.
    """
    output, target = output.detach().cpu(), target.detach().cpu()
    audible = (target.double() - target.double().mean(1, keepdim=True)).square().mean(1).sqrt() >= SILENT
    scores: dict[str, list[float | None]] = {}
    if audible.any():
        scores = _scores(output[audible], target[audible], sample_rate, thorough)
    clips = [[score is not None for score in clip] for clip in zip(*scores.values(), strict=True)]
    skipped = int((~audible).sum()) + sum(not all(clip) for clip in clips)
    found = {name: [value for value in values if value is not None] for name, values in scores.items()}
    means = {name: float(np.mean(values)) for name, values in found.items() if values}
    return {**means, "clips": float(sum(any(clip) for clip in clips)), "clips_skipped": float(skipped)}


def _scores(output: Tensor, target: Tensor, sample_rate: int, thorough: bool) -> dict[str, list[float | None]]:
    finite = output.isfinite().all(1).tolist()
    scores: dict[str, list[float | None]] = {
        "mel_distance_db": _mel_distance_db(output, target, sample_rate),
        "si_sdr_db": list(si_sdr_db(output, target).tolist()),
    }
    judges = _judges() if thorough else {}
    if judges:
        references, clips = (_at_judged_rate(waveforms, sample_rate) for waveforms in (target, output.nan_to_num(0, 0, 0)))
        for name, judge in judges.items():
            scores[name] = [judge(reference, clip) for reference, clip in zip(references, clips, strict=True)]
    return {
        name: [value if good or value is None else math.nan for value, good in zip(values, finite, strict=True)]
        for name, values in scores.items()
    }


def _mel_distance_db(output: Tensor, target: Tensor, sample_rate: int) -> list[float | None]:
    if output.shape[1] <= max(window for window, _ in MEL_SCALES) // 2:
        return [None] * len(output)
    found: list[float | None] = []
    for a, b in zip(torch.split(output.float(), CHUNK), torch.split(target.float(), CHUNK), strict=True):
        scales = [
            (log_mel(a, sample_rate, window, bands) - log_mel(b, sample_rate, window, bands)).abs().mean((1, 2))
            for window, bands in MEL_SCALES
        ]
        found += (20 * torch.stack(scales).mean(0)).tolist()
    return found


def si_sdr_db(output: Tensor, target: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio in dB, between -100 and 100: twice (clips, samples) -> (clips,).

    Both are brought to zero mean. A perfect output has 100, one without any of the target -100.
    """
    output, target = (x.double() - x.double().mean(1, keepdim=True) for x in (output, target))
    power = target.square().sum(1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    signal = (output * target).sum(1, keepdim=True) / power * target
    ratio = 10 * (signal.square().sum(1).log10() - (output - signal).square().sum(1).log10())
    ratio = torch.where(signal.square().sum(1) == 0, -SI_SDR_LIMIT, ratio)  # zero noise too, in a zero output
    return ratio.clamp(-SI_SDR_LIMIT, SI_SDR_LIMIT)


def _at_judged_rate(waveforms: Tensor, sample_rate: int) -> list[Array]:
    clips = [np.ascontiguousarray(clip, dtype=np.float64) for clip in waveforms.numpy()]
    if sample_rate == JUDGED_RATE:
        return clips
    try:
        import soxr
    except ImportError as error:
        raise ConfigError(f"recordings are resampled with the extra 'audio': {how_to_install('audio')}") from error
    return [soxr.resample(clip, sample_rate, JUDGED_RATE) for clip in clips]


@lru_cache(maxsize=1)
def _visqol() -> Any:
    """ViSQOL's speech mode, pinned to one mapping to MOS: by itself it takes another where a runtime is installed."""
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode="speech", use_lattice_model=False)
    return api


def _judges() -> dict[str, Judge]:
    """What the packages installed can score."""
    found: dict[str, Judge] = {}
    for name, judge, package in (("pesq", _pesq, "pesq"), ("stoi", _stoi, "pystoi"), ("visqol", _visqol_score, "visqol")):
        try:
            __import__(package)
        except ImportError:
            continue
        found[name] = judge
    return found


def _rms(waveform: Array) -> float:
    return float(np.sqrt(np.square(waveform).mean()))


def _pesq(target: Array, output: Array) -> float | None:
    import pesq

    if len(target) < PESQ_SECONDS * JUDGED_RATE:
        return None
    if _rms(output) < INAUDIBLE:
        return LOWEST_MOS
    try:
        return float(pesq.pesq(JUDGED_RATE, target.astype(np.float32), output.astype(np.float32), "wb"))
    except (pesq.PesqError, ValueError):  # no utterances; an intermediate result that is no number
        return None


def _stoi(target: Array, output: Array) -> float | None:
    from pystoi import stoi

    if len(target) < STOI_SECONDS * JUDGED_RATE:
        return None
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        score = float(stoi(target, output, JUDGED_RATE))
    return None if any("Not enough STFT frames" in str(warning.message) for warning in told) else score


def _visqol_score(target: Array, output: Array) -> float | None:
    if _rms(output) < INAUDIBLE:
        return LOWEST_MOS
    try:
        score = float(_visqol().measure_from_arrays(target, output, JUDGED_RATE).moslqo)
    except (ValueError, IndexError):  # too few samples, or too few patches of speech
        return None
    return score if math.isfinite(score) else None

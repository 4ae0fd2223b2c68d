"""What an audit's cosines say, in words."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from quantbench.results.estimate import Estimate
from quantbench.results.statistics import mean_interval

RIGHT, WRONG, UNCLEAR = "right", "wrong", "unclear"

READING = """\
right: a small step along it lowers the hard distortion, as seen at that width (in quantization errors); wrong: raises it.
  Narrow widths see the nearest borders between codes, wide ones how the codes lie. unclear: the interval over seeds holds 0.
Right at every width: it follows the hard distortion. Right at wide widths alone: it leads to the right region, not over the
  next border. Wrong after training: what still moves the encoder is something else than the hard distortion.
This is about the encoder's gradient alone, and no ranking: what a strategy reaches, a sweep and `quantbench rank` say."""


def cosines(rows: pd.DataFrame) -> dict[float, Estimate]:
    """The mean cosine over seeds at each width, of the rows of one pair and moment; widths in their order."""
    groups = rows.dropna(subset=["cosine"]).groupby("sigma")
    return {float(str(sigma)): mean_interval(part["cosine"].to_numpy(float)) for sigma, part in groups}


def verdict(found: Mapping[float, Estimate]) -> str:
    """Which way a gradient points at which widths, and how much: ``right from 1 on, wrong up to 0.5 (-0.4 to 0.7)``."""
    if not found:
        return ""
    runs = [
        (sign, [width for width, _ in group]) for sign, group in itertools.groupby(found.items(), lambda one: _sign(one[1]))
    ]
    means = [one.mean for one in found.values()]
    return f"{_words(runs, list(found))} ({min(means):.2f} to {max(means):.2f})" if len(means) > 1 else _alone(found)


def _alone(found: Mapping[float, Estimate]) -> str:
    ((width, one),) = found.items()
    return f"{_sign(one)} at {width:g} ({one.mean:.2f})"


def _words(runs: Sequence[tuple[str, list[float]]], widths: Sequence[float]) -> str:
    if len(runs) == 1:
        return f"{runs[0][0]} at every width"
    parts = []
    for sign, own in runs:
        if own[0] == widths[0]:
            parts.append(f"{sign} up to {own[-1]:g}")
        elif own[-1] == widths[-1]:
            parts.append(f"{sign} from {own[0]:g}")
        else:
            parts.append(f"{sign} at {own[0]:g}" if len(own) == 1 else f"{sign} from {own[0]:g} to {own[-1]:g}")
    return ", ".join(parts)


def _sign(one: Estimate) -> str:
    """What the interval says; of a single seed there is none."""
    if np.isnan(one.low) or one.low <= 0 <= one.high:
        return UNCLEAR
    return RIGHT if one.low > 0 else WRONG

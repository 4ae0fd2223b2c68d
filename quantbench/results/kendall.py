"""How alike two orders of the same items are. All from the signs of differences, for one order or for many draws at once.

Values have the items last; a smaller one is better. scipy gives the same numbers (the tests compare), one order at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantbench.results.statistics import LEVEL

TIED = 1e-12
"""Differences below this share of the largest value are rounding errors of the means: the two are tied."""

Signs = NDArray[np.int8]


def signs(values: NDArray[np.float64]) -> Signs:
    """The sign of value i less value j, in the last two axes; 0 for ties."""
    differences = values[..., :, None] - values[..., None, :]
    scale = np.abs(values).max(axis=-1)[..., None, None]
    return np.sign(np.where(np.abs(differences) <= TIED * scale, 0.0, differences)).astype(np.int8)


def kendall(a: Signs, b: Signs) -> NDArray[np.float64]:
    """Kendall's tau-b (Kendall 1945); NaN where all items are tied in one of the orders."""
    both = (a * b).sum((-2, -1), dtype=float)
    untied = [np.abs(one).sum((-2, -1), dtype=float) for one in (a, b)]
    return _ratio(both, np.sqrt(untied[0] * untied[1]))


def spearman(a: Signs, b: Signs) -> NDArray[np.float64]:
    """Spearman's rho, with mid-ranks for ties; NaN where all items are tied in one of the orders."""
    # Mid-ranks less their mean are half the sums of signs; the half drops out.
    x, y = a.sum(-1, dtype=float), b.sum(-1, dtype=float)
    return _ratio((x * y).sum(-1), np.sqrt((x * x).sum(-1) * (y * y).sum(-1)))


def agreement(a: Signs, b: Signs, pairs: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of ``pairs`` (a mask of i, j) that both orders put the same way; a tie is not the same way. NaN for no pair."""
    return _ratio(((a * b)[..., pairs] > 0).sum(-1).astype(float), np.asarray(float(pairs.sum())))


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    above, below = np.broadcast_arrays(above, below)
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))


TAU_INTERVAL = "[95 %, these methods]"
"""What tau's interval is called: it is of the order of these methods' true means, over other seeds."""

DRAWS = 2000
PRIOR = 4.0
"""Degrees of freedom with which a method's spread over seeds is drawn to that of all."""
COMPARED_AT_ONCE = 20_000_000
"""Pairs of methods that are compared at a time: all draws of hundreds of methods would take gigabytes."""
LEAST = 0.05
"""Least share of the methods' spread that is not the seeds' noise."""


def tau_interval(toy: NDArray[np.float64], real: NDArray[np.float64]) -> tuple[float, float]:
    """An interval of Kendall's tau between the true means of these methods, from values (methods, seeds) of two sides.

    Resampling seeds does not do: means of resamples have twice the noise of the means themselves, so that tau is too small in
    nearly all of them. Here the true means are drawn given the measured ones, under a normal model: the methods' means of both
    sides together normal with a covariance from an inverse Wishart distribution, seeds' noise about them, its variance of each
    method drawn to that of all (an empirical Bayes posterior; Gelman et al. 2013, Bayesian Data Analysis, sections 3.6, 5.4).
    What a seed does to all methods cancels. Calibrated in docs/statistics.md. NaN where nothing varies.
    """
    generator = np.random.default_rng(0)  # a fixed one, so that the output does not change from run to run
    (mx, dx, ex), (my, dy, ey) = (_noise(side, generator) for side in (toy, real))
    degrees = len(mx) - 1
    scatter = np.cov(mx, my) * degrees
    if not (scatter[0, 0] > 0 and scatter[1, 1] > 0):
        return np.nan, np.nan
    txx, txy, tyy = _inverse_wishart(scatter, degrees, generator)
    ax, ay = (np.maximum(total - noise, LEAST * total)[:, None] for total, noise in ((txx, ex), (tyy, ey)))
    both = np.sqrt(ax * ay)
    c = np.clip(txy[:, None] / both, -0.99, 0.99) * both
    # The true means given the measured ones, method by method: a normal distribution of two dimensions.
    sx, sy = ax + dx, ay + dy
    determinant = sx * sy - c * c
    kxx, kxy, kyx, kyy = (
        (ax * sy - c * c) / determinant,
        c * dx / determinant,
        c * dy / determinant,
        (ay * sx - c * c) / determinant,
    )
    vx = np.maximum(ax - kxx * ax - kxy * c, 1e-12 * ax)
    vc, vy = c - kxx * c - kxy * ay, ay - kyx * c - kyy * ay
    root = np.sqrt(vx)
    z, u = generator.standard_normal((2, DRAWS, len(mx)))
    x = kxx * mx + kxy * my + root * z
    y = kyx * mx + kyy * my + vc / root * z + np.sqrt(np.maximum(vy - (vc / root) ** 2, 0)) * u
    blocks = np.array_split(np.arange(DRAWS), -(-DRAWS * len(mx) ** 2 // COMPARED_AT_ONCE))
    drawn = np.sort(np.concatenate([kendall(signs(x[block]), signs(y[block])) for block in blocks]))
    cut = (1 - LEVEL) / 2 * (DRAWS - 1)
    return float(drawn[int(np.floor(cut))]), float(drawn[int(np.ceil(DRAWS - 1 - cut))])


def _noise(values: NDArray[np.float64], generator: np.random.Generator) -> tuple[NDArray[np.float64], ...]:
    """Means of the methods about their mean (methods,); draws of their variance (draws, methods), and of its mean (draws,)."""
    methods, seeds = values.shape
    values = values - values.mean(axis=0)
    means = values.mean(axis=1)
    free = (methods - 1) * (seeds - 1)
    own = np.square(values - means[:, None]).sum(axis=1) * methods / free
    pooled, degrees = own.mean(), seeds - 1 + PRIOR
    each = ((seeds - 1) * own + PRIOR * pooled) / degrees / seeds * (degrees / generator.chisquare(degrees, (DRAWS, methods)))
    return means, each, pooled / seeds * (free / generator.chisquare(free, DRAWS))


def _inverse_wishart(
    scatter: NDArray[np.float64], degrees: int, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Draws of a covariance (xx, xy, yy) with this scatter matrix, by Bartlett's decomposition (1933)."""
    a, c = np.sqrt(generator.chisquare(degrees, DRAWS)), np.sqrt(generator.chisquare(degrees - 1, DRAWS))
    b = generator.standard_normal(DRAWS)
    i11, i12, i22 = (b * b + c * c) / (a * c) ** 2, -b / (a * c * c), 1 / c**2
    left = np.sqrt(scatter[0, 0])
    below = scatter[0, 1] / left
    right = np.sqrt(max(scatter[1, 1] - below**2, 1e-12 * scatter[1, 1]))
    xx, xy = left**2 * i11, left * (below * i11 + right * i12)
    return xx, xy, below**2 * i11 + 2 * below * right * i12 + right**2 * i22

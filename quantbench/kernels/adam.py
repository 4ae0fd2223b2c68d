"""Adam's step."""

from __future__ import annotations

import ctypes

from torch import Tensor

from quantbench.kernels.library import call


def adam(
    gradient: Tensor,
    moments: tuple[Tensor, Tensor],
    weights: Tensor,
    rates: Tensor,
    factors: Tensor,
    moving: Tensor | None,
    betas: tuple[float, float],
    corrections: tuple[float, float],
    epsilon: float,
) -> None:
    """Change ``moments`` and ``weights``, (trials, numbers), in place.

    Args:
        rates, factors: learning rate, and what the gradient is multiplied by, (trials,).
        moving: (numbers,), 0 where weights stay as they are and 1 elsewhere; None for 1 everywhere.
        corrections: ``1 - beta**steps``.
    """
    pair = ctypes.c_double * 2
    trials, numbers = weights.shape
    kept = (gradient, *moments, weights, rates.contiguous(), factors.contiguous(), moving)
    call("adam", trials, numbers, *kept, pair(*betas), pair(*corrections), epsilon)

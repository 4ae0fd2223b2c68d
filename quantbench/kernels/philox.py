"""Random numbers of counters; ``quantbench.philox`` says what they are, and gives the same bits without a kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from quantbench.kernels.library import call


def philox_uniform(keys: Tensor, position: int, numbers: int) -> Tensor:
    """Uniform numbers in [0, 1), (seeds, numbers), for 64-bit keys (seeds,), from the group ``position`` on."""
    found = keys.new_empty(len(keys), numbers, dtype=torch.float32)
    call("philox_uniform", len(keys), keys, position, numbers, found)
    return found


def philox_normal(keys: Tensor, position: int, numbers: int) -> Tensor:
    """Standard normal numbers, (seeds, numbers)."""
    found = keys.new_empty(len(keys), numbers, dtype=torch.float32)
    call("philox_normal", len(keys), keys, position, numbers, found)
    return found


def philox_integers(keys: Tensor, position: int, numbers: int, high: int) -> Tensor:
    """Integers in [0, high), (seeds, numbers)."""
    found = keys.new_empty(len(keys), numbers)
    call("philox_integers", len(keys), keys, position, numbers, high, found)
    return found

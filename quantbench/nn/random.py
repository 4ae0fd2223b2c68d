"""Random numbers of PyTorch's own generators, as components ask for them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from quantbench.streams import rotation


class TorchStreams:
    """What ``quantbench.streams.Streams`` gives to a stack of one trial, from PyTorch's default generator of the device.

    Args:
        seed: where numbers must be alike on all ranks: gives the seed of a generator of its own, made when first needed.
    """

    trials = 1
    capturable = False

    def __init__(self, device: torch.device, seed: Callable[[], int] | None = None) -> None:
        self.device, self._seed = device, seed
        self._generator: torch.Generator | None = None

    def normal(self, purpose: str, *shape: int) -> Tensor:
        """Standard normal numbers, shape (1, *shape)."""
        return torch.randn(1, *shape, device=self.device, generator=self._own())

    def uniform(self, purpose: str, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), shape (1, *shape)."""
        return torch.rand(1, *shape, device=self.device, generator=self._own())

    def integers(self, purpose: str, high: int, *shape: int) -> Tensor:
        """Integers in [0, high), shape (1, *shape)."""
        return torch.randint(high, (1, *shape), device=self.device, generator=self._own())

    def permutations(self, purpose: str, length: int) -> Tensor:
        """A random order of 0 .. length - 1, shape (1, length)."""
        return torch.randperm(length, device=self.device, generator=self._own()).unsqueeze(0)

    def rotations(self, purpose: str, *shape: int, dim: int) -> Tensor:
        """Random rotation matrices, shape (1, *shape, dim, dim)."""
        return rotation(self.normal(purpose, *shape, dim, dim))

    def _own(self) -> torch.Generator | None:
        if self._seed is not None and self._generator is None:
            self._generator = torch.Generator(self.device).manual_seed(self._seed())
        return self._generator

"""Random numbers of a stack: every trial draws from generators of its own, one per purpose.

So two strategies with the same seed start from the same weights and see the same frames, and what a trial draws does not
depend on the others in its stack.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from quantbench.precision import exact

ON_CPU = frozenset({"source", "initialisation", "codebook", "critic", "memory"})
"""Purposes drawn on the CPU whatever the device, so that a GPU starts from the same source and the same weights."""


def generator_seed(seed: int, purpose: str) -> int:
    """A well-mixed seed for ``(seed, purpose)``; 32 bits, which is all that torch's CPU generator uses."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:4], "big")


class Streams:
    """Generators of all trials of a stack.

    Args:
        seeds: one seed a trial. Trials with equal seeds draw equal numbers, which are drawn once and copied.
        device: where the numbers are needed.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.trials = len(seeds)
        self._unique = list(dict.fromkeys(seeds))
        self._of_trial = torch.tensor([self._unique.index(seed) for seed in seeds], device=self.device)
        self._generators: dict[str, list[torch.Generator]] = {}

    def normal(self, purpose: str, *shape: int) -> Tensor:
        """Standard normal numbers, shape (trials, *shape)."""
        return self._draw(purpose, lambda g: torch.randn(shape, generator=g, device=g.device))

    def uniform(self, purpose: str, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), shape (trials, *shape)."""
        return self._draw(purpose, lambda g: torch.rand(shape, generator=g, device=g.device))

    def integers(self, purpose: str, high: int, *shape: int) -> Tensor:
        """Integers in [0, high), shape (trials, *shape)."""
        return self._draw(purpose, lambda g: torch.randint(high, shape, generator=g, device=g.device))

    def permutations(self, purpose: str, length: int) -> Tensor:
        """A random order of 0 .. length - 1 for each trial, shape (trials, length)."""
        return self._draw(purpose, lambda g: torch.randperm(length, generator=g, device=g.device))

    def rotations(self, purpose: str, *shape: int, dim: int) -> Tensor:
        """Random rotation matrices (Haar measure, determinant 1), shape (trials, *shape, dim, dim)."""
        # Trial by trial: in a batch, a decomposition may round otherwise than alone.
        return self._draw(purpose, lambda g: _rotation(torch.randn(*shape, dim, dim, generator=g, device=g.device)))

    def state(self) -> dict[str, Tensor]:
        """The state of every generator by purpose, (unique seeds, bytes); ``restore`` goes on from there."""
        return {purpose: torch.stack([one.get_state() for one in found]) for purpose, found in self._generators.items()}

    def restore(self, states: dict[str, Tensor]) -> None:
        """Bring the generators to a state that ``state`` gave."""
        self._generators.clear()
        for purpose, every in states.items():
            for generator, state in zip(self._of(purpose), every, strict=True):
                generator.set_state(state.cpu().clone())  # aligned, as a row of a file need not be

    @exact
    def _draw(self, purpose: str, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
        drawn = torch.stack([draw(g) for g in self._of(purpose)]).to(self.device)
        return drawn if len(self._unique) == self.trials else drawn.index_select(0, self._of_trial)

    def _of(self, purpose: str) -> list[torch.Generator]:
        """The generators of a purpose, one a unique seed."""
        if purpose not in self._generators:
            device = "cpu" if purpose in ON_CPU else self.device
            self._generators[purpose] = [
                torch.Generator(device).manual_seed(generator_seed(seed, purpose)) for seed in self._unique
            ]
        return self._generators[purpose]


def _rotation(normal: Tensor) -> Tensor:
    """A rotation of the Haar measure from a matrix (..., dim, dim) of normal numbers."""
    orthogonal, upper = torch.linalg.qr(normal)
    # The signs of R's diagonal make the distribution uniform (Mezzadri 2007); one column's sign, the determinant 1.
    orthogonal = orthogonal * torch.sign(torch.diagonal(upper, dim1=-2, dim2=-1)).unsqueeze(-2)
    first = orthogonal[..., :1] * torch.linalg.det(orthogonal)[..., None, None]
    return torch.cat([first, orthogonal[..., 1:]], dim=-1)

"""Random numbers of a stack: every trial has a stream of its own for each purpose, and all are drawn at once.

So two strategies with the same seed start from the same weights and see the same frames, and what a trial draws depends
neither on the others in its stack nor on the device.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from quantbench import philox
from quantbench.philox import Position
from quantbench.precision import exact

Draw = Callable[[Tensor, Position, int], Tensor]
"""Makes numbers (seeds, numbers) from keys (seeds,), a position, and how many."""


def key(seed: int, purpose: str) -> int:
    """The 64 bits that name the stream of ``(seed, purpose)``, as a signed number."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:8], "big", signed=True)


class Streams:
    """The streams of all trials of a stack.

    A number is a function of seed, purpose and position (``quantbench.philox``). The position is a purpose's, for all trials
    draw alike: every draw begins where the one before ended, in whole groups of blocks.

    A CUDA graph that draws goes on with every replay, for the position lies on the device and is moved there in place. Each
    of its purposes must have been drawn from before the capture (as in the warm-up that a capture needs anyway), so that
    keys and position are there. Rotations cannot be captured.

    Args:
        seeds: one seed a trial. Trials with equal seeds draw equal numbers, which are drawn once and copied.
        device: where the numbers are needed.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.trials = len(seeds)
        self._unique = list(dict.fromkeys(seeds))
        self._of_trial = torch.tensor([self._unique.index(seed) for seed in seeds], device=self.device)
        self._keys: dict[str, Tensor] = {}
        self._positions: dict[str, Position] = {}

    @property
    def capturable(self) -> bool:
        """Whether a CUDA graph may draw, as above."""
        return self.device.type == "cuda"

    def normal(self, purpose: str, *shape: int) -> Tensor:
        """Standard normal numbers, shape (trials, *shape)."""
        return self._draw(purpose, philox.normal, philox.UNIFORM, shape)

    def uniform(self, purpose: str, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), shape (trials, *shape)."""
        return self._draw(purpose, philox.uniform, philox.UNIFORM, shape)

    def integers(self, purpose: str, high: int, *shape: int) -> Tensor:
        """Integers in [0, high), shape (trials, *shape). Raises ValueError for a ``high`` above 2^31."""

        def draw(keys: Tensor, position: Position, numbers: int) -> Tensor:
            return philox.integers(keys, position, numbers, high)

        return self._draw(purpose, draw, philox.INTEGERS, shape)

    def permutations(self, purpose: str, length: int) -> Tensor:
        """A random order of 0 .. length - 1 for each trial, shape (trials, length)."""
        bits = length.bit_length()
        first, second = self.integers(purpose, philox.LARGEST, 2, length).unbind(1)
        # The numbers to order are the last bits of what is sorted by the others: 62 less these, random.
        last = torch.arange(length, device=self.device)
        return _sorted(((first << 31 | second) >> bits << bits) | last) & ((1 << bits) - 1)

    def rotations(self, purpose: str, *shape: int, dim: int) -> Tensor:
        """Random rotation matrices (Haar measure, determinant 1), shape (trials, *shape, dim, dim).

        Made on the CPU, one trial after the other: another device, or a batch, may round a decomposition otherwise.
        """

        def draw(keys: Tensor, position: Position, numbers: int) -> Tensor:
            drawn = philox.normal(keys, position, numbers).cpu().view(len(keys), *shape, dim, dim)
            return torch.stack([rotation(one) for one in drawn]).to(self.device)

        return self._draw(purpose, draw, philox.UNIFORM, (*shape, dim, dim))

    def state(self) -> dict[str, int]:
        """The position by purpose; ``restore`` goes on from there."""
        return {purpose: int(position) for purpose, position in self._positions.items()}

    def restore(self, state: Mapping[str, int]) -> None:
        """Go on from a state that ``state`` gave. What lies on a device stays where it is: a graph may read and move it."""
        before, self._positions = self._positions, {}
        kept = {purpose: place for purpose, place in before.items() if isinstance(place, Tensor)}
        for purpose in {**state, **kept}:
            self._begin(purpose, state.get(purpose, 0), kept.get(purpose))

    @exact
    def _draw(self, purpose: str, draw: Draw, each: int, shape: tuple[int, ...]) -> Tensor:
        """Numbers (trials, *shape), of which a group gives ``each``."""
        if purpose not in self._positions:
            self._begin(purpose, 0)
        numbers, position = math.prod(shape), self._positions[purpose]
        drawn = draw(self._keys[purpose], position, numbers).view(len(self._unique), *shape)
        position += philox.groups(numbers, each)  # in place where it is a tensor
        self._positions[purpose] = position
        return drawn if len(self._unique) == self.trials else drawn.index_select(0, self._of_trial)

    @property
    def _moved(self) -> bool:
        """Whether positions are tensors."""
        return self.device.type != "cpu"

    def _begin(self, purpose: str, position: int, place: Tensor | None = None) -> None:
        """Have keys and position of a purpose on the device, the position in a place where there is one."""
        with torch.inference_mode(False):  # what begins there goes on elsewhere
            if purpose not in self._keys:
                self._keys[purpose] = torch.tensor([key(seed, purpose) for seed in self._unique], device=self.device)
            if place is not None:
                self._positions[purpose] = place.fill_(position)
            else:
                self._positions[purpose] = torch.tensor(position, device=self.device) if self._moved else position


def _sorted(values: Tensor) -> Tensor:
    """Each row in ascending order; on a CPU by numpy, which is several times as fast."""
    return torch.from_numpy(np.sort(values.numpy())) if values.device.type == "cpu" else values.sort(dim=1).values


def rotation(normal: Tensor) -> Tensor:
    """A rotation of the Haar measure from a matrix (..., dim, dim) of normal numbers."""
    orthogonal, upper = torch.linalg.qr(normal)
    # The signs of R's diagonal make the distribution uniform (Mezzadri 2007); one column's sign, the determinant 1.
    orthogonal = orthogonal * torch.sign(torch.diagonal(upper, dim1=-2, dim2=-1)).unsqueeze(-2)
    first = orthogonal[..., :1] * torch.linalg.det(orthogonal)[..., None, None]
    return torch.cat([first, orthogonal[..., 1:]], dim=-1)

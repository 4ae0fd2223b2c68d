"""What the codes of evaluation frames cost: entropies of slots and of whole codes, given the dither where there is one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from quantbench.entropy import SIGMAS, Entropy, Keys, entropy, joint
from quantbench.quantizers.base import Code, Moment
from quantbench.streams import Streams

DITHERS = 16
"""Values of a dither, the same for all frames, over which the entropy given the dither is averaged."""
LARGEST_KEY = 2**62


@dataclass(frozen=True)
class Watched(Moment):
    """A moment that notes whether noise was drawn from it."""

    drawn: list[str] = field(default_factory=list)

    def normal(self, like: Tensor) -> Tensor:
        self.drawn.append("normal")
        return super().normal(like)

    def uniform(self, like: Tensor) -> Tensor:
        self.drawn.append("uniform")
        return super().uniform(like)

    def uniform_items(self, like: Tensor) -> Tensor:
        self.drawn.append("uniform")
        return super().uniform_items(like)


@dataclass(frozen=True)
class Common(Moment):
    """A moment whose noise is the same for all frames.

    Attributes:
        points: uniform numbers, (trials, dim).
    """

    points: Tensor = field(default_factory=lambda: torch.zeros(1, 1))

    def normal(self, like: Tensor) -> Tensor:
        normal: Tensor = torch.special.ndtri(self.uniform(like).clamp(1e-6, 1 - 1e-6))
        return normal

    def uniform(self, like: Tensor) -> Tensor:
        return self.points[:, None, : like.shape[-1]].expand(like.shape).to(like)


def common_moments(streams: Streams, dim: int, count: int = DITHERS) -> list[Moment]:
    """Moments with a noise of their own each: Latin hypercubes, in which every dimension's values are evenly spread."""
    cells = torch.stack([streams.permutations("rate dither", count) for _ in range(dim)], dim=-1)  # (trials, count, dim)
    points = (cells + streams.uniform("rate dither", count, dim)) / count
    return [Common(1.0, streams, "rate dither", training=False, points=points[:, i]) for i in range(count)]


class Codes:
    """Collects the codes of all frames, 8 bytes for up to 62 bits of a frame.

    Args:
        alphabet: codes of each slot.
    """

    def __init__(self, alphabet: list[int]) -> None:
        self.alphabet = alphabet
        self.words: list[list[int]] = [[]]
        size = 1
        for slot, codes in enumerate(alphabet):
            size *= codes
            if size > LARGEST_KEY and self.words[-1]:
                self.words.append([])
                size = codes
            self.words[-1].append(slot)
        self.parts: list[Tensor] = []

    def add(self, indices: Tensor) -> None:
        """Indices (trials, frames, slots) of further frames."""
        words = []
        for slots in self.words:
            word = indices[..., slots[0]].long()
            for slot in slots[1:]:
                word = word * self.alphabet[slot] + indices[..., slot]
            words.append(word)
        self.parts.append(torch.stack(words, dim=1).cpu())

    def entropies(self, exact: bool) -> list[tuple[Entropy, Entropy]]:
        """Of every trial: the sum over slots, and that of whole codes."""
        return [self._entropies(list(trial.numpy()), exact) for trial in torch.cat(self.parts, dim=2)]

    def usage(self) -> list[float]:
        """Of every trial: the share of whole codes that occur; NaN where there are more codes than frames."""
        found = torch.cat(self.parts, dim=2)
        codes = math.prod(self.alphabet)
        if codes > found.shape[2]:
            return [math.nan] * len(found)
        return [len(np.unique(trial[0].numpy())) / codes for trial in found]  # so few codes take one word

    def _entropies(self, words: list[Keys], exact: bool) -> tuple[Entropy, Entropy]:
        slots: list[Entropy] = []
        for word, own in zip(words, self.words, strict=True):
            rest, found = word, []
            for slot in reversed(own):
                rest, index = np.divmod(rest, self.alphabet[slot])
                counts = np.bincount(index).astype(np.float64)
                found.append(entropy(counts, math.log2(self.alphabet[slot]), exact))
            slots += reversed(found)
        total = Entropy(sum(slot.bits for slot in slots), sum(slot.error for slot in slots))
        if len(self.alphabet) == 1:
            return total, total
        return total, joint(words, slots, sum(math.log2(codes) for codes in self.alphabet), exact)


class Rates:
    """What the codes of all evaluation frames cost.

    The rate of a code that is dithered at evaluation is its entropy given the dither, which the decoder knows (Ziv 1985, IEEE
    Trans. Inf. Theory 31(3); Zamir & Feder 1992, IEEE Trans. Inf. Theory 38(2)): the mean, over values of the dither, of the
    entropy under each. Of the strategies of this project ``universal`` alone dithers. Whether a code is dithered is seen by
    what is drawn from its moment.

    Args:
        streams: where dithers come from.
        alphabet: codes of each slot.
    """

    def __init__(self, streams: Streams, alphabet: list[int]) -> None:
        self.streams, self.alphabet = streams, alphabet
        self.given: list[Moment] = []
        self.codes: list[Codes] = []

    def add(self, indices: Tensor, dim: int, moment: Watched, hard: Callable[[Moment], Code]) -> None:
        """Indices of further frames, made at ``moment``; ``hard`` makes them at another one."""
        if moment.drawn and not self.given:
            self.given = common_moments(self.streams, dim)
        self.codes = self.codes or [Codes(self.alphabet) for _ in self.given or [moment]]
        every = [hard(one).indices for one in self.given] or [indices]
        for codes, found in zip(self.codes, every, strict=True):
            assert found is not None
            codes.add(found)

    def metrics(self, exact: bool) -> dict[str, Tensor]:
        """``spent_bits``, ``joint_entropy_bits``, ``joint_entropy_error`` and ``joint_usage``, (trials,) each.

        The error of a mean over dithers has the standard error of that mean, too.
        """
        each = [codes.entropies(exact) for codes in self.codes]
        rows = []
        for trial in range(len(each[0])):
            spent = [one[trial][0].bits for one in each]
            whole = [one[trial][1].bits for one in each]
            error = float(np.mean([one[trial][1].error for one in each]))
            if len(each) > 1:
                error += SIGMAS * float(np.std(whole, ddof=1)) / math.sqrt(len(each))
            rows.append((float(np.mean(spent)), float(np.mean(whole)), error))
        columns = torch.tensor(rows, dtype=torch.float64)
        names = ("spent_bits", "joint_entropy_bits", "joint_entropy_error")
        usage = torch.tensor([codes.usage() for codes in self.codes], dtype=torch.float64).mean(0)
        return dict(zip(names, columns.unbind(1), strict=True)) | {"joint_usage": usage}

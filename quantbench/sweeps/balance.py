"""Cuts groups of trials into stacks, so that all workers end at about the same time.

Nothing here can change a result: a trial's does not depend on its stack (bit by bit on a CPU). So rough estimates will do.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from quantbench.components import Component
from quantbench.config import canonical, instance
from quantbench.precision import LOW
from quantbench.schema import Settings, find_class
from quantbench.sweeps.trial import Trial

STEP = 2.5
"""What a step costs a stack of any size: 0.8 ms of Python on one core, where a default trial adds 0.32 ms."""
BATCH, WEIGHTS = 256, 64 * (16 + 64 + 8)
"""Frames a step and weights of an encoder of the default trial, whose work is 1."""
ROUNDED = 4
"""What a step costs in low precision, which is computed by PyTorch's operations and rounded, in steps of float32."""
LARGE, LARGE_WORK = 1024, 2**15
"""Codes from which the codebook counts, and those of one dimension that are a default trial's work: 0.3 ms with 256 frames."""
FINISHED = 1.05
"""A sweep that ends this close to the ideal is left as it is; smaller stacks must win as much as that, for the estimates err
by more than a few percent, and a cut that they got wrong costs more than it can win."""


@dataclass(frozen=True)
class Cost:
    """What a group of trials costs, in steps of a default trial: ``fixed`` a stack, ``each`` trial beside it."""

    fixed: float
    each: float

    def of(self, trials: int) -> float:
        """A stack of so many trials."""
        return self.fixed + trials * self.each

    def largest(self, most: float) -> int:
        """Trials of the largest stack that costs at most ``most``; at least 1."""
        return max(1, math.floor((most - self.fixed) / self.each + 1e-9))


def cost(trial: Trial) -> Cost:
    """A rough estimate for trials of this shape."""
    config = trial.config
    steps = config["train"]["steps"] * (ROUNDED if config["train"]["precision"] in LOW else 1)
    size = _weights(canonical(config["codec"]), canonical(config["simulator"])) / WEIGHTS
    parts = [part for group in ("quantizer", "gradient") for part in _parts(config[group])]
    # What is dearer is so mostly for every codeword.
    codes = next((part["codes"] for part in parts if isinstance(part.get("codes"), int)), 256)
    size += sum(_dearer(part["_target_"]) for part in parts) * (0.25 + 0.75 * codes / 256)
    if codes > LARGE:  # the search, and a codebook that every step goes over
        size += codes * config["codec"].get("latent_dim", 8) / LARGE_WORK
    return Cost(steps * STEP, steps * size * config["train"]["batch"] / BATCH)


def _parts(node: Settings) -> Iterator[Settings]:
    """The settings of a component and of those within it, with the names of their classes."""
    yield node
    for value in node.values():
        if isinstance(value, dict) and "_target_" in value:
            yield from _parts(value)


@lru_cache(maxsize=1024)
def _dearer(target: str) -> float:
    """Work of a class beyond that of a default trial's; kept, for a sweep may have thousands of shapes."""
    return getattr(find_class(target, Component, target), "cost", 0.0)


@lru_cache(maxsize=1024)
def _weights(codec_text: str, simulator_text: str) -> float:
    """Weights of an encoder; a small one costs hardly less than half of the default, for other work is left."""
    codec, simulator = instance("codec", json.loads(codec_text)), instance("simulator", json.loads(simulator_text))
    sizes = [value for name in codec.sizes if isinstance(value := getattr(codec, name), int)] or [codec.latent_dim]
    found: float = sizes[0] * (sum(sizes) + simulator.input_dim)
    return max(found, WEIGHTS / 2)


def cut(groups: Sequence[Sequence[Trial]], limits: Sequence[int], workers: int) -> list[list[Trial]]:
    """Stacks of at most ``limits`` trials, one limit a group, the longest first.

    They are as few as possible, unless workers would wait for the last ones: then further cuts are tried out, first of all
    groups, so that no stack takes longer than a bound, and then of one group after the other.
    """
    costs = [cost(group[0]) for group in groups]
    sizes = [len(group) for group in groups]
    best = [math.ceil(size / limit) for size, limit in zip(sizes, limits, strict=True)]
    fewest = _stacks(costs, sizes, best)
    end, enough = ending(fewest, workers), FINISHED * ideal(fewest, workers)
    for tried in _bounded(costs, sizes, best, workers) if end > enough else []:
        if (ends := ending(_stacks(costs, sizes, tried), workers)) * FINISHED < end:
            best, end = tried, ends
    while end > enough:
        onces = [[*best[:i], best[i] + 1, *best[i + 1 :]] for i in range(len(best)) if best[i] < sizes[i]]
        ends, tried = min(((ending(_stacks(costs, sizes, once), workers), once) for once in onces), default=(end, best))
        if ends * FINISHED >= end:
            break
        best, end = tried, ends
    stacks = [(one, part) for one, group, count in zip(costs, groups, best, strict=True) for part in evenly(group, count)]
    return [part for _, part in sorted(stacks, key=lambda pair: pair[0].of(len(pair[1])), reverse=True)]


def _bounded(costs: Sequence[Cost], sizes: Sequence[int], counts: Sequence[int], workers: int) -> Iterator[list[int]]:
    """How often to cut each group so that no stack costs more than a bound, for bounds worth trying, the largest first.

    These are what the stacks of one group cost when it is cut more often than ``counts`` says.
    """
    smallest = ideal(_stacks(costs, sizes, counts), workers) / 16
    found = set()
    for one, size, count in zip(costs, sizes, counts, strict=True):
        found |= {one.of(math.ceil(size / more)) for more in range(count, min(size, count + 4 * workers) + 1)}
    bounds = sorted((bound for bound in found if bound > smallest), reverse=True)
    for bound in bounds[:: len(bounds) // 100 + 1]:
        needed = [math.ceil(size / one.largest(bound)) for one, size in zip(costs, sizes, strict=True)]
        yield [max(pair) for pair in zip(counts, needed, strict=True)]


def _stacks(costs: Sequence[Cost], sizes: Sequence[int], counts: Sequence[int]) -> list[float]:
    """What each stack costs, with every group cut evenly into so many."""
    return [
        one.of(high - low)
        for one, size, count in zip(costs, sizes, counts, strict=True)
        for low, high in itertools.pairwise(_marks(size, count))
    ]


def ideal(costs: Sequence[float], workers: int) -> float:
    """When a sweep would end if its work could be divided at will."""
    return sum(costs) / workers


def ending(costs: Sequence[float], workers: int, order: Sequence[float] | None = None) -> float:
    """When the last worker ends, if each takes the next stack as soon as it is free.

    Args:
        costs: of the stacks.
        order: what they are sorted by, the largest first, equal ones as they come; the costs themselves where not given.
    """
    ranked = sorted(zip(order or costs, costs, strict=True), key=lambda pair: pair[0], reverse=True)
    free = [0.0] * workers
    for _, one in ranked:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def evenly(trials: Sequence[Trial], count: int) -> list[list[Trial]]:
    """Trials in ``count`` parts of nearly equal size."""
    return [list(trials[low:high]) for low, high in itertools.pairwise(_marks(len(trials), count))]


def _marks(size: int, count: int) -> list[int]:
    return [i * size // count for i in range(count + 1)]

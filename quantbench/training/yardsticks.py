"""What a trial's distortion is measured against: the limit at the rate it spent, and a trained reference."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import torch

from quantbench.components import State, joined
from quantbench.limits import Limit, Unknown, kmeans, scalar_quantizers
from quantbench.limits.densities import Density
from quantbench.simulators import Frames, Simulator
from quantbench.streams import Streams
from quantbench.training import found
from quantbench.training.bounds import Known, Row, bounded, known_as
from quantbench.training.phases import PHASES, Told, silent
from quantbench.training.stack import Stack

FRAMES_PER_CODE = 512
FEWEST_FRAMES, MOST_FRAMES = 2**15, 2**17
SYMBOL_RESTARTS = 10
MOST_WORK = 2**23
"""Largest product of symbols and codes for k-means on a finite source; a few seconds."""

MOST_SECONDS = 20
"""Longest k-means on one core that a trial waits for, as estimated from sizes: machines agree on which references there are."""


class Reference(NamedTuple):
    """A mean square error that a known quantizer reaches, and which one; or why there is none."""

    mse: float | None
    note: str


SWITCHED_OFF = Reference(None, "switched off (references=false)")


class Source:
    """The source of one trial: whose world it is, and the frames that judge.

    Args:
        simulator: as it is in a stack.
        trial: which one of the world's.
        frames: gives the evaluation frames; asked only where they are needed.
    """

    def __init__(self, simulator: Simulator, seed: int, world: State, trial: int, frames: Callable[[], Frames]) -> None:
        self.simulator, self.seed, self.world, self.trial, self._frames = simulator, seed, world, trial, frames

    @classmethod
    def of(cls, simulator: Simulator, seed: int) -> Source:
        """As the CPU draws it, whatever the trial was trained on."""
        alone: Simulator = joined([simulator], torch.device("cpu"))
        streams = Streams([seed])
        world = alone.world(streams)
        return cls(alone, seed, world, 0, lambda: alone.evaluation(world, streams))

    @cached_property
    def limit(self) -> Limit | Unknown:
        return self.simulator.limit(self.world, self.trial)

    @property
    def density(self) -> Density | None:
        return self.limit.density if isinstance(self.limit, Limit) else None

    @cached_property
    def target(self) -> kmeans.Frames:
        """What a decoder should give for each frame, (frames, features)."""
        found: kmeans.Frames = self._frames().target[self.trial].cpu().numpy()
        return found


def yardsticks(
    stack: Stack, world: State, held_out: Frames, measured: list[Row], references: bool = True, told: Told = silent
) -> list[Row]:
    """What ``limits_of`` and ``reference_of`` say of every trial.

    Args:
        held_out: the evaluation frames, on which a reference is measured too.
        measured: metrics of each trial.
        references: whether there are any, and bounds, which take as long.
        told: of each trial when it is done; all of them are half of what comes after the last step.
    """
    rows = []
    for trial, metrics in enumerate(measured):
        told(PHASES.references, 0)
        source = Source(stack.simulator, stack.seeds[trial], world, trial, lambda: held_out)
        rows.append(limits_of(source, metrics, references) | reference_of(source, metrics, references))
        told(PHASES.references, 0.5 / len(measured))
    return rows


def limits_of(source: Source, metrics: Row, references: bool = True) -> Row:
    """``limit_mse``, ``limit_process_mse``, ``gap_db`` and ``excess_bits``, or ``lower_mse`` and ``upper_mse`` where no limit
    is known; and ``limit_note``."""
    limit = source.limit
    if isinstance(limit, Unknown):
        return bounded(source.simulator, source.seed, limit.reason, metrics.get("spent_bits"), references)
    with found.solved(limit):
        return _limit(limit, metrics)


def reference_of(source: Source, metrics: Row, references: bool = True) -> Row:
    """``reference_mse`` and ``reference_note``."""
    reference = _reference(source, metrics) if references else SWITCHED_OFF
    return {"reference_mse": reference.mse, "reference_note": reference.note}


def _limit(limit: Limit, metrics: Row) -> Row:
    """What the limit says at the bits spent, and of the distortion reached.

    ``excess_bits`` is the nominal rate, without one what the coder spent, less R(D) at the distortion reached: 0 for a perfect
    codec of just the source's bits, and all its bits for one that says nothing.
    """
    spent, mse = metrics.get("spent_bits"), metrics.get("mse")
    if not isinstance(spent, float):
        return {"limit_note": "no rate was spent: nothing is quantized, or the codes are not known"}
    least = limit.mse(spent)
    row: Row = {"limit_mse": least, "limit_note": limit.name}
    if limit.process is not None:
        row["limit_process_mse"] = limit.process(spent)
    if isinstance(mse, float) and math.isfinite(mse):
        rate = metrics.get("rate_bits")
        row["excess_bits"] = (rate if isinstance(rate, float) else spent) - limit.bits(mse)
    if not least:
        return row | {"limit_note": f"{limit.name}; 0 is possible with the bits spent, so there is no gap in dB"}
    if isinstance(mse, float) and 0 < mse < math.inf:
        row["gap_db"] = 10 * math.log10(mse / least)
    return row


def _reference(source: Source, metrics: Row) -> Reference:
    """The best known quantizer of frames at the trial's nominal rate."""
    simulator, bits = source.simulator, metrics.get("rate_bits")
    if not isinstance(bits, float):
        return _entropy_coded(source.density, metrics.get("spent_bits"), simulator.target_dim)
    if simulator.waveform_rate is not None:
        return Reference(None, "no reference is known for waveforms")
    if simulator.side_dim:
        return Reference(None, "no reference uses side information")
    codes = round(2**bits) if bits < 64 else 0
    if simulator.exact and codes >= len(source.target):
        return Reference(0.0, "one code a symbol")
    if source.density is not None and simulator.target_dim == 1 and 1 <= codes <= scalar_quantizers.MOST_LEVELS:
        return Reference(_lloyd_max(source.density, codes), f"Lloyd-Max, {codes} levels")
    if simulator.exact and len(source.target) * codes > MOST_WORK:
        return Reference(None, "k-means would take too long for so many symbols and codes")
    if 1 <= codes <= kmeans.MOST_CODES:
        return _kmeans(source, codes)
    levels = 2 ** (bits / simulator.target_dim)
    if source.density is not None and levels >= 2 and abs(levels - round(levels)) < 1e-6:
        return Reference(_lloyd_max(source.density, round(levels)), f"Lloyd-Max, {round(levels)} levels a feature")
    most = kmeans.MOST_CODES if simulator.exact else MOST_FRAMES // kmeans.FEWEST_A_CODE
    if 1 <= codes <= most:
        return _kmeans(source, codes)
    return Reference(None, f"k-means is run up to {most} codes")


def _lloyd_max(density: Density, levels: int) -> float:
    return found.number(f"lloyd_max {levels}", density, lambda: scalar_quantizers.lloyd_max(density, levels).mse)


def _entropy_coded(density: Density | None, spent: object, dim: int) -> Reference:
    lowest, highest = scalar_quantizers.LEAST_BITS, scalar_quantizers.MOST_BITS
    if density is None or not isinstance(spent, float) or not lowest <= spent / dim <= highest:
        return Reference(None, "no reference is known for this rate")
    # To a hundredth of a bit, so that what was found serves other trials too.
    bits = min(max(math.floor(100 * spent / dim) / 100, lowest), highest)
    mse = found.number(f"entropy_coded {bits!r}", density, lambda: scalar_quantizers.entropy_coded(density, bits).mse)
    return Reference(mse * 2.0 ** (2 * (bits - spent / dim)), "entropy-coded scalar quantizer")


_references: dict[tuple[Known, int, int], Reference] = {}
"""Found so far in this process, by source, seed and number of codes."""
_codebooks: dict[tuple[Known, int, int], kmeans.Frames | None] = {}
"""Likewise; a source without random parts of its own has one for all seeds."""


def _kmeans(source: Source, codes: int) -> Reference:
    """K-means on every symbol of a finite source, otherwise on frames drawn for it; by mini-batch where that takes long."""
    simulator, seed = source.simulator, source.seed
    name = known_as(simulator)
    if (name, seed, codes) not in _references:
        target = source.target
        restarts = max(1, min(SYMBOL_RESTARTS, MOST_WORK // (len(target) * codes))) if simulator.exact else kmeans.RESTARTS
        count = len(target) if simulator.exact else _reference_frames(codes)
        passes = _passes(count, target.shape[1], codes, restarts, simulator.exact)
        if passes is None:
            return Reference(None, f"k-means of {codes} codes is left out: it takes more than {MOST_SECONDS} s on one core")
        if simulator.exact:
            codebook: kmeans.Frames | None = _full(target, codes, seed, restarts)
        else:
            codebook = _codebook(name, simulator, 0 if simulator.shared_world else seed, codes, passes)
        note = f"k-means, {codes} codes"
        if passes:
            note += f", by mini-batch: {passes} passes over {count / codes:.0f} frames a code"
        _references[name, seed, codes] = (
            Reference(None, "no reference: the target is not the input")
            if codebook is None
            else Reference(kmeans.distortion(target, codebook), note)
        )
    return _references[name, seed, codes]


def _full(frames: kmeans.Frames, codes: int, seed: int, restarts: int) -> kmeans.Frames:
    return found.codebook("kmeans", frames, codes, seed, restarts, lambda: kmeans.kmeans(frames, codes, seed, restarts))


def _minibatch(frames: kmeans.Frames, codes: int, seed: int, passes: int) -> kmeans.Frames:
    return found.codebook("minibatch", frames, codes, seed, passes, lambda: kmeans.minibatch(frames, codes, seed, passes))


def _reference_frames(codes: int) -> int:
    return min(max(FRAMES_PER_CODE * codes, FEWEST_FRAMES), MOST_FRAMES)


def _passes(frames: int, dim: int, codes: int, restarts: int, exact: bool) -> int | None:
    """0 where full k-means is quick enough; else how many passes of mini-batches are, None where not even one is.

    A finite source has no other frames than those that judge, so few passes over them would be no known quantizer.
    """
    if codes <= kmeans.MOST_CODES and kmeans.seconds(frames, dim, codes, restarts) <= MOST_SECONDS:
        return 0
    if exact:
        return None
    return min(kmeans.PASSES, int(MOST_SECONDS / kmeans.minibatch_seconds(frames, dim, codes))) or None


def _codebook(source: Known, simulator: Simulator, seed: int, codes: int, passes: int) -> kmeans.Frames | None:
    """The codebook for frames of a source, by so many passes of mini-batches or, for 0, by k-means; None where the target is
    not the input."""
    if (source, seed, codes) not in _codebooks:
        streams = Streams([seed])
        frames = simulator.draw(simulator.world(streams), streams, _reference_frames(codes), "reference")
        target, made = frames.target[0].numpy(), None
        if frames.target is frames.input:
            made = _minibatch(target, codes, seed, passes) if passes else _full(target, codes, seed, kmeans.RESTARTS)
        _codebooks[source, seed, codes] = made
    return _codebooks[source, seed, codes]

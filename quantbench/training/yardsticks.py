"""What a trial's distortion is measured against: the limit at the rate it spent, and a trained reference."""

from __future__ import annotations

import math
from typing import NamedTuple

from quantbench.components import State
from quantbench.limits import Limit, Unknown, kmeans, scalar_quantizers
from quantbench.limits.densities import Density
from quantbench.simulators import Frames, Simulator
from quantbench.streams import Streams
from quantbench.training.bounds import Row, bounded
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


def yardsticks(
    stack: Stack, world: State, held_out: Frames, measured: list[Row], references: bool = True, told: Told = silent
) -> list[Row]:
    """``limit_mse``, ``limit_process_mse``, ``gap_db`` and ``excess_bits``, or ``lower_mse`` and ``upper_mse`` where no limit
    is known; ``reference_mse``; and the notes of every trial.

    Args:
        held_out: the evaluation frames, on which a reference is measured too.
        measured: metrics of each trial.
        references: whether there are any, and bounds, which take as long.
        told: of each trial when it is done; all of them are half of what comes after the last step.
    """
    rows = []
    for trial, metrics in enumerate(measured):
        told(PHASES.references, 0)
        reference = _reference(stack, world, held_out, trial, metrics) if references else SWITCHED_OFF
        limit = stack.simulator.limit(world, trial)
        row = (
            bounded(stack.simulator, stack.seeds[trial], limit.reason, metrics.get("spent_bits"), references)
            if isinstance(limit, Unknown)
            else _limit(limit, metrics)
        )
        rows.append(row | {"reference_mse": reference.mse, "reference_note": reference.note})
        told(PHASES.references, 0.5 / len(measured))
    return rows


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


def _reference(stack: Stack, world: State, held_out: Frames, trial: int, metrics: Row) -> Reference:
    """The best known quantizer of frames at the trial's nominal rate."""
    simulator, bits = stack.simulator, metrics.get("rate_bits")
    limit = simulator.limit(world, trial)
    density = limit.density if isinstance(limit, Limit) else None
    if not isinstance(bits, float):
        return _entropy_coded(density, metrics.get("spent_bits"), simulator.target_dim)
    if simulator.waveform_rate is not None:
        return Reference(None, "no reference is known for waveforms")
    if simulator.side_dim:
        return Reference(None, "no reference uses side information")
    codes = round(2**bits) if bits < 64 else 0
    if simulator.exact and codes >= held_out.target.shape[1]:
        return Reference(0.0, "one code a symbol")
    if density is not None and simulator.target_dim == 1 and 1 <= codes <= scalar_quantizers.MOST_LEVELS:
        return Reference(scalar_quantizers.lloyd_max(density, codes).mse, f"Lloyd-Max, {codes} levels")
    if simulator.exact and held_out.target.shape[1] * codes > MOST_WORK:
        return Reference(None, "k-means would take too long for so many symbols and codes")
    if 1 <= codes <= kmeans.MOST_CODES:
        return _kmeans(stack, world, held_out, trial, codes)
    levels = 2 ** (bits / simulator.target_dim)
    if density is not None and levels >= 2 and abs(levels - round(levels)) < 1e-6:
        mse = scalar_quantizers.lloyd_max(density, round(levels)).mse
        return Reference(mse, f"Lloyd-Max, {round(levels)} levels a feature")
    most = kmeans.MOST_CODES if simulator.exact else MOST_FRAMES // kmeans.FEWEST_A_CODE
    if 1 <= codes <= most:
        return _kmeans(stack, world, held_out, trial, codes)
    return Reference(None, f"k-means is run up to {most} codes")


def _entropy_coded(density: Density | None, spent: object, dim: int) -> Reference:
    lowest, highest = scalar_quantizers.LEAST_BITS, scalar_quantizers.MOST_BITS
    if density is None or not isinstance(spent, float) or not lowest <= spent / dim <= highest:
        return Reference(None, "no reference is known for this rate")
    # To a hundredth of a bit, so that what was found serves other trials too.
    bits = min(max(math.floor(100 * spent / dim) / 100, lowest), highest)
    mse = scalar_quantizers.entropy_coded(density, bits).mse
    return Reference(mse * 2.0 ** (2 * (bits - spent / dim)), "entropy-coded scalar quantizer")


_references: dict[tuple[str, int, int], Reference] = {}
"""Found so far in this process, by source, seed and number of codes."""
_codebooks: dict[tuple[str, int, int], kmeans.Frames | None] = {}
"""Likewise; a source without random parts of its own has one for all seeds."""


def _kmeans(stack: Stack, world: State, held_out: Frames, trial: int, codes: int) -> Reference:
    """K-means on every symbol of a finite source, otherwise on frames drawn for it; by mini-batch where that takes long."""
    simulator, seed = stack.simulator, stack.seeds[trial]
    source = f"{type(simulator).__qualname__} {vars(simulator)}"
    if (source, seed, codes) not in _references:
        target = held_out.target[trial].cpu().numpy()
        restarts = max(1, min(SYMBOL_RESTARTS, MOST_WORK // (len(target) * codes))) if simulator.exact else kmeans.RESTARTS
        count = len(target) if simulator.exact else _reference_frames(codes)
        passes = _passes(count, target.shape[1], codes, restarts, simulator.exact)
        if passes is None:
            return Reference(None, f"k-means of {codes} codes is left out: it takes more than {MOST_SECONDS} s on one core")
        if simulator.exact:
            codebook: kmeans.Frames | None = kmeans.kmeans(target, codes, seed, restarts)
        else:
            codebook = _codebook(source, simulator, 0 if simulator.shared_world else seed, codes, passes)
        note = f"k-means, {codes} codes"
        if passes:
            note += f", by mini-batch: {passes} passes over {count / codes:.0f} frames a code"
        _references[source, seed, codes] = (
            Reference(None, "no reference: the target is not the input")
            if codebook is None
            else Reference(kmeans.distortion(target, codebook), note)
        )
    return _references[source, seed, codes]


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


def _codebook(source: str, simulator: Simulator, seed: int, codes: int, passes: int) -> kmeans.Frames | None:
    """The codebook for frames of a source, by so many passes of mini-batches or, for 0, by k-means; None where the target is
    not the input."""
    if (source, seed, codes) not in _codebooks:
        streams = Streams([seed])
        frames = simulator.draw(simulator.world(streams), streams, _reference_frames(codes), "reference")
        target = frames.target[0].numpy()
        found = None
        if frames.target is frames.input:
            found = kmeans.minibatch(target, codes, seed, passes) if passes else kmeans.kmeans(target, codes, seed)
        _codebooks[source, seed, codes] = found
    return _codebooks[source, seed, codes]

"""Measures a finished training: every trial over the whole evaluation set, against the limits."""

from __future__ import annotations

import math

from quantbench.precision import computing
from quantbench.training.bounds import Row
from quantbench.training.evaluate import evaluate
from quantbench.training.keep import NOTHING, Keep
from quantbench.training.phases import PHASES, Told, silent
from quantbench.training.stack import Outcome, Stack
from quantbench.training.trainer import Training
from quantbench.training.yardsticks import yardsticks


@computing("float32")
def measure(training: Training, keep: Keep = NOTHING, told: Told = silent) -> list[Outcome]:
    """What became of every trial. One whose distortion exploded in the last step has diverged, too."""
    told(PHASES.measuring, 0)
    stack, steps = training.stack, float(training.stack.train.steps)
    measured = evaluate(training.model, training.held_out, training.streams, thorough=True)
    measured["encoder_std_start"] = training.encoder_std_start
    measured["encoder_growth"] = measured["encoder_std"] / training.encoder_std_start
    measured["gradient_norm"] = training.norm
    told(PHASES.measuring, 0.5 if keep.yardsticks else 1.0)
    columns = {name: values.tolist() for name, values in measured.items()}
    shared = _bits(stack) | {"step_seconds": training.stepping / stack.train.steps / len(stack.seeds)}
    rows: list[Row] = [{name: values[trial] for name, values in columns.items()} | shared for trial in range(len(stack.seeds))]
    if keep.yardsticks:
        found = yardsticks(stack, training.world, training.held_out, rows, keep.references, told)
        rows = [row | more for row, more in zip(rows, found, strict=True)]
    outcomes = []
    for trial, trained in enumerate(training.outcomes):
        metrics, diverged, mse = rows[trial] | trained.metrics, trained.diverged, columns["mse"][trial]
        if diverged is None and not mse <= stack.train.explode * float(training.power[trial]):  # not for NaN either
            diverged = training.divergence.exploded(trial, mse, "after the last step")
            metrics["diverged_step"] = steps
        metrics["steps"] = metrics.setdefault("diverged_step", None) or steps
        outcomes.append(Outcome(known(metrics), trained.curves, diverged))
    return outcomes


def _bits(stack: Stack) -> Row:
    """Bits of the source and of the codes, of which no measurement is needed."""
    rate, waveform_rate = stack.quantizer.nominal_bits(stack.codec.latent_dim), stack.simulator.waveform_rate
    bits: Row = {"source_bits": stack.simulator.source_bits, "rate_bits": rate}
    if waveform_rate is not None and rate is not None:
        latents = stack.codec.latents_per_frame(stack.simulator.input_dim)
        bits["rate_kbps"] = rate * latents * waveform_rate / stack.simulator.input_dim / 1000
    return bits


def known(row: Row) -> Row:
    """A row in which what is not finite is not known."""
    return {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()}

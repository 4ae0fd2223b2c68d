"""Trials of equal shape, built and ready to be trained together."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from quantbench.codecs import Codec
from quantbench.gradients import Gradient
from quantbench.losses import MSE, Loss
from quantbench.quantizers import Quantizer
from quantbench.simulators import Simulator
from quantbench.training.settings import TrainSettings


@dataclass(frozen=True)
class Stack:
    """The components of a stack; their per-trial settings are tensors (trials,).

    Attributes:
        seeds: one a trial.
        names: of the trials, for files about them.
    """

    simulator: Simulator
    codec: Codec
    quantizer: Quantizer
    gradient: Gradient
    train: TrainSettings
    seeds: tuple[int, ...]
    device: torch.device
    loss: Loss = field(default_factory=MSE)
    names: tuple[str, ...] = ()


@dataclass
class Outcome:
    """What the training of one trial gave.

    Attributes:
        metrics: by column name; None where a metric does not apply.
        curves: ``(step, metric, value)``.
        diverged: why the trial was frozen, or None.
    """

    metrics: dict[str, float | str | None]
    curves: list[tuple[int, str, float]] = field(default_factory=list)
    diverged: str | None = None

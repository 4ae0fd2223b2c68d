"""How a codec is trained."""

from __future__ import annotations

from quantbench.components import Component, PerTrial, above, at_least, between, component

CHUNK = 1024
"""Evaluation frames measured at a time; fixed, so that a result does not depend on memory or on the stack."""


@component
class TrainSettings(Component):
    """Settings of a training.

    Attributes:
        steps: optimizer steps.
        batch: frames per step.
        warm_start: optimizer steps without any quantization, on frames of their own, before the quantizer is fitted to the
            encoder's output, which is brought to unit variance; the optimizer then starts afresh.
        lr: learning rate of Adam.
        lr_end: what it falls to by the end, along half a cosine, as a share of ``lr``; 1 for a constant rate.
        clip: largest gradient norm of a trial; 0 for no clipping.
        log_every: steps between points of the curves.
        explode: distortion, in multiples of the target's power, from which a trial counts as diverged.
    """

    sizes = ("batch",)

    steps: int = 4000
    batch: int = 256
    warm_start: int = 0
    lr: PerTrial = 1e-3
    lr_end: PerTrial = 1.0
    clip: PerTrial = 0.0
    log_every: int = 200
    explode: float = 1e3

    def check(self) -> None:
        for name in ("steps", "batch", "log_every"):
            at_least(f"train.{name}", getattr(self, name), 1)
        at_least("train.warm_start", self.warm_start, 0)
        for name in ("lr", "explode"):
            above(f"train.{name}", getattr(self, name), 0)
        between("train.lr_end", self.lr_end, 0, 1)
        at_least("train.clip", self.clip, 0)

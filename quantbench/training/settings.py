"""How a codec is trained."""

from __future__ import annotations

from typing import Literal

import torch

from quantbench.components import Component, PerTrial, above, at_least, between, component
from quantbench.errors import ConfigError
from quantbench.precision import TF32

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
        precision: of encoder and decoder, in training and in evaluation. ``bfloat16`` and ``float16``: weights, activations and
            their gradients are rounded, sums within an operation are float32; the optimizer keeps float32 weights, and
            float16 a loss scale a trial, as PyTorch's autocast and GradScaler do. Computed in float32, so no faster.
            ``tf32``: products of a GPU.
        quantizer_precision: of quantizer and strategy: ``float32``, or the ``same`` as the codec's, the buffers of moving
            averages among it.
        graph: ``auto``: on a GPU, a step is run as one CUDA graph wherever it can be one; ``off``: never.
        fused: ``auto``: on a GPU, one kernel takes the steps of a stack, where Triton is installed (extra ``gpu``) and the
            kernel covers the stack (``docs/performance.md``). ``off``: PyTorch's operations. Numbers agree up to rounding. Off
            as long as nobody has measured it on a GPU.
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
    precision: Literal["float32", "tf32", "bfloat16", "float16"] = "float32"
    quantizer_precision: Literal["float32", "same"] = "float32"
    graph: Literal["auto", "off"] = "auto"
    fused: Literal["off", "auto"] = "off"

    def check(self) -> None:
        for name in ("steps", "batch", "log_every"):
            at_least(f"train.{name}", getattr(self, name), 1)
        at_least("train.warm_start", self.warm_start, 0)
        for name in ("lr", "explode"):
            above(f"train.{name}", getattr(self, name), 0)
        between("train.lr_end", self.lr_end, 0, 1)
        at_least("train.clip", self.clip, 0)

    def check_device(self, device: torch.device) -> None:
        """Raise ConfigError where a device has no such precision."""
        if self.precision == TF32 and device.type != "cuda":
            raise ConfigError(
                f"train.precision={TF32}: needs a GPU, and the device is {device.type}; there it can be float32, bfloat16 or "
                f"float16"
            )

    @property
    def bottleneck(self) -> str:
        """The precision of quantizer and strategy."""
        return self.precision if self.quantizer_precision == "same" else "float32"

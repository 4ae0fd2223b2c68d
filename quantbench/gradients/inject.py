"""A gradient that was estimated rather than differentiated."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Inject(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, received: Tensor, latents: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return received.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        return gradients[0], ctx.saved_tensors[0], None


def inject(received: Tensor, latents: Tensor, gradient: Tensor) -> Tensor:
    """``received``, whose backward pass gives ``gradient`` to ``latents`` whatever gradient comes from the decoder.

    Args:
        received: what the decoder receives, (trials, frames, dim); its own graph gets the decoder's gradient.
        latents: encoder output.
        gradient: of each trial's distortion (the mean over its frames) with respect to ``latents``.
    """
    injected: Tensor = _Inject.apply(received, latents, gradient)  # type: ignore[no-untyped-call]
    return injected

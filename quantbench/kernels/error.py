"""Mean square differences."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from quantbench.kernels.library import call, rows


def mean_square(a: Tensor, b: Tensor) -> Tensor:
    """The mean of ``(a - b)**2`` of each trial, (trials,), for a and b (trials, frames, features)."""
    found: Tensor = _MeanSquare.apply(a, b)  # type: ignore[no-untyped-call]
    return found


class _MeanSquare(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        a, b = rows(a), rows(b)
        means = a.new_empty(len(a))
        call("mean_square", len(a), a[0].numel(), a, a.stride(0), b, b.stride(0), means)
        ctx.save_for_backward(a, b)
        return means

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        to_a = a.new_empty(a.shape)
        call("mean_square_backward", len(a), a[0].numel(), a, a.stride(0), b, b.stride(0), gradient.contiguous(), to_a)
        return to_a if ctx.needs_input_grad[0] else None, -to_a if ctx.needs_input_grad[1] else None

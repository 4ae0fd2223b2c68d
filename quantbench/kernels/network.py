"""Three affine layers with PReLU and a skip connection, as the toy codec has them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from quantbench.kernels.library import call, rows

FILLED = 16
"""Rows of what is kept for the backward pass are filled up to a multiple of this, the widest vector."""


class _Weights(ctypes.Structure):
    """Pointers to the first trial's weights, and the numbers from a trial to the next."""

    _fields_ = (("first", ctypes.c_void_p * 8), ("stride", ctypes.c_long * 8))

    def __init__(self, weights: Sequence[Tensor]) -> None:
        pointers = (ctypes.c_void_p * 8)(*(weight.data_ptr() for weight in weights))
        super().__init__(pointers, (ctypes.c_long * 8)(*(weight.stride(0) for weight in weights)))


def network(x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """``h1 = prelu(x W0 + b0)``, ``h2 = h1 + prelu(h1 W1 + b1)``, ``y = h2 W2 + b2``.

    Args:
        x: (trials, frames, inputs).
        weights: W0, b0, slope0, W1, b1, slope1, W2, b2, trial axis first.
    """
    kept = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *weights))
    found: Tensor = _Network.apply(x, kept, *weights)  # type: ignore[no-untyped-call]
    return found


class _Network(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: bool, *weights: Tensor) -> Tensor:
        weights = tuple(rows(weight) for weight in weights)
        x = rows(x)
        trials, frames, inputs = x.shape
        hidden, outputs = weights[6].shape[1:]
        columns = [
            (inputs, hidden),
            (1, hidden),
            (1, 1),
            (hidden, hidden),
            (1, hidden),
            (1, 1),
            (hidden, outputs),
            (1, outputs),
        ]
        if [tuple(weight.shape) for weight in weights] != [(trials, *one) for one in columns]:
            raise ValueError(f"weights {[tuple(weight.shape) for weight in weights]} do not fit frames {tuple(x.shape)}")
        y = x.new_empty(trials, frames, outputs)
        wide = -(-hidden // FILLED) * FILLED
        z1 = x.new_empty(trials, frames, wide) if kept else None
        shape = (trials, frames, inputs, hidden, outputs)
        call("network_forward", *shape, x, x.stride(0), _Weights(weights), z1, y)
        if kept:
            ctx.save_for_backward(x, z1, *weights)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, z1, *weights = ctx.saved_tensors
        trials, frames, inputs = x.shape
        hidden, outputs = weights[6].shape[1:]
        gradients = [x.new_empty(weight.shape) for weight in weights]
        to_x = x.new_empty(x.shape) if ctx.needs_input_grad[0] else None
        places = (ctypes.c_void_p * 8)(*(one.data_ptr() for one in gradients))
        shape = (trials, frames, inputs, hidden, outputs)
        call("network_backward", *shape, x, x.stride(0), _Weights(weights), z1, gradient.contiguous(), to_x, places)
        return to_x, None, *gradients

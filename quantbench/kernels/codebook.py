"""Search among codewords, soft mixtures of them, and their gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from quantbench.kernels.library import call, rows


def nearest(codebook: Tensor, latents: Tensor) -> Tensor:
    """Index (trials, frames) of the nearest codeword (trials, codes, dim) of each latent (trials, frames, dim)."""
    codebook, latents = rows(codebook.expand(len(latents), -1, -1)), rows(latents)
    index = torch.empty(latents.shape[:2], dtype=torch.long)
    call("nearest", *_places(codebook, latents), index)
    return index


def soft_code(codebook: Tensor, latents: Tensor, temperature: Tensor) -> Tensor:
    """Codewords mixed with weights ``softmax(-|y - c|**2 / temperature)``; a temperature a trial, (trials,)."""
    found: Tensor = _SoftCode.apply(codebook, latents, temperature)  # type: ignore[no-untyped-call]
    return found


class _SoftCode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, codebook: Tensor, latents: Tensor, temperature: Tensor) -> Tensor:
        codebook, latents, temperature = rows(codebook), rows(latents), temperature.contiguous()
        mixed = latents.new_empty(latents.shape)
        call("soft_code", *_places(codebook, latents), temperature, mixed)
        ctx.save_for_backward(codebook, latents, temperature)
        return mixed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        codebook, latents, temperature = ctx.saved_tensors
        to_codebook, to_latents = codebook.new_empty(codebook.shape), latents.new_empty(latents.shape)
        places = _places(codebook, latents)
        call("soft_code_backward", *places, temperature, gradient.contiguous(), to_codebook, to_latents)
        return to_codebook, to_latents, None


def _places(codebook: Tensor, latents: Tensor) -> tuple[int | Tensor, ...]:
    trials, frames, dim = latents.shape
    if codebook.shape[0] != trials or codebook.shape[2] != dim:
        raise ValueError(f"codewords {tuple(codebook.shape)} do not fit latents {tuple(latents.shape)}")
    return trials, frames, codebook.shape[1], dim, codebook, codebook.stride(0), latents, latents.stride(0)


def take(vectors: Tensor, index: Tensor) -> Tensor:
    """Each trial's vectors (trials, number, dim) at index (trials, frames): (trials, frames, dim)."""
    found: Tensor = _Take.apply(vectors, index)  # type: ignore[no-untyped-call]
    return found


class _Take(torch.autograd.Function):
    """Its backward pass sums rows trial by trial, where torch's own adds them one call after the other."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.number = vectors.shape[1]
        vectors, index = rows(vectors), index.long().contiguous()
        trials, number, dim = vectors.shape
        if index.dim() != 2 or len(index) != trials:
            raise ValueError(f"indices {tuple(index.shape)} do not fit vectors {tuple(vectors.shape)}")
        taken = vectors.new_empty(*index.shape, dim)
        if not call("take", *index.shape, number, dim, index, vectors, vectors.stride(0), taken):
            raise IndexError(f"an index is not in 0 .. {number - 1}")
        return taken

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        return sum_by_index(index, gradient, ctx.number), None


def sum_by_index(index: Tensor, vectors: Tensor, number: int) -> Tensor:
    """Sums (trials, number, dim) of the vectors (trials, frames, dim) that share an index (trials, frames)."""
    trials, frames, dim = vectors.shape
    index = index.long()
    if index.shape != (trials, frames):
        raise ValueError(f"indices {tuple(index.shape)} do not fit vectors {tuple(vectors.shape)}")
    sums = vectors.new_empty(trials, number, dim)
    if not call("sum_by_index", trials, frames, number, dim, index.contiguous(), vectors.contiguous(), sums):
        raise IndexError(f"an index is not in 0 .. {number - 1}")
    return sums

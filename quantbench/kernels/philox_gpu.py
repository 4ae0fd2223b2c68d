"""Random numbers of counters on a GPU: the kernel in ``philox_triton.py``, launched once a draw."""

from __future__ import annotations

import importlib.util
import os

import torch
from torch import Tensor

from quantbench.kernels.library import SWITCH

KINDS = ("uniform", "normal", "integers")
"""What can be drawn, in the kernel's numbering."""
OF_GROUP = {"uniform": 64, "normal": 64, "integers": 32}
SIDE = 16


def philox_lacks() -> str | None:
    """Why there is no such kernel, or None."""
    if os.environ.get(SWITCH) == "off":
        return f"{SWITCH}=off"
    return None if importlib.util.find_spec("triton") else "Triton is not installed (extra gpu)"


def philox_on_gpu(kind: str, keys: Tensor, position: int | Tensor, numbers: int, high: int = 1) -> Tensor:
    """Numbers (seeds, numbers) of a kind, for 64-bit keys (seeds,), from the group ``position`` on.

    Where the position is a tensor, a captured graph reads it anew.
    """
    from quantbench.kernels import philox_triton as kernel  # Triton is an extra

    found = keys.new_empty(len(keys), numbers, dtype=torch.int64 if kind == "integers" else torch.float32)
    if not found.numel():
        return found
    place = position if isinstance(position, Tensor) else torch.tensor(position, device=keys.device)
    blocks = -(-numbers // OF_GROUP[kind]) * SIDE
    programs = -(-blocks // kernel.TOGETHER)
    with torch.cuda.device_of(keys):  # type: ignore[no-untyped-call]
        kernel.draw[(len(keys) * programs,)](
            *(keys, place, found, numbers, programs, high),
            KIND=KINDS.index(kind),
            TOGETHER=kernel.TOGETHER,
            num_warps=4,
            enable_fp_fusion=False,  # which would round otherwise than single additions and products
        )
    return found

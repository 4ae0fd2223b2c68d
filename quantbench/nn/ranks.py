"""What the ranks of a distributed training have in common."""

from __future__ import annotations

import torch
from torch import Tensor, distributed

from quantbench.quantizers import Code
from quantbench.quantizers.base import Trace


def several() -> bool:
    """Whether there are other ranks."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def common_seed(device: torch.device) -> int:
    """A number from PyTorch's generator; rank 0's, where there are several."""
    seed = torch.randint(2**62, (), device=device if several() else "cpu")
    if several():
        distributed.broadcast(seed, 0)
    return int(seed)


def gathered(frames: Tensor) -> Tensor:
    """The frames (1, frames, ...) of all ranks in their order; each may have another number of them."""
    if not several():
        return frames
    world = distributed.get_world_size()
    own = torch.tensor([frames.shape[1]], device=frames.device)
    counts = [torch.zeros_like(own) for _ in range(world)]
    distributed.all_gather(counts, own)
    sizes = [int(count) for count in counts]
    filled = frames.new_zeros(1, max(sizes), *frames.shape[2:])
    filled[:, : frames.shape[1]] = frames
    parts = [torch.empty_like(filled) for _ in range(world)]
    distributed.all_gather(parts, filled)
    return torch.cat([part[:, :size] for part, size in zip(parts, sizes, strict=True)], dim=1)


def gathered_trace(trace: Trace) -> Trace:
    """Latents and codes of all ranks: what one process would have of the whole batch, so that all change alike."""
    if not several():
        return [(latents.detach(), code) for latents, code in trace]
    found = []
    for latents, code in trace:
        indices = None if code.indices is None else gathered(code.indices)
        found.append((gathered(latents.detach()), Code(gathered(code.values.detach()), indices)))
    return found

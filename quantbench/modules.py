"""Torch modules as part of a stack: their tensors are kept with a trial axis, and one trial's are lent to the module.

What cannot be stacked (a third-party module, a large codec) is trained so, trial by trial, through the same interfaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from quantbench.components import State


def tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name."""
    return dict(module.named_parameters()) | dict(module.named_buffers())


def stacked(build: Callable[[], nn.Module], seeds: Sequence[int], device: torch.device, buffers: bool = True) -> State:
    """The tensors of one module a seed, trial axis first; what a module trains is an ``nn.Parameter``.

    Args:
        build: makes the module; whatever it draws from torch's global generator comes from the seed.
        buffers: False where these are constants, which all trials share.
    """
    trials = []
    for seed in seeds:
        with seeded(seed):
            module = build()
            trials.append(tensors(module) if buffers else dict(module.named_parameters()))
    state: State = {}
    for name, first in trials[0].items():
        together = torch.stack([trial[name].detach().clone() for trial in trials]).to(device)
        state[name] = nn.Parameter(together) if first.requires_grad else together
    return state


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's global generator, seeded, and put back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def holding(module: nn.Module, state: State, trial: int) -> Iterator[None]:
    """The module with the tensors of one trial; buffers that it exchanges for new ones are written back."""
    own = {name: tensor[trial] for name, tensor in state.items()}
    known, places = tensors(module).keys(), {}
    for name, tensor in own.items():
        path, _, leaf = name.rpartition(".")
        submodule = module.get_submodule(path)
        holder: dict[str, Any] = submodule._parameters if leaf in submodule._parameters else submodule._buffers
        places[name] = (holder, leaf, holder[leaf])
        holder[leaf] = tensor
    _renew_flat_weights(module)
    try:
        yield
        for name, (holder, leaf, _) in places.items():
            if holder[leaf] is not own[name]:
                own[name].copy_(holder[leaf])
        if tensors(module).keys() - known:
            raise RuntimeError(f"{type(module).__name__} makes buffers while it trains; such modules cannot be trained here")
    finally:
        for holder, leaf, original in places.values():
            holder[leaf] = original
        _renew_flat_weights(module)


def _renew_flat_weights(module: nn.Module) -> None:
    """A recurrent layer computes with a list of its own of its parameters, made when it was built."""
    for layer in module.modules():
        if isinstance(layer, nn.RNNBase):
            layer._flat_weights = [getattr(layer, name) for name in layer._flat_weights_names]

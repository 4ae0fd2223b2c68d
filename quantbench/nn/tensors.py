"""The tensors of a component as parameters and buffers of a module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from quantbench.components import State


class Tensors(nn.Module):
    """Holds a state by the same names: ``0.codewords`` is the tensor ``codewords`` of the module ``0`` within.

    Tensors stay float32, whatever number type the module around is brought to: moving averages, and the search for the nearest
    codeword, need it.
    """

    def __init__(self, state: State) -> None:
        super().__init__()
        self.names = list(state)
        for name, tensor in state.items():
            *parents, last = name.split(".")
            place: nn.Module = self
            for parent in parents:
                if parent not in place._modules:
                    place.add_module(parent, Tensors({}))
                place = place.get_submodule(parent)
            if isinstance(tensor, nn.Parameter):
                place.register_parameter(last, tensor)
            else:
                place.register_buffer(last, tensor)

    def state(self) -> State:
        """The tensors by name; not copied."""
        return {name: self._one(name) for name in self.names}

    def _one(self, name: str) -> Tensor:
        *parents, last = name.split(".")
        place: nn.Module = self
        for parent in parents:
            found = place._modules[parent]
            assert found is not None
            place = found
        tensor = place._parameters[last] if last in place._parameters else place._buffers[last]
        assert tensor is not None
        return tensor

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        def kept(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        return super()._apply(kept, recurse)  # type: ignore[no-untyped-call]


def copied(state: State) -> State:
    """Copies through which gradient reaches what they are of, so that this may change in place before the backward pass."""
    return {name: tensor.clone() for name, tensor in state.items()}

"""What quantizers made of other quantizers have in common."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from quantbench.components import State, total
from quantbench.errors import ConfigError
from quantbench.quantizers.base import CODEBOOK, GRID, KMEANS, SOFT, Quantizer, Trace

OFFERS = frozenset({CODEBOOK, GRID, KMEANS, SOFT})
"""What a strategy may ask of a part, when it acts on every part by itself."""


def check_part(setting: str, one: Quantizer) -> None:
    """Raise ConfigError when a quantizer cannot be a stage or a part of another."""
    if one.alone:
        raise ConfigError(f"{setting}: {type(one).__name__} cannot be a stage or a part of another quantizer: {one.alone}")
    one.check()


def check_part_dim(setting: str, one: Quantizer, dim: int) -> None:
    """Raise ConfigError when a stage or a part cannot quantize its ``dim`` dimensions."""
    try:
        one.check_dim(dim)
    except ConfigError as error:
        raise ConfigError(f"{setting}, of {dim} dimensions: {error}") from error


def one_state(states: Sequence[State]) -> State:
    """One state of several."""
    return {f"{number}.{name}": tensor for number, state in enumerate(states) for name, tensor in state.items()}


def part_of(state: State, number: int) -> State:
    """One of the states that were joined; tensors are shared, so that changes in place reach the whole state."""
    prefix = f"{number}."
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def measured(one: Quantizer, states: Sequence[State], indices: Tensor, exact: bool) -> dict[str, Tensor]:
    """A quantizer's own metrics where it is several parts: of each the mean over the parts.

    Args:
        indices: of all parts in a row, (trials, frames, slots).
        exact: as in ``measure``.
    """
    each = [one.measure(state, part, exact) for state, part in zip(states, indices.chunk(len(states), dim=-1), strict=True)]
    return {name: total([found[name] for found in each]) / len(each) for name in each[0]}


def traces(trace: Trace, count: int) -> list[Trace]:
    """The traces of ``count`` parts of one kind from their trace in a row."""
    size = len(trace) // count
    return [trace[i * size : (i + 1) * size] for i in range(count)]

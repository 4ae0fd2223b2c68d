"""What simulators, codecs, quantizers and gradients have in common: they are dataclasses of settings.

A component holds settings and formulas, never weights: what is learned or drawn lives in plain dictionaries of tensors
that the training hands in. Every tensor has the trial axis first.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache, partial
from typing import Annotated, Any, ClassVar, TypeVar, dataclass_transform, get_type_hints

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.weak import WeakIdKeyDictionary

from quantbench import kernels
from quantbench.errors import ConfigError
from quantbench.metrics import Metric
from quantbench.precision import current, whole


@dataclass(frozen=True)
class OverTrials:
    """Marks a setting that is a number and may differ between the trials of one stack, where it is a tensor of float32.

    Attributes:
        shape: of that tensor; -1 for the trials.
    """

    shape: tuple[int, ...]


# Outside of a stack both are a float: for that, as in a default, type checkers see `Any` beside the tensor.
PerTrial = Annotated[Tensor | Any, OverTrials((-1,))]
"""A number that a trial has one of, as its learning rate or the weight of a loss: (trials,) in a stack."""

Factor = Annotated[Tensor | Any, OverTrials((-1, 1, 1))]
"""A number for all that a trial has of frames, latents or codewords, as a temperature: (trials, 1, 1) in a stack."""


@dataclass(frozen=True)
class Alike:
    """Marks a setting of which some values may differ between the trials of one stack, where it is a tuple of all trials'.

    Attributes:
        values: those that may; trials with any other value must share it.
    """

    values: tuple[str, ...]


State = dict[str, Tensor]
"""Tensors of a component by name, trial axis first. An ``nn.Parameter`` is trained; any other tensor is a buffer."""


@dataclass(frozen=True, eq=False)
class Component(ABC):  # noqa: B024 (what is abstract follows in each group)
    """Base of everything that a configuration can choose. A class is abstract or final."""

    sizes: ClassVar[tuple[str, ...]] = ()
    """Names of its own settings that decide how large it is; of a quantizer, how many bits it spends. A codec's width first."""

    paths: ClassVar[tuple[str, ...]] = ()
    """Names of its own settings that are paths; ``sweep.yaml`` has them absolute."""

    metrics: ClassVar[tuple[Metric, ...]] = ()
    """Metrics that it measures beyond those of the project's table."""

    def check(self) -> None:  # noqa: B027
        """Raise ConfigError when a setting cannot be used; called before anything trains."""


Class = TypeVar("Class", bound=type)


@dataclass_transform(frozen_default=True, eq_default=False)
def component(cls: Class) -> Class:
    """Make a class a component: a frozen dataclass of settings that is compared by identity."""
    return dataclass(frozen=True, eq=False)(cls)  # type: ignore[return-value]


def within(one: Component, name: str) -> Iterator[tuple[str, Component]]:
    """A component and all components within it, by dotted name; ``name`` is its own."""
    yield name, one
    for field in fields(one):
        value = getattr(one, field.name)
        if isinstance(value, Component):
            yield from within(value, f"{name}.{field.name}")


def size_settings(one: Component, prefix: str) -> list[str]:
    """Dotted names of the settings that decide how large a component is, those of components within it among them."""
    return [f"{name}.{size}" for name, part in within(one, prefix) for size in part.sizes]


hints: Callable[[type[Component]], Mapping[str, Any]] = cache(partial(get_type_hints, include_extras=True))
"""The annotations of a class and of those that it derives from, with what ``Annotated`` adds."""


def over_trials(hint: Any) -> OverTrials | None:
    """How a setting with this annotation lies in a stack; None where all trials of one share it."""
    return next((one for one in getattr(hint, "__metadata__", ()) if isinstance(one, OverTrials)), None)


def alike(hint: Any) -> tuple[str, ...]:
    """Which values of a setting with this annotation may differ between the trials of one stack."""
    return next((one.values for one in getattr(hint, "__metadata__", ()) if isinstance(one, Alike)), ())


_largest: MutableMapping[Tensor, float] = WeakIdKeyDictionary()
"""The largest of each tensor of settings, as long as there is that tensor."""

One = TypeVar("One", bound=Component)


def joined(ones: Sequence[One], device: torch.device | str = "cpu") -> One:
    """The component of a stack from that of each trial: ``PerTrial`` and ``Factor`` settings become tensors.

    Only such a component computes with tensors; one as a user or a configuration makes it holds numbers, and says what it
    needs and offers. Raises ConfigError where trials differ in what a stack has only one of.
    """
    cls = type(ones[0])
    if any(type(one) is not cls for one in ones):
        names = dict.fromkeys(type(one).__name__ for one in ones)
        raise ConfigError(f"{', '.join(names)}: trials of one stack must have the same classes")
    values: dict[str, Any] = {}
    for field in fields(cls):
        each = [getattr(one, field.name) for one in ones]
        if isinstance(each[0], Component):
            values[field.name] = joined(each, device)
        elif lies := over_trials(hints(cls)[field.name]):
            values[field.name] = torch.tensor(each, dtype=torch.float32, device=device).view(lies.shape)
            _largest[values[field.name]] = float(max(each))
        elif other := next(([one] for one in each if one != each[0]), None):
            if all(one in alike(hints(cls)[field.name]) for one in each):
                values[field.name] = tuple(each)
                continue
            raise ConfigError(f"{cls.__name__}.{field.name}={each[0]}, {other[0]}: trials of one stack must have the same")
        else:
            values[field.name] = each[0]
    return cls(**values)


_bounds: list[tuple[str, str]] | None = None
"""Where the checks below tell what they ask for, while somebody listens."""


@contextmanager
def bounds_of_checks() -> Iterator[list[tuple[str, str]]]:
    """The name of each number that is checked meanwhile, and what is asked of it."""
    global _bounds
    before, _bounds = _bounds, []
    try:
        yield _bounds
    finally:
        _bounds = before


def _must(name: str, value: Any, verb: str, bound: str, holds: bool) -> None:
    if _bounds is not None:
        _bounds.append((name, bound))
    if not holds:
        raise ConfigError(f"{name}={value}: must {verb} {bound}")


def at_least(name: str, value: Any, lowest: float) -> None:
    """Raise ConfigError unless ``value`` (a number or a list of numbers) is at least ``lowest``."""
    numbers = value if isinstance(value, list | tuple) else [value]
    _must(name, value, "be", f"at least {lowest:g}", not any(number < lowest for number in numbers))


def above(name: str, value: Any, lowest: float) -> None:
    """Raise ConfigError unless ``value`` is above ``lowest``."""
    _must(name, value, "be", f"above {lowest:g}", not value <= lowest)


def at_most(name: str, value: Any, highest: float) -> None:
    """Raise ConfigError unless ``value`` is at most ``highest``."""
    _must(name, value, "be", f"at most {highest:g}", not value > highest)


def between(name: str, value: Any, low: float, high: float) -> None:
    """Raise ConfigError unless ``low <= value <= high``."""
    _must(name, value, "lie", f"between {low:g} and {high:g}", low <= value <= high)


def constant(numbers: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """``torch.tensor`` of numbers, or tuples of them, that stay the same, made once: on a GPU it would be copied each time."""
    return _constant(numbers, dtype, device, current())


@cache
def _constant(numbers: Any, dtype: torch.dtype, device: torch.device, precision: str) -> Tensor:
    """In a precision: it is rounded as everything is that is made in it."""
    return torch.tensor(numbers, dtype=dtype, device=device)


def largest(setting: Tensor | float) -> float:
    """The largest of a stack's values of a setting, or a component's own; known without asking the device."""
    if not isinstance(setting, Tensor):
        return setting
    return _largest[setting] if setting in _largest else float(setting.max())


def trial_mean(values: Tensor) -> Tensor:
    """Mean over everything but the trial axis: (trials, ...) -> (trials,)."""
    return values.flatten(1).mean(1)


@whole
def trial_error(a: Tensor, b: Tensor) -> Tensor:
    """Mean square difference of each trial's frames: twice (trials, frames, features) -> (trials,)."""
    alike = a.shape == b.shape and a.dim() == 3
    return kernels.mean_square(a, b) if alike and kernels.usable(a, b) else trial_mean((a - b).square())


def total(tensors: Sequence[Tensor]) -> Tensor:
    """Sum of tensors of one shape, one after the other.

    Stacked and summed over that axis, five or more would be added in an order that depends on their size, so on the number
    of trials.
    """
    found = tensors[0]
    for tensor in tensors[1:]:
        found = found + tensor
    return found


@whole
def take(vectors: Tensor, index: Tensor) -> Tensor:
    """Each trial's vectors (trials, number, dim) at index (trials, frames): (trials, frames, dim)."""
    if kernels.usable(vectors):
        return kernels.take(vectors, index)
    trials, number, dim = vectors.shape
    flat = index + number * torch.arange(trials, device=index.device).unsqueeze(1)
    return vectors.reshape(-1, dim).index_select(0, flat.flatten()).view(*index.shape, dim)


ALIGNED = 8
"""Sizes of matrix products are filled up to a multiple of this."""


@whole
def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """``a @ b + bias`` trial by trial, each trial's numbers bit-equal whatever the number of trials (on a CPU).

    The batched product of the CPU library takes another path, with other rounding, for matrices of odd sizes in a batch
    than for the same matrix alone. Zeros fill such sizes up; the products of the backward pass are then filled up too.
    """
    sizes = (a.shape[1], a.shape[2], b.shape[2])
    rows, inner, columns = (-size % ALIGNED for size in sizes)
    if rows or inner or columns:
        a, b = nn.functional.pad(a, (0, inner, 0, rows)), nn.functional.pad(b, (0, columns, 0, inner))
        found = torch.bmm(a, b)[:, : sizes[0], : sizes[2]]
        return found if bias is None else found + bias
    return torch.bmm(a, b) if bias is None else torch.baddbmm(bias, a, b)


def over_chunks(function: Callable[[Tensor], Tensor], frames: Tensor, chunk: int) -> Tensor:
    """Apply ``function`` to at most ``chunk`` frames (axis 1) at a time, so that memory stays bounded."""
    if frames.shape[1] <= chunk:
        return function(frames)
    return torch.cat([function(part) for part in torch.split(frames, chunk, dim=1)], dim=1)


def over_chunks_again(function: Callable[[Tensor], Tensor], frames: Tensor, chunk: int) -> Tensor:
    """As ``over_chunks``, and the backward pass computes each part once more instead of keeping what it was made of.

    For a function without random numbers.
    """
    if frames.shape[1] <= chunk:
        return function(frames)
    parts = torch.split(frames, chunk, dim=1)
    again = [checkpoint(function, part, use_reentrant=False, preserve_rng_state=False) for part in parts]
    return torch.cat(again, dim=1)

"""Which operations of a step a graph cannot hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from quantbench.traced import asking

WAITS = "asks a tensor for a number"
SHAPES = "makes a tensor whose size depends on numbers"
COPIES = "makes a tensor of Python's numbers, or of another device's"
DRAWS = "draws random numbers by itself"
CHECKS = "checks its result before it goes on"

REFUSED = {
    "_local_scalar_dense": WAITS,
    "equal": WAITS,
    "is_nonzero": WAITS,
    "lift_fresh": COPIES,
    "nonzero": SHAPES,
    "masked_select": SHAPES,
    "bincount": SHAPES,
    "_unique2": SHAPES,
    "unique_dim": SHAPES,
    "unique_consecutive": SHAPES,
    "_linalg_eigh": CHECKS,
    "_linalg_check_errors": CHECKS,
}
"""Operations that have the CPU wait for the GPU, or a size that is not known before; by name."""


RANDOM = frozenset(
    {"bernoulli", "bernoulli_", "exponential_", "multinomial", "native_dropout", "normal", "normal_", "poisson", "rand"}
    | {"rand_like", "randint", "randint_like", "randn", "randn_like", "random_", "randperm", "uniform_"}
)
"""Operations that draw, from a generator that a graph does not have."""

READING = frozenset({"tolist", "numpy", "cpu", "__array__", "item"})
"""Methods that read a tensor, on a CPU unseen by the dispatcher."""


class _Reading(TorchFunctionMode):
    def __init__(self, watching: Watching) -> None:
        super().__init__()
        self.watching = watching

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__name__", "") in READING:
            self.watching.note(WAITS)
        return func(*args, **(kwargs or {}))


class Watching(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes, of all operations within it, those that a graph cannot hold.

    Attributes:
        refused: who asked for one, and what it does.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.refused: dict[str, str] = {}
        self._on, self._reading = True, _Reading(self)

    def __enter__(self) -> Watching:
        self._reading.__enter__()  # type: ignore[no-untyped-call]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._reading.__exit__(*error)  # type: ignore[no-untyped-call]

    def note(self, why: str) -> None:
        """A graph cannot hold what is done now."""
        if self._on:
            self.refused.setdefault(asking(), why)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done within is no part of the graph."""
        before, self._on = self._on, False
        try:
            yield
        finally:
            self._on = before

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not self._on:
            return func(*args, **kwargs)
        if why := refusal(func, args, kwargs):
            self.note(why)
        found = func(*args, **kwargs)
        if isinstance(found, Tensor) and any(one.device != found.device for one in tensors_in(args)):
            self.note(COPIES)
        return found


def refusal(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """Why a graph cannot hold an operation, or None."""
    name = func.overloadpacket.__name__
    if name in REFUSED:
        return REFUSED[name]
    if name in RANDOM:
        return DRAWS
    if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
        return SHAPES if any(one.dtype == torch.bool for one in args[1] if isinstance(one, Tensor)) else None
    if name == "repeat_interleave" and kwargs.get("output_size") is None and func._overloadname == "Tensor":
        return SHAPES
    return None


def tensors_in(values: Any) -> list[Tensor]:
    """All tensors in arguments or results."""
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, tuple | list):
        return [tensor for value in values for tensor in tensors_in(value)]
    return []

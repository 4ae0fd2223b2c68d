"""Low precision as hardware has it, computed in float32: the result of every operation is rounded, and so is its gradient.

An operation takes rounded numbers, adds them up in float32 and rounds once, as tensor cores and PyTorch's own kernels for
bfloat16 and float16 do. So every quantizer and strategy runs in low precision as it is written; a trial's numbers depend
neither on its neighbours in the stack nor on what the CPU has instructions for; and no operation can be missing. It is no
faster than float32.

What passes through unrounded: random numbers as they are drawn, numbers in double precision, and settings, which act as
Python's numbers do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from quantbench import kernels

LOW = {"bfloat16": torch.bfloat16, "float16": torch.float16}
"""Precisions in which every operation is rounded, by name."""
TF32 = "tf32"

LINE = 16
"""Numbers of a cache line."""

ASSIGNING = frozenset(
    {"__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__", "__ifloordiv__", "__imod__", "__ipow__"}
)
"""Names of operations that change their first argument, beside those that end in one underscore."""
NO_NUMBERS = frozenset({"requires_grad_", "detach_", "share_memory_", "rename_", "__get__", "__set__"})
"""Names of operations that change no number, though they may look like it."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def rounded(values: Tensor, kind: torch.dtype) -> Tensor:
    """Values, and in the backward pass their gradient, rounded to a precision; stored as before."""
    return values.to(kind).to(values.dtype)


class _Weights(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, kind: torch.dtype) -> Tensor:
        ctx.kind = kind
        size = weights[0].numel()
        lines = weights.new_empty(len(weights), size + -size % LINE)
        return lines[:, :size].view(weights.shape).copy_(weights.to(kind))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return rounded(gradients[0], ctx.kind), None


def rounded_weights(weights: Tensor, kind: torch.dtype) -> Tensor:
    """``rounded``, with whole cache lines for each trial: they lie alike for all, and sums over them round alike."""
    found: Tensor = _Weights.apply(weights, kind)  # type: ignore[no-untyped-call]
    return found


class _Rounding(TorchFunctionMode):
    """Rounds what each operation gives."""

    def __init__(self, kind: torch.dtype) -> None:
        super().__init__()
        self.kind = kind
        self.kernels = kernels.on()

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        found = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if _active.get() is not self or name in NO_NUMBERS:
            return found
        if changed := _changed(name, args, kwargs):
            for one in changed:
                self.settle(one)
            return found
        return self.of(found, {_place(one) for one in args if isinstance(one, Tensor)})

    def of(self, found: Any, given: set[int]) -> Any:
        """What an operation found, rounded; views of what it was ``given`` are left as they are."""
        if isinstance(found, Tensor):
            return rounded(found, self.kind) if found.dtype == torch.float32 and _place(found) not in given else found
        if not isinstance(found, tuple | list) or not any(isinstance(one, Tensor) for one in found):
            return found
        every = [self.of(one, given) for one in found]
        return found if all(one is other for one, other in zip(every, found, strict=True)) else type(found)(every)

    def settle(self, tensor: Tensor) -> None:
        """Round a tensor in its place, unseen by autograd, which saw the operation."""
        if tensor.dtype == torch.float32:
            tensor.data.copy_(tensor.data.to(self.kind))


def _changed(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """The tensors that an operation wrote into."""
    if (name.endswith("_") and not name.endswith("__")) or name in ASSIGNING or kwargs.get("inplace"):
        return [one for one in args[:1] if isinstance(one, Tensor)]
    out = kwargs.get("out")
    return [one for one in (out if isinstance(out, tuple | list) else (out,)) if isinstance(one, Tensor)]


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


_active: ContextVar[_Rounding | None] = ContextVar("rounding", default=None)
"""What rounds at this moment: the innermost context decides."""


@contextmanager
def _rounding(mode: _Rounding | None) -> Iterator[None]:
    before = _active.set(mode)
    try:
        yield
    finally:
        _active.reset(before)


def current() -> str:
    """The precision in which this moment's operations are computed: one of ``LOW``, or ``float32``."""
    mode = _active.get()
    return "float32" if mode is None else next(name for name, kind in LOW.items() if kind is mode.kind)


_tf32: ContextVar[bool | None] = ContextVar("tf32", default=None)
"""Whether products of a GPU take TF32 at this moment; None where nothing here has said so."""


@contextmanager
def computing(precision: str) -> Iterator[None]:
    """Whatever is computed within this context is computed in a precision: ``float32``, ``tf32``, or one of ``LOW``.

    Only within ``tf32`` may products and convolutions of a GPU take TF32, whatever PyTorch's flags are outside.
    """
    with _products(precision == TF32):
        if precision in LOW:
            mode = _Rounding(LOW[precision])
            with kernels.without(), mode, _rounding(mode):  # the kernels know float32 alone
                yield
        elif precision == TF32:
            yield
        else:
            with _rounding(None):
                yield


@contextmanager
def _products(tf32: bool) -> Iterator[None]:
    """Products, convolutions and recurrent networks of a GPU take TF32, or do not. The flags are of the whole process."""
    if _tf32.get() is tf32:  # most often, and reading the flags takes some microseconds
        yield
        return
    before, was = _flags(), _tf32.set(tf32)
    try:
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = tf32
        for one in _KINDS:
            if (one.fp32_precision == TF32) is not tf32:  # a user may have set what it inherits
                one.fp32_precision = TF32 if tf32 else "ieee"
        yield
    finally:
        _tf32.reset(was)
        _restore(*before)


_CUDNN: Any = torch.backends.cudnn
_KINDS: list[Any] = [
    one
    for one in (torch.backends.cuda.matmul, _CUDNN.conv, _CUDNN.rnn)
    if hasattr(one, "fp32_precision")  # rnn may be a module
]
"""What PyTorch has a precision for; beside these there are flags of its earlier interface, which raise where both differ."""


def _flags() -> tuple[list[str], str | None, bool | None]:
    """The precisions of ``_KINDS``, and the earlier flags of products and of cuDNN; None for one that cannot be read."""
    found: list[Any] = []
    for read in (torch.get_float32_matmul_precision, lambda: torch.backends.cudnn.allow_tf32):
        try:
            found.append(read())
        except RuntimeError:
            found.append(None)
    return [one.fp32_precision for one in _KINDS], found[0], found[1]


def _restore(precisions: list[str], products: str | None, cudnn: bool | None) -> None:
    """Put back what ``_flags`` found."""
    if products is not None:
        torch.set_float32_matmul_precision(products)
    if cudnn is not None:
        torch.backends.cudnn.allow_tf32 = cudnn
    for one, precision in zip(_KINDS, precisions, strict=True):
        if one.fp32_precision != precision:
            one.fp32_precision = precision


def whole(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Mark a function as one operation: what it gives is rounded once, at its end."""

    @wraps(function)
    def called(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        mode = _active.get()
        if mode is None:
            return function(*args, **kwargs)
        with _rounding(None):
            found = function(*args, **kwargs)
        result: Result = mode.of(found, set())
        return result

    return called


def exact(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Mark a function whose result is not rounded in any precision; the kernels are there for it."""

    @wraps(function)
    def called(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        mode = _active.get()
        if mode is None:
            return function(*args, **kwargs)
        with _rounding(None), kernels.switched(mode.kernels):
            return function(*args, **kwargs)

    return called

"""The compiled kernels of this process, or why there are none."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from quantbench.kernels.compiler import NoKernels, load

COMPILERS = ("g++", "clang++", "c++")
COMPILER = "CXX"
"""Environment variable; names another compiler, perhaps with options."""
SWITCH = "QUANTBENCH_KERNELS"
"""Environment variable; ``off`` trains with PyTorch alone."""

_loaded: list[ctypes.CDLL | str] = []
"""The library of this process, or why there is none; empty until somebody asks."""
_on: ContextVar[bool] = ContextVar("kernels", default=True)
"""Of each thread by itself: one may train in another precision than its neighbour."""


def ready(compiling: Callable[[], None] = lambda: None) -> str | None:
    """Compile and load the kernels unless that is done; gives why there are none, or None.

    Args:
        compiling: called before the compiler is.
    """
    if not _loaded:
        _loaded.append(_load(compiling))
    return _loaded[0] if isinstance(_loaded[0], str) else None


def usable(*tensors: Tensor) -> bool:
    """Whether kernels are there for these tensors: float32 on the CPU."""
    fitting = all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)
    return fitting and _on.get() and ready() is None


def own_compiler() -> str:
    """The compiler that the user chose, with its options; empty for the one that is found."""
    return os.environ.get(COMPILER, "").strip()


def on() -> bool:
    """Whether kernels are used where they can be."""
    return _on.get()


@contextlib.contextmanager
def switched(on: bool) -> Iterator[None]:
    """Kernels are used within this context, or they are not."""
    before = _on.set(on)
    try:
        yield
    finally:
        _on.reset(before)


def without() -> contextlib.AbstractContextManager[None]:
    """PyTorch's own operations within this context, to compare with."""
    return switched(False)


def call(name: str, *arguments: Tensor | int | float | ctypes.Structure | ctypes.Array[Any] | None) -> int:
    """Call a kernel; ask ``usable`` first. Numbers of a tensor are passed where they lie, an int as a size.

    What it gives has a meaning only where the kernel returns an int.
    """
    assert not isinstance(_loaded[0], str)
    # The tensors live on in `arguments` until the kernel is done, those made just for it too.
    found: int = getattr(_loaded[0], name)(*map(_argument, arguments))
    return found


def _argument(value: Any) -> Any:
    if isinstance(value, int):  # the most frequent first: a call of few numbers takes no longer than this
        return ctypes.c_long(value)
    if value is None or isinstance(value, Tensor):
        return ctypes.c_void_p(None if value is None else value.data_ptr())
    if isinstance(value, ctypes.Structure):
        return ctypes.byref(value)
    return ctypes.c_float(value) if isinstance(value, float) else value


def _load(compiling: Callable[[], None]) -> ctypes.CDLL | str:
    if os.environ.get(SWITCH) == "off":
        return f"{SWITCH}=off"
    command = own_compiler() or next(filter(None, map(shutil.which, COMPILERS)), None)
    if command is None:
        return f"no C++ compiler ({', '.join(COMPILERS)}, or the variable {COMPILER})"
    try:
        return load(command, compiling)
    except NoKernels as error:
        return str(error)


def rows(tensor: Tensor) -> Tensor:
    """The tensor (trials, rows, columns), or a copy whose trials are each contiguous."""
    strides = tensor.stride()
    fitting = strides[2] == 1 and strides[1] == tensor.shape[2]
    return tensor if fitting else tensor.contiguous()

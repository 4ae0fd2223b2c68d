"""Compiles the kernels, once for a machine, and loads them."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quantbench.paths import cache_folder

SOURCES = ("network.cpp", "codebook.cpp", "adam.cpp", "error.cpp")
HEADERS = ("products.h",)
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi", "-shared", "-fPIC")
GCC_FLAGS = ("-ffp-contract=fast", "--param=avoid-fma-max-bits=0")
"""Tuned for some processors, GCC fuses operations in some copies of a loop and not in others; rows would round otherwise."""
SWITCH = "QUANTBENCH_KERNELS"
"""Environment variable; ``off`` trains with PyTorch alone."""

_loaded: list[ctypes.CDLL | str] = []
"""The library of this process, or why there is none; empty until somebody asks."""
_on = [True]


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
    return fitting and _on[0] and ready() is None


@contextlib.contextmanager
def without() -> Iterator[None]:
    """PyTorch's own operations within this context, to compare with."""
    before, _on[0] = _on[0], False
    try:
        yield
    finally:
        _on[0] = before


def call(name: str, *arguments: Tensor | int | float | ctypes.Structure | ctypes.Array[Any] | None) -> int:
    """Call a kernel; ask ``usable`` first. Numbers of a tensor are passed where they lie, an int as a size.

    What it gives has a meaning only where the kernel returns an int.
    """
    assert not isinstance(_loaded[0], str)
    # The tensors live on in `arguments` until the kernel is done, those made just for it too.
    found: int = getattr(_loaded[0], name)(*map(_argument, arguments))
    return found


def _argument(value: Any) -> Any:
    if value is None or isinstance(value, Tensor):
        return ctypes.c_void_p(None if value is None else value.data_ptr())
    if isinstance(value, ctypes.Structure):
        return ctypes.byref(value)
    return ctypes.c_long(value) if isinstance(value, int) else ctypes.c_float(value) if isinstance(value, float) else value


def _load(compiling: Callable[[], None]) -> ctypes.CDLL | str:
    if os.environ.get(SWITCH) == "off":
        return f"{SWITCH}=off"
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++") or shutil.which("c++")
    if compiler is None:
        return "no C++ compiler (g++, clang++, c++, or the variable CXX)"
    try:
        with tempfile.TemporaryDirectory() as own:  # what is loaded from there stays loaded
            return ctypes.CDLL(str(_compiled(compiler, Path(own), compiling)))
    except subprocess.CalledProcessError as error:
        return f"{compiler} failed: {' '.join(error.stderr.split())[:300]}"
    except OSError as error:
        return f"{compiler}: {error}"


def _compiled(compiler: str, own: Path, compiling: Callable[[], None]) -> Path:
    """The library for this machine, from the user's cache or new. Raises CalledProcessError, OSError.

    Args:
        own: a folder for it where there can be no cache.
        compiling: called where it is not there yet.
    """
    here = Path(__file__).parent
    words = shlex.split(compiler)
    version = subprocess.run([*words, "--version"], capture_output=True, text=True, errors="replace", check=True).stdout
    flags = [*FLAGS, *(GCC_FLAGS if "Free Software Foundation" in version and platform.machine() == "x86_64" else ())]
    contents = [(here / name).read_text() for name in (*HEADERS, *SOURCES)]
    key = hashlib.sha256("\n".join([version, *flags, _processor(), *contents]).encode()).hexdigest()[:16]
    name = f"kernels-{key}.so"
    try:
        root = cache_folder()
        path = root / name
        if _is_whole(path):
            return path
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=root))
    except (OSError, RuntimeError):  # no cache: each process compiles for itself, which takes it a few seconds
        folder, path = own, own / name
    partial = folder / "partial.so"
    compiling()
    command = [*words, *flags, "-o", str(partial), *(str(here / name) for name in SOURCES)]
    try:
        subprocess.run(command, capture_output=True, text=True, errors="replace", check=True)
        partial.with_suffix(".sha256").write_text(_checksum(partial))
        for made, kept in ((partial, path), (partial.with_suffix(".sha256"), path.with_suffix(".sha256"))):
            made.replace(kept)  # in one step: another process may be doing the same
    finally:
        if folder != own:
            shutil.rmtree(folder, ignore_errors=True)
    return path


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is_whole(path: Path) -> bool:
    """Whether a library of the cache is there as it was compiled: one that was cut when the power failed kills who loads it."""
    try:
        return path.with_suffix(".sha256").read_text() == _checksum(path)
    except OSError:
        return False


def _processor() -> str:
    """What -march=native depends on: a cache may be shared by machines of several kinds."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "\n".join(
            dict.fromkeys(line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part")))
        )
    except OSError:
        return f"{sys.platform} {platform.machine()} {platform.processor()}"


def rows(tensor: Tensor) -> Tensor:
    """The tensor (trials, rows, columns), or a copy whose trials are each contiguous."""
    strides = tensor.stride()
    fitting = strides[2] == 1 and strides[1] == tensor.shape[2]
    return tensor if fitting else tensor.contiguous()

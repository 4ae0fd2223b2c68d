"""Compiles the kernels, once for a machine and a compiler, tries them, and keeps them in the user's cache."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from quantbench.paths import cache_folder

SOURCES = ("network.cpp", "codebook.cpp", "adam.cpp", "error.cpp", "neighbours.cpp", "philox.cpp")
HEADERS = ("products.h",)
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi", "-shared", "-fPIC")
GCC_FLAGS = ("-ffp-contract=fast", "--param=avoid-fma-max-bits=0")
"""Tuned for some processors, GCC fuses operations in some copies of a loop and not in others; rows would round otherwise."""
VARIABLES = (
    *("CPATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "COMPILER_PATH", "GCC_EXEC_PREFIX", "LD_RUN_PATH", "CCC_OVERRIDE_OPTIONS"),
    *("SDKROOT", "MACOSX_DEPLOYMENT_TARGET", "NIX_CFLAGS_COMPILE", "NIX_LDFLAGS"),
    *("LD_PRELOAD", "ASAN_OPTIONS"),
)
"""What compilers read beside their command, and what decides whether a library with a sanitizer can be loaded. CXXFLAGS is for
make: compilers do not read it."""
VERSION_SECONDS, COMPILE_SECONDS, TRY_SECONDS = 20, 180, 60
"""How long a compiler may take to say what it is, to compile (usually ten seconds), and its library to be tried."""
STALE_SECONDS = 3600
"""Nothing compiles for so long: a temporary folder of this age was left behind by a process of another machine."""
TRY = """
import ctypes, sys
a, b, mean = (ctypes.c_float * 4)(1, 2, 3, 4), (ctypes.c_float * 4)(1, 0, 3, 0), (ctypes.c_float * 1)()
size = ctypes.c_long(4)
try:
    ctypes.CDLL(sys.argv[1]).mean_square(ctypes.c_long(1), size, a, size, b, size, mean)
except (OSError, AttributeError) as error:
    sys.exit(str(error))
sys.exit(None if mean[0] == 5 else f"a mean of 5 is {mean[0]}")
"""
"""The mean of (0, 2, 0, 4) squared, in a process of its own: a library with a sanitizer ends the process that loads it."""


class NoKernels(Exception):
    """Why there are no kernels."""


def load(command: str, compiling: Callable[[], None] = lambda: None) -> ctypes.CDLL:
    """The library that a compiler makes for this machine, from the user's cache or new. Raises NoKernels.

    Args:
        command: the compiler, perhaps with options, as a shell would read it.
        compiling: called before it compiles.
    """
    try:
        words = shlex.split(command)
        found = shutil.which(words[0])
        if found is None:
            raise NoKernels(f"{words[0]}: there is no such program")
        version = _output([*words, "--version"], VERSION_SECONDS)
        flags = [*FLAGS, *(GCC_FLAGS if "Free Software Foundation" in version and platform.machine() == "x86_64" else ())]
        name = f"kernels-{_key([*words, *flags], found, version)}.so"
        return _from_cache([*words, *flags], name, compiling) or _without_cache([*words, *flags], name, compiling)
    except (OSError, ValueError) as error:
        raise NoKernels(f"{command}: {error}") from error


def _key(command: Sequence[str], found: str, version: str) -> str:
    """All that a library depends on. A compiler that is a script may change and keep its version: so its size and time, too."""
    place = Path(found).resolve()
    facts = place.stat()
    variables = [f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ]
    contents = [(Path(__file__).parent / source).read_text() for source in (*HEADERS, *SOURCES)]
    parts = [*command, str(place), f"{facts.st_size} {facts.st_mtime_ns}", version, *variables, _processor(), *contents]
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:16]


def _from_cache(command: Sequence[str], name: str, compiling: Callable[[], None]) -> ctypes.CDLL | None:
    """The library from the user's cache, made there if need be; None where there can be no cache. Raises NoKernels."""
    try:
        root = cache_folder()
        path = root / name
        if _is_whole(path):
            with contextlib.suppress(OSError):  # one that no longer loads is made again
                return ctypes.CDLL(str(path))
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_stale(root)
        folder = Path(tempfile.mkdtemp(prefix=f"compiling-{socket.gethostname()}-{os.getpid()}-", dir=root))
    except (OSError, RuntimeError):
        return None
    try:
        compiling()
        made = _compile(command, folder)
        checksum = folder / "sha256"
        checksum.write_text(_checksum(made))
        for new, kept in ((made, path), (checksum, path.with_suffix(".sha256"))):
            new.replace(kept)  # in one step: another process may be doing the same
        return ctypes.CDLL(str(path))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _without_cache(command: Sequence[str], name: str, compiling: Callable[[], None]) -> ctypes.CDLL:
    """A library for this process alone, which takes it a few seconds. Raises NoKernels, OSError."""
    compiling()
    with tempfile.TemporaryDirectory() as folder:  # what is loaded from there stays loaded
        return ctypes.CDLL(str(_compile(command, Path(folder)).rename(Path(folder) / name)))


def _compile(command: Sequence[str], folder: Path) -> Path:
    """A library that was made in a folder, and works. Raises NoKernels, OSError."""
    made = folder / "kernels.so"
    sources = [str(Path(__file__).parent / name) for name in SOURCES]
    _output([*command, "-o", str(made), *sources], COMPILE_SECONDS, {"TMPDIR": str(folder)})
    try:  # -I: nothing of the current folder or of PYTHON's variables is imported
        _output([sys.executable or "python3", "-I", "-S", "-c", TRY, str(made)], TRY_SECONDS)
    except NoKernels as error:
        raise NoKernels(f"{shlex.join(command)} made a library that does not work: {error}") from error
    return made


def _output(command: Sequence[str], seconds: float, variables: dict[str, str] | None = None) -> str:
    """What a command prints. After so many seconds it is killed, with all that it started. Raises NoKernels, OSError.

    Into a file, not a pipe: a compiler may leave a server behind that keeps a pipe open.
    """
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            env=os.environ | (variables or {}),
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=seconds)
        except BaseException as error:  # Ctrl-C too, which does not reach another session
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise NoKernels(f"{command[0]} did not end within {seconds:g} s") from error
            raise
        printed.seek(0)
        text = printed.read().decode(errors="replace")
    if code:
        end = f"ended by {signal.Signals(-code).name}" if code < 0 else "failed"
        raise NoKernels(f"{command[0]} {end}: {' '.join(text.split())[:300]}")
    return text


def _remove_stale(root: Path) -> None:
    """Remove the folders of compilations whose process is dead."""
    for folder in root.glob("compiling-*"):
        with contextlib.suppress(OSError, ValueError):
            host, process, _ = folder.name.removeprefix("compiling-").rsplit("-", 2)
            here = host == socket.gethostname()
            if (here and not _alive(int(process))) or time.time() - folder.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(folder)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


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

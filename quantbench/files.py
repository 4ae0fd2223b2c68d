"""Writes files so that neither a reader nor a crash ever finds half of one, and opens those of others with care."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from quantbench.errors import ConfigError, NotWritten


def opened(path: Path, most: int | None = None, links: bool = False) -> IO[bytes]:
    """Open a file to read that lies in a folder which may be a stranger's: whatever it is, this never waits.

    Args:
        most: bytes that such a file has at most.
        links: whether a link is followed, as in a folder that the user named as their own.

    Raises:
        ConfigError: a link, what is no regular file and may have no end, or a file that is too large.
        OSError: it is not there, or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if links else os.O_NOFOLLOW))
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise ConfigError(f"{path}: {_kind(path)}") from error
        raise
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and (most is None or found.st_size <= most):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISREG(found.st_mode):
        raise ConfigError(
            f"{path}: has {found.st_size:,} bytes, and such a file has at most {most:,}; it is none of QuantBench's"
        )
    raise ConfigError(f"{path}: {_kind(path)}")


def read_text(path: Path, most: int | None = None, links: bool = False) -> str:
    """The text of such a file. Raises as ``opened`` does, and ValueError where it is no text."""
    with opened(path, most, links) as file:
        return file.read().decode("utf-8")


def odd(path: Path) -> str | None:
    """What a path is that does not belong into the folder of a run; None for a file, a folder, and where nothing is."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return None
    return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else _kind(path)


def _kind(path: Path) -> str:
    if path.is_symlink():
        return "is a link; the folder of a run holds none, remove it"
    return "is no regular file (a folder, a pipe or a device), and is not read; remove it"


@contextmanager
def replacing(path: Path, durable: bool = True, shared: bool = False) -> Iterator[Path]:
    """A free name beside ``path``: what is written there within the context takes the place of ``path`` in one step.

    Raises OSError; the old file is then still there, and so it is where the context is left by an exception.

    Args:
        durable: whether it is on the disk afterwards. What can be made again need not be waited for.
        shared: whether other processes may be writing the same file. Each then has a name of its own; else a file that a
            crash left behind is written over.
    """
    if path.exists() and not path.is_file():  # a device, which the superuser would replace by a file
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    partial = path.with_name(f"{path.name}{'.' + secrets.token_hex(4) if shared else ''}.partial")
    partial.unlink(missing_ok=True)  # never through a link that somebody left there
    try:
        yield partial
        if durable:
            sync(partial)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    if durable:
        sync(path.parent)


def replace_file(
    path: Path, write: Callable[[IO[Any]], Any], binary: bool = False, durable: bool = True, shared: bool = False
) -> None:
    """Write a file in one step; see ``replacing``. Raises OSError.

    Args:
        write: writes the new content into the file that it is given.
        binary: whether that is bytes, not text.
    """
    with (
        replacing(path, durable, shared) as partial,
        partial.open("xb") if binary else partial.open("x", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        write(file)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file that cannot be written. Raises NotWritten."""
    try:
        yield
    except OSError as error:
        raise NotWritten(f"{path}: cannot be written ({error.strerror or error})") from error


def write_text(path: Path, text: str) -> None:
    """Write a text in one step. Raises NotWritten."""
    with writing(path):
        replace_file(path, lambda file: file.write(text))


def write_cache(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file of the cache, perhaps beside other processes that write the same. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(path, write, binary=True, durable=False, shared=True)


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

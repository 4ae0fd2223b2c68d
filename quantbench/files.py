"""Writes files so that neither a reader nor a crash ever finds half of one."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any


def replace_file(path: Path, write: Callable[[IO[Any]], Any], binary: bool = False) -> None:
    """Write a file in one step; it is on the disk when this returns. Raises OSError; the old file is then still there.

    Args:
        write: writes the new content into the file that it is given.
        binary: whether that is bytes, not text.
    """
    if path.exists() and not path.is_file():  # a device, which the superuser would replace by a file
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    # A new file: never through a link that somebody left there.
    with partial.open("xb") if binary else partial.open("x", encoding="utf-8", newline="") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, too. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

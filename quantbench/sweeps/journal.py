"""Finished stacks on disk, each in a file of its own, written in one step."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from quantbench.errors import ConfigError, QuantBenchError
from quantbench.files import writing
from quantbench.results.completions import COMPLETIONS, Completion, completed, read_completions
from quantbench.results.records import Record, latest, read_records, write_records
from quantbench.terminal import say


def new_folder(output: str, experiment: str, name: str | None = None) -> Path:
    """Make ``output/experiment/name``, or ``<time>-<id>`` there; two runs never get the same one.

    Raises:
        ConfigError: there is one of that name.
        QuantBenchError: none can be made.
    """
    check_new(output, experiment, name)
    parent = Path(output) / experiment
    try:
        parent.mkdir(parents=True, exist_ok=True)
        if name is not None:
            folder = parent / name
            try:
                folder.mkdir()
                return folder
            except FileExistsError as error:  # just now
                raise ConfigError(_taken(folder)) from error
        while True:
            folder = parent / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}-{secrets.token_hex(3)}"
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                continue
    except OSError as error:
        raise QuantBenchError(f"output={output}: cannot make a folder there ({error.strerror})") from error


def check_new(output: str, experiment: str, name: str | None) -> None:
    """Raise ConfigError where a folder of this name is there."""
    if name is not None and os.path.lexists(folder := Path(output) / experiment / name):
        raise ConfigError(_taken(folder))


def _taken(folder: Path) -> str:
    return f"name={folder.name}: {folder} is there; choose another name, or go on with `quantbench resume {folder}`"


class Journal:
    """The journal of one run. Only one process at a time may hold it open.

    Args:
        hold: False for a job of the run, which only writes its own stacks.

    Attributes:
        made: whether there was none before.

    Raises:
        QuantBenchError: another process holds it, or it cannot be written.
    """

    def __init__(self, folder: Path, hold: bool = True) -> None:
        self.folder = folder / "journal"
        self.made = not self.folder.exists()
        if not hold:
            return
        lock = self.folder / "lock"
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock = _open_own(lock)  # not emptied: it may be another's
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go when its owner dies
            if not os.path.samestat(os.fstat(self._lock.fileno()), lock.stat()):
                raise FileNotFoundError  # its owner was just done, and took the journal away
            self._lock.truncate(0)
            self._lock.write(f"{os.getpid()} {socket.gethostname()}\n")  # for people, and `quantbench watch`
            self._lock.flush()
        except (BlockingIOError, FileNotFoundError) as error:
            raise QuantBenchError(f"{folder}: another process is running this sweep") from error
        except OSError as error:
            raise QuantBenchError(f"{folder}: cannot be written ({error.strerror})") from error

    def write(self, records: Sequence[Record]) -> None:
        """Keep the records of a stack. Raises NotWritten; earlier records stay intact."""
        path = self.part([record.trial for record in records])
        with writing(path):
            write_records(path, records)

    def complete(self, found: Sequence[Completion]) -> None:
        """Keep limits and references of trials whose records are there. Raises NotWritten, QuantBenchError.

        They can be found again, and are not waited for until they are on the disk.
        """
        path = self.folder / COMPLETIONS
        with writing(path), _open_own(path) as file:
            # A line that a crash cut must not take the next one with it.
            file.write("\n" + "\n".join(one.line() for one in found) + "\n")

    def part(self, trials: Sequence[str]) -> Path:
        """The file of a stack of these trials."""
        return self.folder / f"{hashlib.sha256(chr(10).join(trials).encode()).hexdigest()[:16]}.json"

    def read(self, parts: Iterable[Path] | None = None) -> dict[str, Record]:
        """All records by trial, or those of some parts: of a trial's records the last one that is no failure, else the last.

        Limits and references that were found later are in them. A file that is damaged is named, and its trials are not among
        the records.
        """
        found: list[list[Record]] = []
        for path in sorted(self.folder.glob("*.json") if parts is None else parts, key=_written):
            try:
                found.append(read_records(path))
            except (OSError, ValueError) as error:
                say(f"{path}: is damaged ({error}); its trials are trained again", error=True)
        return completed(latest(found), read_completions(self.folder / COMPLETIONS))

    def close(self, complete: bool) -> None:
        """Let go; remove the journal when the tables hold all of it."""
        if complete:
            # Renamed first, in one step: half a journal would look like a sweep that was cut short.
            finished = self.folder.with_name("journal.finished")
            shutil.rmtree(finished, ignore_errors=True)  # of a process that was killed right here
            self.folder.rename(finished)
            shutil.rmtree(finished, ignore_errors=True)
        self._lock.close()


def _open_own(path: Path) -> IO[str]:
    """Open a file to append to. Raises QuantBenchError where it is a link, a pipe, or has another name elsewhere."""
    try:
        # A stranger's folder may hold anything in its place: a pipe would wait, a second name would lead out of the folder.
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644), "a")
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise QuantBenchError(f"{path}: is a link or a pipe; remove it") from error
        raise
    found = os.fstat(file.fileno())
    if found.st_nlink > 1 or not stat.S_ISREG(found.st_mode):
        file.close()
        raise QuantBenchError(f"{path}: is no file, or one that has another name elsewhere, too; remove it")
    return file


def _written(path: Path) -> tuple[int, str]:
    """When a file was written, for files in the order in which they were; where that is not known, first."""
    try:
        return path.stat().st_mtime_ns, path.name
    except OSError:
        return 0, path.name

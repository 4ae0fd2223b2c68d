"""Finished stacks on disk, each in a file of its own, written in one step."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from quantbench.errors import QuantBenchError
from quantbench.sweeps.worker import Record


def new_folder(output: str, experiment: str) -> Path:
    """Make ``output/experiment/<time>-<id>``; two runs never get the same one. Raises QuantBenchError."""
    parent = Path(output) / experiment
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            folder = parent / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}-{secrets.token_hex(3)}"
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                continue
    except OSError as error:
        raise QuantBenchError(f"output={output}: cannot make a folder there ({error.strerror})") from error


class Journal:
    """The journal of one run. Only one process at a time may hold it open.

    Raises:
        QuantBenchError: another process holds it, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "journal"
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock = (self.folder / "lock").open("a")  # not emptied: it may be another's
        except OSError as error:
            raise QuantBenchError(f"{folder}: cannot be written ({error.strerror})") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go when its owner dies
        except OSError as error:
            raise QuantBenchError(f"{folder}: another process is running this sweep") from error
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()} {socket.gethostname()}\n")  # for people, and `quantbench watch`
        self._lock.flush()

    def write(self, records: Sequence[Record]) -> None:
        """Keep the records of a stack. Raises QuantBenchError; earlier records stay intact."""
        name = hashlib.sha256("\n".join(record.trial for record in records).encode()).hexdigest()[:16]
        partial = self.folder / f"{name}.partial"
        try:
            with partial.open("w") as file:
                json.dump([asdict(record) for record in records], file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.folder / f"{name}.json")
        except OSError as error:
            raise QuantBenchError(
                f"{self.folder}: cannot be written ({error.strerror}). Finished stacks are kept; "
                f"`quantbench resume {self.folder.parent}` goes on once there is room"
            ) from error

    def read(self) -> dict[str, Record]:
        """All records by trial; a trial that failed once and was trained later counts as trained."""
        found: dict[str, Record] = {}
        for path in sorted(self.folder.glob("*.json")):
            for item in json.loads(path.read_text()):
                record = Record(item["trial"], item["row"], [tuple(point) for point in item["curves"]])
                if record.trial not in found or record.row["status"] != "failed":
                    found[record.trial] = record
        return found

    def close(self, complete: bool) -> None:
        """Let go; remove the journal when the tables hold all of it."""
        if complete:
            # Renamed first, in one step: half a journal would look like a sweep that was cut short.
            finished = self.folder.with_name("journal.finished")
            self.folder.rename(finished)
            shutil.rmtree(finished)
        self._lock.close()

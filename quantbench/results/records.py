"""What is known of finished trials, and the files of the journal that hold it: a stack a file, in JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantbench.files import replace_file
from quantbench.points import Points
from quantbench.results.schema import Status


@dataclass(frozen=True)
class Record:
    """What is known of a finished trial.

    Attributes:
        trial: its identity.
        row: status, error, metrics and cost, by column.
        curves: packed ``(step, metric, value)``.
    """

    trial: str
    row: dict[str, Any]
    curves: Points


def write_records(path: Path, records: Sequence[Record]) -> None:
    """Write the records of a stack in one step. Raises OSError."""
    items = [{"trial": one.trial, "row": one.row, "curves": list(one.curves)} for one in records]
    for item in items:
        item["checksum"] = _checksum(item)
    replace_file(path, lambda file: json.dump(items, file))


def read_records(path: Path) -> list[Record]:
    """The records of a stack as they were written. Raises OSError, or ValueError where the file is damaged."""
    try:
        return [_record(item) for item in json.loads(path.read_text(encoding="utf-8"))]
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def latest(parts: Iterable[Sequence[Record]]) -> dict[str, Record]:
    """Of each trial's records the last one that is no failure, else the last; ``parts`` as they were written."""
    found: dict[str, Record] = {}
    for record in (one for part in parts for one in part):
        before = found.get(record.trial)
        if before is None or record.row["status"] != Status.FAILED or before.row["status"] == Status.FAILED:
            found[record.trial] = record
    return found


def _checksum(item: dict[str, Any]) -> str:
    """Of what a record says; a disk may give back other digits than it was given."""
    content = json.dumps([item["trial"], item["row"], item["curves"]])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _record(item: dict[str, Any]) -> Record:
    if item.get("checksum", _checksum(item)) != _checksum(item):  # journals of before this check have none
        raise ValueError("its checksum is another one")
    record = Record(item["trial"], item["row"], Points(map(tuple, item["curves"])))
    if not isinstance(record.trial, str) or record.row["status"] not in list(Status):
        raise ValueError("it holds no record of a trial")
    return record

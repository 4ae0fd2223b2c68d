"""What is known of finished trials, and the files of the journal that hold it: a stack a file, in JSON."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantbench.errors import brief
from quantbench.files import read_text, replace_file
from quantbench.metrics import OTHER_COLUMNS
from quantbench.points import Points
from quantbench.results.schema import BY, NOTES, WHOLE, Status

LARGEST = 2**30
"""Bytes of the records of a stack."""
TEXTS = ("status", "error", *BY, *NOTES)
"""Columns of a record that hold text."""
NO_CHARACTER = re.compile("[\ud800-\udfff]")
"""What JSON can hold and no file of text can."""


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
    """The records of a stack as they were written.

    Raises:
        OSError: it cannot be read; ValueError: it is damaged, or holds what no training writes.
        ConfigError: it is a link, or no regular file.
    """
    try:
        return [_record(item) for item in json.loads(read_text(path, LARGEST))]
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
    if item["checksum"] != _checksum(item):
        raise ValueError("its checksum is another one")
    trial, row, curves = item["trial"], item["row"], item["curves"]
    if (
        not _is_text(trial)
        or not isinstance(row, dict)
        or row["status"] not in (Status.COMPLETED, Status.DIVERGED, Status.FAILED)
    ):
        raise ValueError("it holds no record of a trial")
    for name, value in row.items():
        if not fits(name, value):
            raise ValueError(f"its column {name} holds {brief(value)}")
    for step, metric, value in curves:
        if not (_is_whole(step) and _is_text(metric) and _is_number(value)):
            raise ValueError(f"its curves hold {brief([step, metric, value])}")
    return Record(trial, row, Points(map(tuple, curves)))


def fits(name: str, value: Any) -> bool:
    """Whether a column is one that a training fills, with such a value. Who a trial is, its sweep alone says."""
    if name in TEXTS:
        return value is None or _is_text(value)
    if name in OTHER_COLUMNS or not name.isidentifier():
        return False
    if value is None:
        return True
    return _is_number(value) and (name not in WHOLE or (value % 1 == 0 and abs(value) < 2**53))


def _is_text(value: Any) -> bool:
    """Whether it is text that a file can hold."""
    return isinstance(value, str) and not NO_CHARACTER.search(value)


def _is_whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < 2**53)

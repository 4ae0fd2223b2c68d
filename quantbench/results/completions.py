"""Limits and references of trials, found after their records were written: a line each, in a file beside these."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantbench.errors import ConfigError
from quantbench.files import read_text
from quantbench.results.records import LARGEST, Record, fits
from quantbench.results.schema import NOTES, Status

COMPLETIONS = "yardsticks.jsonl"
"""The file, in the journal."""
MEASURED = ("spent_bits", "rate_bits", "mse")
"""What of a trial's record they are of."""
COLUMNS = (
    "limit_mse",
    "limit_process_mse",
    "lower_mse",
    "upper_mse",
    "gap_db",
    "excess_bits",
    "reference_mse",
    *NOTES,
)


@dataclass(frozen=True)
class Completion:
    """Limits and references of a trial.

    Attributes:
        trial: its identity.
        measured: what of its record they are of, by column; of another record of this trial they say nothing.
        row: columns of ``COLUMNS``.
    """

    trial: str
    measured: dict[str, Any]
    row: dict[str, Any]

    def line(self) -> str:
        """The text that a file holds."""
        item = {"trial": self.trial, "measured": self.measured, "row": self.row}
        return json.dumps(item | {"checksum": _checksum(item)})


def measured(row: Mapping[str, Any]) -> dict[str, Any]:
    """What limits and references of a record are of."""
    return {name: row.get(name) for name in MEASURED}


def lacks(record: Record) -> bool:
    """Whether limits and references of a trained trial are still to come."""
    return record.row["status"] != Status.FAILED and "reference_note" not in record.row


def read_completions(path: Path) -> list[Completion]:
    """What a file holds; nothing of a file that is not there, and nothing of lines that are damaged or half written."""
    try:
        lines = read_text(path, LARGEST).splitlines()
    except (OSError, ValueError, ConfigError):
        return []
    return [one for line in lines if (one := _completion(line)) is not None]


def completed(records: Mapping[str, Record], found: Iterable[Completion]) -> dict[str, Record]:
    """The records, with what was found for those that lack it."""
    whole = dict(records)
    for one in found:
        record = whole.get(one.trial)
        if record is not None and lacks(record) and measured(record.row) == one.measured:
            whole[one.trial] = Record(record.trial, record.row | one.row, record.curves)
    return whole


def _completion(line: str) -> Completion | None:
    try:
        item = json.loads(line)
        checksum = item.pop("checksum")
        trial, of, row = item["trial"], item["measured"], item["row"]
        sound = checksum == _checksum(item) and isinstance(trial, str) and set(of) == set(MEASURED)
        fitting = set(row) <= set(COLUMNS) and {"reference_note"} <= set(row) and all(fits(*one) for one in row.items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Completion(trial, of, row) if sound and fitting else None


def _checksum(item: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps([item["trial"], item["measured"], item["row"]]).encode()).hexdigest()[:16]

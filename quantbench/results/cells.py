"""CSV files: text that no spreadsheet takes for a formula, and numbers to the last digit."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # `quantbench list` prints text, and answers at once
    import pandas as pd

FORMULA = re.compile(r"'*(?:[=@\t\r\n＝＠＋－]|[+-](?![-+0-9eE.,\[\] ]*\Z))")
"""How text begins that a spreadsheet may run. Signs before nothing but digits are numbers and intervals."""


def guard(text: str) -> str:
    """The text with an apostrophe before it where a spreadsheet would take it for a formula; ``unguard`` takes it away."""
    return f"'{text}" if FORMULA.match(text) and not _is_number(text) else text


def unguard(text: str) -> str:
    """The text that ``guard`` was given."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def guarded(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose text cells and column names are guarded."""
    return _mapped(table, guard)


def unguarded(table: pd.DataFrame) -> pd.DataFrame:
    """A table that was read from a file, with its text as it was."""
    return _mapped(table, unguard)


def write_csv(table: pd.DataFrame, file: IO[str]) -> None:
    """Write a table with its text guarded."""
    import pandas as pd

    table = guarded(table)
    texts = [one for name in table.columns if not pd.api.types.is_numeric_dtype(table[name]) for one in table[name].unique()]
    table.to_csv(file, index=False, quoting=quoting([*texts, *table.columns]))


def read_csv(source: Path | IO[str] | IO[bytes], **settings: Any) -> pd.DataFrame:
    """The table in a CSV file, with not a digit of its numbers lost. Raises as pandas does."""
    import pandas as pd

    # Before 3.1, pandas reads a third of all numbers with another last digit unless it is asked not to; since then it is exact.
    if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1):
        settings["float_precision"] = "round_trip"
    table: pd.DataFrame = pd.read_csv(source, **settings)
    return table


def quoting(cells: Iterable[Any]) -> Literal[0, 2]:
    """How to quote: Python's writer leaves a carriage return bare, and a reader takes it for the end of a row."""
    return csv.QUOTE_NONNUMERIC if any(isinstance(cell, str) and "\r" in cell for cell in cells) else csv.QUOTE_MINIMAL


def _mapped(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    import pandas as pd

    changed: dict[Any, Any] = {}
    for name in table.columns:
        column = table[name]
        if pd.api.types.is_numeric_dtype(column):
            continue
        # Long tables repeat few texts: each is looked at once.
        texts = {one: change(one) for one in column.unique() if isinstance(one, str)}
        if any(old != new for old, new in texts.items()):
            kind = object if isinstance(column.dtype, pd.CategoricalDtype) else column.dtype  # whose categories are others now
            changed[name] = column.astype(object).map(lambda one, texts=texts: texts.get(one, one)).astype(kind)
    if changed:
        table = table.assign(**changed)
    names = {name: change(str(name)) for name in table.columns}
    return table.rename(columns=names) if any(old != new for old, new in names.items()) else table


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

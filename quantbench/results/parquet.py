"""Tables as Parquet: a tenth of the bytes of CSV, for sweeps of a million trials."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import pandas as pd

from quantbench.errors import ConfigError
from quantbench.files import replace_file
from quantbench.install import how_to_install

SUFFIX = ".parquet"


def check(setting: str) -> None:
    """Raise ConfigError where the package that writes it is missing."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"{setting}: needs pyarrow; install it with {how_to_install('parquet')}") from error


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a table in one step. Raises OSError."""
    table = table.assign(**{str(name): _plain(table[name]) for name in table.select_dtypes(exclude=["number", "category"])})
    replace_file(path, lambda file: table.to_parquet(file, index=False), binary=True)


def read(path: Path, source: IO[bytes] | Path | None = None) -> pd.DataFrame:
    """Read a table.

    Args:
        source: the file, where it is opened already.

    Raises:
        FileNotFoundError: there is none.
        OSError, ValueError: it cannot be read; ConfigError without the package that reads it.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    check(str(path))
    try:
        return pd.read_parquet(source or path)
    except (LookupError, TypeError, AttributeError, NotImplementedError, MemoryError) as error:  # of a damaged one
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _plain(column: pd.Series[Any]) -> pd.Series[Any]:
    """Numbers as they are; numbers with text among them as text, empty text as none: what CSV makes of them."""
    known = column.dropna()
    if known.map(lambda one: isinstance(one, int | float) and not isinstance(one, bool)).all():
        return column
    # As objects: the text type of pandas 2 makes the word "None" of an empty cell.
    return pd.Series([None if pd.isna(one) or one == "" else str(one) for one in column], column.index, dtype=object)

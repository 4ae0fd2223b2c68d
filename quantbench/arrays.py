"""Reads tables of numbers that are the user's own: .npy, .npz, .safetensors and Parquet, one file or a folder of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from quantbench.errors import ConfigError
from quantbench.install import how_to_install

SUFFIXES = (".npy", ".npz", ".safetensors", ".parquet")
Values = NDArray[Any]
FILE, FOLDER = "file", "folder"
"""Groups of a folder of files that no file has to name: each file, or each folder directly below."""


@dataclass(frozen=True)
class Table:
    """Rows of one file or of a folder of files, one after the other.

    Attributes:
        values: floating-point numbers, (rows, features); of a single .npy mapped into memory.
        labels: of each row, by what was asked for, (rows,).
        files: where rows come from, and the first row of each file.
    """

    values: Values
    labels: dict[str, Values]
    files: tuple[tuple[Path, int], ...]

    def place(self, row: int) -> str:
        """The file and the row within it, for messages."""
        path, first = next((path, first) for path, first in reversed(self.files) if first <= row)
        return f"{path}: row {row - first}"

    @property
    def file_of_row(self) -> NDArray[np.int64]:
        """The number of each row's file, (rows,)."""
        firsts = [first for _, first in self.files]
        return np.searchsorted(firsts, np.arange(len(self.values)), side="right").astype(np.int64) - 1


def find(path: Path) -> list[Path]:
    """The file, or all files of arrays below a folder, sorted. Raises ConfigError where there are none."""
    allowed = f"allowed are {', '.join(SUFFIXES)}, or a folder of one kind of these"
    if path.is_dir():
        found = sorted(one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES and one.is_file())
        kinds = sorted({one.suffix.lower() for one in found})
        if not found:
            raise ConfigError(f"simulator.file={path}: the folder holds no file of arrays; {allowed}")
        if len(kinds) > 1:
            raise ConfigError(f"simulator.file={path}: the folder holds files of several kinds ({', '.join(kinds)}); {allowed}")
        return found
    if not path.is_file():
        raise ConfigError(f"simulator.file={path}: no such file; name the array of your latents: {allowed}")
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"simulator.file={path}: is of a kind that is not read; {allowed}")
    return [path]


def fingerprint(path: Path, beside: Path | None = None) -> str:
    """A hash of what is in the files, and of their names relative to a folder; of ``beside`` too."""
    found = hashlib.sha256()
    for one in [*find(path), *([beside] if beside is not None else [])]:
        name = str(one.relative_to(path)) if one.is_relative_to(path) and one != path else ""
        with _opened(one).open("rb") as file:
            found.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return found.hexdigest()


def stamp(path: Path, beside: Path | None = None) -> str:
    """Names, sizes and times of the files: another one where they have been written anew."""
    every = [*find(path), *([beside] if beside is not None and beside.is_file() else [])]
    return "\n".join(f"{one} {one.stat().st_size} {one.stat().st_mtime_ns}" for one in every)


def read(path: Path, key: str | None, wanted: Mapping[str, str | None]) -> Table:
    """All rows of a file, or of a folder's files, and the labels that are wanted.

    Args:
        key: name of the array within each file; None where it is clear.
        wanted: the setting that asks for labels, and what it asks for: the name of an array in the same file, a .npy file
            beside it, or, of a folder, ``file`` or ``folder``. None for nothing.

    Raises:
        ConfigError: a file cannot be read, or does not hold (rows, features) of floating-point numbers.
    """
    files = find(path)
    parts: list[Values] = []
    firsts, rows = [], 0
    labels: dict[str, list[Values]] = {setting: [] for setting, name in wanted.items() if name is not None}
    for number, file in enumerate(files):
        arrays = _Arrays(file, key, [name for name in wanted.values() if name is not None])
        values = arrays.values()
        if parts and values.shape[1] != parts[0].shape[1]:
            raise ConfigError(
                f"simulator.file={path}: {file} has {values.shape[1]} features a row, and {files[0]} {parts[0].shape[1]}; all "
                f"files must have the same, features last"
            )
        for setting, found in labels.items():
            found.append(_labels(setting, wanted[setting] or "", arrays, path, number, len(values)))
        parts.append(values)
        firsts.append((file, rows))
        rows += len(values)
    whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return Table(whole, {setting: np.concatenate(found) for setting, found in labels.items()}, tuple(firsts))


def _labels(setting: str, name: str, arrays: _Arrays, path: Path, number: int, rows: int) -> Values:
    """The labels of the rows of one file."""
    if path.is_dir() and name == FILE:
        return np.full(rows, number)
    if path.is_dir() and name == FOLDER:
        inner = arrays.path.relative_to(path).parts
        if len(inner) < 2:
            raise ConfigError(f"{setting}={FOLDER}: {arrays.path} lies in no folder below {path}; allowed is {FILE}, too")
        return np.full(rows, inner[0])
    found = _beside(setting, name, arrays.path) if name.endswith(".npy") else arrays.label(setting, name)
    if found.shape != (rows,):
        raise ConfigError(f"{setting}={name}: is of the shape {found.shape}; must be one label for each of {rows} rows")
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise ConfigError(f"{setting}={name}: row {int(np.argmin(np.isfinite(found)))} has no label, but {found.min()}")
    return found


def _beside(setting: str, name: str, path: Path) -> Values:
    place = path.parent / name
    if not place.is_file():
        raise ConfigError(f"{setting}={name}: there is no such file beside {path}; it must hold one label a row")
    found: Values = _load(place)
    return found


class _Arrays:
    """The arrays of one file.

    Args:
        others: names of those that are labels.
    """

    def __init__(self, path: Path, key: str | None, others: list[str]) -> None:
        self.path, self.key, self.others = path, key, others
        self.kind = path.suffix.lower()
        if self.kind == ".npy" and key is not None:
            raise ConfigError(f"simulator.key={key}: {path} holds one array without a name; leave simulator.key out")
        self._of: Mapping[str, Any] = {}
        if self.kind != ".npy":
            opening = {".npz": _npz, ".safetensors": _safetensors, ".parquet": _parquet}[self.kind]
            self._of = opening(_opened(path))

    def values(self) -> Values:
        """The rows, (rows, features). Raises ConfigError."""
        found = _load(self.path) if self.kind == ".npy" else self._named()
        where = f"simulator.file={self.path}" + (f", {self.key}" if self.key else "")
        if found.dtype.kind != "f":
            raise ConfigError(
                f"{where}: holds numbers of the type {found.dtype}; must be floating-point: integers are codes or samples "
                f"more often than latents (if they are values, save them with .astype('float32'))"
            )
        if found.ndim != 2 or not found.shape[1]:
            advice = {1: "reshape(-1, 1) for rows of one feature", 0: "a single number is no data"}
            more = "for clips of equal length reshape(-1, features), and give simulator.groups"
            raise ConfigError(
                f"{where}: is of the shape {found.shape}; must be (rows, features): {advice.get(found.ndim, more)}"
            )
        return found if found.dtype.isnative else found.astype(found.dtype.newbyteorder("="))

    def label(self, setting: str, name: str) -> Values:
        """The labels with this name. Raises ConfigError."""
        if self.kind == ".npy":
            raise ConfigError(
                f"{setting}={name}: {self.path} holds one array alone; name a .npy file beside it that holds one label a row"
            )
        if name not in self._of:
            raise ConfigError(f"{setting}={name}: {self.path} has none of this name; it has {self._outline()}")
        return np.asarray(self._of[name])

    def _named(self) -> Values:
        if self.key is not None:
            if self.key not in self._of:
                raise ConfigError(f"simulator.key={self.key}: {self.path} has none of this name; it has {self._outline()}")
            return self._array(self.key)
        if self.kind == ".parquet" and (columns := self._columns()):
            return np.stack([self._array(name) for name in columns], axis=1)
        tables = [name for name in self._of if name not in self.others and len(self._shape(name)) > 1]
        tables = tables or [name for name in self._of if name not in self.others]
        if len(tables) != 1:
            raise ConfigError(f"simulator.file={self.path}: name the array by simulator.key; it has {self._outline()}")
        self.key = tables[0]
        return self._array(self.key)

    def _columns(self) -> list[str]:
        """The columns of a table that are features, where none holds whole vectors."""
        one = {name: self._array(name) for name in self._of if name not in self.others}
        if any(values.ndim > 1 for values in one.values()):
            return []
        return [name for name, values in one.items() if values.dtype.kind == "f"]

    def _array(self, name: str) -> Values:
        try:
            return np.asarray(self._of[name])
        except (ValueError, OSError, BadZipFile, TypeError) as error:  # a pickled or a damaged one
            raise ConfigError(f"simulator.file={self.path}, {name}: cannot be read ({error})") from error

    def _shape(self, name: str) -> tuple[int, ...]:
        return self._array(name).shape

    def _outline(self) -> str:
        return ", ".join(f"{name} {self._shape(name)}" for name in self._of) or "nothing"


def _opened(path: Path) -> Path:
    """The path, once it is known that it can be read. Raises ConfigError."""
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise ConfigError(f"simulator.file={path}: cannot be read ({error.strerror or error})") from error


def _load(path: Path) -> Values:
    """A .npy, mapped: copy on write, for torch wants memory that it may write to."""
    try:
        found: Values = np.load(_opened(path), mmap_mode="c", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ConfigError(f"simulator.file={path}: is no .npy file of numbers ({error})") from error
    return found


def _npz(path: Path) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError, BadZipFile) as error:
        raise ConfigError(f"simulator.file={path}: is no .npz file of arrays ({error})") from error
    if not hasattr(found, "files"):
        raise ConfigError(f"simulator.file={path}: is a .npy file under another name; rename it")
    return found


def _safetensors(path: Path) -> Mapping[str, Any]:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"simulator.file={path}: is no safetensors file ({error})") from error
    return {name: (one.float() if one.dtype == torch.bfloat16 else one).numpy() for name, one in found.items()}


def _parquet(path: Path) -> Mapping[str, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError(f"simulator.file={path}: Parquet is read by pyarrow: {how_to_install('parquet')}") from error
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise ConfigError(f"simulator.file={path}: is no Parquet file ({error})") from error
    return {name: _column(path, name, table.column(name)) for name in table.column_names}


def _column(path: Path, name: str, column: Any) -> Values:
    """A column as numbers (rows,), or as vectors (rows, features) where it holds lists of equal lengths."""
    import pyarrow.types

    kind = column.type
    if not (pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind) or pyarrow.types.is_fixed_size_list(kind)):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    joined = column.combine_chunks()
    flat = np.asarray(joined.flatten().to_numpy(zero_copy_only=False))
    if not len(column) or len(flat) % len(column) or len({*map(len, joined.to_pylist()[:1000])}) > 1:
        raise ConfigError(f"simulator.file={path}, {name}: holds lists of different lengths; all rows must have the same")
    return flat.reshape(len(column), -1)

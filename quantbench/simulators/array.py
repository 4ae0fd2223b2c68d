"""Rows of an array of the user's own: latents of a codec that exists, or any other frames."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quantbench import arrays
from quantbench.arrays import FILE, Table
from quantbench.components import State, between, component
from quantbench.errors import ConfigError
from quantbench.simulators import splits
from quantbench.simulators.base import Frames, Simulator
from quantbench.streams import Streams

FEWEST_TRAINED, FEWEST_HELD_OUT = 64, 16
CHUNK = 2**16
"""Rows looked at at a time, so that a file larger than memory can be read."""

GROUPS, SEQUENCES = "simulator.groups", "simulator.sequences"


@component
class Array(Simulator):
    """Rows of an array (rows, features), one frame each; the target is the input.

    Read from ``.npy`` (mapped into memory), ``.npz``, ``.safetensors`` or Parquet (extra ``parquet``), or from a folder of one
    kind of these. Held out are whole groups where there are some, each file of a folder being one; else stretches of rows
    evenly spread over the file, for neighbours in time are too much alike to judge each other. No finite number of bits is
    exact for this source.

    Attributes:
        file: the file, or a folder of files.
        key: name of the array in a file of several; of Parquet a column of vectors, or all columns of floating-point numbers
            where none is named.
        groups: what is held out as a whole, as a clip or a speaker: the name of an array (or column) in the same file with one
            label a row, a ``.npy`` file beside it, or for a folder ``file`` or ``folder`` (those directly below).
        sequences: labels likewise; rows follow each other in time where they stand one after the other with the same label.
            By default those of groups.
        rows: ``sequence`` where rows follow each other in time; ``independent`` where each stands alone, so that the
            held-out ones are drawn at random unless there are groups.
        normalise: ``whole``: each column's mean is taken away, and all columns are divided by one number, so that distances
            keep their proportions; ``columns``: each column gets unit variance; ``none``. By the rows that are trained on.
        held_out: share of the rows kept for evaluation.
        evaluate_on: of the held-out frames ``all``, or one of two halves, ``validation`` and ``test``.
    """

    paths = ("file",)

    file: str = "data/latents.npy"
    key: str | None = None
    groups: str | None = None
    sequences: str | None = None
    rows: Literal["sequence", "independent"] = "sequence"
    normalise: Literal["whole", "columns", "none"] = "whole"
    held_out: float = 0.1
    evaluate_on: Literal["all", "validation", "test"] = "all"

    def check(self) -> None:
        between("simulator.held_out", self.held_out, 0.001, 0.9)
        if self.rows == "independent" and self.sequences is not None:
            raise ConfigError(f"{SEQUENCES}={self.sequences}: says what follows what, and simulator.rows=independent denies it")
        self._load()

    def prepare(self) -> None:
        self._load()

    def fingerprint(self) -> str:
        return "-".join(arrays.fingerprint(Path(self.file), beside) for beside in self._beside() or [None])

    @property
    def shared_world(self) -> bool:
        return True

    @property
    def input_dim(self) -> int:
        return int(self._load()["rows"].shape[1])

    def world(self, streams: Streams) -> State:
        """The rows as they are in the file, which are trained on, which held out: the same for all, without a trial axis."""
        return {name: tensor.to(streams.device) for name, tensor in self._load().items()}

    def draw(self, world: State, streams: Streams, frames: int, purpose: str = "data") -> Frames:
        chosen = world["train"][streams.integers(purpose, len(world["train"]), frames)]
        frame = _normalised(world, chosen.flatten()).view(*chosen.shape, -1)
        return Frames(frame, frame)

    def evaluation(self, world: State, streams: Streams) -> Frames:
        """Every held-out row, the same for all trials."""
        held_out, runs = _normalised(world, world["held_out"]), world["runs"].tolist()
        if self.evaluate_on != "all":
            held_out, runs = splits.half(held_out, runs, first=self.evaluate_on == "validation")
        frames = held_out.expand(streams.trials, -1, -1)
        return Frames(frames, frames, runs=None if self.rows == "independent" else tuple(runs))

    def _beside(self) -> list[Path | None]:
        """Files with labels beside the file."""
        named = [name for name in (self.groups, self.sequences) if name is not None and name.endswith(".npy")]
        place = Path(self.file)
        return [] if place.is_dir() else [place.parent / name for name in named]

    def _load(self) -> State:
        path = Path(self.file).resolve()
        stamps = tuple(arrays.stamp(path, beside) for beside in self._beside() or [None])
        return _load(path, self.key, self.groups, self.sequences, self.rows, self.normalise, self.held_out, stamps)


def _normalised(world: State, rows: Tensor) -> Tensor:
    """Rows by their numbers (frames,): (frames, features)."""
    return (world["rows"].index_select(0, rows).float() - world["mean"]) / world["scale"]


@lru_cache(maxsize=2)
def _load(
    path: Path,
    key: str | None,
    groups: str | None,
    sequences: str | None,
    rows: str,
    normalise: str,
    share: float,
    stamps: tuple[str, ...],
) -> State:
    """A worker trains many stacks on the same rows: the last ones are kept. Raises ConfigError."""
    if path.is_dir() and groups is None:
        groups = FILE if len(arrays.find(path)) > 1 else None
    table = arrays.read(path, key, {GROUPS: groups, SEQUENCES: sequences})
    _check_finite(table)
    held_out = _held_out(table, rows, share, groups)
    train = np.flatnonzero(~held_out)
    kept = np.flatnonzero(held_out)
    if len(train) < FEWEST_TRAINED or len(kept) < FEWEST_HELD_OUT:
        raise ConfigError(
            f"simulator.file={path}: {len(held_out)} rows leave {len(train)} to train on and {len(kept)} held out with "
            f"simulator.held_out={share:g}; at least {FEWEST_TRAINED} and {FEWEST_HELD_OUT} are needed"
        )
    mean, spread = _moments(table, train)
    scale = {"whole": np.full_like(spread, np.sqrt(np.square(spread).mean())), "columns": spread}.get(normalise)
    mean, scale = (np.zeros_like(mean), np.ones_like(mean)) if scale is None else (mean, scale)
    runs = splits.runs_of(kept, _follow(table)[kept]) if rows == "sequence" else [len(kept)]
    found = {"train": train, "held_out": kept, "runs": np.array(runs)}
    state = {name: torch.from_numpy(one.astype(np.int64)) for name, one in found.items()}
    state |= {"mean": torch.from_numpy(mean.astype(np.float32)), "scale": torch.from_numpy(scale.astype(np.float32))}
    values = table.values if table.values.flags.writeable else table.values.copy()
    return state | {"rows": torch.from_numpy(values)}


def _held_out(table: Table, rows: str, share: float, groups: str | None) -> NDArray[np.bool_]:
    """Which rows are held out, (rows,)."""
    if GROUPS in table.labels:
        held_out = splits.by_groups(table.labels[GROUPS], share)
        if not held_out.any():
            raise ConfigError(f"{GROUPS}={groups}: all rows are of one group; at least 2 are needed, one of them to hold out")
        return held_out
    count = len(table.values)
    return (
        splits.by_time(count, share)
        if rows == "sequence"
        else splits.at_random(count, share)
        if count > 1
        else np.zeros(1, bool)
    )


def _follow(table: Table) -> NDArray[Any]:
    """A number for each row, (rows,), alike where rows that stand one after the other are of one sequence."""
    found = table.file_of_row
    for labels in table.labels.values():
        places = np.unique(labels, return_inverse=True)[1].reshape(-1)
        found = found * (int(places.max(initial=0)) + 1) + places
    return found


def _check_finite(table: Table) -> None:
    """Raise ConfigError where a number is not finite, or not as a float32."""
    for start in range(0, len(table.values), CHUNK):
        with np.errstate(over="ignore"):
            fine = np.isfinite(np.asarray(table.values[start : start + CHUNK], dtype=np.float32))
        if not fine.all():
            row, column = (int(one[0]) for one in np.nonzero(~fine))
            value = table.values[start + row, column]
            raise ConfigError(
                f"simulator.file={table.place(start + row)}, column {column} (both from 0): is {value}, which is no number of "
                f"32 bits; put the file right, or take the row out"
            )


def _moments(table: Table, train: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of every column over the rows to train on, (features,) each.

    Raises ConfigError where a column is constant: it says nothing, and no quantizer can be judged by it.
    """
    parts = [train[start : start + CHUNK] for start in range(0, len(train), CHUNK)]
    mean = sum(table.values[part].astype(np.float64).sum(0) for part in parts) / len(train)
    square = sum(np.square(table.values[part].astype(np.float64) - mean).sum(0) for part in parts) / len(train)
    alike = np.all([(table.values[part] == table.values[train[0]]).all(0) for part in parts], axis=0)
    if alike.any():
        column = int(alike.argmax())
        value = table.values[train[0], column]
        raise ConfigError(
            f"simulator.file={table.files[0][0]}: column {column} (from 0) is {value} in all rows to train on, as are "
            f"{int(alike.sum())} columns in all; take constant columns out"
        )
    return mean, np.sqrt(square)

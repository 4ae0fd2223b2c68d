"""Results of `quantbench tune`: a track of them as any run's results, a value a method, task and seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from quantbench.errors import ConfigError
from quantbench.metrics import Metric
from quantbench.results.load import Results
from quantbench.results.schema import BAD, COST, GROUPS, LABELS, NOTES, Status, setting_columns

PROTOCOL = 1
"""Version of docs/protocol.md; scores of two versions cannot be compared."""
DEFAULT, TUNED = "default", "tuned"
TRACKS = (DEFAULT, TUNED)
SCORE = "score"


def has_tracks(found: Results) -> bool:
    """Whether results are of `quantbench tune`."""
    return {*LABELS} <= {*map(str, found.results.columns)}


def of_track(found: Results, track: str | None = None) -> Results:
    """The scores of one track; of the tuned one, where none is said. Results of other runs are left as they are.

    In the tuned track a row is the median over the studies of a method, at a task and a seed: infinitely bad, that is diverged,
    where half of them or more are. What a search moved is no column any more, and tells no methods apart.

    Raises:
        ConfigError: a track is asked for that is not there.
    """
    if not has_tracks(found):
        if track is not None:
            raise ConfigError(f"--track {track}: these results have no tracks; `quantbench tune` makes some")
        return found
    track, table = track or TUNED, found.results
    table = table[(table["phase"] == SCORE) & (table["track"] == track)]
    if table.empty:
        raise ConfigError(f"--track {track}: there are no scores of it yet; `quantbench resume` goes on with the search")
    table = table.drop(columns=[name for name in found.tuned if name in table and name not in found.apart])
    notes = [*found.notes, f"track {track}"]
    if track == TUNED:
        studies = table.groupby(_keys(table), dropna=False, observed=True).size()
        few, most = int(studies.min()), int(studies.max())
        notes[-1] += f": medians over {most if few == most else f'{few} to {most}'} studies of each method, task and seed"
        table = _medians(table, found.metrics)
    table = table.drop(columns=LABELS).reset_index(drop=True)
    return replace(found, results=table, notes=notes, apart=[name for name in found.apart if name not in found.tuned])


def _keys(table: pd.DataFrame) -> list[str]:
    """What the studies of a method, a task and a seed have in common."""
    return [
        *(name for name in (*GROUPS, "experiment", "run", "seed") if name in table),
        *setting_columns(list(map(str, table))),
    ]


def _medians(table: pd.DataFrame, metrics: dict[str, Metric]) -> pd.DataFrame:
    """A row for each method, task and seed: the first study's, with medians over studies in the place of its metrics."""
    keys = table[_keys(table)].astype(object).where(table[_keys(table)].notna(), "")
    group = keys.groupby(list(keys.columns), sort=False).ngroup()
    status = table["status"].astype(str)
    bad = status.isin([str(one) for one in BAD])
    share = bad.groupby(group).mean()
    first = table.groupby(group, sort=False).head(1).copy()
    places = group[first.index].to_numpy()
    lost = share[places].to_numpy() >= 0.5
    for name in [str(one) for one in table.columns if str(one) in metrics and str(one) not in (*COST, *NOTES, "seed")]:
        sign = metrics[name].sign
        values = pd.to_numeric(table[name]).astype("float64")
        if sign:
            values = (sign * values).mask(bad, np.inf)
        found = values.mask(bad & (not sign)).groupby(group).median()[places].to_numpy()
        first[name] = np.where(lost, np.nan, sign * found if sign else found)
    worst = status.where(bad).groupby(group).first()[places].to_numpy()
    first["status"] = np.where(lost, worst, np.where(status[first.index] == Status.SKIPPED, Status.SKIPPED, Status.COMPLETED))
    return first

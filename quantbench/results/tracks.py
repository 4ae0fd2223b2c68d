"""Results of `quantbench tune`: a track of them as any run's results, a value a method, task and seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from quantbench.errors import ConfigError
from quantbench.metrics import Metric
from quantbench.results.frame import Frame, Values, find_metric, frame
from quantbench.results.load import Results
from quantbench.results.schema import BAD, COST, GROUPS, LABELS, NOTES, Status, setting_columns

PROTOCOL = 1
"""Version of docs/protocol.md; scores of two versions cannot be compared."""
DEFAULT, TUNED = "default", "tuned"
TRACKS = (DEFAULT, TUNED)
SEARCH, SCORE, SENSITIVITY = "search", "score", "sensitivity"


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
    if untuned := sorted(table.loc[table["phase"].isna(), "run"].astype(str).unique()) if "run" in table else []:
        raise ConfigError(f"{', '.join(untuned)}: has no tracks, and cannot be compared with results of `quantbench tune`")
    table = table[(table["phase"] == SCORE) & (table["track"] == track)]
    if table.empty:
        raise ConfigError(f"--track {track}: there are no scores of it yet; `quantbench resume` goes on with the search")
    table = told_less(table, found, labels=False)
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


def of_search(found: Results) -> Results:
    """The search of every method, with settings as seeds; their values are means over validation seeds. Raises ConfigError."""
    table = _phase(found, SEARCH)
    table = table.assign(seed=table["setting"])
    return replace(found, results=told_less(table, found), apart=[name for name in found.apart if name not in found.tuned])


def losses(found: Results, metric: str | None = None) -> tuple[pd.DataFrame, Frame]:
    """What single settings lose at the worst quartile of their priors, and the frame of the trials that show it.

    ``method``, ``task``, ``moved`` (a setting), ``loss`` (in the metric's unit, positive for worse, infinite for a failure).
    A trial that moves a setting is compared with the one that has all of them at their best and the same seed.

    Raises:
        ConfigError: there are no such trials.
    """
    moved = _phase(found, SENSITIVITY)
    score = _phase(found, SCORE)
    score = score[score["track"] == TUNED]
    chosen = find_metric(found, metric, goal=True)
    keys = [*_keys(told_less(score, found, labels=False)), "setting"]
    centre = score[keys].astype(str).assign(centre=_worst(score, chosen)).drop_duplicates(keys)
    joined = moved[keys].astype(str).assign(value=_worst(moved, chosen), row=moved.index).merge(centre, on=keys, how="inner")
    told = told_less(moved.loc[joined["row"]], found)
    rows = frame(replace(found, results=told, apart=[]), chosen.name, goal=True)
    values = told.assign(
        loss=(joined["value"] - joined["centre"]).to_numpy(), moved=moved.loc[joined["row"], "moved"].to_numpy()
    )
    values = values[np.isfinite(joined["centre"].to_numpy())]
    parts = rows.parts
    values = values.assign(method=parts.methods[values.index].to_numpy(), task=parts.tasks[values.index].to_numpy())
    at = moved.loc[joined["row"]].reset_index(drop=True)
    values["at"] = [at.loc[i, name] if name in at else None for i, name in zip(values.index, values["moved"], strict=True)]
    means = values.groupby(["method", "task", "moved", values["at"].astype(str)], sort=False)["loss"].mean()
    return means.groupby(["method", "task", "moved"], sort=False).max().reset_index(), rows


def _worst(table: pd.DataFrame, metric: Metric) -> Values:
    """Scores of which less is better, infinite for failures."""
    values = metric.sign * pd.to_numeric(table[metric.name]).to_numpy(float, na_value=np.nan)
    return np.where(table["status"].astype(str) == Status.COMPLETED, values, np.inf)


def _phase(found: Results, phase: str) -> pd.DataFrame:
    if not has_tracks(found):
        raise ConfigError(f"these results have no {phase}; `quantbench tune` makes one")
    table = found.results[found.results["phase"] == phase]
    if table.empty:
        raise ConfigError(f"these results have no trial of the {phase}" + ("; sensitivity=1" * (phase == SENSITIVITY)))
    return table.reset_index(drop=True)


def told_less(table: pd.DataFrame, found: Results, labels: bool = True) -> pd.DataFrame:
    """A table without what a search moved."""
    gone = [*(name for name in found.tuned if name not in found.apart), *(LABELS if labels else [])]
    return table.drop(columns=[name for name in gone if name in table]).reset_index(drop=True)

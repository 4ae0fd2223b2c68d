"""What a search chose, and how often."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from quantbench.errors import ConfigError
from quantbench.results.frame import frame
from quantbench.results.load import Results
from quantbench.results.render import number, render, wrapped
from quantbench.results.schema import Status
from quantbench.results.tracks import SCORE, SEARCH, TUNED, has_tracks, told_less

MOST_COUNTED = 6
"""Values of a setting that are counted one by one; of more there are the median and the range."""
COLUMNS = ["method", "setting", "studies", "chosen", "tried"]


def chosen(found: Results) -> pd.DataFrame:
    """Which settings the studies of each method chose, over all tasks; a row a method and searched setting.

    ``studies`` is how many choices there are; ``chosen`` and ``tried`` say the values in words: how often each of a few, else
    the median and the range, and beside them how often 0.

    Raises:
        ConfigError: these are no results of `quantbench tune`, or there are no scores yet.
    """
    if not has_tracks(found):
        raise ConfigError("--chosen: these results have no search; `quantbench tune` makes one")
    table = found.results
    of_interest = (table["track"] == TUNED) & table["phase"].isin([SEARCH, SCORE]) & (table["status"] != Status.SKIPPED)
    table = table[of_interest].reset_index(drop=True)
    if not (table["phase"] == SCORE).any():
        raise ConfigError("--chosen: there are no scores yet; `quantbench resume` goes on with the search")
    parts = frame(replace(found, results=told_less(table, found), apart=[]), None, goal=True).parts
    table = table.assign(method=parts.methods.to_numpy(), task=parts.tasks.to_numpy())
    scored = table[table["phase"] == SCORE].drop_duplicates(["method", "task", "study"])
    rows = []
    for method, own in scored.groupby("method", sort=False):
        tried = table[(table["phase"] == SEARCH) & (table["method"] == method)]
        for name in found.tuned:
            if name in table and tried[name].nunique() > 1:
                few = tried[name].nunique() <= MOST_COUNTED
                rows.append((method, name, len(own), _words(own[name], few), _words(tried[name], few)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _words(values: pd.Series, few: bool) -> str:
    """Values in words; ``few`` are counted, the most frequent first."""
    if few:
        counts = values.map(number).value_counts(sort=False).sort_values(ascending=False, kind="stable")
        return ", ".join(f"{value}: {count}" for value, count in counts.items())
    numbers = pd.to_numeric(values)
    zeros, others = int((numbers == 0).sum()), numbers[numbers != 0]
    ends = [number(float(one), 2) for one in (others.median(), others.min(), others.max())]
    words = f"{ends[0]} [{ends[1]}, {ends[2]}]" if len(others) else ""
    return ", ".join(filter(None, [words, f"0: {zeros}" if zeros else ""]))


def render_chosen(table: pd.DataFrame, form: str = "table") -> str:
    """The table with what its columns say."""
    text = render(COLUMNS, table.to_numpy().tolist(), form)
    if form in ("csv", "json"):
        return text
    words = "What the studies chose, over all tasks, and what was tried: how often, or the median [least, most]."
    return f"{wrapped(words)}\n\n{text}"

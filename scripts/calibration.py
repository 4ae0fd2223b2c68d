"""Measures what the intervals, tests and marks of this project hold, on simulated results whose truth is known.

    python scripts/calibration.py [--replications 2000] [--write]

Prints the table of docs/statistics.md; with --write it goes into docs/data/statistics/calibration.csv and into that page. About
ten minutes with 2000 replications. Values vary from seed to seed in one of five ways (``SHAPES``).
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap, kendalltau, trim_mean

from quantbench.results.diff import BETTER, WORSE, compare
from quantbench.results.frame import frame
from quantbench.results.kendall import kendall, signs, tau_interval
from quantbench.results.load import Results, of_table
from quantbench.results.rank import rank
from quantbench.results.rate_distortion import bjontegaard
from quantbench.results.render import render
from quantbench.results.statistics import (
    SIGNIFICANT,
    holm,
    interquartile_interval,
    mean_interval,
    more_failures,
    paired_difference,
)

DOCS = Path(__file__).parents[1] / "docs"
DATA, PAGE = DOCS / "data" / "statistics" / "calibration.csv", DOCS / "statistics.md"
BEGIN, END = "<!-- calibration: written by scripts/calibration.py -->", "<!-- end -->"

Values = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Values]


def _collapsing(generator: np.random.Generator, size: tuple[int, ...]) -> Values:
    return generator.normal(size=size) + 10 * (generator.random(size) < 0.2)


SHAPES: dict[str, tuple[Draw, float]] = {
    "normal": (lambda generator, size: generator.normal(size=size), 0.0),
    "steps of an eighth": (lambda generator, size: np.round(1.2 * generator.normal(size=size)) / 8, 0.0),
    "lognormal": (lambda generator, size: generator.lognormal(size=size), math.exp(0.5)),
    "one seed in five collapsing": (_collapsing, 2.0),
    "Student's t, 3 degrees": (lambda generator, size: generator.standard_t(3, size=size), 0.0),
}
"""How values vary, and their mean."""


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        promised: at most so often (``<=``) or at least (``>=``), where something is promised.
        measured: share of the replications.
        error: its standard error.
    """

    question: str
    case: str
    seeds: str
    promised: str
    measured: float
    error: float


def row(question: str, case: str, seeds: object, promised: str, hits: list[bool]) -> Row:
    share = float(np.mean(hits))
    return Row(question, case, str(seeds), promised, share, math.sqrt(max(share * (1 - share), 1e-4) / len(hits)))


def intervals(replications: int, generator: np.random.Generator) -> Iterator[Row]:
    """Coverage of the intervals of a mean, and of an interquartile mean (of its mean over samples of this size)."""
    for shape, (draw, mean) in SHAPES.items():
        for seeds in (3, 5, 10, 20):
            found = [mean_interval(values) for values in draw(generator, (replications, seeds))]
            promised = ">= 94 %" if shape == "normal" else ""
            yield row("interval of a mean", shape, seeds, promised, [one.low <= mean <= one.high for one in found])
    for shape, (draw, _) in SHAPES.items():
        for seeds in (3, 5, 10):
            truth = float(trim_mean(draw(generator, (200_000, seeds)), 0.25, axis=1).mean())
            found = [interquartile_interval(values[None]) for values in draw(generator, (replications, seeds))]
            promised = ">= 94 %" if shape == "normal" else ""
            yield row("rank: interval of an interquartile mean", shape, seeds, promised, [_in(truth, one) for one in found])
    tasks = generator.normal(size=(replications, 6, 5)) + generator.normal(size=(replications, 1, 5))
    covered = [_in(0.0, interquartile_interval(one)) for one in tasks]
    yield row("rank: interval of an interquartile mean", "normal, 6 tasks that share their seeds", 5, ">= 94 %", covered)
    tasks[:, 0, 0] = np.nan
    covered = [_in(0.0, interquartile_interval(one)) for one in tasks]
    yield row("rank: interval of an interquartile mean", "the same, one value of 30 missing", 5, ">= 94 %", covered)


def _in(truth: float, interval: tuple[float, float, float]) -> bool:
    return bool(interval[1] <= truth <= interval[2])


def tests(replications: int, generator: np.random.Generator) -> Iterator[Row]:
    """How often one test, and a family of ten, finds a difference where nothing changed."""
    for shape, (draw, _) in SHAPES.items():
        for seeds in (3, 5, 10, 16):
            a, b = draw(generator, (2, replications, seeds))
            found = [paired_difference(y - x, max(np.abs(x).max(), np.abs(y).max())).p for x, y in zip(a, b, strict=True)]
            yield row("diff: one line, nothing changed, marked", shape, seeds, "<= 5 %", [p < SIGNIFICANT for p in found])
    for seeds in (5, 10):
        for rate in (0.2, 0.5):
            bad = (generator.random((2, replications, seeds)) < rate).sum(axis=2).T
            hits = [more_failures(int(before), int(after), seeds) < SIGNIFICANT for before, after in bad]
            yield row("diff: more diverge, nothing changed", f"{rate:.0%} of the trials diverge", seeds, "<= 5 %", hits)


def table(values: Values, **columns: object) -> Results:
    """Results of values (methods, tasks, seeds); methods are levels of the commitment weight, tasks those of the bits."""
    methods, tasks, seeds = np.indices(values.shape).reshape(3, -1)
    rows = {
        "trial": [f"{m}-{t}-{s}" for m, t, s in zip(methods, tasks, seeds, strict=True)],
        "status": "completed",
        "seed": seeds,
        "simulator": "gaussian",
        "quantizer": "vq",
        "gradient": "ste",
        "simulator.bits": tasks,
        "quantizer.commitment": methods,
        "nmse_db": values.ravel(),
    }
    return of_table(pd.DataFrame(rows).assign(**columns))


def families(replications: int, generator: np.random.Generator) -> Iterator[Row]:
    """The commands themselves: ten lines of a diff, letters of a ranking, separated pairs of a transfer."""
    for shape, (draw, _) in SHAPES.items():
        marks, regressions = [], []
        for _ in range(replications):
            found = compare(*(table(draw(generator, (10, 1, 5))) for _ in range(2)), ["nmse_db"])
            marks.append(any(line.mark in (BETTER, WORSE) for line in found.lines))
            regressions.append(found.regressions > 0)
        yield row("diff: any of ten lines, nothing changed, marked", shape, 5, "<= 5 %", marks)
        yield row("diff --fail-on-regression: ten lines, nothing changed, fails", shape, 5, "<= 5 %", regressions)
    for shape, (draw, _) in SHAPES.items():
        hits = [_separated(draw(generator, (5, 2, 10)), "seeds") for _ in range(replications)]
        yield row("rank: any two of five methods that are alike, told apart", shape, "2 tasks x 10", "<= 5 %", hits)
    for tasks in (2, 12):
        shared = ((5, 1, 10), (5, tasks, 10))
        hits = [_separated(sum(generator.normal(size=size) for size in shared), "seeds") for _ in range(replications)]
        case = "normal; half of what a seed does to a method is alike in all tasks"
        yield row("rank: any two of five methods that are alike, told apart", case, f"{tasks} tasks x 10", "<= 5 %", hits)
    for over, promised in (("seeds", ""), ("tasks", "<= 5 %")):
        hits = []
        for _ in range(replications):
            own = generator.normal(size=(5, 12, 1))  # of a method in a task: on average over all tasks there could be, none
            hits.append(_separated(own + 0.5 * generator.normal(size=(5, 12, 10)), over))
        case = "they differ by task, not on average over tasks"
        yield row(f"rank --over {over}: any two of five methods told apart", case, "12 tasks x 10", promised, hits)
    for seeds in (3, 5):
        hits = []
        for _ in range(replications):
            values = generator.normal(size=(12, seeds))
            pairs = [paired_difference(values[i] - values[j]).p for i in range(12) for j in range(i)]
            hits.append(bool((holm(pairs) < SIGNIFICANT).any()))
        yield row("transfer: any of 66 pairs without a difference, separated", "normal", seeds, "<= 5 %", hits)


def _separated(values: Values, over: str) -> bool:
    (found,) = rank(frame(table(values), "nmse_db", goal=True), over)  # type: ignore[arg-type]
    return bool((found.p_values < SIGNIFICANT).any())


def correlations(replications: int, generator: np.random.Generator) -> Iterator[Row]:
    """Coverage of tau's interval: tau of the true means of these methods, which are normal with a known correlation."""
    for correlation in (0.9, 0.5, 0.0):
        for noise in (0.3, 1.0):
            for seeds in (3, 5):
                hits = []
                for _ in range(replications):
                    means = generator.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], 10).T
                    toy, real = (
                        mean[:, None] + noise * generator.normal(size=(10, count)) + generator.normal(size=count)
                        for mean, count in zip(means, (5, seeds), strict=True)
                    )
                    low, high = tau_interval(toy, real)
                    hits.append(bool(low - 1e-9 <= kendalltau(*means).statistic <= high + 1e-9))
                case = f"10 methods, true correlation {correlation}, noise of a seed {noise} of the methods' spread"
                yield row("transfer: interval of tau", case, f"5 and {seeds}", ">= 94 %", hits)


def curves(replications: int, generator: np.random.Generator) -> Iterator[Row]:
    """Coverage of BD-rate's interval: a method that takes a tenth more rate on average, by normal amounts at each seed."""
    bits = np.array([2.0, 3, 4, 5, 6])
    for seeds in (3, 5, 10):
        hits = []
        for _ in range(replications):
            more = np.log(1.1) + 0.1 * generator.normal(size=seeds)
            rates = np.stack([np.tile(bits, (seeds, 1)), bits * np.exp(more)[:, None]])  # (methods, seeds, points)
            methods, seed, point = np.indices(rates.shape).reshape(3, -1)
            rows = pd.DataFrame(
                {
                    "trial": [f"{m}-{s}-{p}" for m, s, p in zip(methods, seed, point, strict=True)],
                    "status": "completed",
                    "seed": seed,
                    "quantizer": np.where(methods == 0, "vq", "fsq"),
                    "gradient": "ste",
                    "quantizer.codes": 2 ** bits[point],
                    "rate_bits": rates.ravel(),
                    "nmse_db": np.tile(-6.02 * np.log(bits), 2 * seeds),
                }
            )
            rows["rate_bits"], rows["spent_bits"] = bits[point], rates.ravel()
            found = frame(of_table(rows, ["quantizer.codes"]), "nmse_db", over_rates=True, goal=True, rate="spent_bits")
            (one,) = bjontegaard(found, "vq ste")
            hits.append(_in(100 * (1.1 - 1), one.rate))
        yield row("rank --against: interval of BD-rate", "normal logarithms", seeds, ">= 94 %", hits)


def alternatives(replications: int, generator: np.random.Generator) -> Iterator[Row]:
    """What is not used, on the same values: bootstrap intervals of a mean, and of tau by resampling seeds."""
    for shape, (draw, mean) in SHAPES.items():
        for seeds in (3, 5, 10):
            values = draw(generator, (replications, seeds))
            chosen = generator.integers(seeds, size=(1000, seeds))
            ends = np.quantile(values[:, chosen].mean(axis=2), [0.025, 0.975], axis=1)
            yield row("not used: percentile bootstrap of a mean", shape, seeds, "", list((ends[0] <= mean) & (mean <= ends[1])))
        values = draw(generator, (replications, 5))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that are all the same
            found = bootstrap((values,), np.mean, axis=1, method="BCa", n_resamples=1000, rng=generator).confidence_interval
        yield row("not used: BCa bootstrap of a mean", shape, 5, "", list((found.low <= mean) & (mean <= found.high)))
    for correlation in (0.9, 0.5, 0.0):
        for noise in (0.3, 1.0):
            hits = []
            for _ in range(replications // 4):
                means = generator.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], 10).T
                sides = [
                    mean[:, None] + noise * generator.normal(size=(10, seeds))
                    for mean, seeds in zip(means, (5, 3), strict=True)
                ]
                drawn = [one[:, generator.integers(one.shape[1], size=(500, one.shape[1]))].mean(axis=2).T for one in sides]
                low, high = np.quantile(kendall(*map(signs, drawn)), [0.025, 0.975])
                hits.append(bool(low - 1e-9 <= kendalltau(*means).statistic <= high + 1e-9))
            case = f"10 methods, true correlation {correlation}, noise of a seed {noise} of the methods' spread"
            yield row("not used: percentile bootstrap of tau", case, "5 and 3", "", hits)


def measure(replications: int, seed: int = 0) -> list[Row]:
    """The whole table. Commands as a whole are simulated half as often, for they take longer."""
    generator = np.random.default_rng(seed)
    rows = [*intervals(2 * replications, generator), *tests(2 * replications, generator)]
    return [
        *rows,
        *(one for part in (families, correlations, curves, alternatives) for one in part(replications // 2, generator)),
    ]


def rendered(rows: pd.DataFrame) -> str:
    """The table as Markdown."""
    cells = [
        [one.question, one.case, str(one.seeds), "" if pd.isna(one.promised) else one.promised, _share(one.measured, one.error)]
        for one in rows.itertuples()
    ]
    return render(["what", "values", "seeds", "promised", "measured"], cells, "markdown")


def _share(measured: float, error: float) -> str:
    return f"{100 * measured:.1f} % ± {100 * error:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--replications", type=int, default=2000)
    parser.add_argument("--write", action="store_true", help="into docs/data/statistics and docs/statistics.md")
    arguments = parser.parse_args()
    rows = pd.DataFrame(measure(arguments.replications))
    if arguments.write:
        DATA.parent.mkdir(parents=True, exist_ok=True)
        rows.round(4).to_csv(DATA, index=False)
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{rendered(rows.round(4))}\n{END}{rest.partition(END)[2]}")
    print(rendered(rows))


if __name__ == "__main__":
    main()

"""Puts what commands print into the pages that show it.

    python scripts/pages.py [--check]

With ``--check`` nothing is written: it says which pages are out of date, and exits with 1 where one is.
A block of text after ``<!-- quantbench COMMAND ... -->`` becomes that command's output, run at the root of the checkout on
tables of docs/data; after ``<!-- summary FOLDER -->`` the table that the run printed when it ended, after
``<!-- audit FOLDER -->`` the verdicts of an audit, after ``<!-- order AUDIT RUN -->`` whether its cosines order strategies as
what they reach in a run does, after ``<!-- prefixes FOLDER -->`` the distortion of the first stages of a residual quantizer.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from quantbench.cli import main as quantbench
from quantbench.results.audit_table import audit_summary, read_audit
from quantbench.results.load import load
from quantbench.results.render import render
from quantbench.results.statistics import mean_interval
from quantbench.results.summary import summary

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/statistics.md", "docs/findings.md")
BLOCK = re.compile(r"<!-- (quantbench|summary|audit|order|prefixes) (.*?) -->\n```text\n.*?```", re.DOTALL)


def output(kind: str, words: str) -> str:
    """What stands in a block."""
    if kind == "summary":
        return summary(load(ROOT / words, curves=False))
    if kind == "audit":
        return audit_summary(read_audit(ROOT / words / "audit.csv"))
    if kind == "order":
        return order(*words.split())
    if kind == "prefixes":
        return prefixes(load(ROOT / words, curves=False).results)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.chdir(ROOT):
        code = quantbench(shlex.split(words))
    if code:
        raise SystemExit(f"quantbench {words}: exit code {code}")
    return f"$ quantbench {words}\n{out.getvalue().rstrip()}"


def order(audit: str, run: str) -> str:
    """Kendall's tau between mean cosine and distortion of strategies, with its p-value, by width; without ``vp_small``."""
    cosines, table = pd.read_csv(ROOT / audit / "audit.csv"), load(ROOT / run, curves=False).results
    rows: list[list[object]] = []
    for (quantizer, moment), part in cosines[cosines["gradient"] != "vp_small"].groupby(["quantizer", "moment"], sort=False):
        reached = table[table["quantizer"] == quantizer].groupby("gradient")["nmse_db"].mean()
        for sigma, one in part.groupby("sigma"):
            both = pd.concat([one.groupby("gradient")["cosine"].mean(), -reached], axis=1).dropna()
            found = kendalltau(*(both[name] for name in both))
            rows.append([quantizer, moment, f"{sigma:g}", len(both), f"{found.statistic:.2f}", f"{found.pvalue:.3f}"])
    return render(["quantizer", "moment", "width", "strategies", "tau", "p, unadjusted"], rows)


def prefixes(table: pd.DataFrame) -> str:
    """Distortion in dB after each stage of the longest codecs, by dropout, and of codecs that have no more stages."""
    most = int(table["quantizer.stages"].max())
    whole, rows = table[table["quantizer.stages"] == most], []
    shares = sorted(whole["quantizer.dropout"].unique())
    for stage in range(1, most + 1):
        alone = table[(table["quantizer.stages"] == stage) & (stage < most)]
        parts = [alone["mse"], *(whole.loc[whole["quantizer.dropout"] == share, f"mse_{stage}"] for share in shares)]
        rows.append([stage, *(mean_interval(10 * np.log10(part.to_numpy(float))) for part in parts)])
    return render(["stages", "trained alone", *(f"dropout {share:g}" for share in shares)], rows)


def rendered(page: str) -> str:
    """A page with its blocks filled."""
    return BLOCK.sub(lambda found: f"<!-- {found[1]} {found[2]} -->\n```text\n{output(found[1], found[2])}\n```", page)


def main(words: list[str]) -> int:
    """Write the pages, or check them."""
    code = 0
    for name in PAGES:
        before = (ROOT / name).read_text()
        after = rendered(before)
        if "--check" not in words:
            (ROOT / name).write_text(after)
        elif after != before:
            print(f"{name} is out of date; run python scripts/pages.py", file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

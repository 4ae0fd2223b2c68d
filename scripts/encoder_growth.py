"""Draws the standard deviation of the encoder's output over training for STE, with and without commitment, and mSTE.

    python scripts/encoder_growth.py PICTURE.svg RUN_FOLDER...

One panel a run; a line is the geometric mean over seeds, thin lines are the seeds. Diverged trials end where they diverged.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quantbench.results.tables import read_results

SHOWN = {
    ("ste", 0.0): ("STE, no commitment", "#c2410c"),
    ("ste", 0.25): ("STE, commitment 0.25", "#1d4ed8"),
    ("mste", 0.0): ("mSTE, no commitment", "#047857"),
}


def panel(axes: Axes, folder: Path) -> None:
    results, curves = read_results(folder), pd.read_csv(folder / "curves.csv")
    spread = curves[curves["metric"] == "encoder_std"]
    results = results[results["quantizer"] == "vq"]
    for (gradient, commitment), (label, colour) in SHOWN.items():
        chosen = results[(results["gradient"] == gradient) & (results["quantizer.commitment"].astype(float) == commitment)]
        lines = spread[spread["trial"].isin(chosen["trial"])].pivot(index="step", columns="trial", values="value")
        axes.plot(lines.index, lines, color=colour, linewidth=0.7, alpha=0.5)
        axes.plot(lines.index, np.exp(np.log(lines).mean(axis=1)), color=colour, linewidth=2, label=label)
    axes.set_yscale("log")
    axes.set_title(" and ".join(results["codec"].unique()), loc="left")
    axes.set_xlabel("optimizer step")
    axes.grid(color="#e6e9ef", linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    arguments = parser.parse_args()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "quantbench", "font.size": 9}):
        figure = Figure(figsize=(3.6 * len(arguments.runs) + 0.6, 3.4), layout="constrained")
        axes = figure.subplots(1, len(arguments.runs), squeeze=False, sharey=True)[0]
        for one, folder in zip(axes, arguments.runs, strict=True):
            panel(one, folder)
        axes[0].set_ylabel("standard deviation of the encoder's output")
        axes[0].legend(frameon=False, loc="upper left")
        figure.savefig(arguments.picture, dpi=160, metadata={"Date": None} if arguments.picture.suffix == ".svg" else None)


if __name__ == "__main__":
    main()

"""Makes the pictures of README.md in docs/images.

    python scripts/pictures.py [--results OUTPUTS] [--images docs/images]

Takes the latest run of each experiment below OUTPUTS (outputs), and runs those that are not there: about six minutes on two
cores in all.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from quantbench.cli import main as quantbench

PICTURES = {
    "ste_vs_anneal": {"growth": [], "curves": []},
    "ste_stability": {"growth": ["--by", "gradient,quantizer.commitment"]},
    "gaussian_limit": {"rate_distortion": []},
}
"""Kinds of pictures by experiment, with their options."""


def latest(experiment: str, outputs: Path) -> Path:
    """The folder of the experiment's latest complete run, which is run where there is none."""

    def runs() -> list[Path]:
        folder = outputs / experiment
        found = [one for one in folder.iterdir() if (one / "results.csv").exists()] if folder.is_dir() else []
        return sorted(one for one in found if not (one / "journal").exists())

    if not runs() and (code := quantbench(["run", f"+experiment={experiment}", f"output={outputs}"])):
        sys.exit(code)
    return runs()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, default=Path("outputs"), help="folder of runs (outputs)")
    parser.add_argument("--images", type=Path, default=Path(__file__).parents[1] / "docs" / "images", help="folder of pictures")
    arguments = parser.parse_args()
    for experiment, kinds in PICTURES.items():
        folder = latest(experiment, arguments.results)
        for kind, options in kinds.items():
            path = arguments.images / f"{experiment}_{kind}.svg"
            if code := quantbench(["plot", str(folder), "--kind", kind, "--output", str(path), *options]):
                sys.exit(code)


if __name__ == "__main__":
    main()

"""Makes the pictures of README.md in docs/images.

    python scripts/pictures.py [--results OUTPUTS] [--images docs/images]

Takes the latest run of each experiment below OUTPUTS (outputs), and runs those that are not there: about six minutes on two
cores in all. A run that is not the experiment as it is composed now (a shorter one, other seeds or methods) is refused.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from quantbench.cli import main as quantbench
from quantbench.errors import ConfigError
from quantbench.results.layout import text
from quantbench.results.load import load
from quantbench.results.schema import GROUPS
from quantbench.sweeps.compose import compose
from quantbench.sweeps.plan import Plan, plan
from quantbench.sweeps.trial import Trial
from quantbench.terminal import complain

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


def check(folder: Path, experiment: str) -> None:
    """Raise ConfigError where a run is not the experiment as it is composed now: the same trials, each with its settings."""
    table, wanted = load(folder, curves=False).results, plan(compose([f"+experiment={experiment}"]))
    there, asked = set(table["trial"].astype(str)), {trial.id for trial in wanted.trials}
    if there == asked:
        return
    words = differences(table, wanted) or ["a setting that is the same in all trials: see its sweep.yaml"]
    raise ConfigError(
        f"{folder}: is not the experiment {experiment} as it is composed now: {len(asked - there)} of its {len(asked)} trials "
        f"are missing, and {len(there - asked)} others are there; {'; '.join(words)}. Move the folder away to have it run again"
    )


def differences(table: pd.DataFrame, wanted: Plan) -> list[str]:
    """Settings of which a table has other values than are wanted."""
    names = ["steps", "seed", *GROUPS, *wanted.columns]
    found = {name: set(table[name].map(text)) for name in dict.fromkeys(names) if name in table}
    asked = {name: {text(_setting(trial, name)) for trial in wanted.trials} for name in found}
    return [
        f"{name}: {_said(found[name])} in place of {_said(asked[name])}"
        for name in found
        if found[name] - {""} != asked[name] - {""}
    ]


def _setting(trial: Trial, name: str) -> object:
    if name in GROUPS:
        return trial.choices.get(name)
    if name == "seed":
        return trial.config["seed"]
    node: object = trial.config["train"] if name == "steps" else trial.config
    for part in name.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def _said(values: Iterable[str]) -> str:
    shown = sorted((one or "none" for one in values), key=lambda one: (len(one), one))
    return ", ".join(shown[:8]) + (f", ... ({len(shown)})" if len(shown) > 8 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, default=Path("outputs"), help="folder of runs (outputs)")
    parser.add_argument("--images", type=Path, default=Path(__file__).parents[1] / "docs" / "images", help="folder of pictures")
    arguments = parser.parse_args()
    for experiment, kinds in PICTURES.items():
        folder = latest(experiment, arguments.results)
        try:
            check(folder, experiment)
        except ConfigError as error:
            complain(error)
            sys.exit(error.exit_code)
        for kind, options in kinds.items():
            path = arguments.images / f"{experiment}_{kind}.svg"
            if code := quantbench(["plot", str(folder), "--kind", kind, "--output", str(path), *options]):
                sys.exit(code)


if __name__ == "__main__":
    main()

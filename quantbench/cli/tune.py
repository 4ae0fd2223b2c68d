"""`quantbench tune`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    tune = commands.add_parser(
        "tune",
        help="tune every method alike, and score what was chosen: quantbench tune +experiment=verdict_small",
        description="By docs/protocol.md: settings of each method's search space on validation seeds, and the choices of "
        "several studies on test seeds. Takes Hydra's grammar as `run` does, and budget=25 studies=5 validation=1 "
        "sensitivity=1 score=nmse_db. `quantbench resume` goes on with it.",
    )
    tune.add_argument("overrides", nargs="*", help="as for run; seed=range(0,5) are the test seeds")
    tune.add_argument("--config-dir", type=Path, help="a folder with choices of your own")
    tune.add_argument("--output", help="folder of all results (outputs)")
    tune.add_argument("--name", help="of the run's folder there, a new one (its time)")
    tune.add_argument("--dry-run", action="store_true", help="say how many trainings there are and how long they take here")
    tune.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from quantbench.sweeps.compose import compose
    from quantbench.sweeps.hydra_tools import own_settings
    from quantbench.sweeps.tune import asked, tune

    words = [*arguments.overrides, *(["dry_run=true"] if arguments.dry_run else [])]
    own = own_settings(words, arguments.output, arguments.name)
    settings, rest = asked(words)
    tune(compose(rest, arguments.config_dir).given(own), settings, arguments.config_dir)
    return 0

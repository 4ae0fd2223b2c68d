"""`quantbench resume`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from quantbench.cli.options import run_path


def add(commands: Any) -> None:
    resume = commands.add_parser("resume", help="finish an interrupted sweep")
    resume.add_argument("folder", type=run_path, help="the folder of the run, or latest for the last one")
    resume.add_argument(
        "--config-dir", type=Path, action="append", default=[], help="a folder with classes of your own that the sweep may use"
    )
    resume.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="NAME",
        help="an installed package that the sweep may use; slurm, whose jobs it may submit; the address of its Dask scheduler",
    )
    resume.add_argument(
        "--collect", action="store_true", help="take what Slurm's jobs finished, submit what is missing, and do not wait"
    )
    resume.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from quantbench.paths import whole
    from quantbench.sweeps import runner, tune

    folder = whole(arguments.folder)
    resume = tune.resume if tune.is_search(folder) else runner.resume
    resume(folder, arguments.config_dir, arguments.allow, arguments.collect)
    return 0

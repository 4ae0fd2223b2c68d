"""`quantbench list`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from quantbench.cli.options import FORMATS
from quantbench.terminal import show


def add(commands: Any) -> None:
    listing = commands.add_parser(
        "list",
        help="show the choices of every group and which pairs fit; `list quantizer vq`: what the settings of a choice mean; "
        "`list metrics`: what is measured",
    )
    listing.add_argument("group", nargs="?", help="one group only, or metrics, train or run")
    listing.add_argument("choice", nargs="?", help="one choice of the group, with the meaning of all of its settings")
    listing.add_argument("--config-dir", type=Path, help="a folder with choices of your own")
    listing.add_argument("--format", default="table", choices=FORMATS)
    listing.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from quantbench.sweeps.listing import listing

    show(listing(arguments.group, arguments.config_dir, arguments.format, arguments.choice), arguments.format)
    return 0

"""`quantbench new`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from quantbench.terminal import say


def add(commands: Any) -> None:
    new = commands.add_parser(
        "new", help="write a quantizer, gradient, simulator or codec of your own to start from, with its test"
    )
    new.add_argument("group", choices=("quantizer", "gradient", "simulator", "codec"))
    new.add_argument("name", help="its name, as my_quantizer: of the choice, of the file and, as MyQuantizer, of the class")
    new.add_argument("--folder", type=Path, help="where to write it; by default a new folder with its name")
    new.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from quantbench.scaffold import new

    files, next_words = new(arguments.group, arguments.name, arguments.folder)
    say("\n".join(["written:", *(f"  {path}" for path in files), "try:", *(f"  {words}" for words in next_words)]))
    return 0

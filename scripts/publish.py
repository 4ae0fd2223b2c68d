"""Copies a finished search, without metrics that nobody ranks by, to where `rank --with published` finds it.

Usage: python scripts/publish.py FOLDER [NAME]
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from quantbench.paths import published_folder
from quantbench.results.schema import IDENTITY, LABELS, setting_columns
from quantbench.results.tables import read_results, write

KEPT = [
    "mse",
    "nmse_db",
    "excess_bits",
    "rate_bits",
    "spent_bits",
    "usage",
    "encoder_growth",
    "diverged_step",
    "steps",
    "seconds",
]


def main() -> int:
    """Copy table, columns, sweep and environment."""
    folder = Path(sys.argv[1])
    place = published_folder() / (sys.argv[2] if len(sys.argv) > 2 else folder.parent.name)
    place.mkdir(parents=True, exist_ok=True)
    table = read_results(folder)
    names = [str(name) for name in table]
    write(
        table[[name for name in (*IDENTITY, *LABELS, *setting_columns(names), *KEPT) if name in names]], place / "results.csv"
    )
    for name in ("columns.json", "sweep.yaml", "environment.json", "design.json"):
        shutil.copy(folder / name, place / name)
    rows = json.loads((place / "columns.json").read_text())
    print(f"{place}: {len(table)} trials, version {rows['protocol']} of the protocol")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How near bounds from samples come to functions that are known: python scripts/sandwich_table.py all, or SOURCE/DIM ...

Measures the sources named, some 10 s each, into docs/data/sandwich/bounds.csv; writes docs/limits.md's table from all there.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import pandas as pd

from quantbench.limits import Limit, sandwich
from quantbench.simulators import Banana, Codeword, Gaussian, GaussMarkov, Laplace, Simulator, Uniform
from quantbench.streams import Streams

ROOT = Path(__file__).resolve().parent.parent
DATA, PAGE = ROOT / "docs" / "data" / "sandwich" / "bounds.csv", ROOT / "docs" / "limits.md"
BEGIN, END = "<!-- sandwich -->\n", "<!-- end -->\n"
FRAMES = 32768
BITS = (0.5, 1, 2, 4, 6, 8)
DIMS = (1, 2, 4, 8, 16)
SOURCES: dict[str, Simulator] = {
    **{f"gaussian/{dim}": Gaussian(frame_dim=dim) for dim in DIMS},
    **{f"laplace/{dim}": Laplace(frame_dim=dim) for dim in DIMS},
    **{f"gauss_markov/{dim}": GaussMarkov(frame_dim=dim) for dim in DIMS[1:]},
    "uniform/2": Uniform(frame_dim=2),
    "banana/2": Banana(),
    "codeword/4": Codeword(bits=4, frame_dim=4),
}


def measured(name: str) -> list[dict[str, object]]:
    """A row a rate: the true distortion and its bounds, and how many bits these are off."""
    simulator, streams = SOURCES[name], Streams([0])
    world = simulator.world(streams)
    frames = simulator.draw(world, streams, FRAMES, "bounds").target[0].numpy()
    limit = simulator.limit(world, 0)
    assert isinstance(limit, Limit)
    begun = time.process_time()
    found = sandwich(frames)
    seconds = time.process_time() - begun
    rows = []
    for bits in BITS:
        lower, upper = found.lower(bits), found.upper(bits)
        rows.append(
            {"source": name, "bits": bits, "mse": limit.mse(bits), "lower_mse": lower, "upper_mse": upper}
            | {"bits_below": limit.bits(lower) - bits if lower else math.inf, "bits_above": bits - limit.bits(upper)}
            | {"seconds": round(seconds, 1)}
        )
    return rows


def table(data: pd.DataFrame) -> str:
    """A line a source; in each cell the bits by which the lower bound and the upper one are off."""
    lines = ["| source/dim | " + " | ".join(f"{bits:g} bits" for bits in BITS) + " |", "|---|" + "---|" * len(BITS)]
    for name in SOURCES:
        rows = data[data["source"] == name].set_index("bits")
        cells = [_cell(rows.loc[bits]) if bits in rows.index else "" for bits in BITS]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(row: pd.Series) -> str:
    if row["mse"] < 1e-9:
        return "no error is left"
    below = f"{row['bits_below']:.2f}" if math.isfinite(row["bits_below"]) else "none"
    return f"{below}, {row['bits_above']:.2f}"


def page(data: pd.DataFrame) -> str:
    """The page with the table of ``data``."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return before + BEGIN + table(data) + END + rest.partition(END)[2]


if __name__ == "__main__":
    for source in SOURCES if sys.argv[1:] == ["all"] else sys.argv[1:]:
        rows = pd.DataFrame(measured(source))
        known = pd.read_csv(DATA) if DATA.exists() else rows[:0]
        pd.concat([known[known["source"] != source], rows]).to_csv(DATA, index=False, float_format="%.6g")
        print(source, flush=True)
    PAGE.write_text(page(pd.read_csv(DATA)))

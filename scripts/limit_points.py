"""Writes quantbench/limits/points.py: points of rate-distortion functions that have no closed form.

Takes about half an hour. With names (``laplace uniform banana``) only those are computed and the others kept. The tests
compute a few of the points anew.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from quantbench.limits import bent, blahut_arimoto
from quantbench.limits.blahut_arimoto import Point
from quantbench.limits.densities import LAPLACE, UNIFORM
from quantbench.limits.points import POINTS

FILE = Path(__file__).parents[1] / "quantbench" / "limits" / "points.py"
COARSE = np.concatenate([[0.51, 0.52, 0.54, 0.57, 0.6], np.geomspace(0.65, 8192, 56)])
MEDIUM = np.sort(np.concatenate([COARSE, np.sqrt(COARSE[:-1] * COARSE[1:])[COARSE[:-1] < 15]]))
FINE = np.sort(np.concatenate([MEDIUM, np.sqrt(MEDIUM[:-1] * MEDIUM[1:])[MEDIUM[:-1] < 1.6]]))
SLOPES = {
    "laplace": np.concatenate([np.geomspace(0.14, 0.46, 12), np.geomspace(0.5, 128, 33)]),
    # Where a reproduction splits in two, the function's curvature jumps: closer points carry the interpolation across.
    "uniform": FINE[FINE > 0.509],
    "banana": np.geomspace(0.2, 24, 30),
}
FIRST_SLOPES = {"laplace": 0.1, "uniform": 0.5, "banana": 0.3}
"""At 0 bits. Where Laplace has 0.1, the rate is 1e-7 bits: values far out are worth their bits."""
HEAD = '''"""Points of rate-distortion functions, written by scripts/limit_points.py.

By density: bits, mean square error, and slope (nats per unit of mean square error); of a sample, or of a frame of two for the
banana. Each is certified: to 4e-5 of the mean square error for laplace and uniform, to 4e-3 for the banana.
"""

POINTS: dict[str, list[tuple[float, float, float]]] = {
'''


def main() -> None:
    """Compute the points of the densities named, two at a time, and write them."""
    names = sys.argv[1:] or list(SLOPES)
    jobs = [(name, float(slope)) for name in names for slope in SLOPES[name]]
    with ProcessPoolExecutor() as pool:
        found = list(pool.map(_point, jobs))
    tables = dict(POINTS)
    for name in names:
        points = [one for (owner, _), one in zip(jobs, found, strict=True) if owner == name]
        print(f"{name}: {len(points)} points, certified to {max(one.error for one in points):.1e}")
        tables[name] = [(0.0, 1.0, FIRST_SLOPES[name]), *((one.bits, one.mse, one.slope) for one in points)]
    _write(tables)


def _write(tables: dict[str, list[tuple[float, float, float]]]) -> None:
    lines = [HEAD]
    for name, table in tables.items():
        rows = [f"        ({bits:.8f}, {mse:.8g}, {slope:.8g}),\n" for bits, mse, slope in table]
        lines += [f'    "{name}": [\n', *rows, "    ],\n"]
    FILE.write_text("".join([*lines, "}\n"]))


def _point(job: tuple[str, float]) -> Point:
    name, slope = job
    if name == "banana":
        return bent.point(bent.BANANA, slope)
    return blahut_arimoto.point({"laplace": LAPLACE, "uniform": UNIFORM}[name], slope)


if __name__ == "__main__":
    main()

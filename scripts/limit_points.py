"""Writes quantbench/limits/points.py: points of the rate-distortion functions of the Laplace and uniform densities.

Takes about ten minutes. The tests compute a few of the points anew.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from quantbench.limits.blahut_arimoto import Point, point
from quantbench.limits.densities import LAPLACE, UNIFORM, Density

FILE = Path(__file__).parents[1] / "quantbench" / "limits" / "points.py"
SLOPES = {
    LAPLACE: np.concatenate([np.geomspace(0.14, 0.46, 12), np.geomspace(0.5, 128, 33)]),
    UNIFORM: np.concatenate([[0.51, 0.52, 0.54, 0.57, 0.6], np.geomspace(0.65, 8192, 56)]),
}
HEAD = '''"""Points of rate-distortion functions, written by scripts/limit_points.py.

By density: bits a sample, mean square error, and slope (nats per unit of mean square error). Each is certified to 4e-5 of
the mean square error.
"""

POINTS: dict[str, list[tuple[float, float, float]]] = {
'''


def main() -> None:
    """Compute all points, two at a time, and write them."""
    jobs = [(density, float(slope)) for density, slopes in SLOPES.items() for slope in slopes]
    with ProcessPoolExecutor() as pool:
        found = list(pool.map(_point, jobs))
    lines = [HEAD]
    for density in SLOPES:
        lines.append(f'    "{density.name}": [\n        (0.0, 1.0, {_first_slope(density)!r}),\n')
        points = [one for (owner, _), one in zip(jobs, found, strict=True) if owner is density]
        lines += [f"        ({one.bits:.8f}, {one.mse:.8g}, {one.slope:.8g}),\n" for one in points]
        lines.append("    ],\n")
    FILE.write_text("".join([*lines, "}\n"]))


def _point(job: tuple[Density, float]) -> Point:
    return point(*job)


def _first_slope(density: Density) -> float:
    """The slope at 0 bits. Where Laplace has 0.1, the rate is 1e-7 bits: values far out are worth their bits."""
    return 0.5 if density is UNIFORM else 0.1


if __name__ == "__main__":
    main()

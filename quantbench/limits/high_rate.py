"""What quantizers reach when the rate is high."""

from __future__ import annotations

import math

from quantbench.limits.densities import Density

LATTICE_CONSTANTS = {
    1: ("Z", 1 / 12),
    2: ("A2", 5 / (36 * math.sqrt(3))),
    3: ("A3*", 19 / (192 * 2 ** (1 / 3))),
    4: ("D4", 0.076603),
    5: ("D5*", 0.075625),
    6: ("E6*", 0.074244),
    7: ("E7*", 0.073117),
    8: ("E8", 929 / 12960),
    12: ("K12", 0.070100),
    16: ("BW16", 0.068299),
    24: ("Leech", 0.065771),
}
"""By dimension: the best known lattice quantizer and its normalised second moment per dimension. Conway & Sloane (1999),
Sphere Packings, Lattices and Groups, table 2.3; Agrell & Eriksson (1998), IEEE Trans. Inf. Theory 44(5)."""


def panter_dite(density: Density, bits: float) -> float:
    """Mean square error of the best scalar quantizer at a high fixed rate.

    Panter & Dite (1951), Proc. IRE 39(1): ``(1/12) (integral of p**(1/3))**3 2**(-2 bits)``.
    """
    return density.cube_root / 12 * math.exp2(-2 * bits)


def entropy_coded_high_rate(density: Density, bits: float, dim: int = 1) -> float:
    """Mean square error per sample of lattice cells with an entropy coder behind them, at a high rate.

    Gish & Pierce (1968), IEEE Trans. Inf. Theory 14(5): ``G 2**(2 (h - bits))``, G the second moment of ``lattice_constant``;
    with ``dim=1`` that is 1.53 dB (``pi e / 6``) from Shannon's bound.
    """
    return lattice_constant(dim) * math.exp2(2 * (density.entropy - bits))


def zador_gaussian(dim: int, bits: float) -> float:
    """Mean square error per sample of a vector quantizer of ``dim`` standard normal samples at a high fixed rate.

    Zador (1982), IEEE Trans. Inf. Theory 28(2), with the best known lattice's constant in the place of the unknown best
    one: ``G 2 pi ((dim + 2) / dim)**((dim + 2) / 2) 2**(-2 bits)``.

    Raises:
        ValueError: no lattice constant is listed for ``dim``.
    """
    return lattice_constant(dim) * 2 * math.pi * math.pow((dim + 2) / dim, (dim + 2) / 2) * math.exp2(-2 * bits)


def lattice_constant(dim: int) -> float:
    """Second moment per dimension, at unit volume, of the best known lattice. Raises ValueError where none is listed."""
    if dim not in LATTICE_CONSTANTS:
        raise ValueError(f"dim={dim}: constants are known here for {', '.join(map(str, LATTICE_CONSTANTS))}")
    return LATTICE_CONSTANTS[dim][1]


def sphere_bound(dim: int) -> float:
    """Second moment of a ball of unit volume per dimension: no cell has a smaller one."""
    return math.pow(math.gamma(dim / 2 + 1), 2 / dim) / ((dim + 2) * math.pi)

"""The hot parts of a training step on a CPU, in C++: compiled on first use, and as a whole optional.

They compute what the PyTorch code beside each of them computes, up to rounding, trial by trial and within the cache.
"""

from quantbench.kernels.adam import adam
from quantbench.kernels.codebook import nearest, soft_code, sum_by_index, take
from quantbench.kernels.error import mean_square
from quantbench.kernels.library import own_compiler, ready, usable, without
from quantbench.kernels.neighbours import ranked_distances
from quantbench.kernels.network import network

__all__ = [
    "adam",
    "mean_square",
    "nearest",
    "network",
    "own_compiler",
    "ranked_distances",
    "ready",
    "soft_code",
    "sum_by_index",
    "take",
    "usable",
    "without",
]

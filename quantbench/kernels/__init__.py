"""The hot parts of a training step, compiled on first use and optional: on a CPU, in C++, as a whole; on a GPU, in Triton.

Those for a CPU compute what the PyTorch code beside each of them computes, up to rounding, trial by trial and within the cache.
"""

from quantbench.kernels.adam import adam
from quantbench.kernels.codebook import nearest, soft_code, sum_by_index, take
from quantbench.kernels.error import mean_square
from quantbench.kernels.library import on, own_compiler, ready, switched, usable, without
from quantbench.kernels.neighbours import ranked_distances
from quantbench.kernels.network import network
from quantbench.kernels.philox import philox_integers, philox_normal, philox_uniform
from quantbench.kernels.philox_gpu import philox_lacks, philox_on_gpu

__all__ = [
    "adam",
    "mean_square",
    "nearest",
    "network",
    "on",
    "own_compiler",
    "philox_integers",
    "philox_lacks",
    "philox_normal",
    "philox_on_gpu",
    "philox_uniform",
    "ranked_distances",
    "ready",
    "soft_code",
    "sum_by_index",
    "switched",
    "take",
    "usable",
    "without",
]

"""A kernel of words for tests: to be imported where Triton is there, after it is told whether to interpret."""

import triton
import triton.language as tl

from quantbench.kernels.philox_triton import pair


@triton.jit
def pairs(words, found, N: tl.constexpr):
    """Two normal numbers of each pair of words (2, N), into (2, N)."""
    at = tl.arange(0, N)
    one, other = pair(tl.load(words + at).to(tl.uint64), tl.load(words + N + at).to(tl.uint64))
    tl.store(found + at, one)
    tl.store(found + N + at, other)

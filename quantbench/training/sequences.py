"""What codes cost that follow each other in time: entropies given the code before, and what a model spends that learns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quantbench.entropy import Array, Entropy, Keys, entropy, tuple_counts

ORDERS = 3
"""Models of the mixture: those that look at no code before, at one, and at two."""

Mask = NDArray[np.bool_]


def first_of_runs(runs: Sequence[int]) -> Mask:
    """Whether each frame begins a run, (frames,), of runs of these lengths."""
    first = np.zeros(sum(runs), bool)
    first[np.cumsum([0, *runs[:-1]])] = True
    return first


def given_previous(codes: Keys, first: Mask, alphabet: int) -> Entropy:
    """The entropy of a code given the one before it, in bits.

    The entropy of pairs of neighbours less that of their first codes, each by the estimator of ``entropy``, from counts over
    all pairs of the evaluation frames that lie in one run. It is exact for no process with a longer memory: that only lowers
    the entropy rate further.

    Bias: downward, for pairs are rarer than codes. In simulated Markov chains (independent, nearly independent, sticky, of few
    successors, of neighbours) of 16384 codes it was at most 0.01 bits with up to 16 codes, 0.03 with 64, 0.24 with 256 and 0.54
    with 1024, where most pairs occur once. The error is the sum of the errors of both entropies, and held the truth
    but for codes that stay the same for long: pairs are taken to be independent.

    Args:
        codes: of one slot, (frames,).
        first: whether a frame begins a run, and has none before it.
        alphabet: number of codes.
    """
    later = ~first[1:]
    before, after = codes[:-1][later], codes[1:][later]
    most = math.log2(alphabet)
    pairs = entropy(tuple_counts([before, after]), 2 * most)
    single, plain = (entropy(tuple_counts([one]), most) for one in (before, after))
    bits, error = pairs.bits - single.bits, pairs.error + single.error
    inside = min(max(bits, 0.0), plain.bits)
    low, high = max(bits - error, 0.0), min(bits + error, plain.bits + plain.error)
    return Entropy(inside, max(inside - low, high - inside, 0.0))


def learned_bits(codes: Keys, first: Mask, alphabet: int) -> float:
    """Bits a code that a mixture of n-gram models spends, which knows of each code only those before it.

    Three models look at no code before, at one, and at two of the same run. Each gives a code x after a context c the share
    ``(n(c, x) + t(c) p(x)) / (n(c) + t(c))``: n counts what was seen so far, in all runs, t the different codes seen after c,
    and p is the share that the model of the next shorter context gives, in the end ``1 / alphabet`` (Witten & Bell 1991, IEEE
    Trans. Inf. Theory 37(4), method C, interpolated). The mixture gives a third of its belief to each, and follows what they
    have predicted (Bayes). So it is the length of a code that a decoder can undo: on average no less than the entropy rate of
    what the codes were drawn from. It holds the cost of learning, which falls as the sample grows, and is at most 1.6 bits in
    all above the best of the three.

    Args:
        codes, first, alphabet: as of ``given_previous``.
    """
    none = alphabet  # what stands before a run
    previous = np.concatenate([[none], codes[:-1]])
    previous[first] = none
    earlier = np.concatenate([[none], previous[:-1]])
    earlier[first] = none
    share = np.full(len(codes), 1 / alphabet)
    lengths = []
    for context in (np.zeros_like(codes), previous, earlier * (alphabet + 1) + previous):
        share = _interpolated(context, codes, alphabet, share)
        lengths.append(-float(np.log2(share).sum()))
    best = min(lengths)
    together = best - math.log2(sum(2.0 ** (best - one) for one in lengths) / ORDERS)
    return together / len(codes)


def _interpolated(context: Keys, codes: Keys, alphabet: int, shorter: Array) -> Array:
    """The share that each code was given before it came, (frames,), from that of a shorter context."""
    seen, _ = _earlier(context * alphabet + codes)
    count, order = _earlier(context)
    new = (seen[order] == 0).astype(np.int64)
    total = np.cumsum(new) - new
    kinds = np.empty_like(total)
    kinds[order] = total - np.repeat(total[count[order] == 0], np.unique(context, return_counts=True)[1])
    weight = np.maximum(count + kinds, 1)
    return np.asarray(np.where(count > 0, (seen + kinds * shorter) / weight, shorter))


def _earlier(keys: Keys) -> tuple[Keys, Keys]:
    """How often each key came before, (frames,), and the order that sorts them, those that are alike as they came."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    place = np.arange(len(keys))
    begins = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    seen = np.empty_like(place)
    seen[order] = place - np.maximum.accumulate(np.where(begins, place, 0))
    return seen, order

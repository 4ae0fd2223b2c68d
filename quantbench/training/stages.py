"""What each stage of a code is worth: the error of every prefix of stages, and how much of each stage is used."""

from __future__ import annotations

from itertools import accumulate, pairwise

from torch import Tensor

from quantbench.quantizers import Code, Quantizer
from quantbench.simulators import Frames
from quantbench.training.model import Model

PREFIX = "error of prefix "
"""How sums over frames are called, before the number of stages."""


def errors_of_prefixes(model: Model, code: Code, frames: Frames) -> dict[str, Tensor]:
    """Square errors of what the decoder makes of the first stages of a hard code, added up over frames, (trials,) each.

    A prefix is what a decoder has that receives the first stages' indices alone: the encoder does not know of it. Where a
    beam has searched the code, its first stages are those that are best with all the others. That of all stages is left out:
    it is the whole code's.
    """
    assert code.indices is not None
    found: dict[str, Tensor] = {}
    for number, values in enumerate(model.prefixes(code.indices)[:-1], start=1):
        error = (model.decode(values, frames) - frames.target).square()
        found[f"{PREFIX}{number}"] = error.double().flatten(1).sum(1)
    return found


def has_prefixes(quantizer: Quantizer) -> bool:
    """Whether the parts of a code refine each other."""
    return type(quantizer).prefixes is not Quantizer.prefixes


def mse_of_prefixes(sums: dict[str, Tensor], mse: Tensor, count: int) -> dict[str, Tensor]:
    """``mse_1`` .. ``mse_n`` from sums over ``count`` features; the last is ``mse`` itself."""
    found = {f"mse_{name.removeprefix(PREFIX)}": value / count for name, value in sums.items() if name.startswith(PREFIX)}
    return found | {f"mse_{len(found) + 1}": mse}


def usage_of_parts(counts: Tensor, alphabet: list[int], parts: list[int]) -> dict[str, Tensor]:
    """``usage_1`` .. ``usage_n``: share of each part's codes that occur, over all of its slots.

    Args:
        counts: how often each code of each slot occurs, (trials, sum of alphabet).
        alphabet: codes of each slot.
        parts: slots of each part.
    """
    edges = [0, *accumulate(alphabet)]
    bounds = [edges[slots] for slots in [0, *accumulate(parts)]]
    used = (counts > 0).double()
    return {
        f"usage_{number}": used[:, start:end].sum(1) / (end - start)
        for number, (start, end) in enumerate(pairwise(bounds), start=1)
    }

"""What codes are worth as tokens: how they cost in a row, how noise moves them, and what a wrong one does."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from quantbench.components import Factor, trial_mean
from quantbench.quantizers import Code, Moment
from quantbench.simulators import Frames
from quantbench.streams import Streams
from quantbench.training.model import Model
from quantbench.training.sequences import first_of_runs, given_previous, learned_bits

NOISE_DB = -20.0
"""Power of the noise under which codes should stay the same, over the power of the input."""
PURPOSE = "token noise"


def runs_of_codes(frames: Frames, item: int) -> tuple[int, ...] | None:
    """How many codes in a row follow each other in time, run by run: those of a waveform, or of frames in a row.

    None where every code stands alone.

    Args:
        item: codes of a frame; those of an evaluation clip are more than those of a training segment.
    """
    return (item,) * frames.input.shape[1] if item > 1 else frames.runs


def bits_in_context(indices: Tensor, alphabet: list[int], runs: tuple[int, ...]) -> dict[str, Tensor]:
    """``context_bits``, its error and ``ngram_bits``, (trials,) each: sums over slots, of which each knows its own past alone.

    Such sums are no less than what a model spends that knows the past of all slots.

    Args:
        indices: of all codes, (trials, codes, slots).
    """
    first = first_of_runs(runs)
    rows = []
    for trial in indices.cpu().numpy():
        slots = [(trial[:, slot].copy(), first, codes) for slot, codes in enumerate(alphabet)]
        found = [given_previous(*slot) for slot in slots]
        learned = sum(learned_bits(*slot) for slot in slots)
        rows.append((sum(one.bits for one in found), sum(one.error for one in found), learned))
    columns = torch.tensor(rows, dtype=torch.float64)
    return dict(zip(("context_bits", "context_bits_error", "ngram_bits"), columns.unbind(1), strict=True))


class Disturbed:
    """What becomes of hard codes under noise on the input, and of the output when an index is wrong.

    Noise is white, Gaussian and ``NOISE_DB`` over the power of the trial's input. One slot of every code, each equally likely,
    gets another of its indices, each equally likely; of a waveform, that happens to all its codes at once. Both are drawn
    from a stream of their own.

    Args:
        frames: all that are measured, of which ``add`` sees a part at a time.
    """

    def __init__(self, model: Model, frames: Frames, streams: Streams) -> None:
        self.model, self.streams = model, streams
        power = trial_mean(frames.input.square())
        self.spread: Factor = (10 ** (NOISE_DB / 10) * power).sqrt().view(-1, 1, 1)
        item = model.stack.codec.latents_per_frame(frames.input.shape[2])
        self.moment = Moment(1.0, streams, PURPOSE, training=False, step=model.stack.train.steps, item=item)
        self.sums: dict[str, Tensor] = {}
        self.slots = 0

    def add(self, part: Frames, code: Code, alphabet: list[int]) -> None:
        """Look at further frames and their hard code."""
        assert code.indices is not None
        model = self.model
        noisy = replace(part, input=part.input + self.spread * self.streams.normal(PURPOSE, *part.input.shape[1:]))
        other = model.hard(model.prepare(model.encode(noisy)), self.moment).indices
        assert other is not None
        new = {"same": (other == code.indices).double().flatten(1).sum(1)}
        wrong = self._one_wrong(code.indices, torch.tensor(alphabet, device=other.device))
        try:
            values = model.values(wrong)
        except NotImplementedError:  # a module of another package that decodes no indices
            pass
        else:
            new["damaged"] = (model.decode(values, part) - part.target).square().double().flatten(1).sum(1)
        self.sums = {name: self.sums[name] + value if self.sums else value for name, value in new.items()}
        self.slots += code.indices[0].numel()

    def metrics(self, mse: Tensor, features: int) -> dict[str, Tensor]:
        """``stability``, and ``flip_damage`` where the quantizer decodes indices, (trials,) each; nothing before ``add``.

        Args:
            mse: without a wrong index.
            features: of the target, of all frames.
        """
        found = {"stability": self.sums["same"] / self.slots} if "same" in self.sums else {}
        return found | ({"flip_damage": self.sums["damaged"] / features - mse} if "damaged" in self.sums else {})

    def _one_wrong(self, indices: Tensor, alphabet: Tensor) -> Tensor:
        """Indices (trials, codes, slots) of which one slot of each code has another index."""
        slot = self.streams.integers(PURPOSE, len(alphabet), indices.shape[1], 1)
        size = alphabet[slot]
        others = (self.streams.uniform(PURPOSE, indices.shape[1], 1) * (size - 1)).long().minimum(size - 2)
        return indices.scatter(2, slot, (indices.gather(2, slot) + 1 + others) % size)

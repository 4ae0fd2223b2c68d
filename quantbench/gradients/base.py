"""The interface of all gradient-passing strategies."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from quantbench.components import Component, State, component
from quantbench.quantizers.base import Code, Moment, Quantizer
from quantbench.streams import Streams


@component
class Gradient(Component):
    """What the decoder receives while training, and how the gradient reaches the encoder."""

    hard_forward: ClassVar[bool] = False
    """Whether the decoder receives exactly the hard code; `quantbench audit` checks it."""

    cost: ClassVar[float] = 0.0
    """Work of a trial beyond that of the straight-through estimator with vector quantization, in a default trial's work."""

    fewest_latents: ClassVar[int] = 1
    """Fewest latents a step, of one trial, with which it does anything."""

    keeps_weights: ClassVar[bool] = False
    """Whether it keeps a weight of every code for each latent of a step, which bounds the size of a codebook."""

    def draws(self, progress: float) -> bool:
        """Whether the decoder receives, at this share of the training, a codeword drawn with ``softmax(logits)`` at temperature
        1, or a relaxation of one, by which gradient reaches latents and codebook."""
        return False

    @property
    def needs(self) -> frozenset[str]:
        """What the quantizer must offer."""
        return frozenset()

    def memory(self, quantizer: Quantizer, dim: int, streams: Streams) -> State:
        """What it keeps from step to step of one elementary quantization of latents of ``dim`` dimensions.

        It comes back in ``moment.memory``, and is changed in place, while training alone. It is a part of a checkpoint.
        """
        return {}

    def refits(self, quantizer: Quantizer, dim: int) -> int:
        """How many latents the codebook of one elementary quantization is made of whenever hard codes are needed.

        These have ``dim`` dimensions where they are quantized. 0: it is learned.
        Where it is not learned, the training makes it by k-means for every point of the curves and after the last step, and
        leaves out the quantizer's own loss: there is no codebook meanwhile. Needs ``KMEANS``.
        """
        return 0

    @abstractmethod
    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        """What the decoder receives in place of ``code.values``.

        Args:
            quantizer, state: of one elementary quantization.
            latents: prepared encoder output y, (trials, frames, dim), differentiable.
            code: its hard code Q(y).
            moment: how far training is, and random numbers.
        """

    def loss(
        self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, received: Tensor, moment: Moment
    ) -> Tensor | None:
        """A loss of its own, (trials,), for what it passed on; None where it has none. Those of all stages are added up.

        It is a mean over the frames that count by ``moment.counted``: those that a stage codes. What stages add is less by the
        share of these.
        """
        return None

    def hard(self, quantizer: Quantizer, state: State, latents: Tensor, moment: Moment) -> Code:
        """The code that evaluation decodes; other than the quantizer's own only where the strategy stays at test time."""
        return quantizer.quantize(state, latents)

    def freezes_encoder(self, progress: float) -> bool:
        """Whether the encoder's weights stay as they are at this share of the training."""
        return False


@component
class Own(Gradient):
    """The quantizer passes the gradient by itself, as modules of other packages do.

    Formula: the module's
    Source: the module's.
    Recommended: nothing to set.
    Compared with: the module by itself.
    """

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        raise AssertionError("the quantizer asks no strategy")


def misfit(quantizer: Quantizer, gradient: Gradient) -> str | None:
    """Why a strategy cannot train a quantizer, or None."""
    if quantizer.own_gradient:
        return None if isinstance(gradient, Own) else "the quantizer brings a gradient of its own"
    if isinstance(gradient, Own):
        return "the quantizer brings no gradient of its own"
    missing = sorted(gradient.needs - quantizer.offers)
    return f"the quantizer offers no {', no '.join(missing)}" if missing else None

"""Strategies that draw the code at random, nearer codewords being likelier."""

from __future__ import annotations

import torch
from torch import Tensor

from quantbench.components import State, at_least, component
from quantbench.gradients.base import Gradient
from quantbench.gradients.inject import inject
from quantbench.gradients.schedule import Schedule
from quantbench.precision import exact
from quantbench.quantizers.base import SOFT, WHOLE, Code, Moment, Quantizer

SMALLEST_UNIFORM = 1e-20


@component
class Sampled(Gradient):
    """A strategy that draws codewords with probabilities ``softmax(-distance**2 / T)``.

    Attributes:
        temperature: T.
    """

    keeps_weights = True

    temperature: Schedule = Schedule(start=1.0, end=0.1, shape="exponential")

    def check(self) -> None:
        self.temperature.check_above("gradient.temperature", 0)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({SOFT})


@component
class GumbelSoftmax(Sampled):
    """Gumbel-softmax: the decoder receives the relaxation of a drawn codeword, which hardens while T falls.

    Our reading for codewords: the logits are ``-distance**2``, or what the quantizer has for them: of ``sqvae``, those with a
    learned variance. With that quantizer it is the training of SQ-VAE.

    Formula: ``w C``, ``w = softmax((-|y - c|**2 + Gumbel) / T)``
    Source: Jang et al. (2017), arXiv 1611.01144; Maddison et al. (2017), arXiv 1611.00712.
    Recommended: T falls from 1; the configurations of SQ-VAE's code end at 0.25 (CIFAR-10) to 0.01 (speech).
    Compared with: the formula of SQ-VAE's code, which was read.
    """

    cost = 3.0

    def draws(self, progress: float) -> bool:
        return True

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        return quantizer.mixture(state, relaxed(quantizer, state, latents, self.temperature, moment))


@component
class GumbelST(Sampled):
    """Straight-through Gumbel-softmax: a drawn codeword forward, the derivative of its relaxation backward.

    Our reading for distances: the logits are ``-distance**2`` and the relaxation is ``softmax((logits + Gumbel noise) / T)``.

    Formula: ``one_hot(w) C`` forward, ``w C`` backward, ``w = softmax((-|y - c|**2 + Gumbel) / T)``
    Source: Jang et al. (2017), arXiv 1611.01144.
    Recommended: T falls from 1 to 0.1 or above.
    Compared with: the paper's formula.
    """

    cost = 3.0

    def draws(self, progress: float) -> bool:
        return True

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        weights = relaxed(quantizer, state, latents, self.temperature, moment)
        return quantizer.mixture(state, weights + (one_hot(weights) - weights).detach())


@component
class ReinMax(Gradient):
    """A drawn codeword forward, a second-order estimate of the gradient backward.

    With logits a and ``p = (softmax(a / tau) + drawn) / 2``: ``2 J_p g - J_softmax(a) g / 2``, J being the Jacobian of softmax:
    exact in the mean where tau is 1 and the loss is quadratic in the choice. The source's logits are learned; those of a
    codebook are ``-distance**2 / width``, which is our reading.

    Formula: ``2 J_p g - J_softmax(a) g / 2``, ``p = (softmax(a/tau) + drawn) / 2``
    Source: Liu et al. (2023), arXiv 2304.08612.
    Recommended: tau 1 or above.
    Compared with: the authors' code, read.

    Attributes:
        temperature: tau, at least 1.
        width: what squared distances are divided by, so that the choice hardens while training.
    """

    cost = 4.0
    keeps_weights = True

    temperature: Schedule = Schedule()
    width: Schedule = Schedule(start=1.0, end=0.1, shape="exponential")

    def check(self) -> None:
        for name in ("start", "end"):
            at_least(f"gradient.temperature.{name}", getattr(self.temperature, name), 1)
        self.width.check_above("gradient.width", 0)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({SOFT})

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        logits = quantizer.logits(state, latents, self.width.at(moment.progress))
        drawn = one_hot(logits.detach() + gumbel(logits, moment))
        tau = self.temperature.at(moment.progress)
        return quantizer.mixture(state, reinmax(logits, drawn, tau.view(-1, *[1] * (logits.dim() - 1))))


@component
class ScoreFunction(Sampled):
    """Score function (REINFORCE): ``(loss - baseline) d log p(drawn) / dy`` for every frame.

    The baseline is the mean loss of the batch's other frames.

    Formula: ``(loss - baseline) d log p(drawn) / dy``
    Source: Williams (1992), Machine Learning 8.
    Recommended: nothing beyond a baseline.
    Compared with: exact expectations.
    """

    cost = 4.0

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({SOFT, WHOLE})

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        temperature = self.temperature.at(moment.progress)
        with torch.no_grad():
            logits = quantizer.logits(state, latents, temperature)
            drawn = one_hot(logits + gumbel(logits, moment))
        received = quantizer.mixture(state, drawn)
        if moment.frame_loss is None:
            return received
        loss = moment.frame_loss(received)
        frames = loss.shape[1]
        advantage = (loss - (loss.sum(1, keepdim=True) - loss) / max(1, frames - 1)) / frames
        with torch.enable_grad():
            own = latents.detach().requires_grad_()
            log_share = torch.log_softmax(quantizer.logits(state, own, temperature), dim=-1)
            chosen = torch.where(drawn > 0, log_share, 0.0).flatten(2).sum(-1)
            (gradient,) = torch.autograd.grad((advantage * chosen).sum(), own)
        return inject(received, latents, gradient)


@exact
def gumbel(logits: Tensor, moment: Moment) -> Tensor:
    """Standard Gumbel noise in the shape of ``logits``, as exact as numbers are drawn: near 1 a rounded one is 1."""
    exponential = -torch.log(moment.uniform(logits).clamp_min(SMALLEST_UNIFORM))
    return -torch.log(exponential.clamp_min(SMALLEST_UNIFORM))


def relaxed(quantizer: Quantizer, state: State, latents: Tensor, course: Schedule, moment: Moment) -> Tensor:
    """Weights ``softmax((logits + Gumbel noise) / T)`` in the shape of the logits, of a temperature's course T."""
    temperature = course.at(moment.progress)
    logits = quantizer.logits(state, latents, torch.ones_like(temperature))
    temperature = temperature.view(-1, *[1] * (logits.dim() - 1))
    return torch.softmax((logits + gumbel(logits, moment)) / temperature, dim=-1)


def one_hot(scores: Tensor) -> Tensor:
    """1 at the largest score, 0 elsewhere."""
    return marked(scores.argmax(-1), scores)


def marked(index: Tensor, like: Tensor) -> Tensor:
    """1 at an index (...), 0 elsewhere, in the shape of ``like``, (..., number)."""
    return (index.unsqueeze(-1) == torch.arange(like.shape[-1], device=like.device)).to(like.dtype)


def reinmax(logits: Tensor, drawn: Tensor, temperature: Tensor | float = 1.0) -> Tensor:
    """``drawn`` with the gradient of ReinMax to ``logits``."""
    soft = torch.softmax(logits, dim=-1)
    middle = (torch.softmax(logits.detach() / temperature, dim=-1) + drawn) / 2
    # Logits at which the softmax is ``middle``, moving with the given ones.
    shifted = torch.softmax((middle.clamp_min(1e-30).log() - logits).nan_to_num(0.0, 0.0, 0.0).detach() + logits, dim=-1)
    twice = 2 * shifted - soft / 2
    return twice + (drawn - twice).detach()

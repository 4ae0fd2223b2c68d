"""Strategies that change in the course of the training."""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from torch import Tensor

from quantbench.components import State, between, component
from quantbench.gradients.base import Gradient
from quantbench.gradients.noise import Noise
from quantbench.gradients.schedule import Schedule
from quantbench.gradients.straight_through import STE
from quantbench.quantizers.base import Code, Moment, Quantizer
from quantbench.streams import Streams


@component
class WarmUp(Gradient):
    """No quantization for the first steps, then another strategy, whose schedules run over what is left.

    Our reading of the warm-up of an autoencoder before vector quantization; the source decides by an adaptive criterion when it
    is over. The codebook follows the latents by its own loss from the first step.

    Formula: ``y`` until ``share``, then the other strategy
    Source: arXiv 2605.06870.
    Recommended: long enough for the distortion to level off.
    Compared with: nothing: of the source only the abstract was read.

    Attributes:
        share: of the steps, without quantization.
        then: the strategy that follows.
    """

    share: float = 0.2
    then: Gradient = STE()

    def check(self) -> None:
        between("gradient.share", self.share, 0, 0.99)
        self.then.check()

    @property
    def needs(self) -> frozenset[str]:
        return self.then.needs

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        if moment.progress < self.share:
            return latents
        return self.then.pass_through(quantizer, state, latents, code, self._later(moment))

    def draws(self, progress: float) -> bool:
        return progress >= self.share and self.then.draws(self._share_of_then(progress))

    def memory(self, quantizer: Quantizer, dim: int, streams: Streams) -> State:
        return self.then.memory(quantizer, dim, streams)

    def refits(self, quantizer: Quantizer, dim: int) -> int:
        return self.then.refits(quantizer, dim)

    def loss(
        self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, received: Tensor, moment: Moment
    ) -> Tensor | None:
        if moment.progress < self.share:
            return None
        return self.then.loss(quantizer, state, latents, code, received, self._later(moment))

    def hard(self, quantizer: Quantizer, state: State, latents: Tensor, moment: Moment) -> Code:
        return self.then.hard(quantizer, state, latents, self._later(moment))

    def freezes_encoder(self, progress: float) -> bool:
        return progress >= self.share and self.then.freezes_encoder(self._share_of_then(progress))

    def _share_of_then(self, progress: float) -> float:
        return max(0.0, (progress - self.share) / (1 - self.share))

    def _later(self, moment: Moment) -> Moment:
        return dataclasses.replace(moment, progress=self._share_of_then(moment.progress))


@component
class SoftThenHard(Gradient):
    """A soft strategy first; then the encoder is frozen and the decoder learns on hard codes.

    Formula: the first strategy, then ``sg(Q(y))`` with a frozen encoder
    Source: Guo et al. (2021), arXiv 2104.05168.
    Recommended: noise first; a tail long enough for the decoder.
    Compared with: nothing: of the source only the abstract was read.

    Attributes:
        tail: share of the steps, at the end, with a frozen encoder.
        first: the strategy before the tail, whose schedules run until then.
    """

    tail: float = 0.2
    first: Gradient = Noise()

    def check(self) -> None:
        between("gradient.tail", self.tail, 0, 0.99)
        self.first.check()

    @property
    def needs(self) -> frozenset[str]:
        return self.first.needs

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        if self.freezes_encoder(moment.progress):
            return code.values.detach()
        return self.first.pass_through(quantizer, state, latents, code, self._earlier(moment))

    def draws(self, progress: float) -> bool:
        return not self.freezes_encoder(progress) and self.first.draws(progress / (1 - self.tail))

    def memory(self, quantizer: Quantizer, dim: int, streams: Streams) -> State:
        return self.first.memory(quantizer, dim, streams)

    def refits(self, quantizer: Quantizer, dim: int) -> int:
        return self.first.refits(quantizer, dim)

    def loss(
        self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, received: Tensor, moment: Moment
    ) -> Tensor | None:
        if self.freezes_encoder(moment.progress):
            return None
        return self.first.loss(quantizer, state, latents, code, received, self._earlier(moment))

    def _earlier(self, moment: Moment) -> Moment:
        return dataclasses.replace(moment, progress=moment.progress / (1 - self.tail))

    def freezes_encoder(self, progress: float) -> bool:
        return self.tail > 0 and progress >= 1 - self.tail


@component
class Curriculum(Gradient):
    """More and more of the decoder's input is quantized, with STE.

    Our reading of the curricula that move from continuous to quantized latents: ``swap`` quantizes a random share of the frames
    (PEGE, arXiv 2509.00097, which raises the share logarithmically), ``blend`` mixes ``(1 - share) y + share Q(y)`` in every
    frame (progressive VQ, arXiv 2603.22304).

    Formula: ``y + sg(Q(y) - y)`` for a share of the frames, or that share of it
    Source: arXiv 2509.00097; arXiv 2603.22304.
    Recommended: a commitment loss beside it, as in the first source.
    Compared with: nothing: of the sources only the abstracts were read.

    Attributes:
        share: how much is quantized.
        by: ``swap`` or ``blend``.
    """

    share: Schedule = Schedule(start=0.0, end=1.0, shape="logarithmic", finish=0.8)
    by: Literal["swap", "blend"] = "swap"

    def check(self) -> None:
        self.share.check_between("gradient.share", 0, 1)

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        share = self.share.at(moment.progress)
        error = (code.values - latents).detach()
        if self.by == "blend":
            return latents + share * error
        return latents + torch.where(moment.uniform(latents[..., :1]) < share, error, 0.0)

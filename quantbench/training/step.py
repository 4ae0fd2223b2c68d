"""One optimizer step of a stack, of operations on tensors alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from quantbench.components import trial_error
from quantbench.gradients import Moment
from quantbench.losses import MSE
from quantbench.simulators import Frames
from quantbench.streams import Streams
from quantbench.traced import moving
from quantbench.training.divergence import DATA, Divergence
from quantbench.training.model import Model
from quantbench.training.optimizer import Adam
from quantbench.training.scaling import LossScales
from quantbench.training.stack import Stack


@dataclass(frozen=True)
class Inputs:
    """What a step is given.

    Attributes:
        number: of the step, 1 for the first.
        progress: 0 at the first step, 1 at the last.
        rate: share of the learning rate, (trials,); None for all of it.
        streams: random numbers.
    """

    frames: Frames
    number: int
    progress: float
    rate: Tensor | None
    streams: Streams


def progress_at(step: int, steps: int) -> float:
    """How far a training of so many steps is at one of them, 0 to 1."""
    return (step - 1) / max(1, steps - 1)


class Step:
    """Forward, losses, backward, divergence, optimizer, and what the quantizer changes by itself.

    All that lasts from step to step lies in tensors that stay where they are, and no number of a tensor is asked for, so that
    a step can be written down as a graph; but for ``Divergence.watch``, where ``divergence.later`` is not set. A step must
    be counted, by ``count``, before it is taken.

    Attributes:
        diverged: the trials that diverged at the last step, with the reasons; none where ``divergence.later`` is set.
        norm: of the gradient, of the last step that each trial took, (trials,).
    """

    def __init__(
        self,
        stack: Stack,
        model: Model,
        adams: tuple[Adam, Adam | None],
        scales: LossScales | None,
        divergence: Divergence,
    ) -> None:
        self.stack, self.model = stack, model
        self.adam, self.critic_adam = adams
        self.scales, self.divergence = scales, divergence
        self.diverged: dict[int, str] = {}
        self.norm = torch.full((len(stack.seeds),), torch.nan, device=stack.device)

    def tensors(self) -> list[Tensor]:
        """All that a step changes."""
        adams = [adam for adam in (self.adam, self.critic_adam) if adam is not None]
        scales = [] if self.scales is None else list(self.scales.state_dict().values())
        kept = [tensor for adam in adams for tensor in adam.tensors()] + self.divergence.tensors()
        return [*self.model.tensors(), *kept, *scales, self.norm]

    def count(self) -> None:
        """One step more, for the optimizers."""
        self.adam.count()
        if self.critic_adam is not None:
            self.critic_adam.count()

    def take(self, given: Inputs) -> Tensor:
        """One optimizer step on one batch; gives the reconstruction loss, (trials,), of what passed."""
        model, frames = self.model, given.frames
        latents = model.prepare(model.encode(frames))
        moment = Moment(
            given.progress,
            given.streams,
            frame_loss=model.frame_loss(frames),
            step=given.number,
            item=model.item,
            features=model.features,
        )
        passed = model.pass_through(latents, moment, remember=True)
        output = model.decode(passed.received, frames)
        reconstruction = model.loss(output, frames)
        loss = reconstruction + passed.loss
        if self.critic_adam is not None:
            self._train_critic(self.critic_adam, output.detach(), frames.target)
            loss = loss + self.stack.loss.against(model.critic, output, frames.target)
        gradient, taken = self._gradient(loss)
        norm = torch.linalg.vector_norm(gradient, dim=1)
        self.norm.copy_(norm if taken is None else torch.where(taken, norm, self.norm))
        parts = [
            *((DATA, data) for data in (frames.input, frames.target, frames.side) if data is not None),
            ("the encoder's output", latents),
            ("what the decoder receives", passed.received),
            ("the decoder's output", output),
            ("the reconstruction loss", reconstruction),
            ("the quantizer's loss", passed.loss),
            ("the loss", loss),
        ]
        self._judge(given.number, self._distortion(reconstruction, output, frames), loss.detach(), parts)
        frozen = model.encoder if self.stack.gradient.freezes_encoder(given.progress) else None
        self.adam.move(gradient, norm, frozen, given.rate, taken)
        model.update(passed.trace, given.number, given.streams)
        self.divergence.restore()
        return reconstruction.detach()

    def _distortion(self, reconstruction: Tensor, output: Tensor, frames: Frames) -> Tensor:
        """The mean square error of what passed, (trials,)."""
        if isinstance(self.stack.loss, MSE):  # not measured twice
            return reconstruction.detach() / self.stack.loss.weight
        return trial_error(output.detach(), frames.target)

    def _gradient(self, loss: Tensor) -> tuple[Tensor, Tensor | None]:
        """The gradient of every trial's loss, (trials, numbers), and which trials take this step; None for all."""
        if self.scales is None:
            return self.model.gradient(loss), None
        gradient, finite = self.scales.unscale(self.model.gradient(loss * self.scales.scale))
        self.scales.update(finite)
        return gradient, finite

    def _train_critic(self, adam: Adam, output: Tensor, target: Tensor) -> None:
        """One step of the discriminators, before the codec's."""
        parameters = self.model.critic_parameters
        assert parameters is not None
        gradient = parameters.gradient(self.stack.loss.critic(self.model.critic, output, target).sum())
        adam.move(gradient, torch.linalg.vector_norm(gradient, dim=1))

    def _judge(self, number: int, distortion: Tensor, loss: Tensor, parts: list[tuple[str, Tensor]]) -> None:
        """Freeze the trials that this step ruins."""
        scales = self.scales
        fine = torch.isfinite(loss + self.norm) if scales is None else torch.isfinite(loss) & scales.alive

        def made() -> list[tuple[str, Tensor]]:
            return [*parts, ("the gradient", self.norm) if scales is None else scales.verdict()]

        if not self.divergence.later:
            self.diverged = self.divergence.watch(number, distortion, fine, made)
            return
        when: Any = moving(number, lambda now: now, distortion)
        place = when if isinstance(when, Tensor) else torch.full((), float(when), device=distortion.device)
        self.divergence.mark(place, distortion, fine, self.norm, made)

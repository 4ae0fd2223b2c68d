"""Trains one stack and measures it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from quantbench.components import State, trial_error, trial_mean, within
from quantbench.gradients import Moment
from quantbench.losses import MSE
from quantbench.metrics import METRICS, declared
from quantbench.simulators import Frames
from quantbench.streams import Streams
from quantbench.training import checkpoint
from quantbench.training.describe import PARTS
from quantbench.training.evaluate import evaluate
from quantbench.training.export import export
from quantbench.training.keep import NOTHING, Keep
from quantbench.training.model import Model
from quantbench.training.optimizer import Adam
from quantbench.training.stack import Outcome, Stack
from quantbench.training.warm import warm_weights
from quantbench.training.yardsticks import Row, yardsticks

BATCHES_AHEAD = 8
"""Batches drawn at a time; fixed, for the frames depend on it."""
CURVE_FRAMES = 1024
"""Evaluation frames used for the points of a curve."""
CURVE_FEATURES = 2**18
"""Most features of all these frames; a waveform has thousands."""
REPORT_EVERY = 50

Report = Callable[[int], None]


def train(stack: Stack, report: Report = lambda steps: None, keep: Keep = NOTHING) -> list[Outcome]:
    """Train all trials of a stack and measure each with the hard quantizer.

    A trial whose loss or gradient is not finite, or whose distortion explodes, is frozen as it was before that step and
    marked; the others do not notice.

    Args:
        report: called now and then with the number of steps since the last call.
        keep: what to leave in the folder of the run.
    """
    began = time.perf_counter()
    outcomes = Training(stack, keep).run(report)
    for outcome in outcomes:
        outcome.metrics["seconds"] = (time.perf_counter() - began) / len(outcomes)
    return outcomes


class Training:
    """A stack in training: its model, its optimizer, and what became of its trials.

    Args:
        purpose: the stream from which the frames come.
    """

    def __init__(self, stack: Stack, keep: Keep = NOTHING, purpose: str = "data") -> None:
        self.stack, self.keep, self.purpose = stack, keep, purpose
        trials, settings = len(stack.seeds), stack.train
        self.streams = Streams(stack.seeds, stack.device)
        self.world = stack.simulator.world(self.streams)
        self.model = Model(stack, self.streams)
        latents = stack.codec.latents_per_frame(stack.simulator.input_dim)
        fit_frames = math.ceil(stack.quantizer.fit_frames(settings.batch * latents) / latents)
        first_frames = stack.simulator.draw(self.world, self.streams, fit_frames, "first frames")
        if settings.warm_start:
            self.model.start_from(warm_weights(stack, keep.folder, _warm), first_frames)
        self.model.fit(first_frames, self.streams)
        self.adam = Adam(self.model.parameters, settings.lr, settings.clip)
        self.critic_adam: Adam | None = None
        if (critic := self.model.critic_parameters) is not None:
            self.critic_adam = Adam(critic, torch.full_like(settings.lr, stack.loss.critic_lr), torch.zeros_like(settings.clip))
        self.lr_end = None if bool((settings.lr_end == 1).all()) else settings.lr_end
        self.held_out = stack.simulator.evaluation(self.world, self.streams)
        self.curve_frames = self.held_out.spread(min(CURVE_FRAMES, max(1, CURVE_FEATURES // self.held_out.input.shape[2])))
        self.power = trial_mean(self.held_out.target.square())
        self.largest = settings.explode * self.power
        self.frozen = torch.zeros(trials, dtype=torch.bool, device=stack.device)
        self.snapshot: list[Tensor] = []
        self.outcomes = [Outcome({}) for _ in stack.seeds]
        self.norm = torch.full((trials,), math.nan, device=stack.device)
        self.stepping = 0.0
        known = METRICS | declared(type(part) for name in PARTS for _, part in within(getattr(stack, name), name))
        self.drawn = [name for name, metric in known.items() if metric.curve]

    def run(self, report: Report) -> list[Outcome]:
        """All steps, and the measurements of every trial."""
        file = checkpoint.path(self.keep.folder, self.stack.names) if self.keep.folder and self.keep.checkpoint_every else None
        if file is not None and file.exists():
            done, start = checkpoint.load(self, file)
            report(done)
        else:
            done, start = 0, evaluate(self.model, self.held_out, self.streams)["encoder_std"]
            self._log(0, {})
        self.advance(report, done, None if file is None else lambda step: checkpoint.save(self, step, start, file))
        self._finish(start)
        if self.keep.folder and self.keep.export:
            export(self.model, self.held_out, self.streams, self.keep.folder)
        return self.outcomes

    def advance(self, report: Report = lambda steps: None, done: int = 0, save: Callable[[int], None] | None = None) -> None:
        """All steps after the first ``done`` ones; ``save`` keeps the state now and then."""
        steps, saved = self.stack.train.steps, done
        began = time.perf_counter()
        for step, frames in enumerate(self._batches(steps - done), start=done + 1):
            loss = self._step(step, frames)
            self.stepping += time.perf_counter() - began
            if step % self.stack.train.log_every == 0 or step == steps:
                self._log(step, {"loss": loss, "gradient_norm": self.norm})
            if step % REPORT_EVERY == 0:
                report(min(REPORT_EVERY, step - done))
            # Only where no frames are drawn ahead: they would be drawn again.
            if save and step < steps and step % BATCHES_AHEAD == 0 and step - saved >= self.keep.checkpoint_every:
                save(step)
                saved = step
            began = time.perf_counter()
        report(min(steps % REPORT_EVERY, steps - done))

    def _batches(self, left: int) -> Iterator[Frames]:
        batch = self.stack.train.batch
        while left > 0:
            ahead = self.stack.simulator.draw(self.world, self.streams, BATCHES_AHEAD * batch, self.purpose)
            for i in range(min(BATCHES_AHEAD, left)):
                yield ahead.part(i * batch, batch)
            left -= BATCHES_AHEAD

    def _step(self, step: int, frames: Frames) -> Tensor:
        """One optimizer step on one batch; gives the reconstruction loss per trial under the surrogate."""
        model, stack = self.model, self.stack
        progress = (step - 1) / max(1, stack.train.steps - 1)
        moment = Moment(progress, self.streams, frame_loss=model.frame_loss(frames))
        latents = model.latents(frames)[1]
        passed = model.surrogate(latents, moment)
        output = model.decode(passed.received, frames)
        reconstruction = model.loss(output, frames)
        loss = reconstruction + passed.loss
        if self.critic_adam is not None:
            self._train_critic(output.detach(), frames.target)
            loss = loss + stack.loss.against(model.critic, output, frames.target)
        gradient = model.parameters.gradient(loss.sum())
        loss = loss.detach()
        if isinstance(stack.loss, MSE):  # not measured twice
            distortion = reconstruction.detach() / stack.loss.weight
        else:
            distortion = trial_error(output.detach(), frames.target)
        self.norm = torch.linalg.vector_norm(gradient, dim=1)
        self._freeze(step, distortion, loss)
        frozen = model.encoder if stack.gradient.freezes_encoder(progress) else None
        self.adam.step(gradient, self.norm, frozen, self._rate(progress))
        with torch.no_grad():
            trace = [(latents.detach(), code) for latents, code in passed.trace]
            stack.quantizer.update(model.quantizer, trace, self.streams, step)
            self._restore_frozen()
        return reconstruction.detach()

    def _train_critic(self, output: Tensor, target: Tensor) -> None:
        """One step of the discriminators, before the codec's."""
        parameters, adam = self.model.critic_parameters, self.critic_adam
        assert parameters is not None
        assert adam is not None
        gradient = parameters.gradient(self.stack.loss.critic(self.model.critic, output, target).sum())
        adam.step(gradient, torch.linalg.vector_norm(gradient, dim=1))

    def _rate(self, progress: float) -> Tensor | None:
        """Share of the learning rate at this point of the training, (trials,)."""
        if self.lr_end is None:
            return None
        return self.lr_end + (1 - self.lr_end) * (1 + math.cos(math.pi * progress)) / 2

    def _freeze(self, step: int, distortion: Tensor, loss: Tensor) -> None:
        """Note trials that diverge at this step and keep them as they are now."""
        finite = torch.isfinite(loss + self.norm)
        fine = finite & (distortion <= self.largest) | self.frozen
        if bool(fine.all()):
            return
        new = ~fine
        current = [tensor.detach().clone() for tensor in self.model.tensors()]
        kept = self.snapshot or current
        self.snapshot = [_choose(self.frozen, old, now) for old, now in zip(kept, current, strict=True)]
        self.frozen = self.frozen | new
        for trial in new.nonzero().flatten().tolist():
            outcome = self.outcomes[trial]
            outcome.metrics["diverged_step"] = float(step)
            multiple = float(distortion[trial] / self.power[trial])
            outcome.metrics["gradient_norm"] = float(self.norm[trial])
            outcome.diverged = (
                f"distortion {multiple:.3g} times the target's power at step {step} (train.explode)"
                if bool(finite[trial])
                else f"loss or gradient not finite at step {step}"
            )

    def _restore_frozen(self) -> None:
        for tensor, kept in zip(self.model.tensors(), self.snapshot, strict=False):
            tensor.copy_(_choose(self.frozen, kept, tensor))

    def _log(self, step: int, training: dict[str, Tensor]) -> None:
        """Add a point to the curves of the trials that still train."""
        measured = evaluate(self.model, self.curve_frames, self.streams)
        points = training | {name: measured[name] for name in self.drawn if name in measured}
        columns = {name: values.tolist() for name, values in points.items()}
        for trial, frozen in enumerate(self.frozen.tolist()):
            if not frozen:
                self.outcomes[trial].curves += [(step, name, values[trial]) for name, values in columns.items()]

    def _finish(self, start: Tensor) -> None:
        """Measure every trial over the whole evaluation set. ``start`` is the encoder's standard deviation before training."""
        stack = self.stack
        measured = evaluate(self.model, self.held_out, self.streams, thorough=True)
        measured["encoder_std_start"] = start
        measured["encoder_growth"] = measured["encoder_std"] / start
        measured["gradient_norm"] = self.norm
        columns = {name: values.tolist() for name, values in measured.items()}
        seconds = self.stepping / stack.train.steps / len(self.outcomes)
        rate = stack.quantizer.nominal_bits(stack.codec.latent_dim)
        bits: Row = {"source_bits": stack.simulator.source_bits, "rate_bits": rate, "step_seconds": seconds}
        if stack.simulator.waveform_rate is not None and rate is not None:
            latents = stack.codec.latents_per_frame(stack.simulator.input_dim)
            bits["rate_kbps"] = rate * latents * stack.simulator.waveform_rate / stack.simulator.input_dim / 1000
        rows: list[Row] = [
            {name: values[trial] for name, values in columns.items()} | bits for trial in range(len(self.outcomes))
        ]
        known = yardsticks(stack, self.world, self.held_out, rows)
        for trial, outcome in enumerate(self.outcomes):
            metrics = rows[trial] | known[trial] | outcome.metrics
            mse = columns["mse"][trial]
            if outcome.diverged is None and not mse <= stack.train.explode * float(self.power[trial]):  # not for NaN either
                outcome.diverged = f"distortion {mse:.3g} after the last step (train.explode)"
                metrics["diverged_step"] = float(stack.train.steps)
            metrics["steps"] = metrics.setdefault("diverged_step", None) or float(stack.train.steps)
            outcome.metrics = {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in metrics.items()
            }


def _warm(stack: Stack) -> State:
    """The weights of codecs trained without quantization, on frames of their own."""
    training = Training(stack, purpose="warm start")
    training.advance()
    return training.model.codec


def _choose(trials: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """``first`` for the trials in the mask, ``second`` for the others."""
    return torch.where(trials.view(-1, *[1] * (first.dim() - 1)), first, second)

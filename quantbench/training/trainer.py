"""Trains the codecs of one stack, step by step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from quantbench.components import trial_mean, within
from quantbench.errors import ConfigError
from quantbench.metrics import METRICS, declared
from quantbench.precision import computing
from quantbench.simulators import Frames
from quantbench.streams import Streams
from quantbench.terminal import say
from quantbench.training.configuration import PARTS
from quantbench.training.divergence import Divergence
from quantbench.training.evaluate import evaluate
from quantbench.training.fused import Fused, wanted
from quantbench.training.graph import Capture, Graphs, capture_for
from quantbench.training.model import Model
from quantbench.training.optimizer import Adam
from quantbench.training.scaling import LossScales
from quantbench.training.stack import Outcome, Stack
from quantbench.training.step import Inputs, Step, progress_at

BATCHES_AHEAD = 8
"""Batches drawn at a time; fixed, for the frames depend on it."""
CURVE_FRAMES = 1024
"""Evaluation frames used for the points of a curve."""
CURVE_FEATURES = 2**18
"""Most features of all these frames; a waveform has thousands."""
REPORT_EVERY = 50

Report = Callable[[int], None]


class Training:
    """A stack in training: its model, its optimizer, and what became of its trials.

    Making one trains nothing. ``start`` starts the quantizer from the first latents, ``advance`` takes steps; between steps,
    ``state_dict`` is all that another ``Training`` of the same stack needs to go on as if it were this one.

    Args:
        purpose: the stream from which the frames come.
        capture: what makes graphs of steps; by default what ``train.graph`` says.
    """

    def __init__(self, stack: Stack, purpose: str = "data", capture: Capture | None = None) -> None:
        self.stack, self.purpose = stack, purpose
        trials, settings = len(stack.seeds), stack.train
        self.streams = Streams(stack.seeds, stack.device)
        self.world = stack.simulator.world(self.streams)
        self.model = Model(stack, self.streams)
        self.scales = LossScales(trials, stack.device) if settings.precision == "float16" else None
        most = 0 if self.scales is None else settings.steps
        self.adam = Adam(self.model.parameters, settings.lr, settings.clip, most)
        self.critic_adam: Adam | None = None
        if (critic := self.model.critic_parameters) is not None:
            self.critic_adam = Adam(critic, torch.full_like(settings.lr, stack.loss.critic_lr), torch.zeros_like(settings.clip))
        self.lr_end = None if bool((settings.lr_end == 1).all()) else settings.lr_end
        self.held_out = stack.simulator.evaluation(self.world, self.streams)
        check_finite(self.held_out, stack, "evaluation")
        self.curve_frames = self.held_out.spread(min(CURVE_FRAMES, max(1, CURVE_FEATURES // self.held_out.input.shape[2])))
        known = METRICS | declared(type(part) for name in PARTS for _, part in within(getattr(stack, name), name))
        self.curve_metrics = [name for name, metric in known.items() if metric.curve]
        self.power = trial_mean(self.held_out.target.square())
        fused = wanted(stack)
        capture = None if fused else capture or capture_for(stack)
        later = not fused and (capture is not None or stack.device.type == "cuda")
        self.divergence = Divergence(self.model, self.power, settings, later)
        self.outcomes = [Outcome({}) for _ in stack.seeds]
        self.encoder_std_start = torch.full((trials,), math.nan, device=stack.device)
        adams = (self.adam, self.critic_adam)
        self.one = Step(stack, self.model, adams, self.scales, self.divergence)
        self.graphs = Graphs(self.one, capture) if capture is not None else None
        self.step, self.stepping = 0, 0.0
        self.ahead: Frames | None = None
        self.fused = Fused(stack, self.model, self.adam, self.divergence.largest, BATCHES_AHEAD) if fused else None

    @computing("float32")  # of losses and discriminators, too; the model's parts say what they compute in
    def start(self) -> None:
        """Start the quantizer from the first latents, and the curves; the codec stays what it is but for its latents' units.

        These are brought to unit variance after a warm start.
        """
        stack = self.stack
        latents = stack.codec.latents_per_frame(stack.simulator.input_dim)
        count = math.ceil(stack.quantizer.fit_frames(stack.train.batch * latents) / latents)
        frames = stack.simulator.draw(self.world, self.streams, count, "first frames")
        check_finite(frames, stack, "first")
        if stack.train.warm_start:
            self.model.standardize(frames)
        self.model.fit(frames)
        self.encoder_std_start = evaluate(self.model, self.held_out, self.streams)["encoder_std"]
        self._log({})

    @computing("float32")
    def advance(self, steps: int | None = None, report: Report = lambda steps: None) -> None:
        """Take so many steps, or all that are left.

        Args:
            report: called now and then with the number of steps since the last call.
        """
        settings, reported = self.stack.train, self.step
        last = settings.steps if steps is None else min(self.step + steps, settings.steps)
        if self.model.still:
            self._stand_still(last, report)
        while self.step < last:
            began = time.perf_counter()
            if self.step and self._frozen(self.step + 1) and not self._frozen(self.step):
                self._refit()
            if self.fused is None:
                loss = self._step(self.step + 1, self._next_batch())
                self.step += 1
                self._note(self.step, self.one.diverged)
            else:
                loss = self._steps(self.fused, last)
            logs = self.step % settings.log_every == 0 or self.step == settings.steps
            reports = self.step // REPORT_EVERY > reported // REPORT_EVERY or self.step == last
            if logs or reports:
                self._learn()  # which waits for a GPU, as a part of the steps' time
            self.stepping += time.perf_counter() - began
            if logs:
                self._log({"loss": loss, "gradient_norm": self.norm})
            if reports:
                report(self.step - reported)
                reported = self.step

    def _stand_still(self, last: int, report: Report) -> None:
        """What ``advance`` does where no step can change anything."""
        codec, quantizer = type(self.stack.codec).__name__, type(self.stack.quantizer).__name__
        _say_once(f"codec={codec}, quantizer={quantizer}: nothing to train, so it is measured as it is, and no step is taken")
        report(last - self.step)
        self.step = last
        if last == self.stack.train.steps:
            self._log({})

    @property
    def steps_by(self) -> str:
        """What takes the steps from now on: ``eager``, ``graph`` or ``fused``."""
        if self.fused is not None:
            return "fused"
        return "eager" if self.graphs is None or self.graphs.reason is not None else "graph"

    @property
    def graph_bytes(self) -> int:
        """Memory that graphs of steps hold."""
        return 0 if self.graphs is None else self.graphs.capture.bytes

    @property
    def norm(self) -> Tensor:
        """Norm of the gradient of the last step that each trial took, (trials,)."""
        return self.one.norm

    def _steps(self, fused: Fused, last: int) -> Tensor:
        """Steps by the fused kernel, up to ``last`` at most; gives the reconstruction loss of the last one, (trials,)."""
        first, every = self.step, self.stack.train.log_every
        frames, place = self._batches(), first % BATCHES_AHEAD
        count = min(last - first, BATCHES_AHEAD - place, every - first % every)
        shares = [self._rate(self._progress(first + 1 + number)) for number in range(count)]
        taken = fused.steps(frames, place, count, shares, self.divergence.frozen)
        for batch in taken.diverged(place, count):
            step, now = first + 1 + batch - place, taken.states == batch
            self.norm.copy_(torch.where(now, taken.norm[:, batch], self.norm))
            made = partial(fused.made, frames, batch, step)
            self._note(step, self.divergence.watch(step, taken.distortion[:, batch], ~now, made))
        self.norm.copy_(torch.where(self.divergence.frozen, self.norm, taken.norm[:, place + count - 1]))
        self.step += count
        return taken.loss[:, place + count - 1]

    def state_dict(self) -> dict[str, Any]:
        """All that changes in a training, tensors and plain values; as torch's, the tensors are not copied."""
        self._learn()
        ahead = self.ahead if self.step % BATCHES_AHEAD else None
        return {
            "step": self.step,
            "stepping": self.stepping,
            "model": self.model.state_dict(),
            "adam": self.adam.state_dict(),
            "critic_adam": None if self.critic_adam is None else self.critic_adam.state_dict(),
            "scales": None if self.scales is None else self.scales.state_dict(),
            "divergence": self.divergence.state_dict(),
            "streams": self.streams.state(),
            "ahead": None if ahead is None else [ahead.input, ahead.target, ahead.side],
            "norm": self.norm,
            "encoder_std_start": self.encoder_std_start,
            "outcomes": [[one.metrics, one.curves, one.diverged] for one in self.outcomes],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` gave of a training of the same stack. Raises KeyError where something is missing.

        Raises ConfigError for what an earlier version gave, which drew other random numbers.
        """
        if "generators" in state:
            raise ConfigError("is of an earlier version of QuantBench, which drew other random numbers")
        self.step, self.stepping = state["step"], state["stepping"]
        self.model.load_state_dict(state["model"])
        self.adam.load_state_dict(state["adam"])
        if self.critic_adam is not None:
            self.critic_adam.load_state_dict(state["critic_adam"])
        if self.scales is not None:
            self.scales.load_state_dict(state["scales"])
        self.divergence.load_state_dict(state["divergence"])
        self.streams.restore(state["streams"])
        self.ahead = None if state["ahead"] is None else Frames(*state["ahead"])
        self.norm.copy_(state["norm"])
        self.encoder_std_start = state["encoder_std_start"]
        self.outcomes = [
            Outcome(dict(metrics), [tuple(point) for point in curves], diverged)
            for metrics, curves, diverged in state["outcomes"]
        ]

    def _progress(self, step: int) -> float:
        """How far the training is at a step, 0 to 1."""
        return progress_at(step, self.stack.train.steps)

    def _frozen(self, step: int) -> bool:
        """Whether the encoder stays as it is at a step."""
        return self.stack.gradient.freezes_encoder(self._progress(step))

    def _refit(self) -> None:
        """Make the codebook of the latents as they are now, where the strategy leaves that to the training.

        Always of the same frames, which nothing else uses: how often it is made changes nothing in the end.
        """
        stack, model = self.stack, self.model
        if not model.refits:
            return
        streams = Streams(stack.seeds, stack.device)
        count = math.ceil(model.refits / stack.codec.latents_per_frame(stack.simulator.input_dim))
        model.refit(stack.simulator.draw(self.world, streams, count, "codebook frames"), streams)
        self.divergence.restore()

    def _batches(self) -> Frames:
        """The frames that are drawn at a time, with those of the next step."""
        stack = self.stack
        if not self.step % BATCHES_AHEAD or self.ahead is None:
            self.ahead = stack.simulator.draw(self.world, self.streams, BATCHES_AHEAD * stack.train.batch, self.purpose)
        return self.ahead

    def _next_batch(self) -> Frames:
        """The frames of the next step."""
        batch = self.stack.train.batch
        return self._batches().part(self.step % BATCHES_AHEAD * batch, batch)

    def _step(self, step: int, frames: Frames) -> Tensor:
        """One optimizer step on one batch; gives the reconstruction loss, (trials,), of what passed."""
        self.one.count()
        progress = self._progress(step)
        given = Inputs(frames, step, progress, self._rate(progress), self.streams)
        return self.one.take(given) if self.graphs is None else self.graphs.take(given)

    def _rate(self, progress: float) -> Tensor | None:
        """Share of the learning rate at this point of the training, (trials,)."""
        if self.lr_end is None:
            return None
        return self.lr_end + (1 - self.lr_end) * (1 + math.cos(math.pi * progress)) / 2

    def _note(self, step: int, diverged: dict[int, str]) -> None:
        """Write down which trials diverged at this step."""
        for trial, reason in diverged.items():
            self._note_one(step, trial, float(self.norm[trial]), reason)

    def _note_one(self, step: int, trial: int, norm: float, reason: str) -> None:
        self.outcomes[trial].metrics |= {"diverged_step": float(step), "gradient_norm": norm}
        self.outcomes[trial].diverged = reason

    def _learn(self) -> None:
        """Write down which trials have diverged since the last time, where that is learned late."""
        if self.divergence.later:
            for found in self.divergence.learn():
                self._note_one(*found)

    def _log(self, training: dict[str, Tensor]) -> None:
        """Add a point to the curves of the trials that still train."""
        if not (self.step and self._frozen(self.step)):  # a decoder may be learning from the codebook that there is
            self._refit()
        measured = evaluate(self.model, self.curve_frames, self.streams)
        points = training | {name: measured[name] for name in self.curve_metrics if name in measured}
        columns = {name: values.tolist() for name, values in points.items()}
        for trial, frozen in enumerate(self.divergence.frozen.tolist()):
            if not frozen:
                self.outcomes[trial].curves += [(self.step, name, values[trial]) for name, values in columns.items()]


@cache
def _say_once(text: str) -> None:
    say(text, error=True)


def check_finite(frames: Frames, stack: Stack, what: str) -> None:
    """Raise ConfigError where frames hold something that is not finite: no codec can be trained on it, or judged by it."""
    for part in ("input", "target", "side"):
        data = getattr(frames, part)
        if data is not None and not bool((fine := data.isfinite()).all()):
            trial, frame, feature = (~fine).nonzero()[0].tolist()
            raise ConfigError(
                f"simulator={type(stack.simulator).__name__}: the {what} frames hold {float(data[trial, frame, feature])} (the "
                f"{part} of frame {frame}, feature {feature}, with seed={stack.seeds[trial]}); data must be finite: put the "
                f"source right"
            )

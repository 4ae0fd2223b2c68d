"""Steps as graphs: written down once, and run again without Python.

On a GPU a stack of few trials waits for its kernels to be launched. A graph of all of them is launched at once. Each kind of
step is taken three times before it pays: as it is, watched for operations that no graph can hold; while it is written down;
and from then on by running the graph. What is not tensor operations stays outside: batches, random numbers, schedules and
learning rates are written into the graph's tensors before each run.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor

from quantbench.errors import brief
from quantbench.simulators import Frames
from quantbench.terminal import say
from quantbench.traced import Trace
from quantbench.training.capturable import Watching
from quantbench.training.drawn import Drawn
from quantbench.training.stack import Stack
from quantbench.training.step import Inputs, Step, progress_at

MOST_KINDS = 12
"""Kinds of step that have a graph; with more, hardly any would be run twice."""

Run = Callable[[], None]


class Capture(Protocol):
    """Makes graphs."""

    bytes: int
    """Memory that the graphs hold."""

    def warm(self, run: Run) -> None:
        """Run something as it will be when it is written down, but once."""

    def __call__(self, run: Run) -> Run:
        """Write down what ``run`` does, and do it once; gives what does it again, on the same tensors."""


class CudaCapture:
    """CUDA graphs, on a stream and in a memory pool of their own, which all kinds of step share: none runs beside another."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.bytes = device, 0
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def warm(self, run: Run) -> None:
        now = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(now)
        with torch.cuda.stream(self._stream):
            run()
        now.wait_stream(self._stream)

    def __call__(self, run: Run) -> Run:
        gc.collect()
        torch.cuda.empty_cache()
        before = torch.cuda.memory_reserved(self.device)
        graph, now = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self.device)
        try:
            with (
                torch.cuda.device(self.device),
                torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"),
            ):
                run()
        finally:
            torch.cuda.set_stream(now)  # where a capture breaks, PyTorch leaves its stream in the place of this one
        self.bytes += max(0, torch.cuda.memory_reserved(self.device) - before)
        graph.replay()
        return graph.replay


def capture_for(stack: Stack) -> Capture | None:
    """What makes graphs of a stack's steps; None where they are taken as they are."""
    wanted = stack.train.graph == "auto" and stack.device.type == "cuda"
    return CudaCapture(stack.device) if wanted else None


@dataclass
class _Kind:
    """One kind of step: what it is given, and its graph once there is one."""

    trace: Trace
    drawn: Drawn
    given: Inputs
    run: Run | None = field(default=None)

    def again(self, step: int) -> None:
        self.trace.again(step)
        self.drawn.again()


class Graphs:
    """Takes the steps of a training, as graphs where that can be.

    Attributes:
        reason: why steps are taken as they are, from now on; None where they are graphs.
    """

    def __init__(self, one: Step, capture: Capture) -> None:
        self.one, self.capture = one, capture
        self.reason: str | None = None
        self._kinds: list[_Kind] = []
        self._frames: Frames | None = None
        self._rate: Tensor | None = None
        self._loss = torch.zeros_like(one.norm)

    def take(self, given: Inputs) -> Tensor:
        """``Step.take``; what it gives stays right until the next step."""
        if self.reason is not None:
            return self.one.take(given)
        self._hold(given)
        kind = next((kind for kind in self._kinds if kind.trace.holds(given.number)), None)
        if kind is None:
            return self._begin(given)
        kind.trace.refresh(given.number)
        kind.drawn.refresh()
        if kind.run is None:
            self._write(kind, given.number)
        else:
            kind.run()
        return self._loss

    def _hold(self, given: Inputs) -> None:
        """Put a batch and the learning rates into the graphs' tensors."""
        if self._frames is None:
            every = (given.frames.input, given.frames.target, given.frames.side)
            copies = [None if one is None else one.clone() for one in every]
            assert copies[0] is not None
            assert copies[1] is not None
            self._frames = Frames(copies[0], copies[1], copies[2])
            self._rate = None if given.rate is None else given.rate.clone()
            return
        self._frames.input.copy_(given.frames.input)
        self._frames.target.copy_(given.frames.target)
        if self._frames.side is not None and given.frames.side is not None:
            self._frames.side.copy_(given.frames.side)
        if self._rate is not None and given.rate is not None:
            self._rate.copy_(given.rate)

    def _begin(self, given: Inputs) -> Tensor:
        """Take the first step of a kind as it is, and find out whether a graph can hold it."""
        watching = Watching()
        trace = Trace(given.number, watching.paused)
        drawn, begun = Drawn(given.streams, trace), given.streams.state()
        steps = self.one.stack.train.steps
        number: Any = trace.number(lambda step: step)
        progress: Any = trace.number(lambda step: progress_at(step, steps))
        assert self._frames is not None
        own = Inputs(self._frames, number, progress, self._rate, drawn)
        kind = _Kind(trace, drawn, own)
        before = [tensor.detach().clone() for tensor in self.one.tensors()]
        try:
            with watching:
                self.capture.warm(lambda: self._run(kind))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            with torch.no_grad():
                for tensor, old in zip(self.one.tensors(), before, strict=True):
                    tensor.copy_(old)
            given.streams.restore(begun)
            self._give_up(f"{type(error).__name__}: {brief(error)}")
            return self.one.take(given)
        if watching.refused:
            self._give_up("; ".join(f"{who} {why}" for who, why in watching.refused.items()))
        elif len(self._kinds) == MOST_KINDS:
            classes = ", ".join(trace.deciding)
            self._give_up(f"{classes}: its steps are of more than {MOST_KINDS} kinds, by what it decides by progress or step")
        else:
            self._kinds.append(kind)
        return self._loss

    def _write(self, kind: _Kind, step: int) -> None:
        """Take a step while it is written down."""
        kind.again(step)
        try:
            kind.run = self.capture(lambda: self._run(kind))
        except Exception as error:  # of memory, too: what takes one step may not take a graph and an evaluation
            self._give_up(f"{type(error).__name__}: {brief(error)}")
            kind.again(step)
            self._run(kind)

    def _run(self, kind: _Kind) -> None:
        self._loss.copy_(self.one.take(kind.given))

    def _give_up(self, reason: str) -> None:
        self.reason = reason
        self._kinds.clear()
        stack = self.one.stack
        _tell(f"{type(stack.quantizer).__name__}, {type(stack.gradient).__name__}", reason)


@cache
def _tell(classes: str, reason: str) -> None:
    """Say it once."""
    say(f"train.graph=auto: steps of {classes} are not run as graphs, but as they are: {reason}", error=True)

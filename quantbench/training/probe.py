"""What a step of a stack costs on a GPU: time and memory."""

from __future__ import annotations

import dataclasses
import time

import torch

from quantbench.training.evaluate import evaluate
from quantbench.training.stack import Stack
from quantbench.training.trainer import Training

STEPS = 16


def probe(stack: Stack) -> tuple[float, int]:
    """Seconds a step and the most bytes taken at a time, from a few steps of a training that is thrown away.

    A round to warm up goes before the timed one; in it, steps become graphs. Memory is that of training and of the final
    evaluation, and what the graphs hold besides.
    """
    device = stack.device
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    training = Training(
        dataclasses.replace(stack, train=dataclasses.replace(stack.train, steps=2 * STEPS, log_every=STEPS, warm_start=0))
    )
    training.start()
    training.advance(STEPS)
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    training.advance()
    torch.cuda.synchronize(device)
    seconds = (time.perf_counter() - start) / STEPS
    evaluate(training.model, training.held_out, training.streams, thorough=True)
    return seconds, torch.cuda.max_memory_allocated(device) - before + training.graph_bytes

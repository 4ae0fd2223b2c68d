"""Large codebooks: the search beside torch's addmm and argmin, and the most memory that each way through a codebook takes.

    python scripts/benchmarks/large_codebooks.py [--codes 16384] [--dim 64] [--latents 1024] [--repeats 7]

The times are one thread's, the best of interleaved repetitions. Memory is what a step (forward and backward) of one trial adds
to the process at its peak, by 65,536 codes of 64 dimensions and 1024 latents; each is measured in a process of its own, after a
step with 16 codes. The table of all distances alone would take 256 MiB, the codebook takes 16 MiB, and its gradient as much.
Nothing is judged. Linux only.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from quantbench import kernels
from quantbench.components import joined
from quantbench.quantizers.base import Moment, Quantizer
from quantbench.quantizers.search import nearest
from quantbench.streams import Streams
from quantbench.sweeps.catalogue import default_component

CODES, DIM, LATENTS = 2**16, 64, 1024
WAYS: dict[str, list[str]] = {
    "vq": ["vq", "ste"],
    "vq, dot": ["vq", "ste", "search=dot"],
    "vq, cosine": ["vq", "ste", "search=cosine"],
    "vq, ema": ["vq", "ste", "update_by=ema"],
    "vq, online restarts": ["vq", "ste", "restart=1.0", "restart_by=online"],
    "simvq": ["simvq", "ste"],
    "rotation": ["vq", "rotation"],
    "sf_diveq": ["vq", "sf_diveq"],
    "vp": ["vq", "vp"],
    "soft_to_hard": ["vq", "soft_to_hard"],
    "soft_to_hard, cosine": ["vq", "soft_to_hard", "search=cosine"],
    "ibq": ["vq", "ibq", "search=dot"],
}


def seconds(function: Callable[[], object]) -> float:
    began = time.process_time()
    function()
    return time.process_time() - began


def plain(codebook: Tensor, latents: Tensor) -> Tensor:
    """What one would write: every distance, then the least."""
    return torch.addmm(codebook.square().sum(1).unsqueeze(0), latents, codebook.t(), alpha=-2).argmin(1)


def speed(codes: int, dim: int, latents: int, repeats: int) -> str:
    """Milliseconds of the search of one trial."""
    codebook, y = torch.randn(1, codes, dim), torch.randn(1, latents, dim)

    def without() -> Tensor:
        with kernels.without():
            return nearest(codebook, y)

    ways = {"addmm and argmin": lambda: plain(codebook[0], y[0]), "kernel": lambda: nearest(codebook, y), "no kernels": without}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats + 1):  # the first is warm-up
        for name, way in ways.items():
            times[name].append(seconds(way))
    best = {name: min(each[1:]) for name, each in times.items()}
    each = (f"{name} {1e3 * one:.1f} ms ({one / best['addmm and argmin']:.2f})" for name, one in best.items())
    return f"{codes} codes, {dim} dimensions, {latents} latents: {', '.join(each)}"


def setting(word: str) -> tuple[str, str | float]:
    name, value = word.split("=")
    return name, float(value) if value[0].isdigit() else value


def step(words: list[str], codes: int) -> None:
    """What a training step does with a codebook."""
    quantizer_name, gradient_name, *settings = words
    quantizer: Quantizer = default_component(
        "quantizer", quantizer_name, None, {"codes": codes, **dict(map(setting, settings))}
    )
    gradient = default_component("gradient", gradient_name)
    streams = Streams([0])
    quantizer, gradient = joined([quantizer]), joined([gradient])
    state = quantizer.init(streams, DIM)
    latents = streams.normal("data", LATENTS, DIM).requires_grad_()
    moment = Moment(0.5, streams)
    passed = quantizer.forward(state, latents, lambda q, own, y, code: gradient.pass_through(q, own, y, code, moment), moment)
    leaves = [latents, *(value for value in state.values() if value.requires_grad)]
    torch.autograd.grad(passed.received.square().sum() + passed.loss.sum(), leaves, allow_unused=True)
    with torch.no_grad():
        quantizer.update(state, [(y.detach(), code) for y, code in passed.trace], streams, 1)


def peak() -> float:
    """The most memory of this process so far, MiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def memory(name: str) -> float:
    """MiB that a step adds at its peak."""
    torch.set_num_threads(1)
    kernels.ready()
    step(WAYS[name], 16)
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = peak()
    step(WAYS[name], CODES)
    return peak() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=int, default=16384)
    parser.add_argument("--dim", type=int, default=DIM)
    parser.add_argument("--latents", type=int, default=LATENTS)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(f"{memory(options.way):.0f}")
        return
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, kernels: {kernels.ready() or 'compiled'}; ratios to addmm and argmin")
    print(speed(options.codes, options.dim, options.latents, options.repeats))
    for switch in ("on", "off"):
        # Freed tensors go back at once: what the allocator keeps for later is not what a step needs.
        environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}
        environment |= {"QUANTBENCH_KERNELS": "off"} if switch == "off" else {}
        found = []
        for name in WAYS:
            command = [sys.executable, __file__, "--way", name]
            ran = subprocess.run(command, capture_output=True, text=True, env=environment)
            found.append(f"{name} {ran.stdout.strip() or ran.stderr.strip().splitlines()[-1]}")
        print(f"MiB at the peak of a step, kernels {switch}: {'; '.join(found)}")


if __name__ == "__main__":
    main()

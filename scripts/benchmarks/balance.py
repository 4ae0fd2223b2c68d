"""How evenly stacks fill the workers: when a sweep ends, against the ideal, simulated from its plan.

    python scripts/benchmarks/balance.py [--workers 2 4 8 16] [--measure] [EXPERIMENT ...]

The ideal is the work of the fewest stacks, divided by the workers. Three plans are compared with it: as many stacks as the
stack size asks for, started by their number of trials; the same, the dearest first; and what `quantbench run` does. Costs are
the estimates that the plan is made with, or, with --measure, times of training steps on one core for every group (the plan is
still made with the estimates, so this shows what their errors cost).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence

import torch

from quantbench.config import build_stack
from quantbench.sweeps.balance import Cost, cost, cut, ending, evenly, ideal
from quantbench.sweeps.compose import compose
from quantbench.sweeps.plan import plan
from quantbench.sweeps.schedule import CPU_STACK
from quantbench.sweeps.trial import Trial
from quantbench.training.trainer import Training

STEPS = 16


def groups_of(experiment: str) -> list[list[Trial]]:
    """The trials of an experiment, by shape."""
    planned = plan(compose([f"+experiment={experiment}"]))
    groups: dict[int, list[Trial]] = {}
    for trial in planned.trials:
        if not trial.skipped:
            groups.setdefault(trial.shape, []).append(trial)
    return list(groups.values())


def measured(group: Sequence[Trial]) -> Cost:
    """Cost in milliseconds of a group's whole training, from steps of one trial and of a few."""
    torch.set_num_threads(1)
    most = min(len(group), 8)
    one, several = _milliseconds(group[:1]), _milliseconds(group[:most])
    each = max((several - one) / (most - 1), 0.01) if most > 1 else one / 2
    steps = group[0].config["train"]["steps"]
    return Cost(steps * max(one - each, 0.1), steps * each)


def _milliseconds(trials: Sequence[Trial]) -> float:
    """The shorter time of a step in two rounds, after a round to warm up."""
    short = [one.config | {"train": one.config["train"] | {"steps": STEPS, "log_every": STEPS}} for one in trials]
    training = Training(build_stack(short, torch.device("cpu")))
    training.start()
    times = []
    for _ in range(3):
        training.step = 0  # the same steps once more
        start = time.perf_counter()
        training.advance()
        times.append(time.perf_counter() - start)
    return 1000 * min(times[1:]) / STEPS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("experiments", nargs="*", default=["ste_vs_anneal", "gradient_zoo", "gaussian_limit"])
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--measure", action="store_true", help="time training steps of every group")
    arguments = parser.parse_args()
    print(f"{'experiment':16} trials workers  by trials      dearest first  balanced")
    for experiment in arguments.experiments:
        groups = groups_of(experiment)
        costs = {group[0].shape: measured(group) if arguments.measure else cost(group[0]) for group in groups}

        def real(stack: Sequence[Trial], costs: dict[int, Cost] = costs) -> float:
            return costs[stack[0].shape].of(len(stack))

        fewest = [part for group in groups for part in evenly(group, math.ceil(len(group) / CPU_STACK))]
        for workers in arguments.workers:
            best = ideal([real(stack) for stack in fewest], workers)
            cells = []
            for stacks, rank in (
                (fewest, lambda stack: float(len(stack))),
                (fewest, lambda stack: cost(stack[0]).of(len(stack))),
                (cut(groups, [CPU_STACK] * len(groups), workers), lambda stack: cost(stack[0]).of(len(stack))),
            ):
                end = ending([real(stack) for stack in stacks], workers, [rank(stack) for stack in stacks])
                cells.append(f"{end / best:.3f} ({len(stacks):3})")
            print(f"{experiment:16} {sum(map(len, groups)):6} {workers:7}  {'    '.join(cells)}")


if __name__ == "__main__":
    main()

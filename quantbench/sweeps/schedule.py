"""From planned trials to stacks: grouped by shape, as large as suits the device, cut so that workers end together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass

from quantbench.config import COMPONENTS, instance
from quantbench.devices import find_device
from quantbench.schema import find_class
from quantbench.simulators.base import memory_allowed
from quantbench.sweeps.balance import cut
from quantbench.sweeps.executors import Claim, make_executor
from quantbench.sweeps.plan import Plan
from quantbench.sweeps.trial import Trial

CPU_STACK = 64
"""Largest stack on a CPU where none is set."""


@dataclass(frozen=True)
class Schedule:
    """In which stacks the trials of a plan are trained.

    Attributes:
        stacks: of equal shape each, the longest first; on a GPU all trials of a shape where the stack size is to be measured.
        measured: whether the stack size is still to be measured, on the GPU.
        workers: how many stacks train at the same time; None where only the cluster knows, and one was assumed.
        claims: stacks that jobs of an earlier driver have.
    """

    stacks: list[list[Trial]]
    measured: bool
    workers: int | None
    claims: list[Claim]

    @property
    def trials(self) -> int:
        """How many there are in all stacks."""
        return sum(map(len, self.stacks)) + sum(len(claim.stack) for claim in self.claims)


def schedule(planned: Plan, done: Set[str] = frozenset(), workers: int | None = None, claims: Sequence[Claim] = ()) -> Schedule:
    """Cut what is to be trained into stacks. Contacts nobody.

    Args:
        done: identities of trials that need not be trained again.
        workers: how many stacks train at the same time; where not given, as the executor's settings say.
        claims: stacks that jobs of an earlier driver have, unless they are done by now.
    """
    executor, device = make_executor(planned.executor), find_device(planned.run.device)
    workers = workers or executor.workers_on(device)
    measured = executor.stack_size is None and device.type == "cuda"
    limit = None if measured else executor.stack_size or CPU_STACK
    under_way = [claim for claim in claims if any(trial.id not in done for trial in claim.stack)]
    done = done | {trial.id for claim in under_way for trial in claim.stack}
    trials = [trial for trial in planned.trials if not trial.skipped and trial.id not in done]
    return Schedule(_stacks(trials, limit, workers or 1), measured, workers, under_way)


def _stacks(trials: Sequence[Trial], limit: int | None, workers: int) -> list[list[Trial]]:
    """Trials of equal shape in stacks of at most ``limit``, cut so that all workers end at about the same time."""
    groups: dict[int, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.shape].append(trial)
    members = list(groups.values())
    limits = [min(limit or len(group), _fitting_memory(group[0])) if _stackable(group[0]) else 1 for group in members]
    return cut(members, limits, workers)


def _stackable(trial: Trial) -> bool:
    """Whether such trials train faster together than one by one."""
    cls = find_class(trial.config["codec"]["_target_"], COMPONENTS["codec"], "codec")
    return bool(cls.stackable)  # type: ignore[attr-defined]


def _fitting_memory(trial: Trial) -> int:
    """How many trials' sources fit into the memory that one source may take."""
    each: int = instance("simulator", trial.config["simulator"]).bytes_per_trial
    return max(1, memory_allowed() // max(1, each))

"""The one loop that gives stacks to an executor: of a run, of a job of a cluster, and of an audit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait

from quantbench.signals import wind_up
from quantbench.sweeps.executors import Claim, Engine, WorkerDied
from quantbench.sweeps.supply import Supply
from quantbench.sweeps.trial import Record, Trial, failure
from quantbench.sweeps.yardsticks import Yardsticks

Running = dict[Future[list[Record]], tuple[list[Trial], bool]]
"""Stacks under way, and whether alone."""


def drive(
    engine: Engine,
    supply: Supply,
    keep: Callable[[list[Record], bool], None],
    lost: Callable[[], None] = lambda: None,
    claims: Sequence[Claim] = (),
    tick: Callable[[], None] = lambda: None,
    later: Yardsticks | None = None,
) -> bool:
    """Train all stacks of a supply; False where jobs go on with some of them.

    A stack that is lost with its worker is trained once more, alone, to find the culprit; lost again, its trials have failed.
    After Ctrl-C or an error, stacks that are finished are kept.

    Args:
        keep: takes the records of a stack, and whether they are in the journal already.
        lost: told when work was lost.
        claims: stacks that an earlier driver submitted.
        tick: called again and again while stacks are waited for.
        later: what is to be found of trials that are trained, by workers that have no stack.
    """
    suspects: deque[list[Trial]] = deque()
    running: Running = {engine.adopt(claim): (claim.stack, False) for claim in claims}
    try:
        while supply or suspects or running or (later and later.left):
            while (supply or suspects) and len(running) < _room(engine, suspects, running):
                alone = bool(suspects)
                stack = suspects.popleft() if alone else supply.next()
                running[engine.submit(stack, alone)] = (stack, alone)
            if running:
                engine.poll()
            tick()
            if engine.leaves and running:
                return False
            waited = [*running, *(later.running if later else ())]
            wait(waited, timeout=engine.poll_seconds if waited else 0, return_when=FIRST_COMPLETED)
            for future in [one for one in running if one.done()]:
                stack, alone = running[future]
                try:
                    new = future.result()
                    supply.learn(stack, new)
                    keep(new, engine.journals)
                except WorkerDied as error:
                    lost()
                    if alone:
                        keep([failure(trial, str(error)) for trial in stack], False)
                    else:
                        suspects.append(stack)
                del running[future]
            if later:
                later.look(engine.capacity if supply or suspects else len(running))
    except BaseException:  # Ctrl-C, or an error of the executor's: what is finished is kept
        wind_up()
        for future in running:
            if future.done() and not future.cancelled() and not future.exception():
                keep(future.result(), engine.journals)
        if later:
            later.rescue()
        raise
    return True


def _room(engine: Engine, suspects: Sequence[list[Trial]], running: Running) -> int:
    """How many stacks may be under way: one, while a suspect could take others with it."""
    suspected = suspects or any(alone for _, alone in running.values())
    return 1 if suspected and not engine.isolates else engine.capacity

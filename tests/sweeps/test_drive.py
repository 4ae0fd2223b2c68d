"""The loop that gives stacks to an executor, with engines that lose stacks, leave, or adopt."""

from collections import Counter
from concurrent.futures import Future

import pytest

from quantbench.errors import QuantBenchError
from quantbench.points import Points
from quantbench.sweeps.drive import drive
from quantbench.sweeps.executors import Claim, Engine, WorkerDied
from quantbench.sweeps.supply import Supply
from quantbench.sweeps.trial import Record, Trial


def stack(name, trials=2):
    return [Trial(f"{name}{number}", {}, {}, shape=0) for number in range(trials)]


def record(trial, size=2):
    return Record(trial.id, {"status": "completed", "error": "", "stack_size": size}, Points())


class Pretended(Engine):
    """Finishes one stack a poll, in their order, but loses some as often as told, alone or with all that run."""

    poll_seconds = 0.0

    def __init__(self, capacity=2, lose=None, isolates=False, takes_others=False):
        self.capacity, self.isolates, self.lose, self.takes_others = capacity, isolates, Counter(lose), takes_others
        self.running, self.log, self.most, self.alone = {}, [], 0, False

    def submit(self, stack, alone=False):
        self.log.append((stack[0].id[0], alone))
        future = Future()
        self.running[future] = stack
        self.most = max(self.most, len(self.running))
        self.beside = len(self.running)
        self.alone = alone or self.alone & (len(self.running) > 1)
        assert self.isolates or not self.alone or len(self.running) == 1
        return future

    def adopt(self, claim):
        return self.submit(claim.stack)

    def poll(self):
        future, stack = next(iter(self.running.items()))
        if self.lose[stack[0].id[0]]:
            self.lose[stack[0].id[0]] -= 1
            for lost in list(self.running) if self.takes_others else [future]:
                del self.running[lost]
                lost.set_exception(WorkerDied("it died"))
        else:
            del self.running[future]
            future.set_result([record(trial, len(stack)) for trial in stack])


def driven(engine, *stacks, **more):
    kept = {}

    def keep(records, written):
        kept.update((one.trial, (one.row["status"], written)) for one in records)

    complete = drive(engine, Supply(stacks), keep, **more)
    return complete, kept


@pytest.mark.parametrize("isolates", [False, True])
@pytest.mark.parametrize(("times", "status"), [(1, "completed"), (2, "failed")])
def test_a_lost_stack_is_trained_once_more_alone(isolates, times, status):
    engine = Pretended(lose={"b": times}, isolates=isolates)
    complete, kept = driven(engine, stack("a"), stack("b"), stack("c"), stack("d"))
    assert complete
    assert {name[0]: found[0] for name, found in kept.items()} == dict.fromkeys("acd", "completed") | {"b": status}
    assert Counter(engine.log) == Counter([("a", False), ("b", False), ("c", False), ("d", False), ("b", True)])


def test_a_suspect_that_harms_nobody_keeps_nobody_waiting():
    engine = Pretended(capacity=9, lose={"a": 1}, isolates=True)
    driven(engine, *(stack(name) for name in "abcdef"))
    assert engine.log[-1] == ("a", True)
    assert engine.most == 6
    assert engine.beside == 6  # the others had not ended yet


def test_of_stacks_that_were_lost_together_only_the_culprit_fails():
    engine = Pretended(capacity=3, lose={"b": 2}, takes_others=True)
    _, kept = driven(engine, *(stack(name) for name in "abcdefg"))
    assert {name for name, found in kept.items() if found[0] == "failed"} == {"b0", "b1"}
    assert len(kept) == 14


def test_what_an_engine_journals_is_not_written_again_but_failures_are():
    engine = Pretended(lose={"b": 2})
    engine.journals = True
    _, kept = driven(engine, stack("a"), stack("b"))
    assert kept["a0"] == ("completed", True)
    assert kept["b0"] == ("failed", False)


def test_a_driver_that_leaves_has_submitted_everything():
    engine = Pretended(capacity=9)
    engine.leaves = True
    complete, kept = driven(engine, stack("a"), stack("b"), stack("c"), claims=[Claim(stack("x"), None)])
    assert not complete
    assert [name for name, _ in engine.log] == ["x", "a", "b", "c"]
    assert not kept
    assert driven(engine) == (True, {})  # nothing to leave behind


def test_claims_are_waited_for():
    complete, kept = driven(Pretended(), stack("a"), claims=[Claim(stack("x"), None)])
    assert complete
    assert set(kept) == {"a0", "a1", "x0", "x1"}


def test_ctrl_c_keeps_what_is_finished():
    class Interrupted(Pretended):
        def poll(self):
            super().poll()
            raise KeyboardInterrupt

    kept = []
    with pytest.raises(KeyboardInterrupt):
        drive(Interrupted(), Supply([stack("a"), stack("b")]), lambda records, written: kept.extend(records))
    assert [one.trial for one in kept] == ["a0", "a1"]


class Broken(Pretended):
    """Finishes all at once, all but two with an error of its own: whichever is looked at first, these two are kept."""

    def poll(self):
        for future, stack in self.running.items():
            if stack[0].id[0] in "ab":
                future.set_result([record(trial) for trial in stack])
            else:
                future.set_exception(QuantBenchError("another version"))


def test_what_is_finished_is_kept_when_an_executor_ends_with_an_error():
    kept = []
    with pytest.raises(QuantBenchError, match="another version"):
        drive(Broken(capacity=8), Supply([stack(name) for name in "abcdefgh"]), lambda new, _: kept.extend(new))
    assert sorted(one.trial for one in kept) == ["a0", "a1", "b0", "b1"]

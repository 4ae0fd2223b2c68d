import math
from dataclasses import replace

import pytest

from quantbench.sweeps.balance import Cost, cost, cut, ending, evenly, ideal
from quantbench.sweeps.plan import plan
from quantbench.sweeps.schedule import schedule
from quantbench.sweeps.sweep import Combination
from tests.sweeps.test_plan import CHOICES, config, sweep


def groups(*sizes, **changes):
    """Groups of so many trials each, told apart by their steps."""
    found = []
    for number, size in enumerate(sizes):
        one = config(**changes, train={"steps": 1000 + number}, executor={"stack_size": 10000})
        (stack,) = schedule(plan(sweep({"seed": list(range(size))}, combinations=[Combination(CHOICES, one)]))).stacks
        found.append(stack)
    return found


def sizes(stacks):
    return [len(stack) for stack in stacks]


@pytest.mark.parametrize(
    ("trials", "workers", "expected"),
    [
        ((40,), 1, [14, 13, 13]),  # as few as the limit allows
        ((40,), 2, [10, 10, 10, 10]),  # a multiple of the workers
        ((16,), 2, [8, 8]),
        ((5,), 2, [3, 2]),
        ((5, 5), 2, [5, 5]),
        ((5, 5, 5), 2, [5, 5, 3, 2]),  # the last one is shared
        ((1,), 4, [1]),
    ],
)
def test_workers_are_filled_evenly(trials, workers, expected):
    stacks = cut(groups(*trials), [16] * len(trials), workers)
    assert sorted(sizes(stacks), reverse=True) == expected


@pytest.mark.parametrize("workers", [1, 2, 3, 16])
@pytest.mark.parametrize("trials", [(5, 9, 30), (64,), (1, 1, 1), (100, 3)])
def test_every_trial_is_in_one_stack_and_the_dearest_stack_is_first(trials, workers):
    before = groups(*trials)
    stacks = cut(before, [16, 16, 16][: len(trials)], workers)
    ids = [trial.id for stack in stacks for trial in stack]
    assert sorted(ids) == sorted(trial.id for group in before for trial in group)
    assert max(sizes(stacks)) <= 16
    assert all(len({trial.config["train"]["steps"] for trial in stack}) == 1 for stack in stacks)
    costs = [cost(stack[0]).of(len(stack)) for stack in stacks]
    assert costs == sorted(costs, reverse=True)
    fewest = [len(part) for group in before for part in evenly(group, math.ceil(len(group) / 16))]
    rough = [1000 * (2.5 + size) for size in fewest]
    assert ending(costs, workers) <= 1.01 * ending(rough, workers)


def test_a_long_sweep_keeps_large_stacks():
    stacks = cut(groups(1600), [16], 2)
    assert sizes(stacks) == [16] * 100


def test_cost_grows_with_steps_frames_width_and_dear_methods():
    (base,) = groups(1)[0]
    assert cost(base).of(4) == pytest.approx(cost(base).fixed + 4 * cost(base).each)

    def of(**changes):
        ((trial,),) = groups(1, **changes)
        return cost(trial).of(8)

    assert of(codec={"hidden": 256}) > 5 * of()
    assert of(quantizer={"_target_": "quantbench.quantizers.VectorQuantizer", "codes": 256}) == of()
    dear = of(gradient={"_target_": "quantbench.gradients.SoftToHard"}, quantizer={"codes": 256})
    assert of() < of(gradient={"_target_": "quantbench.gradients.SoftToHard"}, quantizer={"codes": 64}) < dear

    def stages_of(name, **settings):
        node = {"_target_": "quantbench.quantizers.Residual", "stage": {"_target_": f"quantbench.quantizers.{name}"} | settings}
        return cost(replace(base, config=base.config | {"quantizer": node})).of(8)

    assert of() < stages_of("SimVQ", codes=16) < stages_of("SimVQ", codes=512) < stages_of("LFQ")
    longer, larger = config(train={"steps": 2000}), config(train={"steps": 1000, "batch": 1024})
    planned = [plan(sweep(combinations=[Combination(CHOICES, one)])).trials[0] for one in (longer, larger)]
    assert cost(planned[0]).of(8) == pytest.approx(2 * of())
    assert cost(planned[1]).each == pytest.approx(4 * cost(base).each)


def test_the_largest_stack_within_a_bound():
    one = Cost(fixed=2.5, each=0.5)
    assert [one.largest(bound) for bound in (1, 3, 3.5, 10.4, 10.5)] == [1, 1, 2, 15, 16]


def test_when_a_sweep_ends():
    assert ending([3, 3, 2, 2, 2], 2) == 7
    assert ending([3, 3, 2, 2, 2], 1) == 12
    assert ending([1, 1, 4], 2, order=[1, 1, 1]) == 5  # the longest starts last
    assert ideal([1, 1, 4], 2) == 3


def test_stacks_are_cut_for_as_many_workers_as_the_executor_says():
    processes = {"_target_": "quantbench.sweeps.executors.Processes", "stack_size": 16}
    for workers, expected in ((1, [14, 13, 13]), (2, [10, 10, 10, 10])):
        one = config() | {"executor": processes | {"workers": workers}}
        scheduled = schedule(plan(sweep({"seed": list(range(40))}, combinations=[Combination(CHOICES, one)])))
        assert sorted(sizes(scheduled.stacks), reverse=True) == expected
        assert scheduled.workers == workers
        assert not scheduled.measured

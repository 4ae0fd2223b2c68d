"""What a training keeps: another one that takes it over goes on bit-equal, and nothing that matters is forgotten."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from quantbench.training import Stack, checkpoint
from quantbench.training.measure import measure
from quantbench.training.run import begin
from quantbench.training.trainer import Training
from tests.training.test_training import CASES, results, stack

CPU = torch.device("cpu")


def same(one: object, other: object, where: str = "") -> list[str]:
    """Where two objects differ, down to the last attribute, tensor and random generator; shared parts are looked at once."""
    seen: set[tuple[int, int]] = set()

    def walk(one: object, other: object, where: str) -> list[str]:
        if one is other or (id(one), id(other)) in seen:
            return []
        seen.add((id(one), id(other)))
        if type(one) is not type(other):
            return [f"{where}: {type(one).__name__}, {type(other).__name__}"]
        if isinstance(one, torch.Tensor):
            alike = one.dtype == other.dtype and torch.equal(one.nan_to_num(7e7), other.nan_to_num(7e7))  # type: ignore[attr-defined]
            return [] if alike else [where]
        if isinstance(one, torch.Generator):
            return walk(one.get_state(), other.get_state(), where)  # type: ignore[attr-defined]
        if isinstance(one, list | tuple):
            one, other = dict(enumerate(one)), dict(enumerate(other))  # type: ignore[call-overload]
        elif not isinstance(one, dict) and hasattr(one, "__dict__") and not isinstance(one, type) and not callable(one):
            one, other = vars(one), vars(other)
        if not isinstance(one, dict):
            return [] if one == other else [f"{where}: {one!r}, {other!r}"]
        assert isinstance(other, dict)
        keys = sorted({*one, *other}, key=str)
        missing = [f"{where}.{key}: in one alone" for key in keys if key not in one or key not in other]
        both = [key for key in keys if key in one and key in other]
        return missing + [line for key in both for line in walk(one[key], other[key], f"{where}.{key}")]

    return walk(one, other, where)


def adversarial(folder: Path) -> Stack:
    from tests.losses.test_losses import adversarial

    return replace(adversarial(folder), names=())


def diverging(folder: Path) -> Stack:
    """One trial of three goes wrong in its first steps."""
    quantizer, gradient, simulator = CASES["ema"]
    quantizer = quantizer[:3] if isinstance(quantizer, list) else quantizer
    whole = stack(3, quantizer, gradient, simulator, lr=(1e-3, 30.0, 1e-2))
    return replace(whole, train=replace(whole.train, explode=5.0))


def ordinary(case: str) -> Callable[[Path], Stack]:
    settings = {"lr_end": (1.0, 0.1, 1.0, 0.0, 0.5), "clip": (0.0, 1.0, 0.1, 0.0, 1.0)}
    return lambda folder: stack(5, *CASES[case], **settings)


STACKS = {case: ordinary(case) for case in CASES} | {"adversarial": adversarial, "diverging": diverging}


@pytest.mark.parametrize(
    ("case", "at", "through_a_file"),
    [
        (case, at, at == 16) for case in STACKS for at in (16, 21) if (case, at) != ("adversarial", 16)
    ],  # at 21, frames are ahead
)
def test_a_training_that_takes_over_is_the_same_and_ends_the_same(case, at, through_a_file, tmp_path):
    whole = STACKS[case](tmp_path)
    first = begin(whole)
    first.advance(at)
    if case == "diverging":
        assert first.divergence.frozen.tolist() == [False, True, False]
    state = first.state_dict()
    if through_a_file:
        about = {"names": ["one"], "trials": [{}]}
        checkpoint.save(tmp_path / "state.safetensors", state, about)
        state = checkpoint.load(tmp_path / "state.safetensors", [{}], CPU)
    second = Training(whole)
    second.load_state_dict(state)
    # Every attribute, whatever it is called: what is new and changes in a training must be in its state.
    assert differing(first, second) == []
    before = copy.deepcopy(vars(first.outcomes[0]))
    second.advance()
    assert vars(first.outcomes[0]) == before  # nothing that changes is shared
    assert first.step == at
    first.advance()
    assert differing(first, second) == []


def differing(first: Training, second: Training) -> list[str]:
    """What is unlike in two trainings, but for time and for frames that no step will see again."""
    found = same(vars(first), vars(second))
    used_up = not first.step % 8 or first.step == first.stack.train.steps
    found = [line for line in found if not (used_up and line.startswith(".ahead"))]
    if first.step < first.stack.train.steps:
        return found
    return [line for line in found if not line.startswith(".stepping")]


def test_an_interrupted_training_equals_one_in_one_go():
    whole = stack(2)
    one_go, parts = begin(whole), begin(whole)
    one_go.advance()
    reported: list[int] = []
    for steps in (1, 10, 7, 100):
        parts.advance(steps, reported.append)
    assert sum(reported) == parts.step == 60
    assert differing(one_go, parts) == []
    assert results(measure(parts)) == results(measure(one_go))


def test_making_a_training_trains_and_fits_nothing(monkeypatch):
    whole = stack(2, warm_start=50)
    monkeypatch.setattr(Training, "_step", None)
    training = Training(whole)
    fresh = whole.codec.init(training.streams, 6, 0, 6)  # draws on: other numbers, equal shapes
    assert training.step == 0
    assert all(training.model.codec[name].shape == tensor.shape for name, tensor in fresh.items())
    assert not any(outcome.curves for outcome in training.outcomes)


def test_the_time_of_all_steps_counts_after_a_resume(monkeypatch):
    """By a clock that goes on a second whenever it is looked at, so a step takes one."""
    now = iter(range(10**6))
    monkeypatch.setattr("quantbench.training.trainer.time.perf_counter", lambda: next(now))
    whole = stack(2)
    first = begin(whole)
    first.advance(48)
    second = Training(whole)
    second.load_state_dict(first.state_dict())
    second.advance()
    assert second.stepping == 60
    assert [outcome.metrics["step_seconds"] for outcome in measure(second)] == [0.5, 0.5]

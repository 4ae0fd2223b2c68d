"""Stacks made from plain components."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

import numpy as np
import pytest
import torch

from quantbench.codecs import MLP, SEANet
from quantbench.components import joined
from quantbench.config import build_stack
from quantbench.errors import ConfigError
from quantbench.gradients import DSQ, MSTE, STE, Schedule, SoftToHard, WarmUp
from quantbench.quantizers import FSQ, LFQ, Residual, VectorQuantizer
from quantbench.simulators import Codeword
from quantbench.training import Stack, TrainSettings, train
from quantbench.training.configuration import configuration
from tests.sweeps.test_plan import config


def of(**parts: Any) -> Stack:
    given: dict[str, Any] = {"simulator": Codeword(), "codec": MLP(), "quantizer": VectorQuantizer(), "gradient": STE()}
    return Stack.of(**(given | {"seeds": range(2), "device": "cpu"} | parts))


def test_settings_per_trial_have_the_shape_of_what_they_multiply() -> None:
    quantizers = [LFQ(entropy_weight=weight, sharpness=2 * weight) for weight in (0.1, 0.3)]
    gradients = [WarmUp(then=SoftToHard(temperature=Schedule(start=start, end=0.1))) for start in (1.0, 2.0)]
    stack = of(quantizer=quantizers, gradient=gradients, train=[TrainSettings(lr=lr) for lr in (0.1, 0.2)])
    assert torch.equal(stack.quantizer.entropy_weight, torch.tensor([0.1, 0.3]))  # type: ignore[attr-defined]
    assert torch.equal(stack.quantizer.sharpness, torch.tensor([0.2, 0.6]).view(2, 1, 1))  # type: ignore[attr-defined]
    assert torch.equal(stack.train.lr, torch.tensor([0.1, 0.2]))
    schedule = stack.gradient.then.temperature  # type: ignore[attr-defined]
    assert torch.equal(schedule.at(0.3), torch.tensor([1.0, 2.0]).view(2, 1, 1))
    assert schedule.shape == "constant"


@pytest.mark.parametrize("update_by", ["gradient", "ema"])
def test_restarts_and_starts_of_a_codebook_differ_within_a_stack(update_by: str) -> None:
    """Each trial, of a residual quantizer too, is trained bit by bit as it is alone."""
    ones = [
        Residual(stages=2, stage=VectorQuantizer(codes=8, restart=share, restart_every=2, init_by=start, update_by=update_by))  # type: ignore[arg-type]
        for share, start in ((0.0, "data"), (0.9, "kmeans"), (0.0, "kmeans"), (0.5, "data"))
    ]
    settings = TrainSettings(steps=8, batch=16, log_every=8, lr=0.01)

    def outcomes(places: list[int]) -> list[Any]:
        whole = of(quantizer=[ones[i] for i in places], seeds=[i + 7 for i in places], train=settings)
        assert [configuration(whole, i)["quantizer.stage.init_by"] for i in range(len(places))] == [
            ones[i].stage.init_by
            for i in places  # type: ignore[attr-defined]
        ]
        timed = ("seconds", "step_seconds")
        return [({k: v for k, v in one.metrics.items() if k not in timed}, one.curves) for one in train(whole)]

    together = outcomes([0, 1, 2, 3])
    assert [outcomes([i])[0] for i in range(4)] == together
    with pytest.raises(ConfigError, match=r"VectorQuantizer.init_by=data, normal: trials of one stack must have the same"):
        of(quantizer=[VectorQuantizer(), VectorQuantizer(init_by="normal")])


def test_a_stack_from_components_is_that_of_the_command_line() -> None:
    def flat(one: Any) -> Any:
        if isinstance(one, torch.Tensor):
            return one.tolist(), one.shape
        return (type(one), [flat(value) for value in vars(one).values()]) if is_dataclass(one) else one

    trial = config(quantizer={"codes": 16}) | {"seed": 3}
    found = build_stack([trial, trial | {"seed": 4}], torch.device("cpu"))
    mine = of(
        simulator=Codeword(bits=4),
        codec=MLP(latent_dim=4),
        quantizer=VectorQuantizer(codes=16, commitment=1),
        train=TrainSettings(steps=10, lr=0.001),
        seeds=(3, 4),
    )
    assert flat(mine) == flat(found)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"quantizer": VectorQuantizer(codes=1)}, r"quantizer\.codes=1: must be at least 2"),
        ({"quantizer": VectorQuantizer(codes=2.5)}, r"quantizer\.codes=2\.5: must be an integer"),  # type: ignore[arg-type]
        ({"quantizer": VectorQuantizer(commitment="much")}, r"quantizer\.commitment='much': must be a number"),
        ({"gradient": SoftToHard(temperature=Schedule(begin=2.0))}, r"gradient\.temperature: begin=2\.0: must lie between"),
        ({"gradient": WarmUp(then=FSQ())}, r"gradient\.then=.*: must be a Gradient"),  # type: ignore[arg-type]
        ({"gradient": DSQ()}, r"gradient=DSQ does not fit quantizer=VectorQuantizer: the quantizer offers no grid"),
        ({"quantizer": FSQ(levels=(8, 5))}, r"quantizer\.levels=\[8, 5\]: 2 entries for codec\.latent_dim=8"),
        ({"codec": SEANet()}, "waveform"),
        ({"seeds": (0.5,)}, r"seed=0\.5: must be an integer"),
        ({"seeds": 3}, r"seeds=3: must be a list of integers"),
        ({"seeds": (True,)}, r"seed=True: must be an integer"),
        ({"quantizer": "vq"}, r"quantizer='vq': must be a Quantizer"),
        ({"quantizer": None}, r"quantizer=None: must be a Quantizer"),
        ({"quantizer": VectorQuantizer}, r"quantizer=<class '.*VectorQuantizer'>: must be a Quantizer"),
        ({"quantizer": MSTE()}, r"quantizer=MSTE\(.*: must be a Quantizer"),
        ({"quantizer": [FSQ(), MSTE()]}, r"quantizer=MSTE\(.*: must be a Quantizer"),
        ({"train": {"steps": 3}}, r"train=\{'steps': 3\}: must be a TrainSettings"),
        ({"seeds": ()}, r"simulator: 0 are given for 0 seeds"),
        ({"quantizer": [FSQ()] * 3}, r"quantizer: 3 are given for 2 seeds"),
        ({"quantizer": [FSQ(levels=4), FSQ(levels=5)]}, r"FSQ\.levels=4, 5: trials of one stack must have the same"),
        ({"gradient": [STE(), MSTE()]}, r"STE, MSTE: trials of one stack"),
        ({"device": "cuda:99"}, r"device=cuda:99"),
    ],
)
def test_what_the_command_line_refuses_is_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        of(**parts)


def test_seeds_may_be_any_kind_of_integer() -> None:
    stack = of(seeds=np.arange(2))
    assert stack.seeds == (0, 1)
    assert {type(seed) for seed in stack.seeds} == {int}


def test_numbers_become_those_of_float32_once() -> None:
    assert joined([MLP()]).hidden == 64
    assert joined([VectorQuantizer(commitment=0.1)]).commitment.dtype == torch.float32

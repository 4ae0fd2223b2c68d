import dataclasses

import pytest
import torch

from quantbench.simulators import Codeword, Rotation
from quantbench.streams import Streams
from quantbench.training import train
from tests.training.test_training import CASES, stack

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize("case", CASES)
def test_every_kind_of_stack_trains_on_a_gpu(case):
    quantizer, gradient, simulator = CASES[case]
    whole = stack(5, quantizer, gradient, simulator)

    def moved(component):
        values = {f.name: getattr(component, f.name) for f in dataclasses.fields(component)}
        return type(component)(**{k: v.cuda() if isinstance(v, torch.Tensor) else v for k, v in values.items()})

    parts = {name: moved(getattr(whole, name)) for name in ("quantizer", "gradient", "train")}
    outcomes = train(dataclasses.replace(whole, **parts, device=torch.device("cuda")))
    assert all(outcome.diverged is None for outcome in outcomes)
    assert all(outcome.metrics["nmse_db"] < 5 for outcome in outcomes)


def test_a_gpu_starts_from_the_same_source():
    for simulator in (Codeword(bits=4), Rotation(bits=3)):
        cpu, gpu = (simulator.world(Streams([0, 1], device)) for device in ("cpu", "cuda"))
        for name in cpu:
            assert torch.allclose(cpu[name], gpu[name].cpu(), atol=1e-4)

import pytest
import torch

from quantbench.devices import find_device
from quantbench.errors import ConfigError


@pytest.fixture
def gpus(monkeypatch):
    """Lets PyTorch pretend to find so many CUDA devices."""

    def pretend(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return pretend


@pytest.mark.parametrize(
    ("name", "count", "expected"),
    [
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda"),
        ("cpu", 2, "cpu"),
        ("cuda", 1, "cuda"),
        ("cuda:0", 1, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_devices_by_name(gpus, name, count, expected):
    gpus(count)
    assert find_device(name) == torch.device(expected)


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("cuda", 0, "device=cuda: must be auto, cpu here; PyTorch finds 0 CUDA devices on this machine"),
        ("cuda:7", 0, "device=cuda:7: must be auto, cpu here; PyTorch finds 0 CUDA"),
        ("cuda:7", 2, "device=cuda:7: must be auto, cpu, cuda, cuda:0, cuda:1 here; PyTorch finds 2 CUDA"),
        ("tpu", 2, "device=tpu: must be auto, cpu, cuda or cuda:N"),
        ("cuda:", 2, "device=cuda:: must be auto"),
        ("cuda:-1", 2, "device=cuda:-1: must be auto"),
        ("cuda:1.5", 2, "device=cuda:1.5: must be auto"),
        ("cpu:1", 2, "device=cpu:1: must be auto"),
        ("", 2, "device=: must be auto"),
    ],
)
def test_a_device_that_is_not_there_is_told_with_those_that_are(gpus, name, count, message):
    gpus(count)
    with pytest.raises(ConfigError) as error:
        find_device(name)
    assert message in str(error.value)


@pytest.mark.parametrize("count", [0, 1])
def test_the_gpu_of_a_mac_is_refused_with_the_reason(gpus, monkeypatch, count):
    gpus(count)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for name in ("mps", "mps:0"):
        with pytest.raises(ConfigError, match=rf"^device={name}: Apple's GPUs have no double precision, .*; use device=cpu$"):
            find_device(name)
    assert find_device("auto") == torch.device("cuda" if count else "cpu")

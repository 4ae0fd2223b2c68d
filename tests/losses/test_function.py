"""Any function as the loss."""

import pytest
import torch
from torch import nn

from quantbench.components import joined
from quantbench.errors import ConfigError
from quantbench.losses import MSE, Callable
from tests.conftest import SMALL


def whole(output, target):
    return (output - target).abs().mean()


def each(output, target, power=1.0):
    return (output - target).abs().pow(power).mean(-1)


def deaf(output, target):
    return target.abs().mean()


def wide(output, target):
    return output[:, :2] - target[:, :2]


class Learned(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, output, target):
        return self.weight * (output - target).square().mean()


NOT_CALLED = 3
HERE = __name__


def loss(function, **settings):
    one = Callable(function=function, **settings)
    one.check()
    one.check_input(None, {})
    return joined([one, one])


@pytest.mark.parametrize(
    ("given", "power"),
    [
        (loss(f"{HERE}.whole"), 1),
        (loss(f"{HERE}.each", arguments={"power": 3.0}), 3),
        (loss("torch.nn.L1Loss", arguments={"reduction": "none"}), 1),
        (loss("torch.nn.functional.mse_loss"), 2),
    ],
)
def test_frames_and_means(given, power):
    output, target = torch.randn(2, 2, 7, 3, generator=torch.Generator().manual_seed(0))
    expected = (output - target).abs().pow(power).mean(-1)
    assert torch.allclose(given.each(output, target, None), expected, atol=1e-6)
    assert torch.allclose(given.mean(output, target, None), expected.mean(1), atol=1e-6)


def test_the_mean_square_error_is_that_of_mse():
    output, target = torch.randn(2, 2, 7, 3)
    own, mse = loss("torch.nn.functional.mse_loss", weight=2.0), joined([MSE(weight=2.0)] * 2)
    assert torch.allclose(own.mean(output, target, None), mse.mean(output, target, None))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"function": "l1"}, "loss.function=l1: must name a class or a function"),
        ({"function": "torch.nn.functional.l3"}, "cannot be imported"),
        ({"function": f"{HERE}.NOT_CALLED"}, "is a int, which cannot be called"),
        ({"function": f"{HERE}.Learned"}, "has weights of its own"),
        ({"function": f"{HERE}.deaf"}, "gives no gradient to the output"),
        ({"function": f"{HERE}.wide"}, r"gives torch.float32 of the shape \(5, 2\); must give"),
        ({"function": f"{HERE}.each", "arguments": {"powr": 2}}, r"fails on output and target .*unexpected keyword"),
        ({"function": "torch.nn.L1Loss", "arguments": [2]}, "must be a mapping of keyword arguments"),
        ({"weight": 0.0}, "loss.weight=0.0: must be above 0"),
    ],
)
def test_what_cannot_be_a_loss_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        loss(**{"function": f"{HERE}.whole"} | settings)


def test_it_trains_from_the_command_line(quantbench):
    words = ["loss=callable", "loss.function=torch.nn.functional.smooth_l1_loss", "loss.arguments={beta: 0.5}"]
    code, _, err = quantbench("run", *words, "executor=inline", "references=false", *SMALL)
    assert code == 0, err

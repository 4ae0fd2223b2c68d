"""Low precision, against PyTorch's own operations in bfloat16 and float16."""

import pytest
import torch
from torch import nn

from quantbench import kernels
from quantbench.codecs.mlp import prelu
from quantbench.components import product, take, trial_error
from quantbench.precision import LOW, TF32, computing, exact, rounded, rounded_weights
from quantbench.quantizers.search import count_and_sum, first_minimum
from quantbench.streams import Streams

torch.set_num_threads(1)
KINDS = list(LOW.items())


def drawn(*shape, kind, seed=0):
    """Numbers of a precision, and the same stored as float32."""
    low = torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(kind)
    return low, low.float()


def steps_between(found, expected):
    """Steps of the precision from one number to the other, at the larger one's size."""
    size = torch.maximum(found.abs(), expected.abs()).double().clamp_min(1e-30)
    step = torch.finfo(expected.dtype).eps * 2.0 ** torch.floor(torch.log2(size))
    return (found.double() - expected.double()).abs() / step


@pytest.mark.parametrize(("name", "kind"), KINDS)
@pytest.mark.parametrize(
    "operation",
    [
        lambda x, y: x + y,
        lambda x, y: (x * y - 0.25) / (y.abs() + 0.125),  # numbers of the precision: here a CPU rounds others, a GPU does not
        lambda x, y: torch.lerp(x, y, 0.01),
        lambda x, y: torch.tanh(x) + torch.exp(y),
        lambda x, y: torch.softmax(x, -1),
        lambda x, y: x.square().sum(-1),
        lambda x, y: x.mean(1, keepdim=True) - y,
        lambda x, y: torch.where(x > y, x, 2.5 * y).clamp(-1, 1),
        lambda x, y: torch.stack([x, y]).amax(0).round(),
        lambda x, y: x.topk(3, dim=-1).values,
        lambda x, y: x.clone().mul_(0.75).add_(y, alpha=0.25),
    ],
)
def test_operations_are_those_of_the_precision(name, kind, operation):
    (x, wide_x), (y, wide_y) = drawn(3, 17, 5, kind=kind), drawn(3, 17, 5, kind=kind, seed=1)
    with computing(name):
        found = operation(wide_x, wide_y)
    expected = operation(x, y)
    assert found.dtype == torch.float32
    assert expected.dtype == kind
    assert torch.equal(found, rounded(found, kind))
    difference = steps_between(found, expected)
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 0.02  # where a function's last float32 bit decides


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_a_layer_and_its_gradients_are_those_of_the_precision(name, kind):
    shapes = [(2, 30, 13), (2, 13, 21), (2, 1, 21), (2, 1, 1)]
    low, wide = zip(*[drawn(*shape, kind=kind, seed=seed) for seed, shape in enumerate(shapes)], strict=True)
    low, wide = [one.requires_grad_() for one in low], [one.clone().requires_grad_() for one in wide]
    x, weight, bias, slope = (rounded_weights(one, kind) for one in wide)
    with computing(name):
        found = prelu(product(x, weight, bias), slope)
    plain = torch.baddbmm(low[2], low[0], low[1])
    expected = torch.where(plain > 0, plain, low[3] * plain)
    weights = drawn(2, 30, 21, kind=kind, seed=9)[1]
    gradients = torch.autograd.grad((found * weights).sum(), wide)
    others = torch.autograd.grad((expected * weights.to(kind)).sum(), low)
    for one, other in zip([found, *gradients[:3]], [expected, *others[:3]], strict=True):
        assert torch.equal(one, rounded(one, kind))
        assert torch.allclose(one, other.float(), rtol=2 * torch.finfo(kind).eps, atol=8 * torch.finfo(kind).eps)
    assert (steps_between(found, expected) > 0).float().mean() < 0.02


def test_a_moving_average_stalls_as_it_does_in_bfloat16():
    """An average of bfloat16 that is drawn to 1.25 by a hundredth a step stays where it was: at 1 the next number is 1.0078."""
    low, wide = torch.ones(4, dtype=torch.bfloat16), torch.ones(4)
    for _ in range(50):
        low.lerp_(torch.full((4,), 1.25, dtype=torch.bfloat16), 0.01)
        with computing("bfloat16"):
            wide.lerp_(torch.full((4,), 1.25), 0.01)
    assert torch.equal(wide, low.float())
    assert float(wide[0]) == 1


def test_a_function_of_the_project_is_one_operation():
    """Sums of several hundred, and places in a table, are not lost to eight bits."""
    index = torch.zeros(1, 700, dtype=torch.long)
    latents = torch.full((1, 700, 2), 1 / 3).bfloat16().float()
    with computing("bfloat16"):
        counts, sums = count_and_sum(index, latents, 2)
        place = first_minimum(-torch.eye(700).unsqueeze(0))
        error = trial_error(latents, torch.zeros_like(latents))
        taken = take(latents, index)
    assert counts[0, 0] == 700
    assert sums[0, 0, 0] == rounded(latents.sum(1)[0, 0], torch.bfloat16)
    assert torch.equal(place[0], torch.arange(700))
    assert error[0] == rounded(latents[0, 0, 0].square(), torch.bfloat16)
    assert torch.equal(taken, latents)


def test_what_is_no_number_of_the_precision_passes_through():
    setting, streams, again = torch.tensor([0.01]).view(1, 1, 1), Streams([0]), Streams([0])
    with computing("bfloat16"):
        assert torch.equal(setting.squeeze(-1).expand(3, -1, -1)[0, 0], setting[0, 0])  # views
        assert (torch.arange(1001) + 0)[-1] == 1000
        assert (setting.double() * 1)[0, 0, 0] == setting.double()
        assert torch.equal(streams.uniform("noise", 5), again.uniform("noise", 5))
        assert exact(lambda: setting * 1)() == setting
        assert not kernels.usable(setting)
        with computing("float32"):
            assert torch.equal(setting * 3, torch.tensor(0.01).view(1, 1, 1) * 3)
        assert setting * 3 == rounded(setting * 3, torch.bfloat16)
    assert setting * 3 != rounded(setting * 3, torch.bfloat16)


def test_changes_in_place_reach_every_view():
    with computing("bfloat16"):
        base = torch.zeros(4)
        view = base[1:]
        view += 0.01
        base[0] = 0.3
        torch.add(base[1:2], 0.001, out=base[1:2])
    expected = torch.tensor([0.3, 0, 0.01, 0.01]).bfloat16()
    expected[1] = expected[2] + 0.001
    assert torch.equal(base, expected.float())


def test_weights_lie_alike_for_all_trials():
    matrix = torch.randn(3, 48)
    found = rounded_weights(nn.Parameter(matrix[:, 1:22].view(3, 7, 3)), torch.bfloat16)
    assert torch.equal(found, matrix[:, 1:22].reshape(3, 7, 3).bfloat16().float())
    assert {one.data_ptr() % 64 for one in found} == {0}


FLAGS = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)


def flags():
    return [one.fp32_precision for one in FLAGS]


@pytest.fixture
def flags_put_back():
    products, cudnn, general = (
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.allow_tf32,
        torch.backends.fp32_precision,
    )
    yield
    torch.backends.fp32_precision = general
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = cudnn


def by_default():
    pass


def by_the_earlier_interface():
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.allow_tf32 = False


def by_both_interfaces():
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    torch.backends.cudnn.rnn.fp32_precision = "ieee"


def for_all():
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.fp32_precision = "tf32"


@pytest.mark.parametrize("set_up", [by_default, by_the_earlier_interface, by_both_interfaces, for_all])
def test_products_take_tf32_where_it_is_asked_for_alone(set_up, flags_put_back):
    """Whatever a user set, which is put back. What a GPU makes of it is not tested here."""
    set_up()
    before = flags()
    for precision in ("float32", "bfloat16"):
        with computing(precision):
            assert TF32 not in flags()
            with computing("tf32"):
                assert flags() == [TF32] * 3
                with computing(precision):
                    assert TF32 not in flags()
            assert TF32 not in flags()
    assert flags() == before
    with pytest.raises(KeyError), computing("float32"):
        raise KeyError
    assert flags() == before


def test_modules_of_others_may_read_the_flags_meanwhile():
    for precision, allowed in (("float32", False), ("tf32", True)):
        with computing(precision), torch.backends.cudnn.flags(enabled=True, allow_tf32=torch.backends.cudnn.allow_tf32):
            assert torch.backends.cudnn.allow_tf32 is torch.backends.cuda.matmul.allow_tf32 is allowed
    assert torch.get_float32_matmul_precision() == "highest"
    assert torch.backends.cudnn.allow_tf32

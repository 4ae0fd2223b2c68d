"""The compiled kernels against the PyTorch code that stands beside each of them."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from quantbench import kernels
from quantbench.codecs import MLP
from quantbench.components import take, trial_error
from quantbench.gradients import STE, SoftToHard
from quantbench.kernels import library
from quantbench.quantizers import VectorQuantizer
from quantbench.quantizers.search import count_and_sum, nearest
from quantbench.simulators import Codeword
from quantbench.streams import Streams
from quantbench.training import Stack, TrainSettings
from quantbench.training.optimizer import Adam, Parameters
from quantbench.training.run import begin
from tests.conftest import SMALL

TRIALS = 3
SHAPES = [(16, 64, 8, 256), (8, 64, 16, 256), (5, 37, 3, 77), (1, 1, 1, 1), (33, 8, 17, 130), (3, 150, 40, 65)]

pytestmark = pytest.mark.skipif(kernels.ready() is not None, reason=f"no kernels: {kernels.ready()}")


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def both(function, *inputs):
    """What a function gives, and gradients by its inputs, with kernels and without."""
    results = []
    for context in (kernels.usable, None):
        leaves = [tensor.clone().requires_grad_() for tensor in inputs]

        def run(leaves=leaves):
            value = function(*leaves)
            return [value, *torch.autograd.grad((value * normal(*value.shape)).sum(), leaves)]

        if context:
            results.append(run())
        else:
            with kernels.without():
                results.append(run())
    return zip(*results, strict=True)


def close(a, b, tolerance=2e-5):
    return float((a - b).detach().norm()) <= tolerance * max(float(b.detach().norm()), 1e-6)


@pytest.mark.parametrize(("inputs", "hidden", "outputs", "frames"), SHAPES)
def test_network_equals_pytorch(inputs, hidden, outputs, frames):
    codec = MLP(hidden=hidden, latent_dim=outputs)
    weights = codec._init_network(Streams(range(TRIALS)), "encoder", inputs, outputs)
    names = list(weights)
    values = [weights[name].detach() + 0.1 * normal(*weights[name].shape) for name in names]

    def encode(x, *leaves):
        return codec._network(dict(zip(names, leaves, strict=True)), "encoder", x)

    for found, expected in both(encode, normal(TRIALS, frames, inputs), *values):
        assert close(found, expected)


@pytest.mark.parametrize(("inputs", "hidden", "outputs", "frames"), SHAPES)
def test_a_trial_is_bit_equal_alone(inputs, hidden, outputs, frames):
    weights = MLP(hidden=hidden)._init_network(Streams(range(TRIALS)), "encoder", inputs, outputs)
    x = normal(TRIALS, frames, inputs)
    ordered = [
        weights[f"encoder.{name}"] for name in ("weight0", "bias0", "slope0", "weight1", "bias1", "slope1", "weight2", "bias2")
    ]
    together = kernels.network(x, ordered)
    alone = kernels.network(x[1:2], [weight[1:2] for weight in ordered])
    assert torch.equal(alone[0], together[1])
    sooner = kernels.network(x[:, : frames // 2 + 1], ordered)  # nor do other frames matter
    assert torch.equal(sooner, together[:, : frames // 2 + 1])


@pytest.mark.parametrize(("codes", "dim", "frames"), [(256, 8, 256), (7, 3, 50), (1, 1, 3), (1000, 20, 33)])
def test_nearest_equals_a_search_in_double_precision(codes, dim, frames):
    codebook, latents = normal(TRIALS, codes, dim) + 5, normal(TRIALS, frames, dim) + 5
    index = nearest(codebook, latents)
    distance = torch.cdist(latents.double(), codebook.double()).square()
    chosen = distance.gather(2, index.unsqueeze(-1)).squeeze(-1)
    assert bool((chosen <= distance.amin(-1) + 1e-4).all())
    assert float((index == distance.argmin(-1)).double().mean()) > 0.99


def test_nearest_takes_the_first_of_equals_and_survives_nan():
    codebook = normal(2, 40, 3)
    codebook[:, 30] = codebook[:, 5]
    assert bool((nearest(codebook, codebook[:, [5, 30]]) == 5).all())
    codebook[0] = torch.nan
    index = nearest(codebook, normal(2, 9, 3))
    assert bool((index[0] == 0).all())
    with kernels.without():
        assert torch.equal(index[1:], nearest(codebook[1:], normal(2, 9, 3)[1:]))


@pytest.mark.parametrize(("codes", "dim", "frames"), [(256, 8, 256), (7, 3, 50), (2, 1, 5), (100, 20, 33)])
@pytest.mark.parametrize("temperature", [0.05, 1.0, 30.0])
def test_soft_code_equals_pytorch(codes, dim, frames, temperature):
    quantizer = VectorQuantizer(codes=codes)
    codebook, latents = normal(TRIALS, codes, dim) + 2, normal(TRIALS, frames, dim) + 2
    heat = temperature * torch.tensor([1.0, 2.0, 3.0]).view(-1, 1, 1)

    def soft(codebook, latents):
        return quantizer.soft_code({"codewords": codebook}, latents, heat.to(latents.dtype))

    with kernels.without():
        leaves = [tensor.double().requires_grad_() for tensor in (codebook, latents)]
        value = soft(*leaves)
        exact = [value, *torch.autograd.grad((value * normal(*value.shape)).sum(), leaves)]
    for found, eager, truth in zip(*zip(*both(soft, codebook, latents), strict=True), exact, strict=True):
        error = (found - truth).detach().norm()
        allowed = 2 * (eager - truth).detach().norm() + 1e-5 * truth.detach().norm()
        assert float(error) <= float(allowed)


def test_soft_code_far_from_all_codewords_is_the_nearest():
    quantizer = VectorQuantizer(codes=5)
    codebook, latents = normal(TRIALS, 5, 2), 1e4 * normal(TRIALS, 6, 2)
    soft = quantizer.soft_code({"codewords": codebook}, latents, torch.full((TRIALS, 1, 1), 1e-3))
    assert torch.allclose(soft, take(codebook, nearest(codebook, latents)), atol=1e-5)


def test_take_and_sums_equal_pytorch():
    index = torch.randint(11, (TRIALS, 60), generator=torch.Generator().manual_seed(0))
    for found, expected in both(lambda vectors: take(vectors, index), normal(TRIALS, 11, 5)):
        assert close(found, expected)
    counts, sums = count_and_sum(index, normal(TRIALS, 60, 5), 11)
    with kernels.without():
        expected_counts, expected_sums = count_and_sum(index, normal(TRIALS, 60, 5), 11)
    assert torch.equal(counts, expected_counts)
    assert close(sums, expected_sums)


@pytest.mark.parametrize("shape", [(256, 16), (7, 3), (1, 1)])
def test_errors_equal_pytorch(shape):
    for found, expected in both(trial_error, normal(TRIALS, *shape), normal(TRIALS, *shape) + 1):
        assert close(found, expected)
    parts = normal(TRIALS, 20, 4).narrow(1, 3, 5)  # lies apart in memory
    assert close(trial_error(parts, torch.zeros(TRIALS, 5, 4)), parts.square().mean((1, 2)))


@pytest.mark.parametrize("clip", [0.0, 0.5])
@pytest.mark.parametrize("frozen", [False, True])
def test_adam_equals_pytorch(clip, frozen):
    matrices = []
    for compiled in (True, False):
        state = {"a": nn.Parameter(normal(TRIALS, 5, 7)), "b": nn.Parameter(normal(TRIALS, 3))}
        parameters = Parameters([state])
        adam = Adam(parameters, torch.tensor([1e-3, 1e-2, 1e-1]), torch.full((TRIALS,), clip))
        mask = parameters.columns(state, "a") if frozen else None
        for step in range(30):
            gradient = normal(TRIALS, parameters.matrix.shape[1]) * (step + 1)
            arguments = (gradient, gradient.norm(dim=1), mask, torch.full((TRIALS,), 0.5))
            if compiled:
                adam.step(*arguments)
            else:
                with kernels.without():
                    adam.step(*arguments)
        matrices.append(parameters.matrix.clone())
    assert close(matrices[0], matrices[1], 1e-5)


@pytest.mark.parametrize(("gradient", "commitment"), [(STE(), 1.0), (SoftToHard(), 0.0)])
def test_a_training_agrees_with_pytorch_at_step_200(gradient, commitment):
    """Mean distortion of eight seeds within 2 %, each within 5 %: a nearest codeword that rounding changes grows from there."""
    found = []
    for compiled in (True, False):
        stack = Stack.of(
            simulator=Codeword(),
            codec=MLP(),
            quantizer=VectorQuantizer(commitment=commitment),
            gradient=gradient,
            train=TrainSettings(steps=200),
            seeds=range(8),
            device="cpu",
        )
        training = begin(stack)
        if compiled:
            training.advance()
        else:
            with kernels.without():
                training.advance()
        curves = [{(step, name): value for step, name, value in outcome.curves} for outcome in training.outcomes]
        found.append(torch.tensor([curve[200, "mse"] for curve in curves]))
    ratio = found[0] / found[1]
    assert found[1].mean() < 0.9
    assert float(ratio.mean()) == pytest.approx(1, abs=0.02)
    assert float((ratio - 1).abs().max()) < 0.05


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )


ASK = "from quantbench import kernels; print(kernels.ready())"


def test_kernels_are_compiled_once_for_all_processes(tmp_path):
    made = set()
    for _ in range(2):
        assert run_python(ASK, XDG_CACHE_HOME=str(tmp_path)).stdout.strip() == "None"
        (path,) = (tmp_path / "quantbench").glob("*.so")
        made.add(path.stat().st_mtime_ns)
    assert len(made) == 1


def test_without_a_compiler_there_is_a_reason(tmp_path):
    nothing = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    assert "no C++ compiler" in run_python(ASK, **nothing, CXX="").stdout
    assert "none: " in run_python(ASK, **nothing, CXX=str(tmp_path / "none")).stdout
    assert "QUANTBENCH_KERNELS=off" in run_python(ASK, QUANTBENCH_KERNELS="off").stdout
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho 'no such header' >&2\nexit 1\n")
    broken.chmod(0o755)
    assert "failed: no such header" in run_python(ASK, XDG_CACHE_HOME=str(tmp_path), CXX=str(broken)).stdout


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "quantbench").write_text("a file where the folder would be")
    assert run_python(ASK, XDG_CACHE_HOME=str(tmp_path)).stdout.strip() == "None"


def test_other_numbers_and_devices_are_left_to_pytorch():
    assert library.usable(torch.zeros(1))
    assert not library.usable(torch.zeros(1), torch.zeros(1, dtype=torch.float64))
    assert not library.usable(torch.zeros(1, device="meta"))


def test_a_sweep_without_a_compiler_says_so_in_one_line(quantbench, monkeypatch):
    monkeypatch.setattr(library, "_loaded", ["no C++ compiler"])
    code, _, err = quantbench("run", "executor=inline", *SMALL)
    assert code == 0
    assert [line for line in err.splitlines() if "kernels" in line] == [
        "training without compiled kernels, about half as fast: no C++ compiler"
    ]


def test_an_index_out_of_range_is_refused():
    vectors, index = normal(TRIALS, 4, 2), torch.zeros(TRIALS, 5, dtype=torch.int32)
    assert torch.equal(take(vectors, index), vectors[:, :1].expand(-1, 5, -1))
    for wrong in (4, -1):
        with pytest.raises(IndexError, match=r"0 \.\. 3"):
            take(vectors, torch.full((TRIALS, 5), wrong))


def test_shapes_that_do_not_fit_never_reach_a_kernel():
    with pytest.raises(ValueError, match="do not fit"):
        nearest(normal(TRIALS, 4, 3), normal(TRIALS, 5, 2))
    with pytest.raises(ValueError, match="do not fit"):
        take(normal(1, 4, 3), torch.zeros(TRIALS, 5, dtype=torch.long))
    weights = list(MLP(hidden=4)._init_network(Streams([0]), "encoder", 3, 2).values())
    ordered = [weights[i] for i in (0, 1, 2, 3, 4, 5, 6, 7)]
    with pytest.raises(ValueError, match="do not fit"):
        kernels.network(normal(TRIALS, 5, 3), ordered)
    assert close(trial_error(normal(TRIALS, 5, 2), torch.zeros(1)), normal(TRIALS, 5, 2).square().mean((1, 2)))

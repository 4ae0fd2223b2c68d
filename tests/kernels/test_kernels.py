"""The compiled kernels against the PyTorch code that stands beside each of them."""

import hashlib
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest
import torch
from torch import nn

from quantbench import kernels
from quantbench.codecs import MLP
from quantbench.components import take, trial_error
from quantbench.gradients import STE, SoftToHard
from quantbench.kernels import compiler, library
from quantbench.quantizers import VectorQuantizer
from quantbench.quantizers.search import count_and_sum, nearest
from quantbench.simulators import Codeword
from quantbench.streams import Streams
from quantbench.sweeps.environment import environment
from quantbench.training import Stack, TrainSettings
from quantbench.training.optimizer import Adam, Parameters
from quantbench.training.run import begin
from tests.conftest import SMALL
from tests.sweeps.test_runner import wait_for

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


@pytest.mark.parametrize(
    ("points", "number", "dim", "near", "far"),
    [
        (65, 9000, 8, 8, 40),
        (70, 5000, 5, 3, 100),
        (7, 1000, 3, 8, 32),
        (5, 40, 2, 16, 16),
        (3, 2, 1, 1, 1),
        (4, 520, 6, 1, 520),
    ],
)
def test_ranked_distances_equal_a_table_of_all(points, number, dim, near, far):
    p, samples = normal(TRIALS, points, dim), normal(TRIALS, number, dim)
    samples[:, : number // 3] = samples[:, :1]  # many equal
    samples[:, number // 2 :] += 5  # and others where no point is
    p[0, 0] = samples[0, 0]
    found = kernels.ranked_distances(p, samples, near, far)
    table = torch.cdist(p, samples, compute_mode="donot_use_mm_for_euclid_dist")
    expected = torch.stack([table.kthvalue(rank, dim=-1).values for rank in (near, far)], dim=-1)
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(
        kernels.ranked_distances(p[1:2, 1:], samples[1:2], near, far), found[1:2, 1:]
    )  # alone, and in other places
    p[1, 1] = torch.nan
    assert kernels.ranked_distances(p, samples, near, far)[1, 1].isnan().all()
    with pytest.raises(ValueError, match="do not fit"):
        kernels.ranked_distances(p, samples, near, number + 1)


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
            arguments = {"frozen": mask, "rate": torch.full((TRIALS,), 0.5)}
            if compiled:
                adam.step(gradient, gradient.norm(dim=1), **arguments)
            else:
                with kernels.without():
                    adam.step(gradient, gradient.norm(dim=1), **arguments)
        matrices.append(parameters.matrix.clone())
    assert close(matrices[0], matrices[1], 1e-5)


@pytest.mark.parametrize(("gradient", "commitment"), [(STE(), 1.0), pytest.param(SoftToHard(), 0.0, marks=pytest.mark.slow)])
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


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and this process as if nobody had asked for kernels yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("QUANTBENCH_KERNELS", raising=False)
    monkeypatch.setattr(library, "_loaded", [])
    return tmp_path / "cache" / "quantbench"


@pytest.fixture
def program(tmp_path):
    """Makes a compiler that counts what it compiles, and is a shell script."""

    def make(script, name="cc"):
        path = tmp_path / name
        version = 'for word; do [ "$word" = --version ] && echo plain && exit; done'
        path.write_text(f"#!/bin/sh\n{version}\necho x >> {tmp_path}/compiled\n{script}\n")
        path.chmod(0o755)
        return path

    return make


OTHERS = "*network.cpp|*book.cpp|*adam.cpp|*neighbours.cpp|*philox.cpp|-O3"
QUICK = f'for word; do shift; case $word in {OTHERS}) ;; *) set -- "$@" $word;; esac; done; g++ "$@"'
"""Compiles the errors alone, which takes no time."""
OUTPUT = 'while [ "$1" != -o ]; do shift; done; '


def asked(monkeypatch, compiler):
    """Why there are no kernels, asked anew with a compiler."""
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setattr(library, "_loaded", [])
    return kernels.ready()


def test_kernels_are_compiled_once_for_all_processes(cache, tmp_path, program, monkeypatch):
    quick = program(QUICK)
    for _ in range(2):
        assert asked(monkeypatch, quick) is None
    assert (tmp_path / "compiled").read_text() == "x\n"
    assert sorted(path.suffix for path in cache.iterdir()) == [".sha256", ".so"]


def test_without_a_compiler_there_is_a_reason(cache, tmp_path, program, monkeypatch):
    assert "failed: no such header" in asked(monkeypatch, program("echo 'no such header' >&2; exit 1"))
    assert "none: there is no such program" in asked(monkeypatch, tmp_path / "none")
    assert "No closing quotation" in asked(monkeypatch, "g++ 'a")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert asked(monkeypatch, " ") == "no C++ compiler (g++, clang++, c++, or the variable CXX)"
    monkeypatch.setenv("QUANTBENCH_KERNELS", "off")
    assert asked(monkeypatch, "g++") == "QUANTBENCH_KERNELS=off"


def test_a_cache_that_cannot_be_written_is_done_without(cache, program, monkeypatch):
    cache.parent.mkdir()
    cache.write_text("a file where the folder would be")
    assert asked(monkeypatch, program(QUICK)) is None


def test_a_library_belongs_to_the_whole_command(cache, tmp_path, program, monkeypatch):
    quick = program(QUICK)
    seen = set()
    for command, variable in ((quick, ""), (f"{quick} -DOTHER=1", ""), (f"{quick} -DOTHER=1", "/somewhere"), (quick, "")):
        monkeypatch.setenv("CPATH", variable)
        assert asked(monkeypatch, command) is None
        seen |= {path.name for path in cache.glob("*.so")}
    assert len(seen) == 3
    assert (tmp_path / "compiled").read_text() == "x\n" * 3  # the plain one was still there
    program(QUICK + " # another compiler of the same name and version")
    assert asked(monkeypatch, quick) is None
    assert len(list(cache.glob("*.so"))) == 4


def test_what_does_not_work_is_not_kept(cache, tmp_path, program, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for script, reason in (
        (OUTPUT + 'echo garbage > "$2"', "made a library that does not work: .*invalid ELF header|file too short"),
        (OUTPUT + "exit 0", "made a library that does not work: .*cannot open"),
        (QUICK + " -fsanitize=address", "made a library that does not work: .*ASan runtime"),
        (QUICK + " -Dmean_square=another", "made a library that does not work: .*undefined symbol"),
        (
            "echo 'extern \"C\" void mean_square() {}' > a.cpp; " + OUTPUT + 'g++ -shared -fPIC -o "$2" a.cpp',
            "a mean of 5 is 0",
        ),
        ("kill -9 $$", "ended by SIGKILL"),
    ):
        found = asked(monkeypatch, program(script))
        assert found is not None, script
        assert re.search(reason, found), found
        assert list(cache.iterdir()) == []  # neither a library nor a folder
    assert asked(monkeypatch, program(QUICK)) is None


def test_a_compiler_that_hangs_is_given_up(cache, tmp_path, program, monkeypatch):
    monkeypatch.setattr(compiler, "COMPILE_SECONDS", 0.3)
    reason = asked(monkeypatch, program(f"sleep 60 & echo $! > {tmp_path}/child; wait"))
    assert "did not end within 0.3 s" in reason
    assert list(cache.iterdir()) == []
    child = int((tmp_path / "child").read_text())
    wait_for(lambda: ended(child))


def ended(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_what_a_killed_compilation_left_is_removed(cache, program, monkeypatch):
    dead = subprocess.Popen(["true"])
    dead.wait()
    host = socket.gethostname()
    folders = {
        name: cache / f"compiling-{name}-x" for name in (f"{host}-{dead.pid}", f"{host}-{os.getpid()}", "other-1", "old-1")
    }
    for folder in folders.values():
        folder.mkdir(parents=True)
        (folder / "kernels.so").write_text("half")
    os.utime(folders["old-1"], (0, 0))
    assert asked(monkeypatch, program(QUICK)) is None
    assert sorted(cache.glob("compiling-*")) == sorted([folders[f"{host}-{os.getpid()}"], folders["other-1"]])


def test_a_library_that_no_longer_loads_is_made_again(cache, tmp_path, program, monkeypatch):
    monkeypatch.setattr(compiler, "_key", lambda *facts: "a")
    cache.mkdir(parents=True)
    (cache / "kernels-a.so").write_bytes(b"another system's")
    (cache / "kernels-a.sha256").write_text(hashlib.sha256(b"another system's").hexdigest())
    assert asked(monkeypatch, program(QUICK)) is None
    assert (tmp_path / "compiled").read_text() == "x\n"
    assert len((cache / "kernels-a.so").read_bytes()) > 1000


def test_modules_of_the_current_folder_are_not_imported(cache, tmp_path, program, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "ctypes.py").write_text("open('hijacked', 'w')")
    assert asked(monkeypatch, program(QUICK)) is None
    assert not (tmp_path / "hijacked").exists()


def test_a_compiler_of_ones_own_is_noted(cache, program, monkeypatch):
    quick = program(QUICK)
    assert asked(monkeypatch, f"{quick} -DOTHER=1") is None
    assert environment(torch.device("cpu"))["kernels"] == f"compiled by {quick} -DOTHER=1"


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

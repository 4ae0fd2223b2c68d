"""The fused step against PyTorch's operations: on a GPU where there is one, elsewhere in Triton's interpreter."""

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from quantbench.codecs import MLP
from quantbench.gradients import EWGS, MSTE, STE, ClippedSTE, RotationTrick
from quantbench.losses import MSE
from quantbench.quantizers import FSQ, LSQ, Uniform, VectorQuantizer
from quantbench.simulators import Codeword
from quantbench.training import Stack, TrainSettings, train
from quantbench.training import fused as fused_step
from quantbench.training.fused import Fused, misfit, missing
from quantbench.training.trainer import BATCHES_AHEAD, Training

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOLERANCE = 1e-5
"""Of weights, codewords and averages. A sum of some hundred float32 is right to about 1e-6 of its terms, and Adam divides by
the gradient's size: 4e-7 was measured. One step moves a weight by 1e-3, so an error in a formula is a hundred times larger."""

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton (extra gpu)")

VQ = VectorQuantizer(codes=12, commitment=0.5)
EMA = replace(VQ, update_by="ema", decay=0.8)
PAIRS = {
    "vq ste": (VQ, STE()),
    "vq of many tiles": (replace(VQ, codes=70), STE()),
    "vq by averages": (EMA, STE()),
    "vq by smooth averages": (replace(EMA, smoothing=1e-3), STE()),
    "vq mste": (VQ, MSTE()),
    "vq mste of errors": (VQ, MSTE(scope="dimension", of="error")),
    "vq rotation": (VQ, RotationTrick()),
    "fsq ste": (FSQ(levels=(4, 3, 5), commitment=0.1), STE()),
    "fsq of another shift": (FSQ(levels=4, shift="artanh"), STE()),
    "fsq clipped": (FSQ(levels=3), ClippedSTE()),
    "fsq mste": (FSQ(levels=4), MSTE(scope="dimension")),
    "scalar ste": (Uniform(levels=4), STE()),
    "scalar clipped": (Uniform(levels=4, range=0.7), ClippedSTE()),
    "scalar within tanh": (Uniform(levels=(4, 3, 5), bound="tanh"), STE()),
    "scalar inside, mste": (Uniform(levels=3, range=0.7, bound="inside"), MSTE(of="error")),
}


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    """Kernels of this file run in the interpreter where there is no GPU, and twice as fast as it is."""
    if DEVICE == "cuda" or importlib.util.find_spec("triton") is None:
        return
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    from triton.runtime.interpreter import InterpretedFunction

    slow = InterpretedFunction.__call__

    def call(self, *arguments, **settings):
        """A function of ours needs no patched language: the kernel that calls it has patched it."""
        ours = self.fn.__module__.startswith("quantbench")
        return (self.rewrite() if ours else lambda *a, **s: slow(self, *a, **s))(*arguments, **settings)

    monkeypatch.setattr(InterpretedFunction, "__call__", call)


def stack(pair="vq ste", seeds=(0,), simulator=None, codec=None, loss=None, **settings):
    quantizer, gradient = PAIRS[pair] if isinstance(pair, str) else pair
    settings = {"steps": 5, "batch": 20, "clip": 0.3, "lr_end": 0.1} | settings
    return Stack.of(
        simulator=simulator or Codeword(bits=4, frame_dim=6, nuisance=0.1),
        codec=codec or MLP(hidden=20, latent_dim=3),
        quantizer=quantizer,
        gradient=gradient,
        loss=loss or MSE(weight=2),
        train=[TrainSettings(**settings | {"lr": 1e-3 * (1 + seed)}) for seed in seeds],
        seeds=seeds,
        device=DEVICE,
    )


def training(one, fused=True):
    made = Training(replace(one, train=replace(one.train, fused="auto" if fused else "off")))
    assert (made.fused is not None) == (fused and DEVICE == "cuda")
    if fused:
        made.fused = Fused(one, made.model, made.adam, made.divergence.largest, BATCHES_AHEAD)
    made.start()
    return made


def trained(one, fused=True):
    made = training(one, fused)
    made.advance()
    return made


def tensors(made, trial=slice(None)):
    parts = made.model.state_dict() | {"mean": made.adam.mean, "square": made.adam.square, "norm": made.norm}
    return {name: tensor[trial].clone() for name, tensor in parts.items()}


def assert_equal(one, other):
    for name in one:
        assert torch.equal(one[name], other[name]), name


def assert_agree(one, plain):
    for name, tensor in tensors(one).items():
        assert torch.allclose(tensor, tensors(plain)[name], rtol=1e-4, atol=TOLERANCE), name
    for found, wanted in zip(one.outcomes, plain.outcomes, strict=True):
        assert [point[:2] for point in found.curves] == [point[:2] for point in wanted.curves]
        assert [point[2] for point in found.curves] == pytest.approx([point[2] for point in wanted.curves], rel=1e-4, abs=1e-5)


@needs_triton
@pytest.mark.parametrize("pair", PAIRS)
def test_steps_are_those_of_pytorch(pair):
    one = stack(pair, batch=72 if "tiles" in pair else 20, clip=0.0 if "clipped" in pair else 0.3)
    assert misfit(one) is None
    assert_agree(trained(one), trained(one, fused=False))


@needs_triton
def test_twenty_steps_are_those_of_pytorch():
    one = stack(steps=20, log_every=7)
    assert_agree(trained(one), trained(one, fused=False))


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_twenty_steps_of_every_pair_are_those_of_pytorch(pair):
    one = stack(pair, seeds=(1, 2), steps=20, log_every=7, batch=150)
    assert_agree(trained(one), trained(one, fused=False))


@needs_triton
def test_a_trial_is_bit_equal_alone_and_at_any_place_of_a_stack():
    pair, seeds = "vq by averages", (3, 1, 2)
    together, turned = trained(stack(pair, seeds, steps=2)), trained(stack(pair, seeds[::-1], steps=2))
    alone = trained(stack(pair, seeds[1:2], steps=2))
    for trial in range(3):
        assert_equal(tensors(together, trial), tensors(turned, 2 - trial))
    assert_equal(tensors(together, 1), tensors(alone, 0))


@needs_triton
@pytest.mark.parametrize("poison", ["a weight", "the distortion"])
def test_a_trial_that_diverges_stays_as_it_was_and_harms_no_other(poison):
    one = stack(seeds=(0, 1), steps=3)
    found = []
    for fused in (True, False):
        made = training(one, fused)
        if poison == "a weight":
            made.model.parameters.matrix.data[0, 5] = torch.nan
        else:
            made.divergence.largest[0] = 1e-3
            if fused:
                made.fused.settings[0, 5] = 1e-3
        before = tensors(made, 0)
        made.advance()
        after = tensors(made, 0)
        for name in made.model.state_dict():
            assert torch.equal(after[name], before[name]) or poison == "a weight", name
        found.append(made)
    fused, plain = found
    assert fused.divergence.frozen.tolist() == [True, False]
    for left, right in zip(fused.outcomes, plain.outcomes, strict=True):
        assert left.diverged == right.diverged
        assert left.metrics.get("diverged_step") == right.metrics.get("diverged_step")
    assert_equal(tensors(fused, 1), tensors(trained(stack(seeds=(1,), steps=3)), 0))


@needs_triton
def test_steps_may_stop_anywhere_and_go_on_from_a_checkpoint():
    one = stack("fsq ste", steps=6, log_every=4)
    whole = trained(one)
    first, rest = training(one), training(one)
    first.advance(3)
    rest.load_state_dict(first.state_dict())
    rest.advance()
    assert_equal(tensors(rest), tensors(whole))
    assert rest.outcomes[0].curves == whole.outcomes[0].curves


def test_what_it_cannot_train_is_said():
    for reason, one in {
        "the quantizer must be vq, fsq or scalar": stack((LSQ(levels=4), STE())),
        "the strategy must be": stack((FSQ(levels=4), EWGS())),
        "without projection, affine map and restarts": stack((replace(VQ, restart=0.1), STE())),
        "codec.hidden=65 is more than 64": stack(codec=MLP(hidden=65, latent_dim=3)),
        "features of a frame=80 is more than 64": stack(simulator=Codeword(bits=4, frame_dim=80)),
        "quantizer.codes=2000 is more than 1024": stack((replace(VQ, codes=2000), STE())),
        "it computes in float32, not in bfloat16": stack(precision="bfloat16"),
    }.items():
        assert reason in misfit(one)


def test_it_is_off_unless_asked_for_and_needs_a_gpu():
    assert TrainSettings().fused == "off"
    assert Training(stack()).fused is None
    made = Training(stack(fused="auto"))
    assert (made.fused is None) == (missing(torch.device(DEVICE)) is not None)
    assert made.steps_by == ("eager" if made.fused is None else "fused")
    assert "CUDA" in missing(torch.device("cpu"))


NOT = "are not taken by the fused kernel"


def test_that_it_cannot_be_had_is_said_once(monkeypatch, capsys):
    fused_step._tell.cache_clear()
    train(stack(fused="off"))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(fused_step, "missing", lambda device: None)
    unfit = stack(codec=MLP(hidden=65, latent_dim=3), fused="auto", warm_start=2)  # nor is a word said of the warm start
    for one in (unfit, unfit, stack((LSQ(levels=4), STE()), fused="auto")):
        assert {outcome.metrics["steps_by"] for outcome in train(one)} <= {"eager", "graph"}
    monkeypatch.setattr(fused_step, "missing", lambda device: "Triton is not installed (extra gpu)")
    for pair in ("vq ste", "fsq ste"):
        train(stack(pair, fused="auto"))
    assert [line.removeprefix("train.fused=auto: ") for line in capsys.readouterr().err.splitlines()] == [
        f"steps of MLP, VectorQuantizer, STE, MSE {NOT}: codec.hidden=65 is more than 64",
        f"steps of MLP, LSQ, STE, MSE {NOT}: the quantizer must be vq, fsq or scalar",
        f"steps {NOT}: Triton is not installed (extra gpu)",
    ]
    fused_step._tell.cache_clear()


FRONT = """
import triton
from triton._C.libtriton import ir
from triton.backends.compiler import GPUTarget
from triton.compiler.compiler import ASTSource, make_backend

from quantbench.kernels.fused import train
from quantbench.training.fused import shape_of
from tests.training.test_fused import PAIRS, stack

target = GPUTarget("cuda", 90, 32)
backend = make_backend(target)
kinds = dict.fromkeys(train.arg_names, "*fp32") | dict.fromkeys(("codes", "states"), "*i32")
kinds |= dict.fromkeys(("first", "count", "zero"), "i32") | {"S": "constexpr"}


def source(pair):
    return ASTSource(train, kinds, {(len(kinds) - 1,): shape_of(stack(pair), 8, "ieee")})
"""
EVERY = """
options = backend.parse_options({"num_warps": 8})
for pair in PAIRS:
    context = ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    functions = backend.get_codegen_implementation(options)
    source(pair).make_ir(target, options, functions, backend.get_module_map(), context)
print(len(PAIRS))
"""
WHOLE = """
print(len(triton.compile(source("vq by averages"), target=target, options={"num_warps": 8}).asm["cubin"]))
"""


@needs_triton
@pytest.mark.parametrize("rest", [EVERY, pytest.param(WHOLE, marks=pytest.mark.slow)], ids=["every pair", "to the end"])
def test_it_compiles_for_an_h100_where_there_is_none(rest):
    """What the interpreter takes, the compiler may not. Its first half is done in a second, all of it takes minutes."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    root = Path(__file__).parents[2]
    words = [sys.executable, "-c", FRONT + rest]
    run = subprocess.run(words, capture_output=True, text=True, env=environment | {"PYTHONPATH": str(root)}, cwd=root)
    assert run.returncode == 0, run.stderr[-2000:]
    assert int(run.stdout) > 0

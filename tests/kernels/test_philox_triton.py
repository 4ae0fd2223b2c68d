"""Random numbers of a GPU's kernel against PyTorch's operations, bit by bit: on a GPU, elsewhere in Triton's interpreter."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from quantbench import kernels, philox
from quantbench.streams import Streams

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
HIGHS = (1, 7, 1000003, 2**31)
KEYS = [0, -1, 12345678901234567890 - 2**64, 3]
POSITIONS = [0, 2**28 - 1, 2**40 + 3]
"""Of groups of 16 blocks: at the second of these the counter's first word overflows."""

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton (extra gpu)")


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    if DEVICE == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", "1")


def both(kind, keys, position, numbers, *high):
    """What the kernel draws, and what PyTorch's operations do."""
    found = kernels.philox_on_gpu(kind, keys, position, numbers, *high)
    with kernels.without():
        return found, getattr(philox, kind)(keys, position, numbers, *high)


@needs_triton
@pytest.mark.parametrize("position", POSITIONS)
def test_the_bits_are_those_of_pytorch(position):
    keys = torch.tensor(KEYS, device=DEVICE)
    for numbers in (1, 65, 1100):
        for kind, *high in (["uniform"], ["normal"], *(["integers", one] for one in HIGHS)):
            found, expected = both(kind, keys, torch.tensor(position, device=DEVICE), numbers, *high)
            assert found.dtype == expected.dtype
            assert torch.equal(found, expected), (kind, numbers)


@needs_triton
def test_many_normal_numbers_have_the_bits_of_pytorch():
    found, expected = both("normal", torch.tensor([5], device=DEVICE), 77, 40_000)
    assert torch.equal(found.view(torch.int32), expected.view(torch.int32))


@needs_triton
def test_extreme_words_have_the_bits_of_pytorch():
    from tests.kernels.words_kernel import pairs

    edges = [0, 1, 2**29, 2**30, 2**31 - 1, 2**31, 3 * 2**30, 3037000499, 3037000500, 3037000600, 2**32 - 256, 2**32 - 2]
    edges += [2**32 - 1, 2**29 - 1, 2**30 + 1, 3037000501]
    words = torch.cartesian_prod(torch.tensor(edges), torch.tensor(edges)).T.contiguous().to(DEVICE)
    found = torch.empty(2, 256, device=DEVICE)
    pairs[(1,)](words, found, N=256, enable_fp_fusion=False)
    assert torch.equal(found, torch.stack(philox._pair(*words)))


@needs_triton
def test_streams_draw_by_it_where_it_fits(monkeypatch):
    """As on a GPU: the position lies in a tensor, which a captured graph would read anew."""
    calls = []
    draw = kernels.philox_on_gpu

    def counted(kind, *arguments):
        calls.append(kind)
        return draw(kind, *arguments)

    monkeypatch.setattr(kernels, "philox_on_gpu", counted)
    monkeypatch.setattr(philox, "_usable", lambda keys: False)
    monkeypatch.setattr(philox, "_on_gpu", lambda keys: kernels.on() and philox._fits(keys.device))
    philox._fits.cache_clear()
    one, other = Streams([3, 4, 4], DEVICE), Streams([3, 4, 4], DEVICE)
    for streams in (one, other):
        streams._begin("x", 0)
        streams._positions["x"] = torch.tensor(0, device=DEVICE)
    for _ in range(2):  # the second time, from where the first one ended
        drawn = [one.normal("x", 5, 7), one.uniform("x", 100), one.integers("x", 10, 3), one.permutations("x", 50)]
        with kernels.without():
            assert all(
                torch.equal(found, expected)
                for found, expected in zip(
                    drawn,
                    [other.normal("x", 5, 7), other.uniform("x", 100), other.integers("x", 10, 3), other.permutations("x", 50)],
                    strict=True,
                )
            )
    each = ["normal", "uniform", "integers", "integers"]  # a permutation is made of integers
    assert calls == ["uniform", "normal", "integers", *each, *each]
    assert int(one._positions["x"]) == other.state()["x"] > 0


def test_a_kernel_that_draws_others_or_fails_is_not_used_and_told_of(monkeypatch, capsys):
    here = torch.device("cpu")

    def others(kind, keys, position, numbers, *high):
        return torch.full((len(keys), numbers), 0.5) if kind != "uniform" else philox.uniform(keys, position, numbers)

    def fails(*arguments):
        raise RuntimeError("Failed to find C compiler")

    for lack, draw in ((None, others), (None, fails), ("Triton is not installed (extra gpu)", fails)):
        monkeypatch.setattr(kernels, "philox_on_gpu", draw)
        monkeypatch.setattr(kernels, "philox_lacks", lambda lack=lack: lack)
        philox._fits.cache_clear()
        assert not philox._fits(here)
        assert not philox._fits(here)
    philox._fits.cache_clear()
    told = "random numbers are drawn by PyTorch's operations on cpu, not by the kernel: "
    assert capsys.readouterr().err.splitlines() == [
        f"{told}its normal, integers numbers are others",
        f"{told}RuntimeError('Failed to find C compiler')",
    ]


def test_the_switch_of_kernels_switches_it_off(monkeypatch):
    monkeypatch.setenv("QUANTBENCH_KERNELS", "off")
    assert kernels.philox_lacks() == "QUANTBENCH_KERNELS=off"


COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler.compiler import ASTSource

from quantbench.kernels.philox_triton import draw

kinds = {"keys": "*i64", "position": "*i64", "numbers": "i32", "programs": "i32", "high": "i64"}
kinds |= {"KIND": "constexpr", "TOGETHER": "constexpr"}
for kind in range(3):
    of = kinds | {"found": "*i64" if kind == 2 else "*fp32"}
    source = ASTSource(draw, {name: of[name] for name in draw.arg_names}, {"KIND": kind, "TOGETHER": 256})
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": False})
    assert "fma." not in made.asm["ptx"], made.asm["ptx"]
    assert "contract" not in made.asm["llir"]
    print(len(made.asm["cubin"]), made.asm["ptx"].count("sqrt.rn.f32"))
"""


@needs_triton
def test_it_compiles_for_an_h100_without_fused_multiply_adds():
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    root = Path(__file__).parents[2]
    words = [sys.executable, "-c", COMPILED]
    run = subprocess.run(words, capture_output=True, text=True, env=environment | {"PYTHONPATH": str(root)}, cwd=root)
    assert run.returncode == 0, run.stderr[-2000:]
    assert [int(line.split()[1]) > 0 for line in run.stdout.splitlines()] == [False, True, False]

import pytest
import torch

from quantbench.config import build_stack
from quantbench.gradients import STE, Own
from quantbench.quantizers import VectorQuantizer
from quantbench.results.tables import read_results
from quantbench.simulators import Codeword, Rotation
from quantbench.streams import Streams
from quantbench.sweeps.catalogue import default_component
from quantbench.sweeps.plan import plan
from quantbench.sweeps.supply import FIRST, size_on_gpu
from quantbench.sweeps.sweep import Combination
from quantbench.sweeps.worker import run_stack
from quantbench.training import train
from quantbench.training.probe import probe
from quantbench.training.run import begin
from tests.sweeps.test_plan import CHOICES, config, sweep
from tests.training.test_every_choice import DIMS, GRADIENTS, SMALL, quantizer_of
from tests.training.test_every_choice import stack as choice_stack
from tests.training.test_graph import NOT_AS_GRAPHS
from tests.training.test_training import CASES, stack

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize("case", CASES)
def test_every_kind_of_stack_trains_on_a_gpu(case):
    quantizer, gradient, simulator = CASES[case]
    outcomes = train(stack(5, quantizer, gradient, simulator, device="cuda"))
    assert all(outcome.diverged is None for outcome in outcomes)
    assert all(outcome.metrics["nmse_db"] < 5 for outcome in outcomes)


def test_a_gpu_starts_from_the_same_source():
    for simulator in (Codeword(bits=4), Rotation(bits=3)):
        cpu, gpu = (simulator.world(Streams([0, 1], device)) for device in ("cpu", "cuda"))
        for name in cpu:
            assert torch.allclose(cpu[name], gpu[name].cpu(), atol=1e-4)


def draws(streams):
    """Of every kind."""
    return [
        streams.normal("x", 100, 7),
        streams.uniform("x", 33),
        streams.integers("x", 1000003, 65),
        streams.permutations("x", 5000),
        streams.rotations("x", 2, dim=4),
        streams.normal("x", 3),
    ]


def test_a_gpu_draws_the_same_bits():
    for one, other in zip(draws(Streams([0, 1, 1])), draws(Streams([0, 1, 1], "cuda")), strict=True):
        assert other.device.type == "cuda"
        assert torch.equal(one, other.cpu())


def test_a_captured_graph_goes_on_drawing():
    expected, streams = Streams([0, 1]), Streams([0, 1], "cuda")
    for one in (expected, streams):
        one.normal("x", 50)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        drawn = streams.normal("x", 100), streams.integers("x", 7, 10)
    for _ in range(3):
        graph.replay()
        assert torch.equal(drawn[0].cpu(), expected.normal("x", 100))
        assert torch.equal(drawn[1].cpu(), expected.integers("x", 7, 10))
    assert streams.state() == expected.state()


def on_gpu(trials, **changes):
    one = config(device="cuda", **({"train": {"steps": 40, "batch": 64}} | changes))
    return plan(sweep({"seed": list(range(trials))}, combinations=[Combination(CHOICES, one)])).trials


def test_a_step_is_measured():
    trials = on_gpu(64)
    few, many = (probe(build_stack([trial.config for trial in trials[:count]], torch.device("cuda"))) for count in (8, 64))
    assert 0 < few[0] < 1
    assert 2 * few[1] < many[1] < 10 * few[1]


def test_the_measured_size_fits_and_touches_no_result():
    trials = on_gpu(200)
    alone = run_stack(trials[:3], "cuda")
    assert FIRST <= size_on_gpu(trials, "cuda", workers=1) <= 200
    for one, other in zip(run_stack(trials[:3], "cuda"), alone, strict=True):
        assert one.row["mse"] == pytest.approx(other.row["mse"], rel=1e-3)


@pytest.fixture
def little_memory():
    """A GPU of half a gigabyte."""
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(2**29 / torch.cuda.get_device_properties(0).total_memory)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def test_a_stack_that_is_too_large_for_the_gpu_is_halved(little_memory):
    records = run_stack(on_gpu(64, train={"steps": 2, "batch": 8192}), "cuda")
    assert {record.row["status"] for record in records} == {"completed"}
    assert all(record.row["stack_size"] < 64 for record in records)
    (alone,) = run_stack(on_gpu(1, train={"steps": 2, "batch": 2**22}), "cuda")
    assert alone.row["status"] == "failed"
    assert "device=cuda; lower train.batch=4194304, codec.hidden=64" in alone.row["error"]


def test_a_sweep_on_a_gpu_finds_its_stack_size(small_run):
    folder = small_run("device=cuda", "-m", "gradient=ste,mste", "seed=range(0,100)")
    table = read_results(folder)
    assert set(table["status"]) == {"completed"}
    assert set(table["device"]) == {"cuda"}
    assert table["stack_size"].min() >= 32


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_a_sweep_trains_on_every_gpu(small_run):
    folder = small_run("device=cuda", "executor=processes", "-m", "gradient=ste,mste", "seed=range(0,40)")
    table = read_results(folder)
    assert set(table["status"]) == {"completed"}
    assert set(table["device"]) == {f"cuda:{i}" for i in range(torch.cuda.device_count())}


def trained_on(device, quantizer, gradient, dim, **settings):
    training = begin(choice_stack(quantizer, gradient, dim, device=device, **settings))
    training.advance()
    return training


@pytest.mark.parametrize(
    "name", [*NOT_AS_GRAPHS, "vq", "cvq", "rvq", "fsq", "lattice", "tcq", "optvq", "entropy_scalar", "vrvq"]
)
def test_a_quantizers_steps_are_graphs_on_a_gpu_where_they_can_be(name):
    dim = DIMS.get(name, 8)
    quantizer = quantizer_of(name, dim)
    gradient = Own() if quantizer.own_gradient else STE()
    assert trained_on("cuda", quantizer, gradient, dim).graphs.reason == NOT_AS_GRAPHS.get(name)


@pytest.mark.parametrize(("gradient", "kind"), GRADIENTS)
def test_a_graph_of_a_strategy_does_what_its_steps_do(gradient, kind):
    """Up to rounding, which a step of a GPU need not repeat (sums go in any order)."""
    one, other = (trained_on("cuda", SMALL[kind], default_component("gradient", gradient), 4, graph=g) for g in ("auto", "off"))
    assert one.graphs.reason is None
    assert other.graphs is None
    for here, there in zip(one.outcomes, other.outcomes, strict=True):
        values = [{name: value for step, name, value in each.curves if step == 12}["mse"] for each in (here, there)]
        assert values[0] == pytest.approx(values[1], rel=0.02)


def test_a_trial_that_diverges_in_a_graph_is_frozen_at_its_step():
    training = trained_on("cuda", SMALL[VectorQuantizer], STE(), 8, steps=60, lr=1e30)
    assert training.graphs.reason is None
    assert training.divergence.frozen.all()
    assert all(1 < one.metrics["diverged_step"] < 10 for one in training.outcomes)


def test_a_stack_on_a_gpu_agrees_with_the_cpu():
    """Distortion at step 200 over eight seeds, of the same random numbers on both."""
    found = {}
    for device in ("cpu", "cuda"):
        settings = {"seeds": tuple(range(8)), "steps": 200, "batch": 256, "log_every": 200, "lr": 1e-3}
        outcomes = trained_on(device, VectorQuantizer(codes=16), STE(), 8, **settings).outcomes
        found[device] = sum(value for one in outcomes for step, name, value in one.curves if (step, name) == (200, "mse"))
    assert found["cuda"] == pytest.approx(found["cpu"], rel=0.02)

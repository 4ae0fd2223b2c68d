"""Steps as graphs, without a GPU: a recorder takes the place of CUDA's, and results must be those of steps as they are."""

import copy
import dataclasses
import math
from contextlib import contextmanager, nullcontext

import pytest
import torch

from quantbench import kernels
from quantbench.components import component
from quantbench.gradients import STE, Noise, Own, Schedule, SoftToHard, WarmUp
from quantbench.quantizers import FSQ, Residual, VectorQuantizer
from quantbench.streams import Streams
from quantbench.sweeps.catalogue import default_component
from quantbench.traced import Trace, moving
from quantbench.training import graph, trainer
from quantbench.training.capturable import Watching
from quantbench.training.drawn import Drawn
from quantbench.training.trainer import Training
from tests.training.recorder import Recorder
from tests.training.test_every_choice import DIMS, GRADIENTS, QUANTIZERS, SMALL, quantizer_of, stack
from tests.training.test_state import adversarial

torch.set_num_threads(1)
NOT_AS_GRAPHS = {
    "external": "External asks a tensor for a number",
    "wasserstein_vq": "WassersteinVQ checks its result before it goes on",
} | {f"vqp_{name}": "External asks a tensor for a number" for name in ("diveq", "fsp", "fsq", "lfq", "rfsq", "rotation", "rvq")}
NOT_AS_GRAPHS |= {f"vqp_{name}": NOT_AS_GRAPHS["external"] for name in ("simvq", "vq")}
"""And why; all other choices are."""
SOME_QUANTIZERS = ("vq", "tcq")
SOME_GRADIENTS = (("vp_small", VectorQuantizer), ("sga", FSQ), ("gumbel_softmax", VectorQuantizer))


def trained(whole, capture=None, steps=None):
    training = Training(whole, capture=capture)
    with kernels.without():  # which a graph cannot hold
        training.start()
        training.advance(steps)
    return training


def found(training):
    """All that a training has to show, but for time, and for what no trial is restored from."""
    state = training.state_dict()
    frozen = state["divergence"]["frozen"]
    state["divergence"]["kept"] = [tensor[frozen] for tensor in state["divergence"]["kept"] if frozen.any()]
    return {name: value for name, value in state.items() if name != "stepping"}


def differing(one, other, path=""):
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one.nan_to_num(0.123), other.nan_to_num(0.123)) else [path]
    if isinstance(one, dict | list | tuple):
        pairs = one.items() if isinstance(one, dict) else enumerate(one)
        assert len(one) == len(other)
        return [place for name, value in pairs for place in differing(value, other[name], f"{path}.{name}")]
    return [] if one == other or (one != one and other != other) else [path]


def check(whole, kinds=None):
    """Trains as graphs and as it is, and compares bit by bit; gives the graphs."""
    recorder = Recorder()
    training = trained(whole, recorder)
    assert differing(found(plain := trained(whole)), found(training)) == []
    assert plain.steps_by == "eager"
    assert training.steps_by == ("graph" if training.graphs.reason is None else "eager")
    if kinds is not None:
        assert training.graphs.reason is None
        assert len(recorder.graphs) == kinds
        assert recorder.runs >= whole.train.steps - 2 * kinds - 2
    return training.graphs


def some(every, few, name=lambda one: one):
    return [pytest.param(one, marks=() if one in few else pytest.mark.slow, id=name(one)) for one in every]


@pytest.mark.parametrize("name", some(QUANTIZERS, SOME_QUANTIZERS))
def test_a_quantizer_trains_alike_as_a_graph(name):
    dim = DIMS.get(name, 8)
    quantizer = quantizer_of(name, dim)
    graphs = check(stack(quantizer, Own() if quantizer.own_gradient else STE(), dim))
    assert graphs.reason == NOT_AS_GRAPHS.get(name)


@pytest.mark.parametrize("pair", some(GRADIENTS, SOME_GRADIENTS, lambda pair: f"{pair[0]}-{pair[1].__name__}"))
def test_a_strategy_trains_alike_as_a_graph(pair):
    name, kind = pair
    staged = {"soft_then_hard": 2, "soft_to_hard": 2, "warm_up": 2}
    check(stack(SMALL[kind], default_component("gradient", name), 4), staged.get(name, 1))


RULES = ("usage", "count", "hits", "weighted_hits", "idle", "online")


@pytest.mark.parametrize("restart_by", [pytest.param(rule, marks=() if rule == "hits" else pytest.mark.slow) for rule in RULES])
def test_restarts_have_a_graph_of_their_own(restart_by):
    updates = "gradient" if restart_by == "online" else "ema"
    quantizer = VectorQuantizer(codes=16, update_by=updates, restart=0.5, restart_by=restart_by, restart_every=3)
    check(stack(quantizer, STE()), 1 if restart_by in ("online", "idle") else 2)


WHOLES = {
    "rates": lambda: stack(SMALL[VectorQuantizer], STE(), lr_end=0.1, clip=0.5),
    "bfloat16": lambda: stack(
        FSQ(levels=4), default_component("gradient", "soft_round"), 4, precision="bfloat16", quantizer_precision="same"
    ),
    "float16": lambda: stack(
        SMALL[VectorQuantizer], default_component("gradient", "noise"), precision="float16", quantizer_precision="same"
    ),
    "dropout": lambda: stack(Residual(SMALL[VectorQuantizer], dropout=0.5), default_component("gradient", "vp_small")),
    "schedules": lambda: stack(SMALL[VectorQuantizer], WarmUp(0.3, SoftToHard(Schedule(2.0, 0.5, "cosine", 0.2, 0.7), 0.4))),
}


@pytest.mark.parametrize("case", WHOLES)
def test_other_settings_train_alike_as_graphs(case):
    assert check(WHOLES[case]()).reason is None


@pytest.mark.parametrize("gradient", ["ste", "vp_small"])  # which has a memory
def test_a_trial_that_diverges_is_frozen_at_its_step_and_told_of_later(gradient):
    """Its neighbours, the step, the reason, and the trial as it was are those of steps that are waited for."""
    whole = stack(SMALL[VectorQuantizer], default_component("gradient", gradient))
    train = dataclasses.replace(whole.train, lr=torch.tensor([1e-3, 30.0, 1e30]), explode=5.0)
    training = check(dataclasses.replace(whole, train=train), 1).one
    assert training.divergence.frozen.tolist() == [False, True, True]
    outcomes = trained(dataclasses.replace(whole, train=train), Recorder()).outcomes
    assert [one.diverged is None for one in outcomes] == [True, False, False]
    assert all(1 < one.metrics["diverged_step"] < 12 for one in outcomes[1:])


@pytest.mark.slow
def test_losses_with_discriminators_are_graphs_too(tmp_path):
    assert check(adversarial(tmp_path)).reason is None


@component
class Late(STE):
    """Counts on a number of Python's that changes at every step."""

    def pass_through(self, quantizer, state, latents, code, moment):
        return super().pass_through(quantizer, state, latents, code, moment) * (1 + math.sin(moment.step) / 100)


@component
class Fails(STE):
    """Draws, and then asks for something that only a plain number has."""

    def pass_through(self, quantizer, state, latents, code, moment):
        noise = moment.normal(latents)
        moment.progress.is_integer()
        return super().pass_through(quantizer, state, latents, code, moment) + 0.1 * noise


@component
class Scaled(STE):
    """Multiplies by numbers of the step, as a schedule of a user's own may."""

    def pass_through(self, quantizer, state, latents, code, moment):
        received = super().pass_through(quantizer, state, latents, code, moment)
        return received * (1 - 0.1 * moment.progress) + 0.01 * moment.step if moment.progress < 0.5 else received


def test_a_users_strategy_is_a_graph_or_is_told_why_not(capsys):
    graph._tell.cache_clear()
    assert check(stack(SMALL[VectorQuantizer], Scaled())).reason is None
    late = check(stack(SMALL[VectorQuantizer], Late(), steps=20)).reason
    assert late.startswith("Late: its steps are of more than 12 kinds")
    assert "'Traced' object has no attribute 'is_integer'" in check(stack(SMALL[VectorQuantizer], Fails())).reason
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["train.graph=auto"] * 2
    assert "steps of VectorQuantizer, Late are not run as graphs, but as they are: Late" in lines[0]


def test_a_training_goes_on_from_a_checkpoint():
    whole = stack(SMALL[VectorQuantizer], default_component("gradient", "noise"), lr_end=0.1)
    first = trained(whole, Recorder(), steps=5)
    second = Training(whole, capture=Recorder())
    second.load_state_dict(first.state_dict())
    with kernels.without():
        second.advance()
    assert differing(found(trained(whole)), found(second)) == []


def test_what_a_graph_cannot_hold_is_noted():
    ones = torch.ones(3)
    for does in (
        lambda: float(ones.sum()),
        lambda: bool(ones.any()),
        lambda: ones.tolist(),
        lambda: ones.nonzero(),
        lambda: ones[ones > 0],
        lambda: torch.tensor([1.0, 2.0]),
        lambda: torch.rand(3),
        lambda: torch.linalg.eigh(torch.eye(2)),
    ):
        with Watching() as watching:
            does()
        assert len(watching.refused) == 1
        with Watching() as watching, watching.paused():
            does()
        assert watching.refused == {}


def test_numbers_of_a_step_move_with_it():
    trace = Trace(1)
    step, progress = trace.number(lambda now: now), trace.number(lambda now: (now - 1) / 4)
    factor = torch.tensor([2.0])
    parts = [progress * factor, factor - progress, moving(step, math.exp, factor), (2**step - 1) * factor]
    assert not progress > 0.5
    assert step % 2 == 1
    assert [trace.holds(now) for now in (1, 2, 3, 5)] == [True, False, True, False]
    assert len(trace.deciding) == 1
    trace.refresh(3)
    again = trace._tensors
    assert [float(tensor) for tensor, *_ in again] == [0.5, 0.5, pytest.approx(math.exp(3)), 7.0]
    assert [float(part) for part in parts[:2]] == [0.0, 2.0]


def test_schedules_are_the_same_numbers():
    for shape in ("constant", "linear", "exponential", "cosine", "logarithmic"):
        one = Schedule(torch.tensor([2.0, 3.0]).view(2, 1, 1), torch.tensor([0.3, 0.1]).view(2, 1, 1), shape, 0.1, 0.8)
        trace = Trace(1)
        at = one.at(trace.number(lambda now: now / 7))
        for now in range(8):
            trace.refresh(now)
            assert torch.equal(at, one.at(now / 7))
        assert trace.holds(99)


class Counting(Streams):
    """Streams that are tensor operations, with a position that is a tensor."""

    capturable = True

    def __init__(self, seeds, device="cpu"):
        super().__init__(seeds, device)
        self.position = torch.zeros(())

    def normal(self, purpose, *shape):
        if purpose != "gradient noise":
            return super().normal(purpose, *shape)
        place = torch.arange(math.prod(shape), dtype=torch.float32).view(1, *shape)
        self.position += 1
        return torch.sin(12.9898 * place + 78.233 * self.position).expand(self.trials, *shape)


def test_streams_of_tensor_operations_are_a_part_of_the_graph(monkeypatch):
    monkeypatch.setattr(trainer, "Streams", Counting)
    noise = Noise(distribution="gaussian")
    assert check(stack(SMALL[VectorQuantizer], noise), 1).one.model.streams.position == 12


class OnDevice(Streams):
    """As on a GPU: positions are tensors, and the graph moves them."""

    capturable = _moved = True


def test_a_graph_goes_on_from_a_state_that_its_training_takes_over(monkeypatch):
    monkeypatch.setattr(trainer, "Streams", OnDevice)
    whole = stack(SMALL[VectorQuantizer], Noise(distribution="gaussian"))
    training = trained(whole, Recorder(), steps=5)
    state = copy.deepcopy(training.state_dict())
    with kernels.without():
        training.advance(4)
        training.load_state_dict(state)
        training.advance()
    assert training.graphs.reason is None
    assert differing(found(trained(whole)), found(training)) == []


def test_a_capture_that_breaks_leaves_the_stream_that_was(monkeypatch):
    """As PyTorch's ``graph.__exit__``, which raises before it puts the stream back."""
    streams = ["usual"]

    @contextmanager
    def broken(graph, stream, **how):
        streams[0] = stream
        yield
        raise RuntimeError("operation failed due to a previous error during capture")

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: "own")
    monkeypatch.setattr(torch.cuda, "graph", broken)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: streams[0])
    monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: streams.__setitem__(0, stream))
    for name in ("CUDAGraph", "graph_pool_handle", "empty_cache"):
        monkeypatch.setattr(torch.cuda, name, lambda: None)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    with pytest.raises(RuntimeError, match="during capture"):
        graph.CudaCapture(torch.device("cuda"))(lambda: None)
    assert streams == ["usual"]


def test_drawn_numbers_are_those_of_the_streams():
    own, other = Streams([1, 2]), Streams([1, 2])
    drawn = Drawn(own, Trace(1))
    kept = [drawn.normal("a", 3), drawn.integers("b", 9, 2), drawn.uniform("a", 3)]
    for _ in range(3):
        expected = [other.normal("a", 3), other.integers("b", 9, 2), other.uniform("a", 3)]
        assert all(torch.equal(one, two) for one, two in zip(kept, expected, strict=True))
        drawn.refresh()

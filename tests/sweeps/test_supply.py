import pytest
import torch

from quantbench.sweeps import supply, worker
from quantbench.sweeps.plan import plan
from quantbench.sweeps.schedule import CPU_STACK, schedule
from quantbench.sweeps.supply import FIRST, Supply, fitting_size
from quantbench.sweeps.sweep import Combination
from quantbench.sweeps.worker import is_out_of_memory, run_stack
from tests.sweeps.test_plan import CHOICES, config, sweep

GIB = 2**30


class Machine:
    """A pretended GPU: seconds a step and bytes of a stack, and how many trials fit."""

    def __init__(self, saturated, each=1, fitting=10**9):
        self.saturated, self.each, self.fitting, self.asked = saturated, each, fitting, []

    def __call__(self, size):
        self.asked.append(size)
        if size > self.fitting:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return max(1.0, size / self.saturated), size * self.each


def test_a_stack_grows_as_long_as_that_is_faster():
    machine = Machine(saturated=500)
    assert fitting_size(machine, 10_000, GIB) == 512
    assert machine.asked == [64, 128, 256, 512, 1024]


def test_a_stack_never_holds_more_than_there_are():
    machine = Machine(saturated=10**6)
    assert fitting_size(machine, 100, GIB) == 100
    assert machine.asked == [64, 100]
    assert fitting_size(Machine(saturated=1), FIRST, GIB) == FIRST
    few = Machine(saturated=1)
    assert fitting_size(few, 5, GIB) == 5
    assert few.asked == []  # nothing to find out


def test_a_stack_stays_within_the_room():
    machine = Machine(saturated=10**6, each=10)
    assert fitting_size(machine, 10_000, 3000) == 300
    assert max(machine.asked) == 300
    assert fitting_size(Machine(saturated=10**6, each=100), 10_000, 3000) == 30
    assert fitting_size(Machine(saturated=10**6, each=10_000), 10_000, 3000) == 1


def test_what_does_not_fit_is_not_tried_twice():
    machine = Machine(saturated=10**6, fitting=40)
    assert fitting_size(machine, 10_000, GIB) == 32
    assert machine.asked == [64, 32, 64]
    assert fitting_size(Machine(saturated=10**6, fitting=0), 10_000, GIB) == 1


def test_another_error_of_a_measurement_is_passed_on():
    def measure(size):
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        fitting_size(measure, 100, GIB)


def trials(*counts, **changes):
    """Stacks of trials of two lengths of training."""
    found = []
    for number, count in enumerate(counts):
        one = config(**({"train": {"steps": 10 + number % 2, "batch": 16}, "executor": {"stack_size": 10_000}} | changes))
        found += schedule(plan(sweep({"seed": list(range(count))}, combinations=[Combination(CHOICES, one)]))).stacks
    return found


def drained(supply):
    sizes = []
    while supply:
        sizes.append(len(supply.next()))
    return sizes


def test_groups_are_cut_when_their_size_is_known():
    asked = []

    def size(group):
        asked.append(len(group))
        return 4

    (ten,) = trials(10)
    assert drained(Supply([ten], size)) == [3, 3, 4]
    assert asked == [10]
    assert drained(Supply([ten, ten[:3]])) == [10, 3]


class Tight:
    """In place of a worker's training: stacks of more than ``fitting`` trials take too much memory."""

    def __init__(self, fitting, error):
        self.fitting, self.error, self.original, self.tried = fitting, error, worker._train, []

    def __call__(self, trials, device, advance, keep):
        self.tried.append(len(trials))
        if len(trials) > self.fitting:
            advance(1.0, "training")
            raise self.error
        return self.original(trials, device, advance, keep)


ERRORS = [
    MemoryError(),
    torch.cuda.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"
    ),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_a_stack_that_takes_too_much_memory_is_halved(monkeypatch, error):
    (ten,) = trials(10)
    expected = run_stack(ten, "cpu")
    tight = Tight(3, error)
    monkeypatch.setattr(worker, "_train", tight)
    progress = []
    found = run_stack(ten, "cpu", lambda trials, phase: progress.append(trials))
    assert tight.tried == [10, 5, 3, 2, 5, 3, 2]
    assert [record.row["stack_size"] for record in found] == [3, 3, 3, 2, 2, 3, 3, 3, 2, 2]
    assert sum(progress) == pytest.approx(10)  # what was done in vain does not count
    for one, other in zip(found, expected, strict=True):
        assert one.trial == other.trial
        assert one.row["mse"] == other.row["mse"]
        assert one.curves == other.curves


def test_a_trial_that_does_not_fit_says_what_to_lower(monkeypatch):
    (three,) = trials(3)
    monkeypatch.setattr(worker, "_train", Tight(0, torch.cuda.OutOfMemoryError("CUDA out of memory.")))
    for record in run_stack(three, "cpu"):
        assert record.row["status"] == "failed"
        assert (
            "device=cpu; lower train.batch=16, codec.hidden=64, codec.latent_dim=4, quantizer.codes=16, "
            "simulator.bits=4, simulator.frame_dim=16 (" in record.row["error"]
        )
        assert "CUDA out of memory." in record.row["error"]


def test_other_errors_are_no_lack_of_memory(monkeypatch):
    assert not any(map(is_out_of_memory, [ValueError("out of memory"), RuntimeError("shapes do not match"), KeyError("x")]))
    (three,) = trials(3)
    tight = Tight(1, ValueError("a bug that a stack shows"))
    monkeypatch.setattr(worker, "_train", tight)
    assert [record.row["status"] for record in run_stack(three, "cpu")] == ["completed"] * 3
    assert tight.tried == [3, 1, 1, 1]


def test_later_stacks_of_a_shape_are_made_as_small_as_those_that_fitted(monkeypatch):
    (twenty,), (six,) = trials(20), trials(6)
    rest = Supply([twenty[:8], twenty[8:], six])
    object.__setattr__(six[0], "shape", twenty[0].shape + 1)
    monkeypatch.setattr(worker, "_train", Tight(4, MemoryError()))
    stack = rest.next()
    rest.learn(stack, run_stack(stack, "cpu"))
    assert drained(rest) == [4, 4, 4, 6]


def test_a_failed_trial_says_nothing_about_memory(monkeypatch):
    (ten,) = trials(10)
    rest = Supply([ten[:5], ten[5:]])
    monkeypatch.setattr(worker, "_train", Tight(0, ValueError("a bug")))
    stack = rest.next()
    rest.learn(stack, run_stack(stack, "cpu"))
    assert drained(rest) == [5]


class GPU:
    """Lets plans believe that there is a GPU; whatever trains does so on the CPU."""

    def __init__(self, monkeypatch, size):
        from quantbench.sweeps import execute
        from quantbench.sweeps import schedule as scheduling

        self.asked = []
        monkeypatch.setattr(scheduling, "find_device", lambda name: torch.device("cuda"))
        monkeypatch.setattr(execute, "size_on_gpu", self.size_on_gpu)
        self.size = size

    def size_on_gpu(self, group, device, workers):
        self.asked.append((len(group), workers))
        return self.size


def test_on_a_gpu_the_size_is_measured_for_every_shape(monkeypatch, small_run, quantbench):
    from quantbench.results.tables import read_results

    words = ["-m", "gradient=ste,mste", "seed=range(0,10)"]
    expected = read_results(small_run(*words))
    gpu = GPU(monkeypatch, 4)
    found = read_results(small_run(*words))
    assert gpu.asked == [(10, 1), (10, 1)]
    assert sorted(found["stack_size"]) == sorted(([3] * 6 + [4] * 4) * 2)
    assert found["mse"].tolist() == expected["mse"].tolist()
    out = quantbench("run", *words, "dry_run=true", "executor=inline")[1]
    assert "20 trials of 2 shapes, in stacks whose size is measured on the GPU" in out
    gpu.asked.clear()
    assert set(read_results(small_run(*words, "executor.stack_size=5"))["stack_size"]) == {5}
    assert gpu.asked == []


def test_on_a_cpu_the_size_is_fixed():
    found = trials(CPU_STACK + 2, executor={"stack_size": None})
    assert [len(stack) for stack in found] == [CPU_STACK // 2 + 1] * 2


def test_a_measurement_that_fails_is_told(monkeypatch, capsys):
    def failing(stack):
        raise ValueError("a bug of the user's")

    monkeypatch.setattr(supply, "probe", failing)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (GIB, GIB))
    (many,) = trials(FIRST + 1)
    assert supply.size_on_gpu(many, "cpu", 1) == FIRST
    assert "could not be measured: ValueError: a bug of the user's" in capsys.readouterr().err


def test_measuring_touches_nothing_that_trials_find(monkeypatch):
    """The whole way of a measurement, on the CPU: only the GPU's clock and memory are pretended."""
    (many,) = trials(FIRST + 6)
    expected = run_stack(many[:2], "cpu")
    taken = []
    original = supply.probe

    def counted(stack):
        taken.append(len(stack.seeds))
        return original(stack)

    monkeypatch.setattr(supply, "probe", counted)
    for name, value in {
        "synchronize": None,
        "memory_allocated": 1000,
        "reset_peak_memory_stats": None,
        "mem_get_info": (10 * GIB, 20 * GIB),
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 1000 + 64 * GIB // 10)
    assert supply.size_on_gpu(many, "cpu", workers=1) in (64, 70)
    assert supply.size_on_gpu(many, "cpu", workers=4) == 17  # 7 GiB for four workers, 0.1 GiB a trial
    assert taken == [64, 70, 64]
    for one, other in zip(run_stack(many[:2], "cpu"), expected, strict=True):
        assert one.row["mse"] == other.row["mse"]
        assert one.curves == other.curves

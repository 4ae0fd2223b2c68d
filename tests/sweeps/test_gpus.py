"""Several GPUs, which PyTorch pretends to find: who trains on which of them. Nothing here computes on one."""

import subprocess
from collections import Counter

import pytest
import torch

from quantbench.devices import workers_devices
from quantbench.sweeps import environment as environments
from quantbench.sweeps import supply
from quantbench.sweeps.execute import sharing_one
from quantbench.sweeps.executors import Dask, Processes, Slurm, dask
from quantbench.sweeps.executors.inline import InlineEngine
from quantbench.sweeps.executors.slurm import job as slurm_job
from quantbench.sweeps.executors.slurm.task import read_task, write_task
from quantbench.sweeps.journal import Journal
from quantbench.sweeps.plan import plan
from quantbench.sweeps.schedule import schedule
from quantbench.sweeps.sweep import Combination
from quantbench.sweeps.worker import unheard
from quantbench.training import Keep
from tests.sweeps.places import PATIENCE, where
from tests.sweeps.test_plan import CHOICES, config, sweep
from tests.test_device import gpus  # noqa: F401 (a fixture)

CUDA = torch.device("cuda")


def stacks(number, size=1):
    """Stacks of so many trials in all."""
    one = config(executor={"stack_size": size})
    return schedule(plan(sweep({"seed": list(range(number))}, combinations=[Combination(CHOICES, one)]))).stacks


def rounds(engine, folder, workers, number=2):
    """Who did what in several rounds, in each of which all workers have a stack at the same time."""
    found = []
    for place in range(number):
        engine.keep = Keep(folder / str(place) / str(workers))
        engine.keep.folder.mkdir(parents=True)
        futures = [engine.submit(stack) for stack in stacks(workers)]
        found.append({one.row["worker"]: one.row["device"] for future in futures for one in future.result(PATIENCE)})
    return found


def test_workers_keep_the_gpu_that_is_theirs(gpus, tmp_path):  # noqa: F811
    gpus(2)
    engine = Processes(workers=3).open(3, "cuda", unheard, job=where)
    try:
        first, second = rounds(engine, tmp_path, 3)
    finally:
        engine.close()
    assert Counter(first.values()) == {"cuda:0": 2, "cuda:1": 1}
    assert second == first


@pytest.mark.parametrize(
    ("device", "count", "devices"),
    [
        ("cuda", 3, ["cuda:0", "cuda:1", "cuda:2"]),
        ("cuda", 1, ["cuda"]),
        ("cuda:1", 3, ["cuda:1"]),
        ("cpu", 3, ["cpu"]),
    ],
)
def test_one_worker_a_gpu(gpus, device, count, devices):  # noqa: F811
    gpus(count)
    found = torch.device(device)
    assert workers_devices(found) == devices
    if device == "cpu":
        return
    for executor in (Processes(), Dask()):
        assert executor.workers_on(found) == len(devices)
    if len(devices) == 1:
        engine = Processes().open(8, device, unheard)
        assert isinstance(engine, InlineEngine)
        assert engine.device == device


def test_workers_that_share_a_gpu_share_its_memory(gpus):  # noqa: F811
    gpus(2)
    assert [sharing_one("cuda", workers) for workers in (1, 2, 3, 4)] == [1, 1, 2, 2]
    assert [sharing_one("cuda:1", workers) for workers in (1, 2)] == [1, 2]
    assert sharing_one("cpu", 3) == 3


def test_of_unlike_gpus_the_smallest_decides_on_the_size_of_stacks(gpus, monkeypatch):  # noqa: F811
    gpus(3)
    measured, memory = [], {0: 80, 1: 24, 2: 40}

    class Properties:
        def __init__(self, device):
            self.total_memory = memory[device.index]

    def probe(stack):
        measured.append(stack)
        return 1.0, stack[1]

    monkeypatch.setattr(torch.cuda, "get_device_properties", Properties)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (memory[device.index], 80))
    monkeypatch.setattr(supply, "build_stack", lambda configs, device: (str(device), len(configs)))
    monkeypatch.setattr(supply, "probe", probe)
    monkeypatch.setattr(supply, "free_memory", lambda: None)
    (many,) = stacks(64, 64)
    monkeypatch.setattr(supply, "FIRST", 8)
    assert supply.size_on_gpu(many, "cuda", workers=1) == 16  # in 0.7 of 24 bytes, one a trial
    assert measured == [("cuda:1", 8), ("cuda:1", 16)]


def test_a_worker_of_a_cluster_of_this_machine_takes_the_gpu_of_its_number(monkeypatch):
    def job(stack, device, advance, keep):
        return device

    monkeypatch.setattr(dask, "join_driver", lambda folders, version: None)
    monkeypatch.setattr(dask, "keep_memory", lambda: None)

    def asked(number, devices):
        monkeypatch.setattr(dask, "_number", lambda: number)
        return dask._run(job, (), devices, Keep(), [], "")

    assert [asked(number, ("cuda:0", "cuda:1")) for number in range(4)] == ["cuda:0", "cuda:1"] * 2
    # Of a cluster that runs elsewhere, each worker sees what was given to it, and its name may be no number.
    assert asked("tcp://node:1234", ("cuda",)) == "cuda"


@pytest.mark.parametrize(("asked", "device", "workers"), [(2, "cuda", 2), (0, "cuda", 1), (2, "cpu", 3)])
def test_a_slurm_job_trains_on_the_gpus_that_it_asked_for(gpus, monkeypatch, tmp_path, asked, device, workers):  # noqa: F811
    gpus(4 if device == "cuda" else 0)
    some, journal = stacks(4), Journal(tmp_path)
    write_task(tmp_path / "0.json", some, device, Keep(tmp_path), cpus=3, gpus=asked)
    assert read_task(tmp_path / "0.json")["gpus"] == asked
    opened = []

    class Opened(Exception):
        pass

    def opens(self, *given):
        opened.append(self.workers)
        raise Opened

    monkeypatch.setattr(Processes, "open", opens)
    with pytest.raises(Opened):
        slurm_job.run_task(tmp_path / "0.json")
    assert opened == [workers]
    journal.close(complete=False)


def test_jobs_with_several_gpus_train_several_stacks_at_a_time():
    cpu = torch.device("cpu")  # of the node where jobs are submitted
    assert Slurm(jobs=5, gpus=2).workers_on(cpu) == 10
    assert Slurm(jobs=5, gpus=2).parameters["gpus-per-node"] == 2
    assert Slurm(jobs=5, cpus=3).workers_on(cpu) == 15
    assert Slurm(jobs=5, cpus=3).workers_on(CUDA) == 5


def test_a_run_on_a_gpu_says_what_computes_there(gpus, monkeypatch):  # noqa: F811
    gpus(2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {torch.device(device).index or 0}")

    def run(command, **options):
        if command[0] == "nvidia-smi":
            return subprocess.CompletedProcess(command, 0, "575.57.08\n575.57.08\n")
        raise OSError

    monkeypatch.setattr(environments.subprocess, "run", run)
    found = environments.environment(CUDA)
    assert found["kernels"] == "PyTorch's for CUDA"
    assert found["gpu"] == "GPU 0"
    flags = {"products": torch.backends.cuda.matmul.allow_tf32, "convolutions": torch.backends.cudnn.allow_tf32}
    expected = {"gpus": ["GPU 0", "GPU 1"], "visible": "5,7", "driver": "575.57.08", "version": torch.version.cuda}
    assert found["cuda"] == expected | {"cudnn": torch.backends.cudnn.version(), "tf32": flags}
    assert environments.environment(torch.device("cpu"))["cuda"] is None
    assert environments.environment(torch.device("cuda:1"))["cuda"]["gpus"] == ["GPU 1"]


def test_a_package_that_only_lies_on_the_path_says_its_version(monkeypatch):
    def missing(name):
        raise environments.PackageNotFoundError(name)

    monkeypatch.setattr(environments, "version", missing)
    packages = environments.environment(torch.device("cpu"))["packages"]
    assert packages["torch"] == torch.__version__
    assert all(packages.values())

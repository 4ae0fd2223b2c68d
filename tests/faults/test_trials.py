"""Trials that go wrong within a stack, workers without memory, and a clock that is set back."""

import os
import sys
import time

import pandas as pd
import pytest

from quantbench.errors import QuantBenchError
from quantbench.results.schema import COST
from quantbench.results.tables import read_results
from quantbench.sweeps.journal import Journal, new_folder
from tests.conftest import SMALL

CLASSES = '''
import resource
import torch
from pathlib import Path
from quantbench.components import Factor, component
from quantbench.gradients import STE


@component
class Poisoned(STE):
    """STE whose decoder receives NaN, infinity or ever larger numbers from some trials."""

    poison: Factor = 0.0

    def pass_through(self, quantizer, state, latents, code, moment):
        values = super().pass_through(quantizer, state, latents, code, moment)
        for number, factor in ((1, float("nan")), (2, float("inf")), (3, 1e30)):
            values = torch.where(self.poison == number, values * factor, values)
        return values


limited = []


@component
class Hungry(STE):
    """STE that takes 100 MB a trial, in a process that is allowed 350 MB more than it has."""

    def pass_through(self, quantizer, state, latents, code, moment):
        if not limited:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limited.append(pages * resource.getpagesize() + 350 * 2**20)
            resource.setrlimit(resource.RLIMIT_AS, (limited[0], resource.RLIM_INFINITY))
        torch.empty(len(latents) * 100 * 2**20, dtype=torch.uint8)
        return super().pass_through(quantizer, state, latents, code, moment)
'''


@pytest.fixture
def own(tmp_path):
    """Words with which a run finds the gradients ``poisoned`` and ``hungry``."""
    (tmp_path / "mine" / "gradient").mkdir(parents=True)
    (tmp_path / "mine" / "fault_classes.py").write_text(CLASSES)
    (tmp_path / "mine" / "gradient" / "poisoned.yaml").write_text("_target_: fault_classes.Poisoned\npoison: 0\n")
    (tmp_path / "mine" / "gradient" / "hungry.yaml").write_text("_target_: fault_classes.Hungry\n")
    yield ["--config-dir", "mine"]
    sys.modules.pop("fault_classes", None)


def measured(table, *more):
    return table.set_index("trial").drop(columns=[*COST, *more])


def test_neighbours_of_nan_infinity_and_explosions_are_bit_equal(small_run, own):
    words = [*own, "-m", "gradient=poisoned", "quantizer.commitment=0,1", "seed=range(0,3)"]
    alone, together = small_run(*words), small_run(*words, "gradient.poison=0,1,2,3")
    table = read_results(together)
    assert set(table["stack_size"]) == {24}
    sound = table[table["gradient.poison"] == 0]
    pd.testing.assert_frame_equal(measured(sound, "gradient.poison"), measured(read_results(alone)))
    assert set(table[table["gradient.poison"] != 0]["status"]) == {"diverged"}
    curves = [pd.read_csv(folder / "curves.csv").set_index("trial") for folder in (together, alone)]
    pd.testing.assert_frame_equal(curves[0].loc[list(sound["trial"])], curves[1].loc[list(sound["trial"])])


def test_a_worker_without_memory_halves_its_stack(quantbench, small_run, own, tmp_path):
    plain = read_results(small_run("-m", "gradient=ste", "seed=range(0,8)"))
    before = set((tmp_path / "outputs" / "default").iterdir())
    words = ["executor=processes", "executor.workers=2", "executor.stack_size=8", *own, "-m", "gradient=hungry,ste"]
    code, _, err = quantbench("run", *SMALL, *words, "seed=range(0,8)")
    assert code == 0, err
    (folder,) = set((tmp_path / "outputs" / "default").iterdir()) - before
    table = read_results(folder)
    hungry = table[table["gradient"] == "hungry"]
    assert set(hungry["status"]) == {"completed"}
    assert set(hungry["stack_size"]) <= {1, 2}
    assert list(hungry["mse"]) == list(plain["mse"])  # it is STE, whatever it takes


def test_a_clock_that_is_set_back(quantbench, small_run, tmp_path, monkeypatch):
    words = ["executor.stack_size=1", "-m", "seed=range(0,4)"]
    undisturbed = read_results(small_run(*words))
    now = [time.time()]

    def earlier(*arguments):
        now[0] -= 3600
        return now[0]

    real_strftime = time.strftime
    monkeypatch.setattr(time, "time", earlier)
    monkeypatch.setattr(time, "strftime", lambda form: real_strftime(form, time.gmtime(1)))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)  # so that the progress bar looks at the clock
    before = set((tmp_path / "outputs" / "default").iterdir())
    written = []
    original = Journal.write

    def write(self, records):
        if len(written) == 2:
            raise QuantBenchError("stopped")
        written.append(records)
        original(self, records)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", write)
        assert quantbench("run", "executor=inline", *SMALL, *words)[0] == 1
    (folder,) = set((tmp_path / "outputs" / "default").iterdir()) - before
    assert folder.name.startswith("1970-01-01")
    for path in folder.rglob("*"):
        os.utime(path, (2**33, 2**33))  # from a time that is to come
    code, out, err = quantbench("resume", str(folder))
    assert code == 0, err
    assert "2 trials are there" in out
    table = read_results(folder)
    pd.testing.assert_frame_equal(measured(table), measured(undisturbed))
    assert (table["seconds"] >= 0).all()
    assert len({new_folder(str(tmp_path), "same second") for _ in range(50)}) == 50

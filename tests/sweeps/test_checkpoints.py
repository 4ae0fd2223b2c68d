"""A sweep that is cut short in the middle of a training goes on from its checkpoint."""

from __future__ import annotations

import re

import pytest

from quantbench.results.schema import COST
from quantbench.results.tables import read_results
from quantbench.training.trainer import Training

WORDS = ["run", "+experiment=ste_stability", "gradient=ste", "quantizer.commitment=0,1", "seed=0", "executor=inline"]
SMALL = [
    "train.steps=64",
    "train.batch=16",
    "codec.hidden=8",
    "simulator.bits=3",
    "checkpoint_every=8",
    "executor.stack_size=1",
]


@pytest.fixture
def interrupted(quantbench, tmp_path, monkeypatch):
    """The folder of a sweep whose second training got to step 40."""
    done = []
    whole = Training._step

    def cut(self, step, frames):
        if step == 40 and done:
            raise KeyboardInterrupt
        if step == 64:
            done.append(step)
        return whole(self, step, frames)

    with monkeypatch.context() as patched:
        patched.setattr(Training, "_step", cut)
        code, _, _ = quantbench(*WORDS, *SMALL)
    assert code == 130
    (folder,) = (tmp_path / "outputs" / "ste_stability").iterdir()
    return folder


def test_resume_goes_on_from_the_checkpoint(quantbench, interrupted, tmp_path, monkeypatch):
    assert len(list((interrupted / "checkpoints").glob("*.safetensors"))) == 1  # that of the finished one is gone
    steps = []
    whole = Training._step
    with monkeypatch.context() as patched:
        patched.setattr(Training, "_step", lambda self, step, frames: steps.append(step) or whole(self, step, frames))
        code, _, err = quantbench("resume", str(interrupted))
    assert code == 0, err
    assert steps == list(range(33, 65))
    assert not (interrupted / "checkpoints").exists()
    code, _, err = quantbench(*WORDS, *SMALL, "output=whole", "checkpoint_every=0")
    assert code == 0, err
    (folder,) = (tmp_path / "whole" / "ste_stability").iterdir()
    resumed, expected = (read_results(one).drop(columns=COST) for one in (interrupted, folder))
    assert resumed.equals(expected)
    assert (interrupted / "curves.csv").read_text() == (folder / "curves.csv").read_text()


def test_another_configuration_is_refused_by_the_name_of_the_difference(quantbench, interrupted):
    sweep = interrupted / "sweep.yaml"
    sweep.write_text(re.sub(r"\blr: 0\.001", "lr: 0.002", sweep.read_text()))
    code, _, err = quantbench("resume", str(interrupted))
    assert code == 2
    assert "checkpoint of another configuration (train.lr: 0.001 there, 0.002 here)" in err

"""How far a run is, told to a log: seldom, in whole lines, and not at all where it is short."""

import re
from itertools import pairwise

import pytest

from quantbench import terminal
from quantbench.audio import recordings
from quantbench.sweeps import bar as bars
from quantbench.sweeps.bar import Bar
from quantbench.sweeps.plan import plan
from quantbench.sweeps.schedule import schedule
from quantbench.sweeps.worker import run_stack
from tests.conftest import SMALL
from tests.sweeps.test_plan import sweep


class Clock:
    """In place of the module `time`: stands still unless told to go on."""

    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    one = Clock()
    for module in (terminal, bars):
        monkeypatch.setattr(module, "time", one)
    return one


def test_a_log_is_told_after_ten_seconds_and_then_ever_more_seldom(clock, capsys):
    """pytest's standard error is no terminal."""
    told = []
    with Bar(96) as bar:
        for second in range(3600):
            clock.now = 1000.0 + second
            bar.advance(96 / 3600, "training")
            if capsys.readouterr().err:
                told.append(second)
    assert told[:6] == [10, 20, 40, 80, 160, 320]
    assert {b - a for a, b in pairwise(told[5:])} == {240}


def test_a_line_says_how_far_it_is_and_what_is_done(clock, capsys):
    with Bar(96) as bar:
        bar.advance(12, "training")
        clock.now += 9.9
        bar.tick()
        assert capsys.readouterr().err == ""  # quiet where it may end in ten seconds
        clock.now += 25.1
        bar.tick()
        assert capsys.readouterr().err == "12 of 96 trials, 35 s, about 4 min left (training)\n"
        clock.now += 965
        bar.to(6)  # work was lost
        assert capsys.readouterr().err == "6 of 96 trials, 16 min 40 s, about 4.2 h left (training)\n"
        clock.now += 1000
        bar.advance(90, "limits and references")
        assert capsys.readouterr().err == "96 of 96 trials, 33 min 20 s (limits and references)\n"


def test_a_hidden_one_says_nothing(clock, capsys):
    with Bar(4, hidden=True) as bar:
        clock.now += 1000
        bar.advance(1)
    assert capsys.readouterr().err == ""


def test_a_run_and_an_audit_tell_a_log(monkeypatch, quantbench):
    monkeypatch.setattr(terminal, "FIRST_SECONDS", 0.0)
    code, _, err = quantbench("run", *SMALL, "executor=inline", "-m", "gradient=ste,mste", "seed=0,1")
    assert code == 0, err
    assert re.search(r"^[0-4] of 4 trials, \d+ s", err, re.MULTILINE), err
    audit = ["audit", "quantizer=vq", "gradient=ste", "--seeds", "2", "train.steps=5", "executor=inline"]
    assert re.search(r"^0 of 2 trials, \d+ s \(auditing\)", quantbench(*audit)[2], re.MULTILINE)


def test_a_trial_is_done_only_when_it_is_measured():
    """Where references take long, the bar does not stand at its end."""
    (stack,) = schedule(plan(sweep({"seed": [0, 1]}))).stacks
    told = []
    run_stack(stack, "cpu", lambda trials, phase: told.append((trials, phase)))
    share = {phase: sum(trials for trials, one in told if one == phase) for _, phase in told}
    assert share == {
        name: pytest.approx(part) for name, part in {"training": 1.8, "measuring": 0.1, "limits and references": 0.1}.items()
    }


def test_a_long_preparation_is_told(tmp_path, monkeypatch, capsys):
    soundfile = pytest.importorskip("soundfile")
    monkeypatch.setattr(terminal, "FIRST_SECONDS", 0.0)
    for name in ("0.flac", "1.flac"):
        soundfile.write(tmp_path / name, [0.1, -0.1] * 4000, 16000)
    files = recordings.find(tmp_path)
    recordings.decode(tmp_path, files, set(files[:1]), 16000, 64, lambda samples: samples)
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert first == f"preparing 2 recordings in {tmp_path}; the next run finds them in the cache"
    assert second == "0 of 2 recordings prepared"

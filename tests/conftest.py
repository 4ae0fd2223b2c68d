import os
import signal
import subprocess
import sys

import pytest

from quantbench import signals
from quantbench.cli import main

SMALL = ["train.steps=20", "train.batch=16", "train.log_every=10", "codec.hidden=8", "simulator.bits=3"]
"""Overrides that make a trial of the default configuration take milliseconds."""


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch):
    """Tables are as wide as they are, whatever terminal the tests run in."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    """Tests find limits and references themselves, and leave none in the user's cache."""
    monkeypatch.setenv("QUANTBENCH_YARDSTICKS", "off")


@pytest.fixture(autouse=True)
def not_winding_up(monkeypatch):
    """A test that interrupts something leaves this process as deaf as a command that ends."""
    monkeypatch.setattr(signals, "_winding_up", False)


@pytest.fixture
def quantbench(tmp_path, monkeypatch, capsys):
    """Runs the command line in an empty folder, in this process; gives exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*words):
        try:
            code = main(list(words))
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def small_run(quantbench, tmp_path):
    """Runs a small sweep inline and gives its folder."""

    def run(*words):
        before = set((tmp_path / "outputs").rglob("sweep.yaml"))
        code, out, err = quantbench("run", "executor=inline", *SMALL, *words)
        assert code == 0, err + out
        (new,) = set((tmp_path / "outputs").rglob("sweep.yaml")) - before
        return new.parent

    return run


@pytest.fixture
def command():
    """Starts the command line as a process of its own."""

    def start(*words, **settings):
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "quantbench", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            # A shell that starts the tests in the background makes them, and all they start, deaf to Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            **settings,
        )

    return start

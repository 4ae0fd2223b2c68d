import contextlib
import signal
import sys
from pathlib import Path

import pytest

from quantbench import signals
from quantbench.cli import main
from tests.faults.starter import Starter

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # of a shell that starts the tests in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

SMALL = ["train.steps=20", "train.batch=16", "train.log_every=10", "codec.hidden=8", "simulator.bits=3"]
"""Overrides that make a trial of the default configuration take milliseconds."""
LONGEST = [
    "training/test_every_choice.py",
    "results/test_report_browser.py",
    "sweeps/test_compose.py",
    "sweeps/test_workers.py",
    "sweeps/test_runner.py",
    "faults/test_disks.py",
    "faults/test_kills.py",
    "faults/test_strangers.py",
    "test_cli.py",
    "sweeps/test_dask.py",
    "test_wheel.py",
    "test_face.py",
]
"""Files that come first, so that none of them is what the others wait for at the end."""


def pytest_collection_modifyitems(items):
    root = Path(__file__).parent
    places = {root / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


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


@pytest.fixture(scope="session")
def starter_of_commands(tmp_path_factory):
    """Imports everything once."""
    with contextlib.closing(Starter(tmp_path_factory.mktemp("commands"))) as starter:
        yield starter


@pytest.fixture
def command(starter_of_commands):
    """Starts the command line as a process of its own, which leads a group of its own; all is imported already."""
    return starter_of_commands.command

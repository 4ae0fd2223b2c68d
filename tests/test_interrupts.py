"""Ctrl-C that a library answers with an error of its own is still Ctrl-C."""

import os
import signal
import subprocess
import sys
from types import ModuleType

import pytest
from omegaconf.errors import ConfigKeyError

from quantbench import __main__ as command
from quantbench import cli, signals
from quantbench.errors import ConfigError, QuantBenchError, interrupted
from quantbench.results.tables import read_results
from quantbench.sweeps import execute, worker
from tests.conftest import SMALL


def stumble(*_, **__):
    """As a library whose clean-up finds things half done."""
    try:
        raise KeyboardInterrupt
    finally:
        raise AttributeError("half done")


def stumble_and_explain(*_, **__):
    """As OmegaConf, which wraps what it comes upon."""
    try:
        stumble()
    except AttributeError as error:
        raise ConfigKeyError("cannot be composed") from error


def test_a_command_ends_as_interrupted(monkeypatch, capsys):
    monkeypatch.setattr(cli, "_command", stumble)
    assert cli.main(["list"]) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("how", [stumble, stumble_and_explain])
def test_composing_ends_as_interrupted(monkeypatch, capsys, how):
    monkeypatch.setattr("hydra._internal.config_loader_impl.ConfigLoaderImpl.load_configuration", how)
    assert cli.main(["run", "dry_run=true"]) == 130
    assert capsys.readouterr().err == ""


def test_what_could_not_be_done_about_it_is_told(monkeypatch, capsys):
    def fill_the_disk(words):
        try:
            raise KeyboardInterrupt
        finally:
            raise QuantBenchError("results.csv: cannot be written")

    monkeypatch.setattr(cli, "_command", fill_the_disk)
    assert cli.main(["run"]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_a_training_is_interrupted_and_has_not_failed(monkeypatch):
    monkeypatch.setattr(worker, "_train", stumble)
    with pytest.raises(KeyboardInterrupt):
        worker.run_stack([], "cpu")


def test_errors_that_cause_each_other_end():
    first, second = ValueError(), ConfigError()
    first.__cause__, second.__cause__ = second, first
    assert not interrupted(first)


@pytest.fixture
def handlers():
    """What was done about each signal is done again afterwards."""
    before = {one: signal.getsignal(one) for one in signals.INTERRUPTIONS}
    for one in signals.INTERRUPTIONS:  # where the tests themselves run in the background, or under nohup
        signal.signal(one, signal.default_int_handler if one == signal.SIGINT else signal.SIG_DFL)
    yield
    for one, handler in before.items():
        signal.signal(one, handler)
    signals._winding_up = False


def test_one_interruption_counts_and_further_ones_do_not_disturb_the_end(handlers):
    def work(first):
        try:
            os.kill(os.getpid(), first)
        finally:
            signals.wind_up()
            for further in signals.INTERRUPTIONS:
                os.kill(os.getpid(), further)

    for first in signals.INTERRUPTIONS:
        with pytest.raises(KeyboardInterrupt), signals.interruptible():
            work(first)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # a notebook goes on
    with signals.interruptible(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)


def test_what_is_ignored_stays_ignored_and_a_handler_of_the_users_is_theirs(handlers):
    asked = []
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
    signal.signal(signal.SIGINT, lambda *_: asked.append(1))
    with signals.interruptible():
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGINT)
    assert asked == [1]


def test_an_interruption_waits_for_what_cannot_be_half_done(handlers):
    done = []

    def work():
        os.kill(os.getpid(), signal.SIGINT)
        done.append(1)

    with signals.interruptible(), pytest.raises(KeyboardInterrupt), signals.held():
        work()
    assert done == [1]


def test_signals_while_the_tables_are_written(quantbench, handlers, monkeypatch, tmp_path):
    write = execute.write_tables

    def disturbed(*arguments):
        for one in signals.INTERRUPTIONS:
            os.kill(os.getpid(), one)
        return write(*arguments)

    def stop(records):
        raise KeyboardInterrupt

    monkeypatch.setattr(execute, "write_tables", disturbed)
    monkeypatch.setattr(execute.Journal, "write", lambda self, records: stop(records))
    code, _, err = quantbench("run", "executor=inline", *SMALL)
    assert code == 130
    assert "interrupted; finished trials are kept" in err
    (folder,) = (tmp_path / "outputs" / "default").iterdir()
    assert (folder / "results.csv").exists()
    monkeypatch.undo()
    os.chdir(tmp_path)
    assert quantbench("resume", str(folder))[0] == 0
    assert set(read_results(folder)["status"]) == {"completed"}


def test_ctrl_c_while_the_command_imports_and_while_python_ends(handlers, monkeypatch):
    loaded = ModuleType("quantbench.cli")

    def main():
        os.kill(os.getpid(), signal.SIGTERM)

    loaded.main = main
    monkeypatch.setitem(sys.modules, "quantbench.cli", loaded)
    assert command.main() == 130
    for one in signals.INTERRUPTIONS:
        os.kill(os.getpid(), one)  # nothing is left to be interrupted


def test_the_command_listens_before_it_imports_anything_slow():
    code = "import sys; before = {*sys.modules}; import quantbench.__main__; print(*({*sys.modules} - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {one for one in loaded if one.startswith("quantbench")} == {
        "quantbench",
        "quantbench.__main__",
        "quantbench.signals",
    }
    assert not {"typing", "re", "importlib.metadata"} & {*loaded}


def test_python_m_ends_with_the_code_of_an_interruption_whatever_was_executed():
    code = (
        "import runpy, signal, sys; sys.modules['quantbench.cli'] = c = type(sys)('quantbench.cli'); "
        "c.main = lambda: exec('import os, signal; os.kill(os.getpid(), signal.SIGINT)'); "
        "runpy.run_module('quantbench', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (done.returncode, done.stderr) == (130, "")

"""Ctrl-C that a library answers with an error of its own is still Ctrl-C."""

import pytest

from quantbench import cli
from quantbench.errors import ConfigError, interrupted
from quantbench.sweeps import worker


def stumble(*_):
    """As a library whose clean-up finds things half done, in a program that explains what libraries raise."""
    try:
        try:
            raise KeyboardInterrupt
        finally:
            raise AttributeError("half done")
    except AttributeError as error:
        raise ConfigError("cannot be composed") from error


def test_a_command_ends_as_interrupted(monkeypatch, capsys):
    monkeypatch.setattr(cli, "_command", stumble)
    assert cli.main(["list"]) == 130
    assert capsys.readouterr().err == ""


def test_a_training_is_interrupted_and_has_not_failed(monkeypatch):
    monkeypatch.setattr(worker, "_train", stumble)
    with pytest.raises(KeyboardInterrupt):
        worker.run_stack([], "cpu")


def test_errors_that_cause_each_other_end():
    first, second = ValueError(), ConfigError()
    first.__cause__, second.__cause__ = second, first
    assert not interrupted(first)

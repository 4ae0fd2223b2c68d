"""Ctrl-C that a library answers with an error of its own is still Ctrl-C."""

import pytest
from omegaconf.errors import ConfigKeyError

from quantbench import cli
from quantbench.errors import ConfigError, QuantBenchError, interrupted
from quantbench.sweeps import worker


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

"""`quantbench run`: our own flags, and Hydra for what only it can do."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from quantbench.errors import ConfigError, QuantBenchError
from quantbench.terminal import complain, say

if TYPE_CHECKING:
    from omegaconf import DictConfig


def add(commands: Any) -> None:
    commands.add_parser(
        "run",
        help="run an experiment or a sweep: quantbench run +experiment=ste_vs_anneal 'seed=range(0,16)'",
        description="Takes Hydra's grammar; `quantbench run --help` shows all settings. --export is short for export=true, "
        "--format parquet for format=parquet. --output DIR and --name NAME are the settings of these names, and take any text.",
    )


def run(words: list[str]) -> int:
    parser = _parser()
    arguments, others = parser.parse_known_intermixed_args(words)
    if others:
        from quantbench.sweeps.advice import unknown_flag

        raise unknown_flag(others[0], words, parser.flags)
    if arguments.help:
        from quantbench.sweeps.run_help import run_help

        say(*run_help(arguments.config_dir).split("\n"))
        return 0
    overrides = [*arguments.overrides, *arguments.added]
    if arguments.experimental_rerun:
        raise ConfigError("--experimental-rerun: would run what a file holds; `quantbench resume FOLDER` goes on with a sweep")
    flags = {flag.partition("=")[0] for flag in arguments.hydra}
    if flags and flags <= {"--package", "--resolve"}:
        raise ConfigError(f"{', '.join(sorted(flags))}: says how --cfg shows a configuration; give --cfg job, too")
    from quantbench.sweeps.hydra_tools import own_settings

    own = own_settings(overrides, arguments.output, arguments.name)
    if not arguments.hydra:
        from quantbench.sweeps import runner
        from quantbench.sweeps.compose import OtherEngine, compose

        with contextlib.suppress(OtherEngine):
            runner.run(compose(overrides, arguments.config_dir, arguments.multirun).given(own))
            return 0
    if own:
        from quantbench.sweeps.sweep import literal
        from quantbench.sweeps.words import word_of

        overrides += [word_of(key, literal(value), lambda _: False) for key, value in own.items()]
    return _hydra(arguments, overrides)


class _Parser(argparse.ArgumentParser):
    """Raises ConfigError where argparse would print a usage of all of Hydra's flags."""

    @property
    def flags(self) -> list[str]:
        return list(self._option_string_actions)

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; `quantbench run --help` shows the flags")


def _parser() -> _Parser:
    """Our own flags of `run`, and those that Hydra answers."""
    parser = _Parser(prog="quantbench run", add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--config-dir", "-cd", type=Path)
    parser.add_argument("--output")
    parser.add_argument("--name")
    parser.add_argument("--export", dest="added", action="append_const", const="export=true", default=[])
    parser.add_argument("--format", dest="added", action="append", type=lambda form: f"format={form}")
    parser.add_argument("--experimental-rerun")
    parser.add_argument("--help", "-h", action="store_true")
    for flags in (["--hydra-help"], ["--version"], ["--resolve"], ["--shell-completion", "-sc"]):
        parser.add_argument(*flags, dest="hydra", action="append_const", const=flags[0], default=[])
    parser.add_argument("--run", "-r", action="store_true")
    for flags in (["--cfg", "-c"], ["--package", "-p"], ["--config-path", "-cp"], ["--config-name", "-cn"]):
        parser.add_argument(*flags, dest="hydra", action="append", type=f"{flags[0]}={{}}".format)
    parser.add_argument("--info", "-i", dest="hydra", action="append", type="--info={}".format, nargs="?", const="all")
    return parser


def _hydra(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Have Hydra do what only it can: show a configuration, complete a line, run with a sweeper or a launcher of its own."""
    from hydra import main as hydra_main

    from quantbench.paths import config_folder
    from quantbench.sweeps.advice import check_words
    from quantbench.sweeps.hydra_tools import search_path, searching, told
    from quantbench.sweeps.words import quoted

    check_words(overrides, arguments.config_dir)
    # Hydra would print errors itself and exit with 1; ours are shorter, and bad input exits with 2.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    words = [*(["--multirun"] if arguments.multirun else []), *map(quoted, overrides)]
    sys.argv = ["quantbench", *arguments.hydra, *words]
    failures: list[QuantBenchError] = []
    bugs: list[Exception] = []
    done: list[object] = []

    def job(config: DictConfig) -> object:
        from hydra.core.hydra_config import HydraConfig

        from quantbench.sweeps.launch import run_one

        # Hydra prints what a job raises in its own way, so an error waits until Hydra is done.
        try:
            done.append(run_one(config, cast("DictConfig", HydraConfig.get())))
            return done[-1]
        except QuantBenchError as error:
            failures.append(error)
            return None
        except Exception as error:  # a bug
            bugs.append(error)
            raise

    try:
        with told(), searching(search_path(arguments.config_dir)):
            hydra_main(config_path=str(config_folder()), config_name="config", version_base="1.3")(job)()
    except ConfigError:
        if bugs:
            raise bugs[0] from None
        raise
    if failures:
        raise _first(failures, bool(done))
    return 0


def _first(failures: Sequence[QuantBenchError], done: bool) -> QuantBenchError:
    """The error to end with, the others printed; ``done`` says whether other jobs did what was asked for."""
    for failure in failures[1:]:
        complain(failure)
    bad_input = all(isinstance(failure, ConfigError) for failure in failures)
    return failures[0] if bad_input and not done else QuantBenchError(str(failures[0]))


def complete(words: list[str], subcommands: Sequence[str]) -> int:
    """Answer a shell that completes a command line; Hydra completes what follows ``run``."""
    line = os.environ.get("COMP_LINE", "")
    typed = line.split()
    if any(word.startswith("query=") for word in words) and typed[1:2] != ["run"]:
        say(" ".join(subcommands))
        return 0
    if typed[1:2] == ["run"]:
        # Hydra knows an application, not a subcommand of one.
        os.environ["COMP_LINE"] = typed[0] + line.partition(" run")[2]
    return run(words)

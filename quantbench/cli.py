"""The command line. Each subcommand imports what it needs, so that --help answers at once."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from quantbench.errors import ConfigError, QuantBenchError, interrupted
from quantbench.terminal import visible

if TYPE_CHECKING:
    from omegaconf import DictConfig

INTERRUPTED = 130
SUBCOMMANDS = ("run", "resume", "audit", "list", "diff", "rank", "plot", "report", "transfer", "watch")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; gives the exit code.

    0: all that was asked for was done; a trial that diverged is a result. 1: a trial failed, a check that was asked for says
    no, or something could not be written. 2: bad input, and nothing was done. 130: interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _or_interrupted(words)
        sys.stdout.flush()
        return code
    except QuantBenchError as error:
        print(f"error: {visible(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        _write_no_more()
        return 0
    except RecursionError:
        print("error: the command line or a file is nested too deeply", file=sys.stderr)
        return 2
    except OSError as error:  # of the system: a disk without room, too many open files, a terminal that is gone
        with contextlib.suppress(OSError):
            print(f"error: {visible(str(error))}", file=sys.stderr)
        _write_no_more()
        return 1


def _or_interrupted(words: list[str]) -> int:
    """Run a subcommand; what Ctrl-C made a library stumble over is no error of the user's."""
    try:
        return _command(words)
    except (QuantBenchError, OSError):  # of what was done about the interruption, as a table that could not be written
        raise
    except Exception as error:
        if interrupted(error):
            raise KeyboardInterrupt from error
        raise


def _write_no_more() -> None:
    """Have Python's last flush at exit succeed, where standard output takes nothing any more."""
    with contextlib.suppress(OSError):  # where it is no file at all
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _command(words: list[str]) -> int:
    if words[:1] == ["run"]:
        return _run(words[1:])
    if words[:1] in (["-sc"], ["--shell-completion"]):  # what Hydra's completion scripts call
        return _complete(words)
    parser = _parser()
    arguments, rest = parser.parse_known_args(words)
    if words[:1] == ["audit"]:  # overrides may stand between flags, as for `run`
        arguments.overrides += [word for word in rest if not word.startswith("-")]
        rest = [word for word in rest if word.startswith("-")]
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    command: Callable[[argparse.Namespace], int] = arguments.command
    return command(arguments)


def _parser() -> argparse.ArgumentParser:
    from quantbench import __version__
    from quantbench.cli_results import FORMATS, add_readers

    parser = argparse.ArgumentParser(
        prog="quantbench", description="Which quantizer, trained with which gradient-passing strategy, for my neural codec?"
    )
    parser.add_argument("--version", action="version", version=f"quantbench {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    commands.add_parser(
        "run",
        help="run an experiment or a sweep: quantbench run +experiment=ste_vs_anneal seed=range(0,16)",
        description="Takes Hydra's grammar; `quantbench run --help` shows all settings. --export is short for export=true, "
        "--format parquet for format=parquet.",
    )

    resume = commands.add_parser("resume", help="finish an interrupted sweep")
    resume.add_argument("folder", type=Path, help="the folder of the run")
    resume.add_argument(
        "--config-dir", type=Path, action="append", default=[], help="a folder with classes of your own that the sweep may use"
    )
    resume.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="NAME",
        help="an installed package that the sweep may use, or the address of its Dask scheduler",
    )
    resume.add_argument(
        "--collect", action="store_true", help="take what Slurm's jobs finished, submit what is missing, and do not wait"
    )
    resume.set_defaults(command=_resume)

    audit = commands.add_parser(
        "audit",
        help="compare each strategy's gradient with the true one: quantbench audit quantizer=vq gradient=ste,mste",
        description="Audits all pairs that fit, or those of the choices given, on a small problem.",
    )
    audit.add_argument("overrides", nargs="*", help="as for run: GROUP=CHOICE,CHOICE or GROUP.SETTING=VALUE")
    audit.add_argument("--seeds", type=int, default=3, help="number of seeds (3)")
    audit.add_argument("--sigma", type=float, default=0.5, help="width of the smoothing, in quantization errors (0.5)")
    audit.add_argument("--config-dir", type=Path, help="a folder with choices of your own")
    audit.add_argument("--output", help="folder of all results (outputs)")
    audit.add_argument("--format", default="table", choices=FORMATS)
    audit.set_defaults(command=_audit)

    listing = commands.add_parser(
        "list", help="show the choices of every group and which pairs fit; `list metrics`: what is measured"
    )
    listing.add_argument("group", nargs="?", help="one group only, or metrics")
    listing.add_argument("--config-dir", type=Path, help="a folder with choices of your own")
    listing.add_argument("--format", default="table", choices=FORMATS)
    listing.set_defaults(command=_list)

    add_readers(commands)
    return parser


def _run(words: list[str]) -> int:
    arguments = _run_parser().parse_intermixed_args(words)
    overrides = [*arguments.overrides, *arguments.added]
    if arguments.experimental_rerun:
        raise ConfigError("--experimental-rerun: would run what a file holds; `quantbench resume FOLDER` goes on with a sweep")
    if not arguments.hydra:
        from quantbench.sweeps.compose import OtherEngine, compose
        from quantbench.sweeps.runner import run

        with contextlib.suppress(OtherEngine):
            run(compose(overrides, arguments.config_dir, arguments.multirun))
            return 0
    return _hydra(arguments, overrides)


def _run_parser() -> argparse.ArgumentParser:
    """Our own flags of `run`, and those that Hydra answers."""
    parser = argparse.ArgumentParser(prog="quantbench run", add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--config-dir", "-cd", type=Path)
    parser.add_argument("--export", dest="added", action="append_const", const="export=true", default=[])
    parser.add_argument("--format", dest="added", action="append", type=lambda form: f"format={form}")
    parser.add_argument("--experimental-rerun")
    for flags in (["--help", "-h"], ["--hydra-help"], ["--version"], ["--resolve"], ["--shell-completion", "-sc"]):
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
    from quantbench.sweeps.hydra_tools import search_path, searched, told

    overrides = [*overrides, *searched(search_path(arguments.config_dir), overrides)]
    # Hydra would print errors itself and exit with 1; ours are shorter, and bad input exits with 2.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = ["quantbench", *arguments.hydra, *(["--multirun"] if arguments.multirun else []), *overrides]
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
        with told():
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
        print(f"error: {failure}", file=sys.stderr)
    bad_input = all(isinstance(failure, ConfigError) for failure in failures)
    return failures[0] if bad_input and not done else QuantBenchError(str(failures[0]))


def _complete(words: list[str]) -> int:
    """Answer a shell that completes a command line; Hydra completes what follows ``run``."""
    line = os.environ.get("COMP_LINE", "")
    typed = line.split()
    if any(word.startswith("query=") for word in words) and typed[1:2] != ["run"]:
        print(" ".join(SUBCOMMANDS))
        return 0
    if typed[1:2] == ["run"]:
        # Hydra knows an application, not a subcommand of one.
        os.environ["COMP_LINE"] = typed[0] + line.partition(" run")[2]
    return _run(words)


def _resume(arguments: argparse.Namespace) -> int:
    from quantbench.sweeps.runner import resume

    resume(arguments.folder, arguments.config_dir, arguments.allow, arguments.collect)
    return 0


def _audit(arguments: argparse.Namespace) -> int:
    from quantbench.sweeps.audit import run_audit
    from quantbench.sweeps.grid import word_of
    from quantbench.training.fidelity import FidelitySettings

    overrides = [*arguments.overrides, *([word_of("output", arguments.output)] if arguments.output else [])]
    settings = FidelitySettings(sigma=arguments.sigma)
    return 0 if run_audit(overrides, arguments.seeds, arguments.config_dir, settings, arguments.format) else 1


def _list(arguments: argparse.Namespace) -> int:
    from quantbench.sweeps.listing import listing

    print(listing(arguments.group, arguments.config_dir, arguments.format))
    return 0

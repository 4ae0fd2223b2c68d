"""The command line, a subcommand a file. Each imports what it needs when it runs, so that --help answers at once."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence

from quantbench.cli import audit, diff, listing, new, plot, rank, report, resume, run, transfer, tune, watch
from quantbench.cli.options import with_negative_limits
from quantbench.errors import ConfigError, QuantBenchError, interrupted
from quantbench.signals import INTERRUPTED
from quantbench.terminal import complain, open_streams

COMMANDS = {
    "run": run,
    "resume": resume,
    "tune": tune,
    "audit": audit,
    "list": listing,
    "new": new,
    "diff": diff,
    "rank": rank,
    "plot": plot,
    "report": report,
    "transfer": transfer,
    "watch": watch,
}
SUBCOMMANDS = tuple(COMMANDS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; gives the exit code.

    0: all that was asked for was done; a trial that diverged is a result. 1: a trial failed, a check that was asked for says
    no, or something could not be written. 2: bad input, and nothing was done. 130: interrupted. A standard stream that
    is closed (`>&-`) is one that nobody reads, as /dev/null: it changes no exit code.
    """
    open_streams()
    words = [*(sys.argv[1:] if argv is None else argv)]
    try:
        code = _or_interrupted(words)
        sys.stdout.flush()
        return code
    except QuantBenchError as error:
        complain(error)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        _write_no_more()
        return 0
    except RecursionError:
        complain("the command line or a file is nested too deeply")
        return 2
    except OSError as error:  # of the system: a disk without room, too many open files, a terminal that is gone
        with contextlib.suppress(OSError):
            complain(error)
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
        return run.run(words[1:])
    if words[:1] in (["-sc"], ["--shell-completion"]):  # what Hydra's completion scripts call
        return run.complete(words, SUBCOMMANDS)
    if words and words[0] not in COMMANDS and not words[0].startswith("-"):
        raise ConfigError(f"{words[0]}: no such command; {_instead(words[0])}")
    parser = _parser()
    arguments, rest = parser.parse_known_args(with_negative_limits(words))
    if words[:1] in (["audit"], ["tune"]):  # overrides may stand between flags, as for `run`
        arguments.overrides += [word for word in rest if not word.startswith("-")]
        rest = [word for word in rest if word.startswith("-")]
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    command: Callable[[argparse.Namespace], int] = arguments.command
    return command(arguments)


def _instead(word: str) -> str:
    """What to type in the place of a word that is no command."""
    from quantbench.choices import GROUPS, choices
    from quantbench.suggest import EXPERIMENT, did_you_mean, like

    if word in choices("experiment"):
        return f"to run the experiment, type `quantbench run {EXPERIMENT}={word}`"
    if word.lstrip("+").partition("=")[0].partition(".")[0] in (*GROUPS, "train"):
        return f"settings stand behind `quantbench run`{did_you_mean([f'quantbench run {word}']) if '=' in word else ''}"
    return f"there are {', '.join(SUBCOMMANDS)}{did_you_mean(like(word, SUBCOMMANDS))}"


def _parser() -> argparse.ArgumentParser:
    from quantbench.version import __version__

    parser = argparse.ArgumentParser(
        prog="quantbench", description="Which quantizer, trained with which gradient-passing strategy, for my neural codec?"
    )
    parser.add_argument("--version", action="version", version=f"quantbench {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for one in COMMANDS.values():
        one.add(commands)
    return parser

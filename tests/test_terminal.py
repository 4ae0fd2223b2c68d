"""What reaches a terminal: nothing that it would obey, by one way alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import quantbench
from quantbench.terminal import complain, say, show

PACKAGE = Path(quantbench.__file__).parent


def test_one_module_prints() -> None:
    """A name of a folder or a trial may be somebody else's; a plain print would hand its escapes to the terminal."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in ("print", "sys.stdout.write", "sys.stderr.write", "tqdm.write"):
                found.append(path.relative_to(PACKAGE).as_posix())
    assert set(found) == {"terminal.py"}


def test_escapes_and_line_ends_within_a_line_are_spelled_out(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[31m\nresults: elsewhere", "second\tline")
    say("to standard error\r", error=True)
    told = capsys.readouterr()
    assert told.out == "a\\x1b[31m\\nresults: elsewhere\nsecond\tline\n"
    assert told.err == "to standard error\\r\n"


def test_further_lines_of_an_error_pass_for_no_other_message(capsys: pytest.CaptureFixture[str]) -> None:
    complain("folder\nerror: a second one\x07")
    assert capsys.readouterr().err == "error: folder\n  error: a second one\\x07\n"


def test_csv_into_a_pipe_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    show("a,b\x1b\n", "csv")
    show("a,b\x1b\n", "table")
    assert capsys.readouterr().out == "a,b\x1b\n\na,b\\x1b\n\n"

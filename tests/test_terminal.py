"""What reaches a terminal: nothing that it would obey, by one way alone."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import quantbench
from quantbench.terminal import complain, open_streams, say, show

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


def test_closed_streams_are_open_on_nothing_and_no_file_takes_their_place(tmp_path: Path) -> None:
    code = (
        "import os, subprocess, sys; from quantbench.cli import main; code = main(['list', 'metrics']); "
        "file = open('own', 'w'); assert file.fileno() > 2; child = subprocess.run(['sh', '-c', 'echo said; echo said >&2']); "
        "file.write(f'{code} {child.returncode} {sys.stdin.read()!r}')"
    )
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code]
    where = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(PACKAGE.parent)}}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **where)  # type: ignore[call-overload]
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "own").read_text() == "0 0 ''"


def test_what_a_stream_cannot_print_is_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    told = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", told)
    say("jörg/\udcff — results")
    show("jörg,\udcff", "csv")
    open_streams()
    told.write("jörg")  # as argparse and Hydra do
    told.flush()
    assert told.buffer.getvalue() == b"j\\xf6rg/\\udcff \\u2014 results\nj\\xf6rg,\\udcff\nj\\xf6rg"  # type: ignore[attr-defined]

"""Puts what commands print into the pages that show it.

    python scripts/pages.py

A block of text after ``<!-- quantbench COMMAND ... -->`` becomes that command's output, run at the root of the checkout on
tables of docs/data; after ``<!-- summary FOLDER -->`` the table that the run printed when it ended, after
``<!-- audit FOLDER -->`` the cosines of an audit.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

from quantbench.cli import main as quantbench
from quantbench.results.audit_table import audit_summary, read_audit
from quantbench.results.load import load
from quantbench.results.summary import summary

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/statistics.md", "docs/findings.md")
BLOCK = re.compile(r"<!-- (quantbench|summary|audit) (.*?) -->\n```text\n.*?```", re.DOTALL)


def output(kind: str, words: str) -> str:
    """What stands in a block."""
    if kind == "summary":
        return summary(load(ROOT / words, curves=False))
    if kind == "audit":
        return audit_summary(read_audit(ROOT / words / "audit.csv"), cosines=True)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.chdir(ROOT):
        code = quantbench(shlex.split(words))
    if code:
        raise SystemExit(f"quantbench {words}: exit code {code}")
    return f"$ quantbench {words}\n{out.getvalue().rstrip()}"


def rendered(page: str) -> str:
    """A page with its blocks filled."""
    return BLOCK.sub(lambda found: f"<!-- {found[1]} {found[2]} -->\n```text\n{output(found[1], found[2])}\n```", page)


if __name__ == "__main__":
    for name in PAGES:
        (ROOT / name).write_text(rendered((ROOT / name).read_text()))

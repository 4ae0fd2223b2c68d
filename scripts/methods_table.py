"""Writes the tables of docs/methods.md from docstrings, YAML choices and the conformance tests.

With --check, says whether the file is up to date instead.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "methods.md"
FOLDERS = ("conformance", "quantizers", "gradients")
"""Of tests that say what they check."""


def row(group: str, name: str, component: Any) -> list[str]:
    """Choice, what it is, formula, source, what it was compared with, recommended settings, what it offers or needs, checks."""
    from quantbench.choices import choices, description
    from quantbench.sweeps.docstrings import parts_of, told_by
    from tests.conformance import CHECKS

    facts = {fact: words.rstrip(".") for fact, words in parts_of(told_by(component)).facts.items()}
    docstring = inspect.getdoc(told_by(component)) or ""
    summary = description(choices(group)[name]).rstrip(".")
    own = "; our reading" if "our reading" in docstring.lower() else ""
    kind = ", ".join(sorted(component.offers if group == "quantizer" else component.needs)) or "nothing"
    checked = "; ".join(sorted(set(CHECKS[name]))) or "trains and decodes (see below)"
    told = [facts["Formula"], facts["Source"] + own, facts["Compared with"], facts["Recommended"]]
    cells = [f"`{name}`", summary, *told, kind, checked]
    return [cell.replace("|", "\\|") for cell in cells]


def table(group: str) -> str:
    """The Markdown table of a group."""
    from quantbench.choices import choices
    from quantbench.sweeps.catalogue import default_component

    kind = "offers" if group == "quantizer" else "needs"
    header = ["choice", "what", "formula", "source", "compared with", "recommended", kind, "checked against"]
    rows = [header, ["---"] * len(header)]
    rows += [row(group, name, default_component(group, name)) for name in choices(group)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def page(text: str) -> str:
    """The page with its generated parts renewed."""
    sys.path.insert(0, str(ROOT))
    for folder in FOLDERS:
        for path in sorted((ROOT / "tests" / folder).glob("test_*.py")):
            importlib.import_module(f"tests.{folder}.{path.stem}")
    for group in ("quantizer", "gradient"):
        mark = f"<!-- {group}s -->\n"
        before, _, rest = text.partition(mark)
        _, _, after = rest.partition(mark)
        text = f"{before}{mark}{table(group)}\n{mark}{after}"
    return text


def main() -> int:
    """Renew or check the page."""
    text = PAGE.read_text()
    new = page(text)
    if "--check" in sys.argv:
        if new != text:
            print("docs/methods.md is out of date; run python scripts/methods_table.py", file=sys.stderr)
        return int(new != text)
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A report as one HTML file, which needs no network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from quantbench.errors import ConfigError, QuantBenchError
from quantbench.files import replace_file
from quantbench.results.load import load
from quantbench.results.rank import Ranking
from quantbench.results.rank_text import letters
from quantbench.results.render import estimate, number
from quantbench.results.report.findings import Finding
from quantbench.results.report.payload import Report, embedded, make_report

INSTALL = "pip install 'quantbench[report]'"
SCRIPTS = ("base.js", "plots.js", "by_method.js", "curves.js", "rate.js", "trials.js", "compare.js", "main.js")
ASSETS = files("quantbench.results.report") / "assets"


def report(
    runs: Sequence[Path],
    output: Path,
    metric: str | None = None,
    by: Sequence[str] | None = None,
    within: Sequence[str] | None = None,
) -> Report:
    """Write the report of one or several runs to ``output``.

    Raises:
        ConfigError: no place for the file, plotly not installed, or see ``load`` and ``make_report``.
        QuantBenchError: the file cannot be written.
    """
    check_output(output)
    plotly = _plotly()
    made = make_report(load(*runs), runs, metric, by, within)
    try:
        content = page(made, plotly).encode("utf-8", "replace")
        replace_file(output, lambda file: file.write(content), binary=True)
    except OSError as error:
        raise QuantBenchError(f"--output {output}: cannot be written ({error.strerror})") from error
    return made


def check_output(output: Path) -> None:
    """Raise ConfigError where no page can be written."""
    if output.is_dir():
        raise ConfigError(f"--output {output}: is a folder; name a file in it, as {output / 'report.html'}")
    if output.suffix not in (".html", ".htm"):
        raise ConfigError(f"--output {output}: must end in .html")
    if not output.parent.is_dir():
        raise ConfigError(f"--output {output}: there is no folder {output.parent}")


def page(made: Report, plotly: str) -> str:
    """The page.

    Only scripts whose hash the page's policy names can run, and nothing can be fetched: what a file of results brings along
    as text stays text.
    """
    own = "\n".join((ASSETS / name).read_text(encoding="utf-8") for name in SCRIPTS)
    scripts = [plotly, f'"use strict";\n(() => {{\n{own}\n}})();']
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts)
    return Template((ASSETS / "report.html").read_text(encoding="utf-8")).substitute(
        title=escape(made.title),
        policy=f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
        "form-action 'none'",
        style=(ASSETS / "report.css").read_text(encoding="utf-8"),
        findings=_findings(made.findings),
        ranking=_ranking(made.ranking),
        notes=_notes(made.notes),
        data=embedded(made.data),
        plotly=scripts[0],
        script=scripts[1],
    )


def _plotly() -> str:
    """Plotly's JavaScript, without what would end the script element that holds it."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ConfigError(f"a report needs plotly; install it with {INSTALL}") from error
    return str(get_plotlyjs()).replace("</script", "<\\/script").replace("<!--", "<\\!--").replace("\r", "")


def _findings(found: Sequence[Finding]) -> str:
    # A word beside the colour, for who does not see it.
    prefix = {"warning": "<strong>Warning:</strong> ", "note": "", "result": ""}
    return "\n".join(f'<li class="{one.kind}">{prefix[one.kind]}{escape(one.text)}</li>' for one in found)


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    items = "\n".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"<details><summary>Notes on the data ({len(notes)})</summary>\n<ul>\n{items}\n</ul></details>"


def _ranking(found: Ranking | None) -> str:
    """The ranking as a table."""
    if found is None:
        return "<p>No completed trial has a metric to rank by.</p>"
    better = "lower" if found.sign > 0 else "higher"
    caption = (
        f"Interquartile mean of {found.metric} ({better} is better) with a 95 % bootstrap interval over seeds; a trial that "
    )
    caption += "diverged or failed is infinitely bad."
    if not found.blocks:
        caption += " Each method's mean is over its own tasks: the order compares unlike things."
    if found.separable:
        caption += " Methods that share a letter do not differ significantly."
    columns = ["", "method", found.metric]
    columns += [*(["mean rank"] if found.blocks else []), *(["groups"] if found.separable else [])]
    columns += ["trials", "diverged or failed", "tasks"]
    rows = []
    for place, one in enumerate(found.standings, start=1):
        row = [str(place), one.method, estimate(one.center)]
        row += [number(one.mean_rank, 3)] if found.blocks else []
        row += ["".join(map(letters, one.groups))] if found.separable else []
        rows.append([*row, str(one.trials), str(one.failed), str(one.tasks)])
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = "\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<p class="help">{escape(caption)}</p>\n<div class="scroll" tabindex="0" role="region" aria-label="Ranking"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )

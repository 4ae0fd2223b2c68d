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
from quantbench.install import how_to_install
from quantbench.results.load import load
from quantbench.results.rank import Ranking
from quantbench.results.rank_text import BETTER, heading, rate_words, standings
from quantbench.results.render import text
from quantbench.results.report.embed import embedded
from quantbench.results.report.findings import Finding, blocks_of
from quantbench.results.report.payload import Report, make_report
from quantbench.results.tables import matching
from quantbench.results.tracks import of_track

SCRIPTS = ("base.js", "draw.js", "trials.js", "compare.js", "main.js")
MOST_LISTS, MOST_ROWS = 20, 200
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
    runs = [one for path in runs for one in matching(path)]
    whole = load(*runs)
    made = make_report(of_track(whole), runs, metric, by, within, whole)
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
        rankings=_rankings(made.rankings),
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
        raise ConfigError(f"a report needs plotly; install it with {how_to_install('report')}") from error
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


def _rankings(found: Sequence[Ranking]) -> str:
    """Every list as a table, under what its numbers are."""
    if not found:
        return "<p>No completed trial has a metric to rank by.</p>"
    several = ["Methods of different rates are ranked rate by rate; tests are of the pairs of each list."] * (len(found) > 1)
    words = [[*heading(one)[:2], BETTER.capitalize(), *heading(one)[2:], *_untested(one)] for one in found[:MOST_LISTS]]
    shared = [line for line in words[0] if all(line in lines for lines in words)]
    parts = [_help([*several, *shared])]
    for one, lines in zip(found, words, strict=False):
        title = f"At {rate_words(one.rate)}" if one.rate is not None else "Ranking"
        parts += [f"<h4>{escape(title)}</h4>"] if several else []
        parts += [_help(own)] if (own := [line for line in lines if line not in shared]) else []
        parts.append(_table(one, title))
    if (more := len(found) - MOST_LISTS) > 0:
        parts.append(f"<p>{more} more rates: <code>quantbench rank</code> lists them all.</p>")
    return "\n".join(parts)


def _untested(one: Ranking) -> list[str]:
    """Why a list has no letters."""
    if one.separable or len(one.standings) < 2:
        return []
    if one.blocks >= one.needed:
        return [f"Of {len(one.standings):,} methods no pairs are tested, and there are no letters."]
    return [
        f"No letters: {blocks_of(one)} cannot tell {len(one.standings):,} methods apart, however much they differ; at "
        f"least {one.needed} are needed."
    ]


def _help(lines: Sequence[str]) -> str:
    return f'<p class="help">{escape(" ".join(lines))}</p>'


def _table(one: Ranking, title: str) -> str:
    header, rows = standings(one)
    shown = rows[:MOST_ROWS]
    titles = {name: f' title="{escape(one.metric.words)}"' for name in header if name.startswith(one.metric.name)}
    head = "".join(f'<th scope="col"{titles.get(name, "")}>{escape(name)}</th>' for name in header)
    body = [f"<tr>{''.join(f'<td>{escape(text(cell))}</td>' for cell in row)}</tr>" for row in shown]
    if len(rows) > len(shown):
        words = f"... and {len(rows) - len(shown):,} more: quantbench rank lists them all"
        body.append(f'<tr><td colspan="{len(header)}">{words}</td></tr>')
    rows_of_it = "\n".join(body)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>\n{rows_of_it}\n</tbody></table></div>"
    )

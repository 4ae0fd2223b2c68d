"""Pictures of results: one kind into a file, or every kind that the results support into a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantbench.errors import ConfigError, QuantBenchError, brief
from quantbench.results.plots.alignment import alignment
from quantbench.results.plots.critical_difference import critical_difference
from quantbench.results.plots.data import Data
from quantbench.results.plots.gradient import gradient
from quantbench.results.plots.heatmap import heatmap
from quantbench.results.plots.highlight import highlighted
from quantbench.results.plots.paper import ENDINGS, check_matplotlib, check_picture, save
from quantbench.results.plots.picture import Picture
from quantbench.results.plots.rate_distortion import rate_distortion, several_rates
from quantbench.results.plots.steps import curves, growth
from quantbench.results.plots.tuned import profile, sensitivity, tuning
from quantbench.results.plots.usage import usage
from quantbench.results.plots.view import View, viewed
from quantbench.results.tables import write

KINDS: dict[str, Callable[[Data, str | None], Picture]] = {
    "rate_distortion": rate_distortion,
    "curves": curves,
    "growth": growth,
    "usage": usage,
    "gradient": gradient,
    "alignment": alignment,
    "heatmap": heatmap,
    "critical_difference": critical_difference,
    "tuning": tuning,
    "profile": profile,
    "sensitivity": sensitivity,
}


@dataclass(frozen=True)
class Drawn:
    """What was written, by kind: the file and its notes; and why other kinds were left out."""

    files: dict[str, tuple[Path, list[str]]]
    left_out: dict[str, str]


def check_output(kind: str | None, output: Path) -> None:
    """Raise ConfigError, before anything is read, for an unknown kind or a place where nothing can be written."""
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"--kind {kind}: no such kind; there are {', '.join(KINDS)}")
    if output.suffix and not output.is_dir():
        if kind is None:
            raise ConfigError(f"--output {output}: several kinds go into a folder; name one with --kind for a file")
        check_picture(output, "--output")
    elif output.exists() and not output.is_dir():
        raise ConfigError(f"--output {output}: is a file, and no picture's ({', '.join(ENDINGS)})")
    check_matplotlib("plot")


def check_view(kind: str | None, view: View, labels: Sequence[str]) -> None:
    """Raise ConfigError, before anything is read, for options that the kind cannot have."""
    if kind is None and view.options:
        raise ConfigError(f"{view.options[0]}: needs --kind, for each kind of picture has axes of its own")
    if kind == "heatmap" and labels:
        raise ConfigError(f"--label {brief(labels[0])}: a heatmap names quantizers and gradients, and no methods")


def draw(
    data: Data, kind: str | None, metric: str | None, output: Path, ending: str = ".svg", view: View | None = None
) -> Drawn:
    """Draw one kind, or all that the data support.

    Args:
        output: a file for one kind, or a folder, which is made; files in it are named by their kind.
        ending: of files in a folder.
        view: of one kind.

    Raises:
        ConfigError: see ``check_output``, ``viewed``; the data do not support the kind, or not any.
        QuantBenchError: a file cannot be written.
    """
    check_output(kind, output)
    is_file = kind is not None and output.suffix in ENDINGS and not output.is_dir()
    found: dict[str, tuple[Path, list[str]]] = {}
    left_out: dict[str, str] = {}
    for name in KINDS if kind is None else [kind]:
        try:
            if kind is None:
                worth_drawing(data, name)
            picture = viewed(highlighted(KINDS[name](data, metric), data), view or View())
        except ConfigError as error:
            if kind is not None:
                raise
            left_out[name] = str(error)
            continue
        path = output if is_file else _folder(output) / f"{name}{ending}"
        save(picture, path, f"QuantBench: {name.replace('_', ' ')}")
        if picture.table is not None:
            write(picture.table, path.with_suffix(".csv"))
        found[name] = (path, picture.notes)
    if not found:
        raise ConfigError("there is nothing to draw:" + "".join(f"\n  {name}: {reason}" for name, reason in left_out.items()))
    return Drawn(found, left_out)


def worth_drawing(data: Data, kind: str) -> None:
    """Raise ConfigError where a picture that nobody asked for would show next to nothing."""
    if kind == "rate_distortion" and not several_rates(data):
        raise ConfigError("each source was tried at a single rate")
    if kind == "profile" and not data.whole_runs().tuned:
        raise ConfigError("a profile that nobody asked for is of results of `quantbench tune`")
    if kind == "heatmap" and min(data.ran().results[name].nunique() for name in ("quantizer", "gradient")) < 2:
        raise ConfigError("there are no two quantizers and two gradients")


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise QuantBenchError(f"{path}: cannot be made ({error.strerror})") from error
    return path


def report(drawn: Drawn) -> str:
    """Lines for people: each file with its notes, and what was left out."""
    lines: list[str] = []
    for path, notes in drawn.files.values():
        lines += [str(path), *(f"  note: {note}" for note in notes)]
    return "\n".join([*lines, *(f"left out: {kind}: {reason}" for kind, reason in drawn.left_out.items())])


__all__ = ["KINDS", "Drawn", "check_output", "check_view", "draw", "report"]

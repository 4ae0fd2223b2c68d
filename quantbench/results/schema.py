"""Columns of results.csv. Scripts of others rely on these names: change them only with a CHANGELOG entry."""

from enum import StrEnum

from quantbench.metrics import METRICS

IDENTITY = ["trial", "experiment", "status", "error", "seed", "simulator", "codec", "quantizer", "gradient", "loss"]
"""Who a trial is and how it ended. Settings that vary follow, by dotted name."""

LABELS = ["track", "phase", "study", "setting", "moved"]
"""What a trial of `quantbench tune` is for; only its tables have these columns."""

GROUPS = ["simulator", "codec", "quantizer", "gradient", "loss"]

TEXT: dict[str, type[str]] = dict.fromkeys(
    [*(name for name in IDENTITY if name != "seed"), "device", "steps_by", "track", "phase", "moved"], str
)
"""Columns that are text whatever they look like, for pandas: a choice may be called 007 or 1e3."""

MEASURED = [name for name, one in METRICS.items() if not one.cost]
"""What was measured. A metric that does not apply is empty."""

NOTES = ["limit_note", "reference_note"]
"""Which limit and which reference a row's are, or why it has none."""

BY = ["device", "steps_by"]
"""By what a trial was trained."""

COST = [*(name for name, one in METRICS.items() if one.cost), *BY]
"""What it took; the only columns that differ when the same sweep runs again."""

WHOLE = ["seed", *(name for name, one in METRICS.items() if one.whole)]
"""Columns of whole numbers."""

CURVES = ["trial", "step", "metric", "value"]
"""Columns of curves.csv."""

AUDIT = [
    "quantizer",
    "gradient",
    "moment",
    "seed",
    "sigma",
    "cosine",
    "bias",
    "variance",
    "norm_ratio",
    "forward_error",
    "reference_error",
    "reference_pairs",
    "findings",
]
"""Columns of audit.csv."""


class Status(StrEnum):
    """How a trial ended. In a table it is that text."""

    COMPLETED = "completed"
    DIVERGED = "diverged"
    FAILED = "failed"
    SKIPPED = "skipped"


BAD = (Status.DIVERGED, Status.FAILED)


def setting_columns(columns: list[str]) -> list[str]:
    """The columns of settings that vary: those with a dotted name."""
    return [name for name in columns if "." in name]

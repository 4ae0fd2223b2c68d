"""What became of a sweep's trials, told on standard error."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from quantbench.results.schema import Status
from quantbench.sweeps.trial import Record
from quantbench.terminal import say

MOST_REASONS = 4


def tell(records: Iterable[Record]) -> None:
    """Print every failed trial, and why trials diverged: a result, but one to look into."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for record in records:
        reason = str(record.row.get("error") or "")
        if record.row["status"] == Status.FAILED:
            say(f"failed: {record.trial}: {reason}", error=True)
        elif record.row["status"] == Status.DIVERGED:
            reasons[re.sub(r"\d[\d.e+-]*", "", reason)].append(reason)  # alike but for the step and the distortion
    kinds = sorted(reasons.values(), key=len, reverse=True)
    for alike in kinds[:MOST_REASONS]:
        others = "" if len(set(alike)) == 1 else ", and the like"
        say(f"diverged: {len(alike)} x {alike[0]}{others}", error=True)
    if rest := sum(map(len, kinds[MOST_REASONS:])):
        say(f"diverged: {rest} x for other reasons, in the column error", error=True)

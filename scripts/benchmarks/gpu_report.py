"""Gathers what gpu.sh measured into one JSON file.

    python scripts/benchmarks/gpu_report.py WORK START END FILE

WORK holds ``tests.xml``, ``throughput.json`` and the folder ``runs`` of one sweep, which went from START to END (seconds).
Exit code 1 when a test or a trial failed, or something is missing.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import torch

from quantbench import __version__
from quantbench.results.tables import read_results


def machine() -> dict[str, Any]:
    """The machine and the versions."""
    gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return {
        "gpus": [{"name": gpu.name, "memory_gib": round(gpu.total_memory / 2**30, 1)} for gpu in gpus],
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "quantbench": __version__,
    }


def tests(path: Path) -> dict[str, int] | None:
    """How many tests passed, failed and were skipped; None where they did not end."""
    if not path.exists():
        return None
    suites = list(ElementTree.parse(path).getroot().iter("testsuite"))
    count = {name: sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    return {"passed": count["tests"] - failed - count["skipped"], "failed": failed, "skipped": count["skipped"]}


def sweep(runs: Path, seconds: float) -> dict[str, Any] | None:
    """The sweep of many trials; None where it wrote no table."""
    folders = [path.parent for path in runs.rglob("results.csv")]
    if not folders:
        return None
    (folder,) = folders
    table = read_results(folder)
    trained = table[table["status"].isin(["completed", "diverged"])]
    return {
        "trials": len(table),
        "status": {str(name): int(count) for name, count in table["status"].value_counts().items()},
        "wall_seconds": round(seconds, 1),
        "trial_steps_per_second": round(float(trained["steps"].sum()) / seconds),
        "stack_sizes": {str(int(size)): int(count) for size, count in trained["stack_size"].value_counts().items()},
        "mse": float(trained["mse"].mean()),
        "environment": json.loads((folder / "environment.json").read_text()),
    }


def main() -> int:
    work, start, end, file = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4])
    throughput = work / "throughput.json"
    found: dict[str, Any] = {
        "machine": machine(),
        "tests": tests(work / "tests.xml"),
        "throughput": json.loads(throughput.read_text()) if throughput.exists() else None,
        "sweep": sweep(work / "runs", end - start),
    }
    file.write_text(json.dumps(found, indent=2) + "\n")
    print(f"{file}: tests {found['tests']}, sweep {found['sweep'] and found['sweep']['wall_seconds']} s")
    whole = all(value is not None for value in found.values())
    return 0 if whole and not found["tests"]["failed"] and not found["sweep"]["status"].get("failed") else 1


if __name__ == "__main__":
    sys.exit(main())

"""Wall time and peak memory of a command and all processes that it starts.

    python scripts/benchmarks/memory.py quantbench run +experiment=ste_vs_anneal

Memory shared between processes counts once in the sum (proportional set size) and fully in the largest process (resident set
size), which is also given less what importing torch takes. Linux only.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

EVERY = 0.2


def family(root: int) -> list[int]:
    """A process and all its descendants."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
    found = [root]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def mebibytes(process: int, kind: str) -> float:
    """``Pss`` or ``Rss`` of a process; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) / 1024


def main() -> None:
    began = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:])
    total = largest = 0.0
    while process.poll() is None:
        members = family(process.pid)
        total = max(total, sum(mebibytes(one, "Pss") for one in members))
        largest = max(largest, *(mebibytes(one, "Rss") for one in members))
        time.sleep(EVERY)
    seconds = time.perf_counter() - began
    code = "import torch; print(next(line for line in open('/proc/self/status') if line.startswith('VmRSS')).split()[1])"
    torch_alone = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout) / 1024
    print(f"{seconds:.1f} s; all processes {total:.0f} MiB; largest {largest:.0f} MiB, {largest - torch_alone:.0f} above torch")
    sys.exit(process.returncode)


if __name__ == "__main__":
    main()

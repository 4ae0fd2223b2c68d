"""Measures what this version does on a GPU, part by part, in order of worth, into one JSON file.

    python scripts/benchmarks/gpu_report.py FILE [--minutes 8] [--device cuda] [--trials N] [--steps N] [--tiny]

FILE is written anew after each part: what a later part breaks, or has no time for, costs nothing that is there. It says of
every part whether it is done, failed, ran out of time or was not begun, and of every target whether it is met, as far as it
was measured. Exit code 1 where not all parts are done.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TESTS, FUSED_TESTS = "tests/training/test_cuda.py", "tests/training/test_fused.py"
DONE, FAILED, LATE, LEFT_OUT = "done", "failed", "out of time", "not begun: no time left"
PATIENCE = 15
"""Seconds in which a part that is told to end writes what it has."""
SHORTEST = 10
"""Seconds of which something may come."""
MOST_TRIALS, STEPS, GOAL = 10_000, 4000, 120.0
"""Of the sweep, and the seconds that it is to take at most."""
START, BESIDE, LIMIT = 15.0, 0.004, 0.1
"""Seconds of a sweep before its first step; of each trial beside its steps (planning, evaluation, journal, tables); and of
one core for the limit of each trial's source, which all cores but one find while the GPU trains."""
MANY_CORES = 6
"""With so many, the fused kernel is compiled while other parts are measured, and its tests run side by side."""


@dataclass(frozen=True)
class Part:
    """Something to measure.

    Attributes:
        words: for gpu_parts.py; none for tests.
        seconds: that it may take at most.
        tests: their file.
    """

    name: str
    words: tuple[str, ...]
    seconds: float
    tests: str = ""


def parts(options: argparse.Namespace) -> list[Part]:
    """What is measured, the most telling first."""
    measured = [
        Part("machine", ("machine",), 60),
        Part("tests", (), 150, TESTS),
        Part("agreement with the CPU", ("agreement",), 90),
        Part("throughput of vq", ("throughput", "--workload=vq"), 60),
        Part("sweep", ("sweep",), 180),
        Part("throughput of vq without graphs", ("throughput", "--workload=vq", "--graph=off"), 45),
        Part("fused step of vq", ("fused", "--workload=vq"), 120),
        *(Part(f"throughput of {one}", ("throughput", f"--workload={one}"), 60) for one in ("fsq", "soft_to_hard", "rvq")),
        Part("tests of the fused step", (), 240, FUSED_TESTS),
    ]
    return [one for one in measured if not options.parts or one.name.split()[0] in options.parts.split(",")]


class Report:
    """The file, and how long all may take."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        self.options, self.work, self.cores = options, work, len(os.sched_getaffinity(0))
        self.end = time.monotonic() + 60 * options.minutes
        self.content: dict[str, Any] = {
            "began": datetime.now(UTC).isoformat(timespec="seconds"),
            "minutes": options.minutes,
            "device": options.device,
            "tiny": options.tiny,
            "complete": False,
            "parts": {one.name: {"status": LEFT_OUT} for one in parts(options)},
        }

    def measure(self, part: Part) -> None:
        """Measure a part, and note what became of it."""
        left = self.end - time.monotonic() - PATIENCE
        if left < SHORTEST:
            return
        seconds = min(part.seconds, left)
        found, began = self.work / f"{part.name.replace(' ', '_')}.json", time.monotonic()
        status, error = run(self._command(part, found, seconds), seconds)
        noted = {"status": status, "seconds": round(time.monotonic() - began, 1)}
        figures = (tests(found) if not part.words else json.loads(found.read_text())) if found.exists() else None
        if part.tests and status == FAILED and figures and figures["failed"]:
            error = ""  # the names of the tests say more
        self.content["parts"][part.name] = noted | {"found": figures} | ({"error": error} if error else {})

    def _command(self, part: Part, found: Path, seconds: float) -> list[str]:
        if not part.words:
            together = (
                ["-n", str(self.cores // 2)] if part.tests == FUSED_TESTS and self.many_cores and find_spec("xdist") else []
            )
            words = ["-q", "-p", "no:cacheprovider", f"--junitxml={found}", *together]
            return [sys.executable, "-m", "pytest", part.tests, *words]
        command = [sys.executable, str(HERE / "gpu_parts.py"), *part.words[:1], str(found), *part.words[1:]]
        command += [f"--device={self.options.device}", *(["--tiny"] if self.options.tiny else [])]
        if part.name == "sweep":
            command += [f"--trials={self._trials(seconds)}", f"--steps={self._steps()}"]
        return command

    def _steps(self) -> int:
        return int(self.options.steps or (20 if self.options.tiny else STEPS))

    @property
    def many_cores(self) -> bool:
        """Whether something may compile while something else is measured."""
        return self.cores >= MANY_CORES and str(self.options.device).startswith("cuda") and find_spec("triton") is not None

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Meanwhile the fused kernel is compiled, which takes minutes, on cores that have nothing to do."""
        wanted = self.many_cores and any(one.words[:1] == ("fused",) for one in parts(self.options))
        command = [sys.executable, str(HERE / "gpu_parts.py"), "compiling", str(self.work / "compiling")]
        with contextlib.ExitStack() as open:
            for products in ("tf32x3", "ieee") if wanted else ():
                words = [f"--products={products}", f"--device={self.options.device}"]
                quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
                process = open.enter_context(subprocess.Popen([*command, *words], cwd=HERE.parents[1], **quiet))
                open.callback(end, process)
            yield

    def _trials(self, seconds: float) -> int:
        """As many trials as fill most of the time, by the best rate that was measured."""
        if self.options.trials or self.options.tiny:
            return int(self.options.trials or 8)
        rows = ((self.content["parts"].get("throughput of vq") or {}).get("found") or {}).get("stacks", [])
        rate = max((row.get("trial_steps_per_second", 0) for row in rows), default=0) or 1000
        each = max(self._steps() / rate, LIMIT / max(1, self.cores - 1)) + BESIDE
        return max(64, min(MOST_TRIALS, int((0.8 * seconds - START) / each)))

    def write(self) -> None:
        self.content["targets"] = targets({name: part.get("found") or {} for name, part in self.content["parts"].items()})
        self.options.file.parent.mkdir(parents=True, exist_ok=True)
        new = self.options.file.with_name(f"{self.options.file.name}.new")
        new.write_text(json.dumps(self.content, indent=2) + "\n")
        new.replace(self.options.file)


def targets(found: dict[str, Any]) -> list[dict[str, Any]]:
    """What is wanted of one H100, what was measured, and whether that is enough; None where it was not measured."""

    def rate(part: str, trials: int) -> float | None:
        rates = [row.get("trial_steps_per_second") for row in found.get(part, {}).get("stacks", []) if row["trials"] == trials]
        return max((one for one in rates if one), default=None)

    vq, fused, swept = "throughput of vq", "fused step of vq", found.get("sweep", {})
    one, plain = rate(vq, 1), found.get(vq, {}).get("plain")
    whole = swept.get("trials") == MOST_TRIALS and swept.get("steps") == STEPS and swept.get("exit_code") == 0
    extrapolated = MOST_TRIALS * STEPS / swept["trial_steps_per_second"] if swept.get("trial_steps_per_second") else None
    about = f"{MOST_TRIALS:,} trials of {STEPS:,} steps, seconds"
    every = [
        _target("64 trials of vq, trial-steps/s", rate(vq, 64), least=0.3e6),
        _target("1,024 trials of vq by PyTorch's operations, trial-steps/s", rate(vq, 1024), least=0.5e6),
        _target("1,024 trials of vq by the fused kernel, trial-steps/s", rate(fused, 1024), least=1.2e6),
        _target("one trial of vq over a plain script", one / plain if one and plain else None, least=1.0),
        _target(about, swept["wall_seconds"] if whole else None, most=GOAL) | ({} if whole else {"extrapolated": extrapolated}),
    ]
    for workload, row in found.get("agreement with the CPU", {}).items():
        name = f"distortion of {workload} beside the CPU's, relative difference of means"
        every.append(_target(name, abs(row["difference_of_means"]), most=0.02))
    return every


def _target(name: str, measured: float | None, least: float = -math.inf, most: float = math.inf) -> dict[str, Any]:
    bound = {"at_most": most} if math.isfinite(most) else {"at_least": least}
    return {"target": name, **bound, "measured": measured, "met": None if measured is None else least <= measured <= most}


def run(command: list[str], seconds: float) -> tuple[str, str]:
    """Run a command for so long; what became of it, and the end of what it complained of.

    Told to end, it may still write what it has; after that it is ended with all that it started.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            stdout=said,
            stderr=subprocess.STDOUT,
            cwd=HERE.parents[1],
            start_new_session=True,
            preexec_fn=hear,
        )
        late = False
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            late = True
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
        finally:
            end(process)
        said.seek(0)
        text = said.read().decode(errors="replace")[-3000:]
    if not late and process.returncode == 0:
        return DONE, ""
    return (LATE if late else FAILED), text


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def hear() -> None:
    """Let a process be told to end, though a shell that works in the background made this one deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def tests(file: Path) -> dict[str, Any]:
    """How many tests passed, failed and were skipped, and which failed with what."""
    suites = list(ElementTree.parse(file).getroot().iter("testsuite"))
    count = {name: sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    bad = {
        str(case.get("name")): str(one.get("message"))[:500]
        for suite in suites
        for case in suite.iter("testcase")
        for one in case
        if one.tag in ("failure", "error")
    }
    passed = count["tests"] - failed - count["skipped"]
    return {"passed": passed, "failed": failed, "skipped": count["skipped"], "failures": bad}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--parts", default="", help="some of: machine, tests, agreement, throughput, sweep, fused; all where not given"
    )
    parser.add_argument("--trials", type=int, help="of the sweep; else as many as there is time for, up to 10,000")
    parser.add_argument("--steps", type=int, help=f"of each of them; {STEPS} where not given")
    parser.add_argument("--tiny", action="store_true", help="sizes to try the script itself with")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        report = Report(options, Path(work))
        report.write()
        with report.compiling():
            for part in parts(options):
                report.measure(part)
                report.write()
                became = report.content["parts"][part.name]
                print(
                    f"{part.name}: {became['status']}" + (f", {became['seconds']} s" if "seconds" in became else ""), flush=True
                )
    report.content["complete"] = all(one["status"] == DONE for one in report.content["parts"].values())
    report.write()
    print(options.file)
    return 0 if report.content["complete"] else 1


if __name__ == "__main__":
    sys.exit(main())

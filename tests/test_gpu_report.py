"""What gpu.sh does with parts that fail, hang or come too late; on the CPU, and without measuring anything."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "scripts" / "benchmarks"

WRITES_WHEN_TOLD = """
import pathlib, sys, time
pathlib.Path(sys.argv[1] + ".there").touch()
try:
    time.sleep(60)
except KeyboardInterrupt:
    pathlib.Path(sys.argv[1]).write_text('{"trials": 3}')
"""
DEAF = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[1], "w").write('{"half": %d}' % child.pid)
time.sleep(60)
"""
JUNIT = """<testsuites><testsuite tests="4" failures="1" errors="1" skipped="1">
<testcase name="test_one[soft]"><failure message="the temperature">long</failure></testcase>
<testcase name="test_two"><error message="at set-up">long</error></testcase>
<testcase name="test_three"/><testcase name="test_four"><skipped/></testcase></testsuite></testsuites>"""


@pytest.fixture
def gpu_report(monkeypatch):
    spec = importlib.util.spec_from_file_location("gpu_report", BENCHMARKS / "gpu_report.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu_report", module)  # its dataclass looks there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def measured(gpu_report, monkeypatch, tmp_path):
    """Measures a script in the place of each part; gives the exit code and what the file holds."""

    def measure(scripts, minutes=8.0, seconds=10.0):
        parts = [gpu_report.Part(name, (name,), seconds) for name in scripts]
        monkeypatch.setattr(gpu_report, "parts", lambda options: parts)
        monkeypatch.setattr(
            gpu_report.Report, "_command", lambda self, part, found, _: [sys.executable, "-c", scripts[part.name], str(found)]
        )
        monkeypatch.setattr(sys, "argv", ["gpu_report.py", str(tmp_path / "new" / "gpu.json"), "--minutes", str(minutes)])
        return gpu_report.main(), json.loads((tmp_path / "new" / "gpu.json").read_text())

    return measure


def test_a_part_that_fails_costs_no_other(measured):
    good = "import sys; open(sys.argv[1], 'w').write('[1]')"
    code, content = measured({"bad": "raise SystemExit('no such GPU')", "good": good})
    assert code == 1
    assert not content["complete"]
    assert content["parts"]["bad"]["status"] == "failed"
    assert content["parts"]["bad"]["found"] is None
    assert "no such GPU" in content["parts"]["bad"]["error"]
    assert content["parts"]["good"]["status"] == "done"
    assert content["parts"]["good"]["found"] == [1]
    code, content = measured({"good": good})
    assert (code, content["complete"]) == (0, True)


def test_a_part_that_takes_too_long_leaves_what_it_has(measured, gpu_report, monkeypatch):
    monkeypatch.setattr(gpu_report, "PATIENCE", 1)
    code, content = measured({"hears": WRITES_WHEN_TOLD, "deaf": DEAF}, seconds=2)
    assert code == 1
    found = {name: (part["status"], part["found"]) for name, part in content["parts"].items()}
    assert found["hears"] == ("out of time", {"trials": 3})
    status, left = found["deaf"]
    assert status == "out of time"
    with pytest.raises(ProcessLookupError):  # nor what it started lives on
        os.kill(left["half"], 0) or _zombie(left["half"])


def _zombie(number):
    """Raise ProcessLookupError where nothing but an entry is left of a process that nobody has waited for."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError as error:
        raise ProcessLookupError from error
    if state == "Z":
        raise ProcessLookupError


def test_what_there_is_no_time_for_is_said(measured, gpu_report, monkeypatch):
    monkeypatch.setattr(gpu_report, "SHORTEST", 20)
    code, content = measured({"late": "pass"}, minutes=0.5)  # less the time in which a part may write what it has
    assert code == 1
    assert content["parts"]["late"] == {"status": "not begun: no time left"}


def test_failed_tests_are_named(gpu_report, tmp_path):
    (tmp_path / "tests.xml").write_text(JUNIT)
    assert gpu_report.tests(tmp_path / "tests.xml") == {
        "passed": 1,
        "failed": 2,
        "skipped": 1,
        "failures": {"test_one[soft]": "the temperature", "test_two": "at set-up"},
    }


class Options:
    minutes, device, tiny, steps, trials, parts = 8, "cuda", False, 1000, None, ""


def test_a_sweep_is_as_large_as_the_measured_rate_allows(gpu_report, tmp_path):
    report = gpu_report.Report(Options, tmp_path)
    report.cores = 16
    assert report._trials(180) == 128  # a rate of 1000 is assumed
    report.content["parts"]["throughput of vq"]["found"] = {"stacks": [{"trials": 1}, {"trial_steps_per_second": 20000}]}
    assert report._trials(180) == 2388  # steps take longer than limits, which 15 cores find
    report.cores = 2
    assert report._trials(180) == 1240  # and the other way round
    assert report._trials(10) == 64
    assert report._trials(10**6) == 10_000


def test_targets_are_met_or_missed_or_not_measured(gpu_report):
    unknown = gpu_report.targets({})
    assert [one["met"] for one in unknown] == [None] * 5
    rows = [{"trials": 64, "trial_steps_per_second": 2e5}, {"trials": 1024, "trial_steps_per_second": 6e5}]
    found = {
        "throughput of vq": {"stacks": [*rows, {"trials": 1, "error": "no memory"}], "plain": 700.0},
        "fused step of vq": {"stacks": [{"trials": 1024, "trial_steps_per_second": rate} for rate in (1e5, 1.3e6)]},
        "sweep": {"trials": 10_000, "steps": 4000, "exit_code": 0, "wall_seconds": 110.0, "trial_steps_per_second": 3.6e5},
        "agreement with the CPU": {"vq": {"difference_of_means": -0.001}, "fsq": {"difference_of_means": float("nan")}},
    }
    assert [one["met"] for one in gpu_report.targets(found)] == [False, True, True, None, True, True, False]
    found["sweep"]["trials"] = 5000
    swept = gpu_report.targets(found)[4]
    assert (swept["met"], swept["measured"], round(swept["extrapolated"])) == (None, None, 111)


def test_every_part_can_be_asked_for(gpu_report):
    names = {one.name.split()[0] for one in gpu_report.parts(Options)}
    assert names == {"machine", "tests", "agreement", "throughput", "sweep", "fused"}
    Options.parts = "fused,tests"
    assert [one.name for one in gpu_report.parts(Options)] == ["tests", "fused step of vq", "tests of the fused step"]
    Options.parts = ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nonsense"], "--nonsense: no such option"),
        (["--wheels", "."], "--wheels: is for --system-site"),
        (["--system-site"], "no GPU for PyTorch"),
    ],
)
def test_the_script_says_why_it_measures_nothing(words, message, tmp_path):
    environment = os.environ | {"PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": ""}
    command = [BENCHMARKS / "gpu.sh", *words]
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert (found.returncode, message in found.stderr) == (2, True), found.stderr

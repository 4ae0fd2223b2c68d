"""Folders that cannot be written, disks without room, damaged files: all is told, and nothing but what was damaged is lost."""

import errno
import fcntl
import importlib
import json
import os
import pickle
import re
import subprocess
import sys

import pandas as pd
import pytest

from quantbench.errors import NotWritten, QuantBenchError
from quantbench.results.records import _checksum
from quantbench.results.schema import COST
from quantbench.results.tables import read_results
from quantbench.sweeps.journal import Journal
from quantbench.sweeps.runner import resume
from tests.conftest import SMALL

BOMB = "a: &a0 [1, 2]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
"""Of nine aliases a line: 90 billion values."""
SEEDS = ["executor.stack_size=1", "-m", "seed=range(0,4)"]


def mount(folder, *options):
    """Mount a small file system of its own; gives why that cannot be, or None."""
    folder.mkdir(exist_ok=True)
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)], capture_output=True, text=True)
    except OSError as error:
        return str(error)
    return done.stderr.strip() if done.returncode else None


@pytest.fixture
def disk(tmp_path):
    """Makes a disk of so many bytes, and can make it read-only."""
    folder = tmp_path / "disk"

    class Disk:
        path = folder

        def make(self, size):
            if reason := mount(folder, "-o", f"size={size}"):
                pytest.skip(f"no file system can be mounted here: {reason}")

        def read_only(self):
            # A second mount over the first, which has files open for writing and cannot be changed.
            for words in (["--bind", str(folder), str(folder)], ["-o", "remount,bind,ro", str(folder)]):
                subprocess.run(["mount", *words], check=True)

        def writable(self):
            subprocess.run(["umount", str(folder)], check=True)

    yield Disk()
    while folder.is_mount():
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def without_cost(folder):
    return read_results(folder).drop(columns=COST)


def stop_after(monkeypatch, stacks, then):
    """Have something happen when so many stacks are in the journal."""
    written = []
    original = Journal.write

    def write(self, records):
        if len(written) == stacks:
            then()
        written.append(records)
        original(self, records)

    monkeypatch.setattr(Journal, "write", write)


@pytest.mark.parametrize("how", ["read-only", "full"])
def test_a_disk_that_takes_nothing_any_more(quantbench, small_run, disk, monkeypatch, tmp_path, how):
    undisturbed = without_cost(small_run(*SEEDS))
    disk.make("8m")

    def fill():
        if how == "read-only":
            disk.read_only()
            return
        with (disk.path / "filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(bytes(4096)):
                    pass
            except OSError:
                pass

    with monkeypatch.context() as patch:
        stop_after(patch, 2, fill)
        code, _, err = quantbench("run", "executor=inline", f"output={disk.path}", *SMALL, *SEEDS)
    assert code == 1
    assert ("Read-only file system" if how == "read-only" else "No space left on device") in err
    assert "quantbench resume" in err
    assert "Traceback" not in err
    (folder,) = (disk.path / "default").iterdir()
    code, _, err = quantbench("resume", str(folder))  # nothing has changed
    assert code == 1
    assert "cannot be written" in err
    if how == "read-only":
        disk.writable()
    else:
        (disk.path / "filler").unlink()
    code, out, err = quantbench("resume", str(folder))
    assert code == 0, err
    assert "2 trials are there" in out
    pd.testing.assert_frame_equal(without_cost(folder), undisturbed)


@pytest.mark.parametrize(
    ("word", "module", "file"),
    [
        ("checkpoint_every=8", "checkpoint", "checkpoints/"),
        ("train.warm_start=8", "warm", "warm_start/"),
        ("export=true", "export", "weights.safetensors"),
    ],
)
def test_what_a_training_leaves_has_no_room(quantbench, monkeypatch, tmp_path, word, module, file):
    """The run stops, and names the file: no trial has failed."""
    module = importlib.import_module(f"quantbench.training.{module}")
    write = module.replace_file

    def full(path, *rest, **settings):
        if list(tmp_path.glob("outputs/default/*/journal/*.json")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, *rest, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(module, "replace_file", full)
        code, _, err = quantbench("run", "executor=inline", *SMALL, *SEEDS, word)
    assert code == 1, err
    assert re.search(rf"error: \S*{file}\S*: cannot be written \(No space left on device\); finished stacks are kept", err)
    assert "failed" not in err
    (folder,) = (tmp_path / "outputs" / "default").iterdir()
    assert list(read_results(folder)["status"]) == ["completed"]
    assert quantbench("resume", str(folder))[0] == 0
    assert list(read_results(folder)["status"]) == ["completed"] * 4


def test_a_worker_that_cannot_write_says_so_to_the_driver():
    error = NotWritten("checkpoint: cannot be written (No space left on device)")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("size", ["4k", "16k", "40k"])
def test_a_disk_that_is_full_from_the_start(quantbench, disk, size):
    disk.make(size)
    code, _, err = quantbench("run", "executor=inline", f"output={disk.path}", *SMALL, *SEEDS)
    assert code in (0, 1)
    if code:
        assert "No space left on device" in err
    assert "Traceback" not in err


def test_an_output_nobody_can_write(quantbench):
    code, _, err = quantbench("run", "executor=inline", "output=/proc/nowhere", *SMALL)
    assert code == 1
    assert "output=/proc/nowhere: cannot make a folder there" in err


def test_standard_output_that_takes_nothing(command, tmp_path):
    for words in (["list"], ["run", "executor=inline", "dry_run=true"], ["diff", "a", "b"]):
        process = command(*words, cwd=tmp_path, out="/dev/full")
        _, err = process.communicate()
        assert process.returncode == (2 if words[0] == "diff" else 1)
        assert err.splitlines()[-1].startswith("error: ")
        assert "Traceback" not in err


@pytest.fixture
def cut_short(quantbench, tmp_path, monkeypatch):
    """A sweep of four stacks of which three were finished; gives its folder, and the journal's files."""

    def stop():
        raise QuantBenchError("stopped")

    with monkeypatch.context() as patch:
        stop_after(patch, 3, stop)
        assert quantbench("run", "executor=inline", *SMALL, *SEEDS)[0] == 1
    (folder,) = (tmp_path / "outputs" / "default").iterdir()
    return folder, sorted((folder / "journal").glob("*.json"))


def flip_digit(content):
    """Another digit of the mean square error, so that the file is sound JSON."""
    return re.sub(rb'("mse": [0-9]\.)([0-9])', lambda found: found[1] + (b"1" if found[2] != b"1" else b"2"), content, count=1)


DAMAGES = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "no text": lambda content: b"\xff\xfe" + content,
    "another value": flip_digit,
    "no records": lambda content: b'{"a": 1}',
    "other records": lambda content: b'[{"trial": 1, "row": {"status": "completed"}, "curves": []}]',
    "nested": lambda content: b"[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_journal_costs_its_own_trials_only(cut_short, small_run, quantbench, damage):
    folder, journal = cut_short
    kept = {json.loads(path.read_text())[0]["trial"]: json.loads(path.read_text())[0]["row"]["seconds"] for path in journal[1:]}
    content = journal[0].read_bytes()
    assert DAMAGES[damage](content) != content
    journal[0].write_bytes(DAMAGES[damage](content))
    code, out, err = quantbench("resume", str(folder))
    assert code == 0, err
    assert f"{journal[0]}: is damaged" in err
    assert "its trials are trained again" in err
    assert "2 trials are there" in out
    seconds = read_results(folder).set_index("trial")["seconds"]
    assert len(seconds) == 4
    assert all(seconds[trial] == pytest.approx(one) for trial, one in kept.items())
    pd.testing.assert_frame_equal(without_cost(folder), without_cost(small_run(*SEEDS)))


@pytest.mark.parametrize("damage", ["no checksum", "a number that is text"])
def test_what_no_training_writes_is_trained_again(cut_short, quantbench, damage):
    """With a sound checksum, which anybody can compute, or with none."""
    folder, journal = cut_short
    (item,) = json.loads(journal[0].read_text())
    item["row"]["mse"] = "abc" if damage == "a number that is text" else -1.0
    item["checksum"] = _checksum(item)
    if damage == "no checksum":
        del item["checksum"]
    journal[0].write_text(json.dumps([item]))
    code, out, err = quantbench("resume", str(folder))
    assert code == 0, err
    assert f"{journal[0]}: is damaged" in err
    assert "2 trials are there" in out
    assert read_results(folder)["mse"].gt(0).all()


def edit(folder, old, new):
    text = (folder / "sweep.yaml").read_text()
    assert old in text
    (folder / "sweep.yaml").write_text(text.replace(old, new))


def test_a_sweep_that_was_changed_is_refused_and_nothing_is_lost(cut_short, quantbench):
    folder, journal = cut_short
    before = {path.name: path.read_bytes() for path in journal}
    edit(folder, "lr: 0.001", "lr: 0.003")
    text, copy = (folder / "sweep.yaml").read_text(), folder / "journal" / "sweep.yaml"
    for without in (None, "checksum", "copy and checksum"):  # an earlier version wrote neither
        if without == "checksum":
            (folder / "sweep.yaml").write_text(re.sub("checksum: .*\n", "", text))
        elif without:
            copy.unlink()
        code, _, err = quantbench("resume", str(folder))
        assert code == 2
        assert f"{folder / 'sweep.yaml'}: its trials are not those that this run began with" in err
        assert "3 finished trials stay as they are" in err
        assert ("(train.lr: 0.001 there, 0.003 here)" in err) == (without != "copy and checksum")
        assert {path.name: path.read_bytes() for path in journal} == before
    edit(folder, "lr: 0.003", "lr: 0.001")
    code, out, err = quantbench("resume", str(folder))
    assert code == 0, err
    assert "3 trials are there" in out
    assert "was changed" not in err


def test_a_sweep_of_other_code_is_refused_and_nobody_is_sent_to_change_its_file(cut_short, quantbench, monkeypatch):
    """As of a version whose random numbers, or defaults, were others: what its trials are called follows from these, too."""
    folder, journal = cut_short
    monkeypatch.setattr("quantbench.sweeps.data.HOW", ())
    code, _, err = quantbench("resume", str(folder))
    assert code == 2
    assert "its trials are not those that this run began with, and it is as it was" in err
    assert f"use the code that began it ({folder / 'environment.json'} names it)" in err
    assert "put it back" not in err
    assert all(path.exists() for path in journal)


def test_a_change_that_makes_no_other_trials_is_told(cut_short, quantbench):
    folder, _ = cut_short
    edit(folder, "stack_size: 1", "stack_size: 2")
    code, out, err = quantbench("resume", str(folder))
    assert code == 0, err
    assert "sweep.yaml: was changed since this run began (executor.stack_size: 1 there, 2 here); its trials are the same" in err
    assert "3 trials are there" in out


def test_a_change_before_anything_was_finished_is_refused(cut_short, quantbench):
    folder, journal = cut_short
    for path in journal:
        path.unlink()
    edit(folder, "seed: [0, 1, 2, 3]", "seed: [0, 1, 2]")
    code, _, err = quantbench("resume", str(folder))
    assert code == 2
    assert "(axes.seed: [0, 1, 2, 3] there, [0, 1, 2] here)" in err


def test_a_complete_sweep_that_was_changed_is_told(small_run, quantbench):
    folder = small_run(*SEEDS)
    edit(folder, "stack_size: 1", "stack_size: 2")
    code, out, err = quantbench("resume", str(folder))
    assert (code, "nothing to resume" in out, "its trials are the same" in err) == (0, True, True)
    edit(folder, "lr: 0.001", "lr: 0.003")
    code, _, err = quantbench("resume", str(folder))
    assert code == 2
    assert "its trials are not those that this run began with" in err


def test_curves_that_are_cut_are_no_complete_sweep(small_run, quantbench):
    folder = small_run(*SEEDS)
    file, content = folder / "curves.csv", (folder / "curves.csv").read_bytes()
    file.unlink()
    for left, words in (
        (None, "is missing"),
        (content[:-3], "is cut within a line"),
        (content[: content.rindex(b"\n", 0, -1) + 1], "the curves of 1 trials are missing"),
        (content[: content.index(b"\n") + 1], "the curves of 4 trials are missing"),
        (b"", "cannot be read as a curves.csv"),
    ):
        if left is not None:
            file.write_bytes(left)
        code, out, err = quantbench("resume", str(folder))
        assert code == 2, out
        assert f"{file}: " in err
        assert words in err
        assert "delete results.csv, and `quantbench resume` trains its trials again" in err
    (folder / "results.csv").unlink()
    assert quantbench("resume", str(folder))[0] == 0
    assert file.read_bytes() == content


@pytest.mark.parametrize("damage", ["cut in a row", "cut between rows", "empty", "zeros"])
def test_a_damaged_table_is_named(small_run, quantbench, damage):
    folder = small_run(*SEEDS)
    undisturbed = without_cost(folder)
    file = folder / "results.csv"
    content = file.read_bytes()
    rows = content.splitlines(keepends=True)
    file.write_bytes(
        {
            "cut in a row": content[: len(content) // 3],
            "cut between rows": b"".join(rows[:3]),
            "empty": b"",
            "zeros": bytes(len(content)),
        }[damage]
    )
    code, out, err = quantbench("resume", str(folder))
    assert code == 2, out
    assert f"{file}: " in err
    assert "delete it, and `quantbench resume` trains its trials again" in err
    file.unlink()
    assert quantbench("resume", str(folder))[0] == 0
    pd.testing.assert_frame_equal(without_cost(folder), undisturbed)


@pytest.mark.parametrize(
    "content",
    ["", "{", "- 1", "quantbench: 1", "\x00", "combinations: [{}]\nquantbench: 1\n", "a: &a [*a, *a]", "[" * 100_000, BOMB],
    ids=["empty", "no YAML", "a list", "a version", "zeros", "parts", "endless", "nested", "bomb"],
)
def test_a_damaged_sweep_is_named(tmp_path, quantbench, content):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "sweep.yaml").write_text(content)
    code, _, err = quantbench("resume", str(folder))
    assert code == 2
    assert f"{folder / 'sweep.yaml'}: cannot be read as a sweep" in err
    assert "Traceback" not in err


def test_a_damaged_sweep_has_a_copy_while_it_is_under_way(cut_short, quantbench):
    folder, _ = cut_short
    copy = folder / "journal" / "sweep.yaml"
    (folder / "sweep.yaml").write_bytes((folder / "sweep.yaml").read_bytes()[:300])
    code, _, err = quantbench("resume", str(folder))
    assert code == 2
    assert f"{copy} is a copy of what it was" in err
    (folder / "sweep.yaml").write_bytes(copy.read_bytes())
    code, out, err = quantbench("resume", str(folder))
    assert code == 0, err
    assert "3 trials are there" in out


def test_a_damaged_checkpoint_and_warm_start(quantbench, tmp_path, monkeypatch):
    def stop():
        raise QuantBenchError("stopped")

    words = ["-m", "train.warm_start=20", "checkpoint_every=10", "seed=0,1", "executor.stack_size=1"]
    with monkeypatch.context() as patch:
        stop_after(patch, 0, stop)
        assert quantbench("run", "executor=inline", *SMALL, *words)[0] == 1
    (folder,) = (tmp_path / "outputs" / "default").iterdir()
    (warm,) = (folder / "warm_start").glob("*.safetensors")
    warm.write_bytes(warm.read_bytes()[:100])
    (checkpoint,) = (folder / "checkpoints").glob("*.safetensors")
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    code, _, err = quantbench("resume", str(folder))
    assert code == 2
    assert f"{checkpoint}: cannot be read as a checkpoint" in err
    assert "delete it to start anew" in err
    checkpoint.unlink()
    code, _, err = quantbench("resume", str(folder))
    assert code == 0, err
    assert f"{warm}: is damaged" in err
    assert set(read_results(folder)["status"]) == {"completed"}


def test_a_journal_that_was_half_taken_away(small_run, quantbench):
    folder = small_run(*SEEDS)
    (folder / "journal.finished").mkdir()
    (folder / "journal.finished" / "left.json").write_text("[]")
    assert "nothing to resume" in quantbench("resume", str(folder))[1]
    (folder / "results.csv").unlink()
    assert quantbench("resume", str(folder))[0] == 0
    assert not (folder / "journal.finished").exists()
    assert not (folder / "journal").exists()


def test_two_drivers_the_second_is_just_too_late(small_run, quantbench, monkeypatch):
    """The first one ends between the second one's look at the folder and its lock."""
    folder = small_run(*SEEDS)
    table = (folder / "results.csv").read_bytes()
    (folder / "journal").mkdir()
    first = Journal(folder)
    real_flock = fcntl.flock
    tries = []

    def flock(file, how):
        if not tries:
            first.close(complete=True)
        tries.append(file)
        real_flock(file, how)

    monkeypatch.setattr("quantbench.sweeps.journal.fcntl.flock", flock)
    code, _, err = quantbench("resume", str(folder))
    assert code == 1
    assert "another process is running this sweep" in err
    assert (folder / "results.csv").read_bytes() == table
    monkeypatch.undo()
    resume(folder)
    assert (folder / "results.csv").read_bytes() == table


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["empty", "half"])
def test_damaged_kernels_are_compiled_again(tmp_path, damage):
    command = [sys.executable, "-c", "from quantbench.kernels import library; print(library.ready())"]
    settings = {"env": os.environ | {"XDG_CACHE_HOME": str(tmp_path)}, "capture_output": True, "text": True, "timeout": 120}
    if "None" not in subprocess.run(command, **settings).stdout:
        pytest.skip("no compiler here")
    (library,) = (tmp_path / "quantbench").glob("*.so")
    content = library.read_bytes()
    library.write_bytes(b"" if damage == "empty" else content[: len(content) // 2])
    done = subprocess.run(command, **settings)
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr
    assert len(library.read_bytes()) == len(content)

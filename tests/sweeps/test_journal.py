"""Which of several records of a trial counts."""

import json
import os

import pytest

from quantbench.points import Points
from quantbench.results.records import _checksum, read_records, write_records
from quantbench.sweeps.journal import Journal
from quantbench.sweeps.plan import plan
from quantbench.sweeps.tables import identity_of, write_tables
from quantbench.sweeps.trial import Record
from tests.sweeps.test_plan import sweep


def record(status, mse=None, trial="a-0"):
    return Record(trial, {"status": status, "error": "", "mse": mse}, Points())


FAILED, TRAINED, AGAIN, DIVERGED = record("failed"), record("completed", 1.0), record("completed", 2.0), record("diverged", 3.0)


@pytest.mark.parametrize(
    ("first", "second", "counts"),
    [
        (FAILED, TRAINED, TRAINED),
        (TRAINED, FAILED, TRAINED),  # a failure takes nothing away
        (DIVERGED, FAILED, DIVERGED),  # for this is a result, too
        (FAILED, DIVERGED, DIVERGED),
        (TRAINED, AGAIN, AGAIN),
        (AGAIN, TRAINED, TRAINED),
        (FAILED, record("failed", 4.0), record("failed", 4.0)),
    ],
)
def test_the_last_record_counts_unless_it_is_a_failure(tmp_path, first, second, counts):
    journal = Journal(tmp_path)
    parts = []
    for moment, (one, other) in enumerate(((first, "b-0"), (second, "c-0"))):  # two stacks with a trial in common
        stack = [one, record("completed", trial=other)]
        journal.write(stack)
        parts.append(journal.part([each.trial for each in stack]))
        os.utime(parts[-1], (moment, moment))
    found = journal.read()
    assert set(found) == {"a-0", "b-0", "c-0"}
    assert found["a-0"].row == counts.row
    journal.close(complete=False)


@pytest.mark.parametrize(("records", "mse"), [([TRAINED, FAILED], 1.0), ([FAILED, TRAINED], 1.0), ([TRAINED, AGAIN], 2.0)])
def test_and_within_a_stack(tmp_path, records, mse):
    journal = Journal(tmp_path)
    journal.write(records)
    assert journal.read()["a-0"].row["mse"] == mse
    journal.close(complete=False)


def test_a_stack_that_is_trained_again_takes_its_own_place(tmp_path):
    journal = Journal(tmp_path)
    journal.write([FAILED])
    journal.write([TRAINED])
    assert len(list(journal.folder.glob("*.json"))) == 1
    assert journal.read()["a-0"].row["mse"] == 1.0
    journal.close(complete=False)


WRONG = {
    "a number that is text": {"mse": "abc"},
    "a huge number": {"mse": 10**400},
    "true": {"mse": True},
    "half a code": {"dead_codes": 0.5},
    "another status": {"status": "skipped"},
    "a status that is none": {"status": ["completed"]},
    "an error that is no text": {"error": 3},
    "text that no file can hold": {"error": "\ud800"},
    "another trial": {"trial": "a-0"},
    "another seed": {"seed": 7},
    "another choice": {"quantizer": "fsq"},
    "another setting": {"train.lr": 1.0},
}


@pytest.mark.parametrize("change", [*WRONG, "no checksum", "a huge step", "a step before the first", "a value that is text"])
def test_what_no_training_writes_is_damage(tmp_path, change):
    """With a sound checksum, which anybody can compute."""
    write_records(tmp_path / "a.json", [Record("a-0", TRAINED.row, Points([(0, "mse", 1.0)]))])
    (item,) = json.loads((tmp_path / "a.json").read_text())
    item["row"] |= WRONG.get(change, {})
    if "step" in change:
        item["curves"][0][0] = 10**30 if "huge" in change else -1
    if "value" in change:
        item["curves"][0][2] = "0.5"
    item["checksum"] = _checksum(item)
    if change == "no checksum":
        del item["checksum"]
    (tmp_path / "a.json").write_text(json.dumps([item]))
    with pytest.raises(ValueError, match=r"checksum|holds|hold|no record"):
        read_records(tmp_path / "a.json")


def test_who_a_trial_is_its_plan_says_alone(tmp_path):
    planned = plan(sweep({"seed": [0]}))
    (trial,) = planned.trials
    row = {"status": "completed", "mse": 1.0, "seed": 7, "trial": "x", "quantizer": "fsq", "experiment": "y"}
    told = identity_of(trial, planned)
    table = write_tables(planned, tmp_path, {trial.id: Record(trial.id, row, Points())})
    assert table.loc[0, list(told)].tolist() == list(told.values())

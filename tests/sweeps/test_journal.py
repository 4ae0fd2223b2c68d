"""Which of several records of a trial counts."""

import os

import pytest

from quantbench.points import Points
from quantbench.sweeps.journal import Journal
from quantbench.sweeps.trial import Record


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

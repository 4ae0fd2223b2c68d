import json

import numpy as np
import pytest

from quantbench.results.render import Difference, Rounded, render
from quantbench.results.statistics import INTERVAL, Estimate

HEADER = ["", "method", f"value {INTERVAL}", "count"]
ROWS = [
    ["+", "vq ste", Estimate(1.23456, 1.0, 1.5), Rounded(3.14159)],
    ["", "fsq|x", Difference(0.5, np.nan, np.nan), None],
]


def test_machines_get_all_digits_and_intervals_as_columns():
    rows = json.loads(render(HEADER, ROWS, "json"))
    assert rows[0] == {"method": "vq ste", "value": 1.23456, "value_low": 1.0, "value_high": 1.5, "count": 3.14159}
    assert rows[1] == {"method": "fsq|x", "value": 0.5, "value_low": None, "value_high": None, "count": None}
    assert render(HEADER, ROWS, "csv").splitlines()[1] == "vq ste,1.23456,1.0,1.5,3.14159"


def test_people_get_few_digits():
    text = render(HEADER, ROWS)
    assert "1.23 [1, 1.5]           3.14" in text
    assert "+0.5" in text
    assert "fsq\\|x" in render(HEADER, ROWS, "markdown")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_terminal_gets_no_line_that_it_would_break(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    header = ["method", *(f"column {i}" for i in range(20))]
    text = render(header, [[f"m{row}", *(f"{row}.{i}" for i in range(20))] for row in range(3)])
    assert max(map(len, text.splitlines())) <= width
    words = text.split()
    assert all(words.count(f"{row}.{i}") == 1 for row in range(3) for i in range(20))
    places = [words.index(one) for row in range(3) for one in (f"m{row}", *(f"{row}.{i}" for i in range(20)))]
    assert places == sorted(places)  # a row stands in one piece, whatever its form


WIDE = ["method", "trials", "failed", f"nmse_db {INTERVAL}", f"encoder_growth {INTERVAL}", "said"]
RUNS = [
    ["vq ste commitment=0", 5, 0, Estimate(-1.5, -1.75, -1.25), Estimate(20.0, 10.0, 40.0), "not significant"],
    ["vq mste", 5, 0, Estimate(-2.5, -3.0, -2.0), Estimate(1.0, 0.5, 2.0), "better"],
]


def at(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    text = render(WIDE, RUNS)
    assert max(map(len, text.splitlines())) <= width
    return text.splitlines()


def test_columns_that_say_the_same_in_every_row_are_said_once(monkeypatch):
    lines = at(monkeypatch, 110)
    assert lines[:2] == ["in every row: trials 5; failed 0", ""]
    assert lines[2].split("  ")[0] == "method"
    assert "vq ste commitment=0  -1.5 [-1.75, -1.25]" in lines[4]
    assert "trials" in render(WIDE, RUNS[:1])  # of a single row no column is the same as elsewhere


def test_names_of_columns_take_several_lines_first_and_intervals_are_shortened_next(monkeypatch):
    lines = at(monkeypatch, 72)
    assert not any("encoder_growth" in line for line in lines)
    assert any("vq ste commitment=0  -1.5 [-1.75, -1.25]" in line for line in lines)
    lines = at(monkeypatch, 68)
    assert lines[1] == "± and [ ]: 95 % if normal"
    row = next(line for line in lines if line.startswith("vq ste"))
    assert "-1.5 ±0.25" in row
    assert "20 [10, 40]" in row  # as far below as above it is not
    assert "not significant" in row


def test_cells_take_several_lines_where_nothing_else_helps(monkeypatch):
    lines = at(monkeypatch, 56)
    begin = next(i for i, line in enumerate(lines) if line.startswith("vq ste"))
    assert lines[begin + 1].startswith("  commitment=0")  # set in: no row of its own
    assert not any(line.startswith("commitment") for line in lines)
    assert lines[-2].startswith("vq mste") or lines[-1].startswith("vq mste")


def test_a_record_a_row_at_last(monkeypatch):
    lines = at(monkeypatch, 30)
    begin = lines.index("vq mste")
    assert lines[begin + 1].split()[0] == "nmse_db"
    assert "in every row: trials 5; failed" in lines[0] + lines[1]


def test_columns_of_one_name_stay(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    text = render(["method", "seeds", "seeds", "what it is"], [["a" * 12, 5, 1, "x" * 9], ["b" * 12, 5, 1, "y" * 9]])
    assert "in every row" not in text


def test_a_file_gets_the_whole_table(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert render(WIDE, RUNS).splitlines()[2].split("  ")[0] == "vq ste commitment=0"
    assert "in every row" not in render(WIDE, RUNS)


def test_infinity_is_no_json_number():
    assert json.loads(render(["a"], [[float("inf")], [float("nan")]], "json")) == [{"a": "inf"}, {"a": None}]

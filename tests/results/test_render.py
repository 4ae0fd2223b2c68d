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
    assert all(f"{row}.{i}" in text for row in range(3) for i in range(20))
    blocks = text.split("\n\n")
    assert all(block.startswith("method") for block in blocks)


def test_infinity_is_no_json_number():
    assert json.loads(render(["a"], [[float("inf")], [float("nan")]], "json")) == [{"a": "inf"}, {"a": None}]

"""Tables that are malformed or hostile, given to every command that reads tables."""

import csv
import io
import random

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantbench.metrics import METRICS
from quantbench.points import Points
from quantbench.results.cells import guard, guarded, unguard, unguarded
from quantbench.results.schema import BY, COST, IDENTITY, MEASURED, NOTES, WHOLE
from quantbench.results.tables import curves_table, read_results, results_table, write
from tests.faults.tools import assert_told, call, files

COMMANDS = [
    ["diff", "a.csv", "b.csv"],
    ["diff", "a.csv", "b.csv", "--format", "markdown", "--by", "gradient"],
    ["diff", "b.csv", "a.csv", "--format", "json", "--metric", "mse,seconds"],
    ["transfer", "a.csv", "b.csv", "--metric", "mse"],
    ["transfer", "a.csv", "b.csv", "--by", "quantizer,quantizer.codes", "--format", "markdown"],
    ["rank", "a.csv", "b.csv", "--metric", "mse"],
    ["rank", "a.csv", "--by", "gradient", "--against", "ste", "--format", "json"],
    ["watch", "run", "--once"],
    ["watch", "live", "--once", "--format", "markdown"],
]
"""Each is given every table."""
ROWS = 20
PAGES = [
    ["report", "a.csv", "--output", "{out}/report.html"],
    ["report", "a.csv", "b.csv", "--metric", "mse", "--output", "{out}/report.html"],
    ["plot", "a.csv", "b.csv", "--output", "{out}"],
]
"""Commands that write pages and pictures, slower ones; each is given a folder to write into."""
COLUMNS = [*IDENTITY, "quantizer.codes", "quantizer.levels", *MEASURED, *NOTES, *COST]
FORMULAS = [
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+SUM(A1)",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "＝1",
    "'=1",
    "''=1",
    '=HYPERLINK("http://x","y")',
    "-x",
    "+",
    "-",
]
NUMBERS = [
    "0",
    "1",
    "-1.5",
    "1e-3",
    "+2",
    "1e999",
    "-inf",
    "9" * 400,
    "1e18",
    "1e308",
    "-1e308",
    "5e-324",
    "-9223372036854775809",
]
HOSTILE = [
    "nan",
    "NaN",
    "1_0",
    "0x10",
    '"',
    '""',
    '"open',
    "a\nb",
    "a\r\nb",
    "\x00",
    "\x1b]0;x\x07",
    "\x9b31m",
    "\u202e",
    "\ud7ff",
    "é" * 50,
    "x" * 5000,
    ",",
    ";",
    "|",
    "../../etc/passwd",
    "${oc.env:HOME}",
    "{0.__class__}",
    "%s%n",
    "True",
    "[1, 2]",
    "[[[",
    "{}",
    "null",
]

text = st.one_of(st.sampled_from(FORMULAS + HOSTILE), st.text(max_size=12))
number = st.one_of(st.sampled_from(NUMBERS), st.floats(allow_nan=False).map(str), st.integers(-3, 70).map(str))
SOUND = {
    "trial": st.integers(0, 40).map(lambda n: f"abc{n}-{n % 5}"),
    "status": st.sampled_from(["completed", "completed", "completed", "diverged", "failed", "skipped", ""]),
    "seed": st.integers(0, 4).map(str),
    "quantizer": st.sampled_from(["vq", "fsq", "rvq"]),
    "gradient": st.sampled_from(["ste", "mste"]),
}


def cell(name, how):
    """A cell as it should be, or extreme, or anything."""
    numeric = name in (*METRICS, *WHOLE, *COST) and name not in BY
    right = SOUND[name] if name in SOUND else st.integers(-50, 50).map(lambda n: str(n / 4)) if numeric else st.just("1")
    if how == "sound":
        return right
    if how == "extreme":
        return st.one_of(right, st.just(""), number if numeric else text) if name != "status" else right
    return st.one_of(number, text)


@st.composite
def tables(draw):
    """A results.csv as bytes: columns lost, doubled and mixed; cells of any kind; then bytes changed."""
    columns = draw(
        st.sampled_from([COLUMNS, list(reversed(COLUMNS)), ["trial", "status", "seed", "quantizer", "gradient", "mse"]])
    )
    if draw(st.integers(0, 9)) == 0:
        columns = draw(st.lists(st.one_of(st.sampled_from(COLUMNS), text), min_size=1, max_size=12))
    chosen = {}
    for name in dict.fromkeys([*SOUND, "mse", "nmse_db", "usage", "seconds", *columns[:6]]):
        how = "sound" if draw(st.integers(0, 3)) else draw(st.sampled_from(["extreme", "extreme", "extreme", "wild"]))
        chosen[name] = draw(st.lists(cell(name, how), min_size=ROWS, max_size=ROWS))
    rows = [[chosen[name][i] if name in chosen else "1" for name in columns] for i in range(ROWS)]
    out = io.StringIO()
    csv.writer(out).writerows([columns, *rows])
    content = out.getvalue().encode("utf-8", "surrogatepass")
    for _ in range(draw(st.integers(0, 9)) // 9 * draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        content = draw(
            st.sampled_from(
                [
                    content[:place],
                    content[:place] + b"\x00\xff\n" + content[place:],
                    content[:place] + content[place + 1 :],
                    content[:place] + b'"' + content[place:],
                    content[:place] + b"," * 50 + content[place:],
                    content[::-1],
                ]
            )
        )
    return content


def check(folder, a, b, commands=COMMANDS):
    """Give the tables to all commands: as files, as the table of a run, and as the plan of one that runs."""
    for name, content in (
        ("a.csv", a),
        ("b.csv", b),
        ("run/results.csv", a),
        ("live/journal/plan.csv", a),
        ("live/journal/x.json", b),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    before = files(folder)
    written = folder.with_name(f"{folder.name}-out")
    written.mkdir(exist_ok=True)
    for words in commands:
        words = [word.format(out=written) for word in words]
        code, out, err = call([str(folder / word) if (folder / word).exists() else word for word in words])
        assert_told(code, out, err)
        assert not set(out + err) & set("\x1b\x07\x00\x9b"), "a terminal would obey this"
    assert files(folder) == before


SETTINGS = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True, "database": None}


@settings(max_examples=8, **SETTINGS)
@given(a=tables(), b=tables())
def test_160_rows_of_nonsense(tmp_path_factory, a, b):
    check(tmp_path_factory.mktemp("tables"), a, b)


@settings(max_examples=2, **SETTINGS)
@given(a=tables(), b=tables())
def test_pages_and_pictures_of_nonsense(tmp_path_factory, a, b):
    check(tmp_path_factory.mktemp("tables"), a, b, PAGES)


@pytest.mark.slow
@settings(max_examples=250, **SETTINGS)
@given(a=tables(), b=tables())
def test_pages_and_pictures_of_10000_rows_of_nonsense(tmp_path_factory, a, b):
    check(tmp_path_factory.mktemp("tables"), a, b, PAGES)


@pytest.mark.slow
@settings(max_examples=250, **SETTINGS)
@given(a=tables(), b=tables())
def test_10000_rows_of_nonsense(tmp_path_factory, a, b):
    check(tmp_path_factory.mktemp("tables"), a, b)


def damaged_parquet(chance, content):
    """A Parquet file with bytes changed, cut, or doubled."""
    content = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        place = chance.randrange(len(content))
        content[place] = chance.randrange(256)
    place = chance.randrange(len(content))
    return bytes(chance.choice([content, content, content[:place], content[:place] + content[place // 2 :], content[place:]]))


def check_parquet(folder, times):
    pytest.importorskip("pyarrow")
    rows = [
        {"trial": f"{one}-{seed}", "status": "completed", "seed": seed, "quantizer": one, "gradient": "ste", "mse": 1.0 + seed}
        for one in ("vq", "fsq", "rvq")
        for seed in range(3)
    ]
    write(results_table(rows, []), folder / "sound.parquet")
    content, chance = (folder / "sound.parquet").read_bytes(), random.Random(0)
    for _ in range(times):
        (folder / "bad.parquet").write_bytes(damaged_parquet(chance, content))
        for words in (["diff", "sound", "bad", "--metric", "mse"], ["rank", "bad", "--metric", "mse"]):
            assert_told(*call([str(folder / f"{word}.parquet") if word in ("sound", "bad") else word for word in words]))


def test_20_damaged_parquet_files(tmp_path):
    check_parquet(tmp_path, 20)


@pytest.mark.slow
def test_1000_damaged_parquet_files(tmp_path):
    check_parquet(tmp_path, 1000)


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null", "/proc/self/mem", "/proc/self", "missing.csv"])
def test_files_that_are_none(command, tmp_path, name):
    """In processes of their own: some have no end."""
    for words in (["diff", name, name], ["transfer", name, name]):
        process = command(*words, cwd=tmp_path)
        assert_told(process.wait(), *process.communicate())
        assert process.returncode == 2


@settings(max_examples=200, **SETTINGS)
@given(st.one_of(st.sampled_from(FORMULAS + NUMBERS + HOSTILE), st.text(), st.text("'=+-@\t1.ax", max_size=6)))
def test_guarded_text_is_no_formula_and_comes_back(one):
    assert unguard(guard(one)) == one
    written = guard(one)
    assert not written.startswith(("=", "@", "\t", "\r"))
    if written.startswith(("+", "-")):
        assert not set(written.lower()) & set("abcdfghjklmopqrsuvwxyz(|!") or abs(float(written)) >= 0 or "nan" in written


@pytest.mark.parametrize("one", ["-1.5", "+2", "-1e-5", "-2.35 [-2.73, -1.97]", "-inf", "vq", "", "a=b"])
def test_numbers_and_plain_text_stay_as_they_are(one):
    assert guard(one) == one


def test_tables_on_disk_hold_no_formula_and_read_back(tmp_path):
    rows = [
        {
            "trial": f"a-{i}",
            "experiment": one,
            "status": "failed",
            "error": one,
            "seed": -i,
            "quantizer": "vq",
            "gradient": "ste",
            "mse": -1.5 * i,
            "simulator.folder": one,
        }
        for i, one in enumerate(FORMULAS)
    ]
    write(results_table(rows, ["simulator.folder"]), tmp_path / "results.csv")
    write(curves_table([("a-1", Points((0, one, -1.5) for one in FORMULAS))]), tmp_path / "curves.csv")
    table = read_results(tmp_path)
    for name in ("experiment", "error", "simulator.folder"):
        assert list(table[name]) == FORMULAS
    assert list(table["seed"]) == [-i for i in range(len(FORMULAS))]
    assert list(table["mse"]) == [-1.5 * i for i in range(len(FORMULAS))]
    for name in ("results.csv", "curves.csv"):
        raw = pd.read_csv(tmp_path / name, dtype=str, keep_default_na=False)
        formulas = [one for one in raw.to_numpy().flatten() if one[:1] in ("=", "@", "\t", "\r")]
        formulas += [one for one in raw.to_numpy().flatten() if one[:1] in ("+", "-") and set(one) & set("SUMcmdx|")]
        assert not formulas
    assert (tmp_path / "curves.csv").read_text().count("-1.5\n") == len(FORMULAS)
    pd.testing.assert_frame_equal(unguarded(guarded(table)), table)


def test_csv_output_holds_no_formula(tmp_path):
    for name, mse in (("a", 1.0), ("b", 0.5)):
        rows = [
            {
                "trial": f"{one}-{seed}",
                "experiment": "x",
                "status": "completed",
                "seed": seed,
                "quantizer": one,
                "gradient": "ste",
                "mse": mse + seed,
            }
            for one in FORMULAS
            for seed in range(3)
        ]
        write(results_table(rows, []), tmp_path / f"{name}.csv")
    code, out, err = call(["diff", str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--metric", "mse", "--format", "csv"])
    assert code == 0, err
    table = pd.read_csv(io.StringIO(out), dtype=str, keep_default_na=False)
    assert list(table["method"].map(unguard)) == [f"{one} ste" for one in FORMULAS]
    assert not [one for one in table["method"] if one[:1] in ("=", "@", "\t", "\r")]
    assert list(table["B - A"]) == ["-0.5"] * len(FORMULAS)

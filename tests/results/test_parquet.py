import pandas as pd
import pytest

from quantbench.errors import ConfigError
from quantbench.install import how_to_install
from quantbench.results import load as loading
from quantbench.results import parquet
from quantbench.results.tables import read_results

GRID = ["-m", "gradient=ste,mste", "seed=0,1"]


def test_the_same_tables_in_either_format(small_run):
    csv, packed = small_run(*GRID), small_run(*GRID, "--format", "parquet")
    assert sorted(path.name for path in packed.iterdir()) == [
        "columns.json",
        "curves.parquet",
        "environment.json",
        "results.parquet",
        "sweep.yaml",
    ]
    one, other = loading.load(csv), loading.load(packed)
    cost = ["seconds", "cpu_seconds", "step_seconds", "peak_memory_mb", "run"]
    pd.testing.assert_frame_equal(one.results.drop(columns=cost), other.results.drop(columns=cost), check_categorical=False)
    pd.testing.assert_frame_equal(
        one.curves.drop(columns="run").astype({"metric": str}),
        other.curves.drop(columns="run").astype({"metric": str, "trial": str}),
    )


def test_every_command_reads_it(small_run, quantbench):
    folder = small_run(*GRID, "--format=parquet")
    for words in (["rank", folder], ["diff", folder, folder], ["watch", folder], ["rank", folder / "results.parquet"]):
        code, out, err = quantbench(*map(str, words))
        assert (code, err) == (0, "")
        assert "mste" in out
    code, out, _ = quantbench("resume", str(folder))
    assert "complete, nothing to resume" in out


def test_settings_of_numbers_and_text(tmp_path):
    table = pd.DataFrame({"quantizer.levels": [4, "[3, 5]", None], "mse": [0.1, 0.2, 0.3]})
    parquet.write(table, tmp_path / "a.parquet")
    assert list(parquet.read(tmp_path / "a.parquet")["quantizer.levels"].fillna("")) == ["4", "[3, 5]", ""]


def test_empty_cells_are_none(tmp_path):
    table = pd.DataFrame({"error": ["why", None, ""], "nothing": [None, "", None], "mse": [0.1, None, 0.3]})
    parquet.write(table, tmp_path / "a.parquet")
    found = parquet.read(tmp_path / "a.parquet")
    assert found["error"].isna().tolist() == [False, True, True]
    assert found["nothing"].isna().all()
    assert found["mse"].isna().tolist() == [False, True, False]


def test_what_is_no_table(tmp_path, quantbench):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(ConfigError, match="cannot be read as a results"):
        read_results(tmp_path / "a.parquet")
    code, _, err = quantbench("run", "dry_run=true", "--format", "xlsx")
    assert code == 2
    assert "format=xlsx: must be csv or parquet" in err


def test_without_the_package(quantbench, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _, err = quantbench("run", "dry_run=true", "format=parquet")
    assert code == 2
    assert how_to_install("parquet") in err

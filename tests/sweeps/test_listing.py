import json
import subprocess
import sys

import pytest

from quantbench.sweeps import choice_files, kept, listing


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    choice_files._ours.cache_clear()
    return tmp_path / "cache" / "quantbench"


def test_the_table_of_pairs_is_kept(cache, monkeypatch):
    first = listing.pairs(None)
    assert "ste" in [row[0] for row in first]
    (file,) = cache.glob("pairs-*")
    assert json.loads(file.read_text())["found"] == first
    monkeypatch.setattr(listing, "_find_pairs", lambda folder: [["other", "", ""]])
    assert listing.pairs(None) == first
    monkeypatch.setattr(kept, "__version__", "another")  # as any change of code would
    assert listing.pairs(None) == [["other", "", ""]]


@pytest.mark.parametrize("content", [b"", b"garbage", b"{}", b"\xff\xfe", b'{"found": {}, "checksum": "0"}'])
def test_a_damaged_cache_is_made_anew(cache, quantbench, content):
    assert quantbench("run", "dry_run=true")[0] == 0
    assert listing.pairs(None)
    files = list(cache.iterdir())
    assert len(files) == 2
    for file in files:
        file.write_bytes(content)
    choice_files._ours.cache_clear()
    code, _, err = quantbench("run", "dry_run=true")
    assert code == 0, err
    assert listing.pairs(None)
    assert {json.loads(file.read_text())["checksum"] for file in files} != {"0"}


def test_a_listing_from_the_cache_does_without_torch(cache):
    listing.pairs(None)
    code = "import sys; from quantbench.sweeps.listing import listing; listing(); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_a_cache_that_cannot_be_written_is_done_without(cache):
    cache.parent.mkdir()
    cache.write_text("a file where the folder would be")
    assert listing.pairs(None)


def test_choices_of_the_users_own_are_looked_at_every_time(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "_find_pairs", lambda folder: [[f"pairs of {folder}"]])
    assert listing.pairs(tmp_path) == [[f"pairs of {tmp_path}"]]
    assert not cache.exists()


def test_choices_for_machines(quantbench, monkeypatch):
    code, out, _ = quantbench("list", "loss", "--format", "json")
    assert code == 0
    assert [row["choice"] for row in json.loads(out)] == ["audio", "audio_adversarial", "callable", "mse"]
    assert quantbench("list", "--format", "csv")[1].splitlines()[0] == "group,choice,description"


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "gradient").mkdir()
    return tmp_path


def test_a_choice_that_is_no_text_is_named(own, quantbench):
    (own / "gradient" / "bin.yaml").write_bytes(b"_target_: \xff\xfe\n")
    for words in (["list"], ["list", "gradient"], ["list", "gradient", "--format", "csv"], ["run", "gradient=bin"]):
        code, _, err = quantbench(*words, "--config-dir", str(own))
        assert code == 2
        assert "bin.yaml: cannot be read" in err
        assert "Traceback" not in err


def test_a_class_whose_module_ends_the_program_is_named(own, quantbench):
    (own / "leaves.py").write_text("raise SystemExit(3)\n")
    (own / "gradient" / "leaves.yaml").write_text("_target_: leaves.Gone\n")
    for words in (["list"], ["run", "gradient=leaves"]):
        code, _, err = quantbench(*words, "--config-dir", str(own))
        assert code == 2
        assert "leaves.Gone: cannot be loaded (SystemExit(3))" in err

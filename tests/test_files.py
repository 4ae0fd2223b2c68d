import os

import pytest

from quantbench.errors import QuantBenchError
from quantbench.files import replace_file, replacing, write_cache, write_text


def test_a_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail(file):
        file.write("half")
        raise RuntimeError("no room")

    with pytest.raises(RuntimeError):
        replace_file(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    replace_file(path, lambda file: file.write(b"new"), binary=True)
    assert path.read_bytes() == b"new"


def test_what_writes_by_name_replaces_in_one_step_too(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_crash_or_a_stranger_left_is_written_over_not_through(tmp_path):
    path, precious = tmp_path / "a.txt", tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "a.txt.partial").symlink_to(precious)
    write_text(path, "new")
    assert path.read_text() == "new"
    assert not path.is_symlink()
    assert precious.read_text() == "mine"


def test_two_writers_of_a_cache_are_not_in_each_others_way(tmp_path):
    path = tmp_path / "cache" / "a"

    def first(file):
        file.write(b"first")
        write_cache(path, lambda other: other.write(b"second"))
        assert path.read_bytes() == b"second"

    write_cache(path, first)
    assert path.read_bytes() == b"first"
    assert list(path.parent.iterdir()) == [path]
    assert path.parent.stat().st_mode & 0o077 == 0


def test_a_text_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(QuantBenchError, match=r"a.txt: cannot be written \(No such file"):
        write_text(tmp_path / "missing" / "a.txt", "text")


@pytest.mark.parametrize("durable", [True, False])
def test_only_what_must_be_is_waited_for(tmp_path, monkeypatch, durable):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    replace_file(tmp_path / "a", lambda file: file.write("x"), durable=durable)
    assert synced == ([str(tmp_path / "a.partial"), str(tmp_path)] if durable else [])


def test_a_pipe_stays_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        replace_file(tmp_path / "pipe", lambda file: file.write("x"))
    assert (tmp_path / "pipe").is_fifo()

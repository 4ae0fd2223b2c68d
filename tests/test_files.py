import os

import pytest

from quantbench.files import replace_file


def test_a_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "a.txt"
    replace_file(path, lambda file: file.write("old"))

    def fail(file):
        file.write("half")
        raise RuntimeError("no room")

    with pytest.raises(RuntimeError):
        replace_file(path, fail)
    assert path.read_text() == "old"
    replace_file(path, lambda file: file.write(b"new"), binary=True)
    assert path.read_bytes() == b"new"


def test_a_pipe_stays_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        replace_file(tmp_path / "pipe", lambda file: file.write("x"))
    assert (tmp_path / "pipe").is_fifo()

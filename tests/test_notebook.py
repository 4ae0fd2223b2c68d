import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "session.ipynb"


@pytest.mark.slow
def test_the_session_runs_and_shows_what_the_page_shows(monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    before = [[sorted(output.get("data", {"text": 0})) for output in cell.get("outputs", [])] for cell in notebook.cells]
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": NOTEBOOK.parent}}).execute()  # raises on an error
    after = [[sorted(output.get("data", {"text": 0})) for output in cell.get("outputs", [])] for cell in notebook.cells]
    assert after == before

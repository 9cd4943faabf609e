"""The notebooks run as they are, against a real server with real runs in its record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from control_plane.cli.embedded import embedded
from control_plane.settings import load
from runtime.data.folder import DataFolder
from runtime.journal.sqlite import SqliteReader
from runtime.playbook.starter import write_starter
from runtime.record.access import await_caught_up
from trimtab import Client

EXPERIMENT = {
    "kind": "experiment", "playbook": "hello", "step": "greet", "knob_class": "batch",
    "objective": "time", "diff": [{"knob": "each.batch", "from": 5, "values": [8, 10]}],
    "base": {"each.batch": 5}, "evidence": {"support": 0.0}, "predicted": {},
}  # fmt: skip
NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataFolder]:
    root = tmp_path_factory.mktemp("notebooks")
    folder = DataFolder(root / "data")
    flags = {"server.port": 0, "workers.slots": 2, "optimize.cron": ""}
    settings, sources = load(folder, {}, flags)
    folder.prepare()
    playbook = write_starter(root / "hello")[0]
    with embedded(folder, settings, sources, record=True), Client(data=folder.root) as client:
        path = client.register(playbook)["path"]
        for _ in range(3):
            assert client.wait(client.submit(path)["run"], 60)["state"] == "completed"
        client.propose(EXPERIMENT)
        reader = SqliteReader.open(folder.journal)
        await_caught_up(folder, reader.heads(), 240)
        reader.close()
        yield folder


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_from_its_first_cell_to_its_last(
    path: Path, folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIMTAB_DATA", str(folder.root))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = [cell["outputs"] for cell in notebook.cells if cell["cell_type"] == "code"]
    assert all(outputs), "every cell shows something"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") for cell in cells)

"""The notebooks, executed by a real kernel that is killed, on a drive without hard links."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from PIL import Image

import ardm
from ardm.checkpoint import checkpoints
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests import drive

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[1] / "notebooks"
SMOKE = FOLDER.parent / "jobs" / "smoke.yaml"

STEPS = 200
TINY = ["training={steps: 4, warmup: 2}", "model.net.channels=16"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store on a mounted drive without hard links, as in Colab."""
    if reason := drive.why_not():
        pytest.skip(reason)
    with drive.mounted(tmp_path / "cloud", tmp_path / "My Drive", "--lag", "0.2") as mount:
        yield Store(str(mount / "runs"))


class Tab:
    """A notebook that is executed with other cells in place of some, as by a reader."""

    def __init__(self, name: str, folder: Path, **cells: str) -> None:
        self.notebook = nbformat.read(FOLDER / name, as_version=4)
        for cell in self.notebook.cells:
            for tag in cell.metadata.get("tags", ()):
                cell.source = cells.get(tag, cell.source)
            cell.source = cell.source.replace("images=1000", "images=64")
        self.error: Exception | None = None
        where = {"metadata": {"path": str(folder)}}
        self._client = NotebookClient(self.notebook, timeout=300, resources=where)

    def execute(self) -> None:
        try:
            self._client.execute()
        except (CellExecutionError, DeadKernelError) as error:
            self.error = error

    def outputs(self, tag: str) -> list[Any]:
        """The outputs of the cell with a tag."""
        (cell,) = [c for c in self.notebook.cells if tag in c.metadata.get("tags", ())]
        return list(cell.outputs)

    def shows(self, tag: str, kind: str) -> str:
        """What a cell shows of a kind, such as `image/png`."""
        found = [
            output.data[kind] for output in self.outputs(tag) if kind in output.get("data", {})
        ]
        assert found, f"{tag} shows no {kind}: {self.outputs(tag)}"
        return str(found[-1])


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 200
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def saved(run: Run, attempt: int) -> bool:
    return any(place.attempt == attempt for place in checkpoints.committed(run))


def test_a_run_survives_a_second_tab_and_a_killed_kernel(store: Store, tmp_path: Path) -> None:
    run = Run(store, "digits")
    changes = [f"training.steps={STEPS}", "evaluation={every: 150, images: 16, final_images: 16}"]
    cells = {
        "parameters": f'SOURCE = ""\nSTORE = {store.uri!r}\nRUN = "digits"',
        "job": f'job = ardm.load_job("{SMOKE}", {[*changes, "checkpoint.interval=0.3"]})',
    }

    def begun() -> tuple[Tab, threading.Thread]:
        tab = Tab("ardm.ipynb", tmp_path, **cells)
        thread = threading.Thread(target=tab.execute)
        thread.start()
        return tab, thread

    older, first = begun()
    wait_until(lambda: saved(run, 1))
    newer, second = begun()
    first.join()
    assert isinstance(older.error, CellExecutionError)
    (said,) = [o for o in older.outputs("train") if o.output_type == "error"]
    (line,) = said.traceback
    assert line.startswith("Superseded: ")
    assert "attempt 2 holds the run" in line or "a newer attempt holds the run" in line

    wait_until(lambda: saved(run, 2))
    os.kill(run.read_claim(2)["pid"], signal.SIGKILL)
    second.join()
    assert isinstance(newer.error, DeadKernelError)

    again = Tab("ardm.ipynb", tmp_path, **cells)
    again.execute()
    assert again.error is None
    page = again.shows("train", "text/html")
    assert f"step {STEPS} of {STEPS}" in page
    assert page.count("data:image/png;base64,") == 2
    for tag in ("sample", "inpaint", "policy"):
        again.shows(tag, "image/png")

    found = ardm.open_run("digits", store=store.uri).status()
    assert found["attempts"][0]["outcome"] == "superseded"
    assert len(found["attempts"]) == 3
    job = ardm.load_job(SMOKE, changes)
    whole = ardm.train(job, run="whole", store=str(tmp_path / "undisturbed"))
    assert found["digest"] == whole.status()["digest"]


def test_own_images_train_and_are_drawn(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(60):
        values = np.random.default_rng(number).integers(0, 255, (8, 8), np.uint8)
        Image.fromarray(values).save(images / f"{number}.png")
    cells = {
        "parameters": f'SOURCE = ""\nSTORE = {str(tmp_path / "runs")!r}\n'
        f'IMAGES = {str(images)!r}\nRUN = "mine"',
        "job": f"job = ardm.parse_job(text, {TINY})",
    }
    tab = Tab("your_images.ipynb", tmp_path, **cells)
    tab.execute()
    assert tab.error is None
    assert "8x8 pixels" in tab.outputs("propose")[0].text
    assert "train" in tab.outputs("data")[0].text
    tab.shows("sample", "image/png")


def test_without_ardm_and_a_source_the_cell_says_what_to_do(tmp_path: Path) -> None:
    tab = Tab("ardm.ipynb", tmp_path, parameters='SOURCE = ""\nSTORE = "runs"\nRUN = "x"')
    install = next(cell for cell in tab.notebook.cells if "find_spec" in cell.source)
    assert 'importlib.util.find_spec("ardm") is None' in install.source
    install.source = install.source.replace('importlib.util.find_spec("ardm") is None', "True")
    tab.execute()
    assert "set SOURCE in the cell above" in str(tab.error)

"""docs/notebook.ipynb: it runs from top to bottom, and the outputs that are committed are an honest run's.

After a change, `python tests/explorer/api/test_notebook.py` runs it and writes its outputs. Figures then come as PNG,
too, for pages that draw no plotly, so a Chrome or Chromium must be there.
"""

from __future__ import annotations

import base64
import io
import os
import re
import sys
import tempfile
from copy import deepcopy
from pathlib import Path

import nbformat
import numpy as np
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/notebook.ipynb"
SMALLER = {"steps=20": "steps=4", '"eval_every": 10': '"eval_every": 2'}
SMALLER |= {"fpn_r18:mbv3s": "fpn:tu-test_resnet>segformer:tu-test_efficientnet"}


def execute(notebook, folder):
    """Run it in a kernel of its own, in a folder where nothing is yet."""
    options = {"timeout": 500, "record_timing": False, "resources": {"metadata": {"path": str(folder)}}}
    NotebookClient(notebook, kernel_manager_class=WarmKernel, **options).execute()
    return notebook


class WarmKernel(AsyncKernelManager):
    """A kernel that starts warm, where the tests run."""

    def format_kernel_cmd(self, extra_arguments=None):
        command = super().format_kernel_cmd(extra_arguments)
        start = "from ipykernel.kernelapp import launch_new_instance; launch_new_instance()"
        return [os.environ.get("WARM_PYTHON", sys.executable), "-c", start, *command[command.index("-f") :]]


def smaller(notebook):
    """The same, with smaller networks that are trained for fewer steps."""
    for cell in notebook.cells:
        for longer, shorter in SMALLER.items():
            cell.source = cell.source.replace(longer, shorter)
    return notebook


def environment(folder):
    """Ours comes first, the teachers' cache is empty, and Jupyter looks at no configuration of the user's."""
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "HETEROAKD_CACHE": str(folder / "cache"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "JUPYTER_CONFIG_DIR": str(folder / "jupyter"),
        "IPYTHONDIR": str(folder / "ipython"),
        "OMP_NUM_THREADS": "1",
    }


def outputs(notebook):
    """(source, its outputs) of every cell of code."""
    return [(cell.source, cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]


def kinds(notebook):
    """The kinds of what each cell shows, but pictures of figures, which not every machine can draw."""
    return [
        sorted({kind for output in found for kind in output.get("data", {"stream": ""})} - {"image/png", "image/jpeg"})
        for _, found in outputs(notebook)
    ]


@pytest.fixture(scope="module")
def committed():
    return nbformat.read(PAGE, 4)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(folder).items():
            patch.setenv(name, value)
        return execute(smaller(nbformat.read(PAGE, 4)), folder)


def shown(notebook, start):
    """The output of the cell that starts so."""
    (found,) = (found for source, found in outputs(notebook) if source.startswith(start))
    return found


@pytest.mark.xdist_group("notebook")
def test_it_runs_and_shows_what_the_committed_one_shows(executed, committed):
    assert kinds(executed) == kinds(committed)
    assert [cell.source for cell in executed.cells] == [cell.source for cell in smaller(deepcopy(committed)).cells]
    assert all(any(longer in cell.source for cell in committed.cells) for longer in SMALLER)


@pytest.mark.xdist_group("notebook")
def test_the_sweep_shows_its_lines_and_one_table_and_nothing_else(executed):
    found = shown(executed, "study = explorer.sweep")
    lines = "".join(output.text for output in found if output.output_type == "stream")
    assert re.fullmatch(r"teacher fpn:tu-test_resnet: 4 steps.*\nteacher fpn:tu-test_resnet: mIoU \d+\.\d\d %\n", lines)
    (table,) = (output.data for output in found if output.output_type == "display_data")
    assert re.search(r"<td>search</td><td>3</td><td>0</td><td>3</td>", table["text/html"])


@pytest.mark.xdist_group("notebook")
def test_the_best_trial_of_the_run_is_the_one_that_is_exported_and_predicts(executed):
    best = shown(executed, "study.best")[0].data["text/plain"]
    number = re.search(r"^number +(\d+)", best, re.MULTILINE)[1]
    assert f"trial {number}, " in shown(executed, "bundle =")[0].data["text/plain"]
    counts = [int(count) for count in re.findall(r": (\d+)", shown(executed, "from pathlib")[0].data["text/plain"])]
    assert len(counts) == 7
    assert sum(counts) == 128 * 128
    picture = base64.b64decode(shown(executed, "bundle.overlay")[0].data["image/png"])
    with Image.open(io.BytesIO(picture)) as over:
        assert np.asarray(over).shape == (256, 256, 3)


def test_the_committed_outputs_are_small_whole_and_of_no_machine(committed):
    assert PAGE.stat().st_size < 300_000
    text = PAGE.read_text()
    for sign in ("Traceback", "Warning", '"stderr"', "/tmp", "/home", "/root", str(ROOT)):
        assert sign not in text, sign
    assert [cell.execution_count for cell in committed.cells if cell.cell_type == "code"] == list(
        range(1, len(outputs(committed)) + 1)
    )
    assert all(found for source, found in outputs(committed) if source != "import explorer")
    assert "image/png" in shown(committed, "study.figure")[0].data


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        os.environ |= {**environment(Path(place)), "PLOTLY_RENDERER": "plotly_mimetype+png"}
        page = execute(nbformat.read(PAGE, 4), place)
    for _, results in outputs(page):
        for result in results:
            result.get("data", {}).pop("image/jpeg", None)
    nbformat.write(page, PAGE)

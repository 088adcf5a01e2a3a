"""Every module of ours can be the first that a process imports.

Two things could make a module hang on another having been imported before it. A circle of imports: the graph of all our
imports has none. And a library built on torchvision (it, timm, segmentation-models-pytorch, torchmetrics,
transformers), which does not load beside a CPU build of PyTorch before `trainables.torchvision_cure`. So each module
that names one is imported first of all, in a fork of one bare interpreter that holds PyTorch and other libraries. There
an empty stand-in takes the library's place, and refuses to come before the cure; the cure itself is at work in one fork
without stand-ins. In which order libraries of others can be imported, this does not show.
"""

from __future__ import annotations

import graphlib
import json
import os
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
WHOLE = "=trainables.models.build"
"""With the libraries themselves, torchvision among them."""
PACKAGES = ("trainables", "explorer", "search_spaces", "dashboards")
CURED = ("torchvision", "timm", "segmentation_models_pytorch", "torchmetrics", "transformers")
CODE = """
import contextlib, gc, importlib, importlib.abc, importlib.machinery, json, os, sys, traceback, types

names = json.loads(sys.stdin.read())
CURED = json.loads(sys.argv[2])
for library in ("torch", "torch.export", "pandas", "optuna", "scipy.stats", "sklearn.ensemble", "ray.tune",
                "rich.table", "typer", "PIL.Image", "safetensors.torch", "jaxtyping",
                "plotly.graph_objects", "dash", "cmaes"):
    with contextlib.suppress(ImportError):  # of an extra, or one that is not needed for long
        importlib.import_module(library)
early = [name for name in sys.modules if name.partition(".")[0] in (*CURED, *json.loads(sys.argv[1]))]
assert early == [], early


class StandIn(types.ModuleType):
    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class Cured(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in CURED:
            return None
        if "trainables.torchvision_cure" not in sys.modules:
            raise RuntimeError(f"{name} is imported before trainables.torchvision_cure")
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return StandIn(spec.name)

    def exec_module(self, module):
        pass


def first(name, out):
    try:
        if not name.startswith("="):
            sys.meta_path.insert(0, Cured())
        importlib.import_module(name.lstrip("="))
    except BaseException:
        os.write(out, traceback.format_exc()[-2000:].encode())


gc.freeze()  # else a fork's collections would copy all that is shared
gc.disable()
failed = {}
for name in names:
    back, out = os.pipe()
    child = os.fork()
    if child == 0:
        first(name, out)
        os._exit(0)
    os.close(out)
    with os.fdopen(back) as said:
        text = said.read()
    if os.waitpid(child, 0)[1] or text:
        failed[name] = text or "died"
print(json.dumps(failed))
"""
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no os.fork here")


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """What each module of ours imports, anywhere in its text."""
    graph = grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)
    ours = [name for name in graph.modules if name.partition(".")[0] in PACKAGES]
    return {name: graph.find_modules_directly_imported_by(name) for name in ours}


@pytest.fixture(scope="module")
def failed(imports, tmp_path_factory) -> dict[str, str]:
    """What went wrong, by module: of ours, and of two made here."""
    folder = tmp_path_factory.mktemp("made")
    made = {"too_early": "import torchmetrics", "in_time": "from trainables import data\nimport timm"}
    for name, text in made.items():
        (folder / f"{name}.py").write_text(text)
    names = [*(name for name, others in imports.items() if others & {*CURED}), *PACKAGES, *made, WHOLE]
    assert len(names) > 12
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE, json.dumps(PACKAGES), json.dumps(CURED)],
        input=json.dumps(names), text=True, capture_output=True, check=True,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    found: dict[str, str] = json.loads(run.stdout.splitlines()[-1])
    return found


def test_no_module_imports_itself_by_way_of_others(imports):
    assert len(imports) > 250
    graphlib.TopologicalSorter({name: others & imports.keys() for name, others in imports.items()}).prepare()


def test_every_module_that_names_a_library_on_torchvision_can_be_the_first(failed):
    assert {name: why for name, why in failed.items() if name != "too_early"} == {}


def test_a_module_that_comes_before_the_cure_would_be_found(failed):
    assert "torchmetrics is imported before trainables.torchvision_cure" in failed["too_early"]


def test_networks_come_first_with_the_libraries_themselves(failed):
    assert WHOLE not in failed

"""The Triton kernels in Triton's interpreter, on the CPU, against the plain form; and compiled for a GPU."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

DRIVER = Path(__file__).with_name("triton_driver.py")
RUN = """
import contextlib, runpy, sys, warnings

warnings.simplefilter("error")
sys.argv = ["driver", what]
with open(out, "w") as file, contextlib.redirect_stdout(file):
    runpy.run_path(driver, run_name="__main__")
"""
pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed"),
    pytest.mark.xdist_group("fresh"),
]


@pytest.fixture
def run(fresh, tmp_path, monkeypatch):
    """Run the driver in a process of its own; what it prints."""

    def go(what):
        monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
        process = fresh(RUN, what=what, driver=str(DRIVER), out=str(tmp_path / "out.json"))
        process.join(240)
        assert process.exitcode == 0
        return json.loads((tmp_path / "out.json").read_text())

    return go


def test_interpreted_kernels_give_what_the_plain_form_gives(run, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    found = run("interpret")
    assert len(found["distances"]) == 9
    assert {name: far for name, far in found["distances"].items() if not far < 1e-5} == {}
    assert found["unlabelled"] == [0, 0, 0, 0]
    assert found["works"] is True


def test_kernels_compile_for_a_gpu_and_know_which_numbers_lie_side_by_side(run):
    """A tile of 32 classes x 64 pixels is 8 numbers a thread, of each map two loads of 4 (and two stores of each
    gradient) where pixels are side by side. In channels_last, CUDA's default, classes are: 19 in a row, which no 4
    divide, so that a warp's lanes must go along classes.
    """
    compiled = run("compile")
    assert [kernel["bytes"] > 0 for kernel in compiled.values()] == [True, True, True]
    found = {name: (kernel["wide"], kernel["lanes"]) for name, kernel in compiled.items()}
    assert found == {"forward": (4, 1), "backward": (8, 1), "forward, channels_last": (0, 0)}

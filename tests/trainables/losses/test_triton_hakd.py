"""The Triton kernels in Triton's interpreter, on the CPU, against the plain form; and compiled for a GPU."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).with_name("triton_driver.py")
pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")


def run(what, tmp_path, **env):
    """A process takes seconds to import PyTorch and Triton: one does it all."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(DRIVER), what],
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), "TRITON_CACHE_DIR": str(tmp_path), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_interpreted_kernels_give_what_the_plain_form_gives(tmp_path):
    found = run("interpret", tmp_path, TRITON_INTERPRET="1")
    assert len(found["distances"]) == 8
    assert {name: far for name, far in found["distances"].items() if not far < 1e-5} == {}
    assert found["unlabelled"] == [0, 0, 0, 0]
    assert found["works"] is True


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return run("compile", tmp_path_factory.mktemp("compiled"))


def test_kernels_compile_for_a_gpu(compiled):
    assert [kernel["bytes"] > 0 for kernel in compiled.values()] == [True, True, True]


def test_a_launch_knows_which_numbers_lie_side_by_side(compiled):
    """A tile of 32 classes x 64 pixels is 8 numbers a thread, of each map two loads of 4 (and two stores of each
    gradient) where pixels are side by side. In channels_last, CUDA's default, classes are: 19 in a row, which no 4
    divide, so that a warp's lanes must go along classes.
    """
    found = {name: (kernel["wide"], kernel["lanes"]) for name, kernel in compiled.items()}
    assert found == {"forward": (4, 1), "backward": (8, 1), "forward, channels_last": (0, 0)}

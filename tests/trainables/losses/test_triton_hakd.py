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


def test_kernels_compile_for_a_gpu(tmp_path):
    assert all(size > 0 for size in run("compile", tmp_path).values())

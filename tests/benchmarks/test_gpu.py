"""`make bench-gpu` on a machine without a GPU: what guards its sections, and that they need little to run."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ABSENT = ("ray", "optuna", "plotly", "pandas", "dash", "sklearn", "pyarrow", "onnx")


@pytest.fixture(scope="module")
def load():
    """A benchmark's module; they stand beside each other on the path, as when one is run."""
    sys.path.insert(0, str(BENCHMARKS))

    def loaded(name):
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    before = set(sys.modules)
    yield loaded
    sys.path.remove(str(BENCHMARKS))
    for name in {"slices", "cuda_tests", "gpu"} - before:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def slices(load):
    return load("slices")


def part(slices, name, code, seconds=20.0, **fields):
    """Of Python lines; `write(**row)` appends a row."""
    write = "import json, sys\ndef write(**row): open(sys.argv[1], 'a').write(json.dumps(row) + '\\n')\n"
    return slices.Part(name, [sys.executable, "-c", write + code], seconds, **fields)


def test_a_section_that_fails_is_said_to_have_and_the_others_run(slices):
    parts = [
        part(slices, "raises", "write(case='one', rate=1)\nraise ValueError('no such\\nkernel')"),
        part(slices, "dies", "import os\nos.kill(os.getpid(), 11)"),
        part(slices, "silent", "pass"),
        part(slices, "absent", "raise SystemExit('must not run')", needs="CUDA"),
        part(slices, "lacking", "write(case='one', needs='Triton')"),
        part(slices, "wrong", "write(case='a', rate=1)\nwrite(case='b', problem='off by 2.')\nwrite(case='c', rate=3)"),
        part(slices, "sound", "write(case='one', rate=7)\nwrite(case='two', needs='Triton')"),
    ]
    found = {one.name: one for one in slices.run(parts)}
    assert {name: (one.state, one.reason) for name, one in found.items()} == {
        "raises": ("failed", "it ended with 1. kernel"),
        "dies": ("failed", "it died of SIGSEGV."),
        "silent": ("failed", "it measured nothing."),
        "absent": ("skipped", "needs CUDA"),
        "lacking": ("skipped", "needs Triton"),
        "wrong": ("failed", "b: off by 2."),
        "sound": ("done", None),
    }
    assert found["raises"].rows == [{"case": "one", "rate": 1}]
    assert len(found["wrong"].rows) == 3


def test_one_that_runs_over_is_ended_with_its_children_and_what_it_had_is_kept(slices, tmp_path):
    child = f"import os, time\nopen({str(tmp_path / 'child')!r}, 'w').write(str(os.getpid()))\ntime.sleep(99)"
    code = (
        "import subprocess, time\nwrite(case='one', rate=1)\nopen(sys.argv[1], 'a').write('{\"case\": \"to')\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}])\ntime.sleep(99)"
    )
    (found,) = slices.run([part(slices, "slow", code, seconds=3.0)])
    assert (found.state, found.reason) == ("failed", "it ran over its 3 s.")
    assert found.rows == [{"case": "one", "rate": 1}]
    pid = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(pid)


def alive(pid):
    """A zombie is not: whoever reaps it may take its time."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_a_section_leaves_of_its_slice_the_next_may_use(slices, monkeypatch):
    given = []
    monkeypatch.setattr(slices, "_one", lambda part, *, within: given.append(within) or _done(slices, part))
    clock = iter([100.0, 100.0, 104.0, 130.0])  # the start, then as each part begins
    monkeypatch.setattr(slices.time, "monotonic", lambda: next(clock))
    slices.run([part(slices, name, "", seconds=s) for name, s in (("a", 10), ("b", 20), ("c", 5))], left=3)
    assert given == [13, 29, 8]


def _done(slices, part):
    return slices.Found(part.name, "done", None, 0.0, part.seconds, [])


def test_a_case_that_raises_stops_no_other(slices, tmp_path):
    def wants():
        raise slices.Needs("CUDA")

    cases = [
        ("bad", lambda: 1 / 0),
        ("absent", wants),
        ("two", lambda: [{"rate": 1}, {"rate": 2}]),
        ("good", lambda: {"rate": 3}),
    ]
    slices.write_cases(cases, tmp_path / "rows")
    assert [json.loads(line) for line in (tmp_path / "rows").read_text().splitlines()] == [
        {"case": "bad", "problem": "ZeroDivisionError: division by zero"},
        {"case": "absent", "needs": "CUDA"},
        {"case": "two", "rate": 1},
        {"case": "two", "rate": 2},
        {"case": "good", "rate": 3},
    ]


def test_all_slices_together_are_at_most_eight_minutes(load, slices):
    gpu = load("gpu")
    assert sum(gpu.SLICES_S.values()) <= gpu.LIMIT_S == 8 * 60


def test_failed_cuda_tests_are_counted_and_named(load, slices, tmp_path):
    """A file of five tests, of which two are wrong and one is skipped, as pytest itself reports it."""
    (tmp_path / "test_it.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): assert 0\n@pytest.fixture\ndef broken(): 1 / 0\n"
        "def test_c(broken): pass\ndef test_d(): pytest.skip()\ndef test_e(): pass\n"
    )
    report, counted = tmp_path / "report.xml", load("cuda_tests").counted
    asked = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", f"--junitxml={report}", "test_it.py"]
    bare = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    code = subprocess.run(asked, cwd=tmp_path, env=bare, capture_output=True, check=False).returncode
    names = ["test_it::test_b", "test_it::test_c"]
    assert counted(report, code, "") == {
        "passed": 2, "failed": 2, "skipped": 1, "failing": names, "problem": f"2 of 5 failed: {', '.join(names)}",
    }  # fmt: skip
    assert counted(tmp_path / "none.xml", 4, "usage: ...\nno such option\n") == {"problem": "no such option"}


def test_sections_import_and_run_without_ray_optuna_plotly_and_pandas(tmp_path):
    """All that sections import, and one of them run, where those packages cannot be imported."""
    script = (
        f"import runpy, sys\nsys.modules.update(dict.fromkeys({ABSENT!r}))\nsys.path.insert(0, {str(BENCHMARKS)!r})\n"
        "import kernel, loop, plain, scaling, sharing\nimport trainables.preflight.rehearsal\n"
        f"sys.argv = ['gpu_sections.py', 'kernels', '--smoke', {str(tmp_path / 'rows')!r}]\n"
        f"runpy.run_path({str(BENCHMARKS / 'gpu_sections.py')!r}, run_name='__main__')\n"
    )
    env = {**os.environ, "PYTHONPATH": str(BENCHMARKS.parent)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "rows").read_text().splitlines()]
    measured = {row["form"]: row["error"] for row in rows if "error" in row}
    assert {"lean", "plain"} <= measured.keys()
    assert all(error < 1e-5 for error in measured.values())
    assert not [row for row in rows if "problem" in row]

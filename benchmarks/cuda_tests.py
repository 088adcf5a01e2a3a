"""The tests of the suite that need a GPU, those marked `cuda`, run by pytest in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from slices import Row, one_line

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 55  # for all; a test has 45, and those that are left then do not run


def run() -> Row:
    files = sorted(
        path for path in (ROOT / "tests").rglob("test_*.py") if "mark.cuda" in path.read_text(encoding="utf-8")
    )
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        limits = ["--timeout=45", f"--session-timeout={LIMIT_S}"]
        quiet = ["-W", "default"]  # another torch warns of other things
        quiet += ["-q", "-p", "no:cacheprovider", "-p", "pytest_timeout", f"--junitxml={report}"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-m", "cuda", *limits, *quiet, *map(str, files)],
            cwd=ROOT,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        return counted(report, done.returncode, done.stdout + done.stderr)


def counted(report: Path, code: int, output: str) -> Row:
    """Of pytest's XML report: how many passed, failed, were skipped, and which failed.

    Args:
        output: what pytest printed: its last line says why there is no report.
    """
    if not report.exists():
        return {"problem": one_line((output.strip().splitlines() or [f"pytest ended with {code}."])[-1])}
    suite = ET.parse(report).getroot()
    cases = list(suite.iter("testcase"))
    bad = [one for one in cases if one.find("failure") is not None or one.find("error") is not None]
    skipped = sum(one.find("skipped") is not None for one in cases)
    failing = [f"{one.get('classname')}::{one.get('name')}" for one in bad]
    row: Row = {"passed": len(cases) - len(bad) - skipped, "failed": len(bad), "skipped": skipped, "failing": failing}
    if bad:
        row["problem"] = f"{len(bad)} of {len(cases)} failed: {', '.join(failing)}"
    elif code or skipped or not cases:
        row["problem"] = f"{len(cases)} tests, {skipped} of them skipped, and pytest ended with {code}."
    return row

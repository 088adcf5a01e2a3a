"""1,000 short trials on one machine: seconds a trial, the driver's memory as they pass, and what their page takes.

A trial reports nine mIoU and trains nothing, so that what is left is Ray Tune, Optuna, the bridge and the storage.
Run: `python benchmarks/thousand.py`; writes benchmarks/thousand.json.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna
import psutil
from ray import tune

from explorer.launch.cluster import connected
from explorer.launch.sweep import fit, open_bridge
from explorer.search.arms import open_arms
from explorer.study import StudySpec

STEPS, EVERY = 9, 100
OUT = Path(__file__).with_suffix(".json")


def trainable(params: dict[str, Any]) -> None:
    best = 0.5 * math.exp(-(math.log10(params["config"]["lambda_kd"] / 0.3) ** 2))
    for step in range(1, STEPS + 1):
        tune.report({"step": step, "miou": best * (1 - 0.5**step), "iou": [best], "seconds": float(step)})


class Memory(tune.Callback):
    """Resident memory of the driver, MiB, at every hundredth trial."""

    def __init__(self) -> None:
        self.done, self.mib = 0, {}

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        self.done += 1
        if self.done % EVERY == 0:
            self.mib[self.done] = round(psutil.Process().memory_info().rss / 2**20, 1)

    def __getstate__(self) -> dict[str, Any]:
        return {}


def dashboard_seconds(directory: Path) -> float:
    """From the command to the written page, in a process of its own."""
    started = time.perf_counter()
    command = [sys.executable, "-c", "from explorer.cli.app import main; main()", "dashboard", str(directory)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return round(time.perf_counter() - started, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}
    spec = StudySpec.parse(
        {
            "preset": "lambdas",
            "base": {"steps": STEPS, "eval_every": 1},
            "num_trials": trials,
            "grace_period": 2,
            "baseline_trials": 1,
        }
    )
    with tempfile.TemporaryDirectory() as folder, connected(None):
        directory = Path(folder)
        spec.save(directory)
        arms = open_arms(spec, directory, data_digest="none")
        memory = Memory()
        started = time.perf_counter()
        fit(open_bridge(spec, arms, root=folder), trainable, directory, {"cpu": 1}, 2, None, [memory])
        wall = time.perf_counter() - started
        found = arms["search"].trials()
        figures = {
            "trials": len(found),
            "results": sum(len(trial.intermediate_values) for trial in found),
            "states": {state: sum(t.state.name == state for t in found) for state in ("COMPLETE", "PRUNED", "FAIL")},
            "wall_s": round(wall, 1),
            "seconds_a_trial": round(wall / len(found), 3),
            "driver_mib": memory.mib,
            "dashboard_s": dashboard_seconds(directory),
            "page_mib": round((directory / "dashboard.html").stat().st_size / 2**20, 2),
            "journal_mib": round((directory / "study.journal").stat().st_size / 2**20, 2),
        }
    OUT.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()

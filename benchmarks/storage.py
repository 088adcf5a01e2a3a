"""What a suggestion and a result cost through the bridge, by storage: 30 trials of 9 steps under Hyperband.

Run: `python benchmarks/storage.py`; writes benchmarks/storage.json.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

import optuna

from explorer.arms import open_arms
from explorer.bridge import Bridge
from explorer.study import StudySpec

STEPS, TRIALS = 9, 30
OUT = Path(__file__).with_suffix(".json")


def measure(storage: str) -> dict[str, float]:
    """Milliseconds, median over the run."""
    spec = StudySpec.parse(
        {
            "preset": "lambdas",
            "base": {"steps": STEPS, "eval_every": 1},
            "num_trials": TRIALS,
            "grace_period": 1,
            "storage": storage,
        }
    )
    suggest, report = [], []
    with tempfile.TemporaryDirectory() as folder:
        arms = open_arms(spec, Path(folder), data_digest="none")
        bridge = Bridge([arms["search"]], grace=1, directory=Path(folder))
        for number in range(TRIALS):
            started = time.perf_counter()
            config = bridge.suggest(str(number))["config"]  # type: ignore[index]
            suggest.append(time.perf_counter() - started)
            for step in range(1, STEPS + 1):
                started = time.perf_counter()
                decision = bridge.report(str(number), {"step": step, "miou": step / (10 + config["lambda_kd"])})
                report.append(time.perf_counter() - started)
                if decision == "STOP":
                    break
    return {
        "suggestion_ms": round(1000 * statistics.median(suggest), 2),
        "result_ms": round(1000 * statistics.median(report), 2),
    }


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    figures = {storage: measure(storage) for storage in ("journal", "sqlite")}
    OUT.write_text(json.dumps(figures, indent=1) + "\n")
    for storage, costs in figures.items():
        print(f"{storage:8} suggestion {costs['suggestion_ms']:7.2f} ms, result {costs['result_ms']:6.2f} ms")


if __name__ == "__main__":
    main()

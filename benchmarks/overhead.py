"""What Ray Tune, Optuna and the bridge cost: a sweep at one trial at a time against the same trials in a plain loop.

Both sides run the same configs on one core, with the teacher in the cache and nothing pruned. The plain side is one
process that calls `trainables.run` for each config; its imports are counted, as the sweep's worker's are.
Run: `python benchmarks/overhead.py`; writes benchmarks/overhead.json.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any

SPEC = {
    "name": "overhead",
    "space": {"lambda_kd": {"low": 0.01, "high": 10, "log": True}},
    "base": {
        "teacher": "fpn:resnet18", "student": "fpn:tu-mobilenetv3_small_050", "steps": 90, "eval_every": 30,
        "crop_height": 64, "crop_width": 64, "teacher_recipe": {"steps": 20, "crop_height": 64, "crop_width": 64},
    },
    "num_trials": 7, "pruner": "nop", "max_concurrent": 1,
}  # fmt: skip
OUT = Path(__file__).with_suffix(".json")


def plain(configs: list[dict[str, Any]], queue: Any) -> None:
    """The same trials, one after another, without Ray or Optuna."""
    started = time.perf_counter()
    from trainables.config import TrialConfig
    from trainables.run import run

    seconds = 0.0
    for config in configs:
        with tempfile.TemporaryDirectory() as folder:
            seconds += run(TrialConfig.parse(config), directory=Path(folder)).seconds
    queue.put({"wall": time.perf_counter() - started, "training": seconds})


def main() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    from rich.console import Console

    from explorer.launch.sweep import sweep
    from explorer.results.trials import load_studies
    from explorer.study import StudySpec

    with tempfile.TemporaryDirectory() as folder:
        os.environ["HETEROAKD_CACHE"] = str(Path(folder) / "cache")
        warm = StudySpec.parse({**SPEC, "num_trials": 1, "base": {**SPEC["base"], "steps": 1}})  # trains the teacher
        sweep(warm, Path(folder) / "warm", console=Console(file=io.StringIO()))
        started = time.perf_counter()
        sweep(StudySpec.parse(SPEC), Path(folder) / "study", console=Console(file=io.StringIO()))
        wall = time.perf_counter() - started
        _, studies = load_studies(Path(folder) / "study")
        trials = [trial for study in studies.values() for trial in study.get_trials()]
        span = max(t.datetime_complete for t in trials) - min(t.datetime_start for t in trials)
        queue: Any = multiprocessing.get_context("spawn").Queue()
        process = multiprocessing.get_context("spawn").Process(
            target=plain, args=([trial.user_attrs["config"] for trial in trials], queue)
        )
        process.start()
        bare = queue.get()
        process.join()
    training = sum(trial.user_attrs["seconds"] for trial in trials)
    figures = {
        "trials": len(trials),
        "sweep_wall_s": round(wall, 1),
        "first_to_last_trial_s": round(span.total_seconds(), 1),
        "sweep_training_s": round(training, 1),
        "plain_wall_s": round(bare["wall"], 1),
        "plain_training_s": round(bare["training"], 1),
        "sweep_wall_over_its_training": round(wall / training, 3),
        "plain_wall_over_its_training": round(bare["wall"] / bare["training"], 3),
        "sweep_wall_over_plain_wall": round(wall / bare["wall"], 3),
    }
    OUT.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for name, figure in figures.items():
        print(f"{name:32} {figure}")


if __name__ == "__main__":
    main()

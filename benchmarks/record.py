"""Record the table that `benchmarks/search.py` replays: real learning curves of HeteroAKD on `earth`, every point of a grid.

Every config is trained to its full budget with every seed; nothing is pruned, tuned or left out. A recording can be
stopped and started again: finished trials are kept in `record.jsonl` until the table is written.
Run: `python benchmarks/record.py --processes 2`; writes benchmarks/curves.npz.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

GRID: dict[str, list[Any]] = {
    "lr": [3e-4, 1e-3, 3e-3, 1e-2],
    "lambda_kd": [0.01, 0.1, 1.0, 10.0],
    "lambda_hakd": [0.1, 1.0, 10.0, 30.0],
    "temperature": [1.0, 4.0],
    "projector_tap": ["stage3", "stage4"],
}
SEEDS = [0, 1, 2]
STEPS, EVERY = 54, 6
BASE: dict[str, Any] = {
    "teacher": "segformer:mit_b0", "student": "segformer:tu-mobilenetv3_small_050", "steps": STEPS, "eval_every": EVERY,
    "batch_size": 4, "crop_height": 64, "crop_width": 64, "scale_min": 0.75, "scale_max": 1.25,
    "teacher_recipe": {"steps": 400, "lr": 0.002, "batch_size": 8},
}  # fmt: skip
OUT = Path(__file__).with_name("curves.npz")


def configs() -> list[tuple[int, int, dict[str, Any]]]:
    """(point, seed, config) of every trial, one seed after another."""
    points = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
    return [(index, seed, {**BASE, **point, "seed": seed}) for seed in SEEDS for index, point in enumerate(points)]


def record(jobs: list[tuple[int, int, dict[str, Any]]], log: str) -> None:
    """Train these trials one after another and append their curves to the log."""
    from trainables.config import TrialConfig, with_teacher_recipe
    from trainables.data.catalogue import open_dataset
    from trainables.loop import train
    from trainables.teachers import load_teacher

    dataset = open_dataset("earth")
    for index, seed, values in jobs:
        config = TrialConfig.parse(with_teacher_recipe(values))
        teacher = load_teacher(config, dataset=dataset)
        with tempfile.TemporaryDirectory() as folder:
            history = train(config, dataset=dataset, teacher=teacher, directory=Path(folder)).history
        line = {"point": index, "seed": seed, "miou": [report.miou for report in history], "s": history[-1].seconds}
        with open(log, "a") as file:
            file.write(json.dumps(line) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--log", default="record.jsonl")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    log = Path(options.log)
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    done = {(line["point"], line["seed"]) for line in lines}
    jobs = [job for job in configs() if job[:2] not in done]
    spawn = multiprocessing.get_context("spawn")
    workers = [
        spawn.Process(target=record, args=(jobs[n :: options.processes], str(log))) for n in range(options.processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    write([json.loads(line) for line in log.read_text().splitlines()])


def write(lines: list[dict[str, Any]]) -> None:
    """`miou`: float32 of (seed, *GRID, evaluation), NaN where a trial diverged; and the grid as JSON."""
    points = int(np.prod([len(values) for values in GRID.values()]))
    table = np.full((len(SEEDS), points, STEPS // EVERY), np.nan, dtype=np.float32)
    for line in lines:
        table[SEEDS.index(line["seed"]), line["point"]] = line["miou"]
    if np.isnan(table).any():
        raise SystemExit(f"{int(np.isnan(table).any(axis=2).sum())} trials are missing; run it again.")
    shape = (len(SEEDS), *(len(values) for values in GRID.values()), STEPS // EVERY)
    about = json.dumps({"grid": GRID, "seeds": SEEDS, "steps": STEPS, "every": EVERY, "base": BASE})
    np.savez_compressed(OUT, miou=table.reshape(shape), about=np.array(about))
    print(f"{OUT}: {table.shape[0] * table.shape[1]} curves")


if __name__ == "__main__":
    main()

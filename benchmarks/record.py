"""Record the table that `benchmarks/search.py` replays: real learning curves of HeteroAKD on `earth`, a whole grid.

Every config is trained to its full budget with every seed; nothing is pruned, tuned or left out. A recording can be
stopped and started again: finished trials are kept in `record.jsonl` until the table is written. All trials of a seed
see the same crops, so the frozen teacher's outputs are computed once a seed.
Run: `python benchmarks/record.py --processes 2`; writes benchmarks/curves.npz.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

GRID: dict[str, list[Any]] = {
    "lr": [3e-4, 1e-3, 3e-3, 1e-2],
    "lambda_kd": [0.01, 0.1, 1.0, 10.0],
    "lambda_hakd": [0.1, 1.0, 10.0, 30.0],
    "temperature": [1.0, 2.0, 4.0],
}
SEEDS = [0, 1]
STEPS, EVERY = 54, 9
BASE: dict[str, Any] = {
    "teacher": "segformer:resnet18", "student": "segformer:mit_b0", "steps": STEPS, "eval_every": EVERY,
    "batch_size": 4, "crop_height": 64, "crop_width": 64, "scale_min": 0.75, "scale_max": 1.25,
    "teacher_recipe": {"steps": 400, "lr": 0.002, "batch_size": 8}, "fold_teacher": False,
}  # fmt: skip
OUT = Path(__file__).with_name("curves.npz")


def configs() -> list[tuple[int, int, dict[str, Any]]]:
    """(point, seed, config) of every trial, one seed after another."""
    points = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
    return [(index, seed, {**BASE, **point, "seed": seed}) for seed in SEEDS for index, point in enumerate(points)]


def record(jobs: list[tuple[int, int, dict[str, Any]]], log: str) -> None:
    """Train these trials one after another and append their curves to the log."""
    from trainables import loop
    from trainables.config import TrialConfig, with_teacher_recipe
    from trainables.data.catalogue import open_dataset
    from trainables.errors import NonFiniteLoss
    from trainables.teachers import load_teacher

    loop.gradient_shares = lambda *_: {}  # reported only; three backward passes an evaluation
    dataset = open_dataset("earth")
    teachers: dict[int, Any] = {}
    for index, seed, values in jobs:
        config = TrialConfig.parse(with_teacher_recipe(values))
        if seed not in teachers:
            teachers[seed] = remembering(load_teacher(config, dataset=dataset))
        teachers[seed].forward.calls = 0
        started, curve = time.perf_counter(), []
        with tempfile.TemporaryDirectory() as folder, suppress(NonFiniteLoss):
            loop.train(
                config,
                dataset=dataset,
                teacher=teachers[seed],
                directory=Path(folder),
                report=lambda found, curve=curve: curve.append(found.miou),
            )
        line = {"point": index, "seed": seed, "miou": curve, "seconds": round(time.perf_counter() - started, 2)}
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def remembering(teacher: Any) -> Any:
    """The teacher, its outputs kept by step; refuses crops that differ from the first trial's."""
    forward, kept = teacher.forward, []

    def lookup(pixels: Any) -> Any:
        step = lookup.calls
        lookup.calls += 1
        if step == len(kept):
            kept.append((float(pixels.sum()), forward(pixels)))
        seen, features = kept[step]
        assert seen == float(pixels.sum())
        return features

    teacher.forward = lookup
    return teacher


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--log", default="record.jsonl")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    log = Path(options.log)
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
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
    write([json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()])


def write(lines: list[dict[str, Any]]) -> None:
    """`miou`: float32 of (seed, *GRID, evaluation), NaN where a trial diverged; and the grid as JSON."""
    points = int(np.prod([len(values) for values in GRID.values()]))
    table = np.full((len(SEEDS), points, STEPS // EVERY), np.nan, dtype=np.float32)
    for line in lines:
        table[SEEDS.index(line["seed"]), line["point"], : len(line["miou"])] = line["miou"]
    if len(lines) < len(SEEDS) * points:
        raise SystemExit(f"{len(SEEDS) * points - len(lines)} trials are missing; run it again.")
    shape = (len(SEEDS), *(len(values) for values in GRID.values()), STEPS // EVERY)
    about = json.dumps({"grid": GRID, "seeds": SEEDS, "steps": STEPS, "every": EVERY, "base": BASE})
    np.savez_compressed(OUT, miou=table.reshape(shape), about=np.array(about))
    print(f"{OUT}: {table.shape[0] * table.shape[1]} curves")


if __name__ == "__main__":
    main()

"""Trial-steps per second of K students that share a teacher's forward, against one process per trial.

A trial-step is one optimiser step of one student. Alone, each takes a teacher's forward T and a student's step S; in a
group of K it takes T / K + S, so the most that sharing gains is (T + S) / (T / K + S) (T and S are measured in the same
run, in one process). Students have other lambdas each; evaluation, loading and the first steps are left out.

On a CPU one process works at a time, on one thread, and seconds are those that the process computed, so that a busy
machine shows less; it trains one trial (alone) or one group of K. On CUDA: 1 and 8 processes at a time, each with a
trial and a teacher of its own, against one process with a group. The two are measured in turn, several times. `--sweep`
also runs whole sweeps through Ray, in groups and not, by the clock on the wall.

Run: `python benchmarks/sharing.py [--sweep]`; writes benchmarks/sharing.json. Without --sweep it needs no Ray.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import multiprocessing
import os
import platform
import random
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from losses import peak

from trainables import group as groups
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.dataset import SegDataset
from trainables.device import place
from trainables.errors import HeteroakdError
from trainables.group import Answer, Member, Outcome, next_cohort, train_group
from trainables.models.build import build
from trainables.preflight.rehearsal import step_time
from trainables.teachers import freeze

CUDA = torch.cuda.is_available()
SIZES = (1, 2, 4, 8)
REPEATS = 5 if CUDA else 3
WARM_UP, STEPS = (10, 40) if CUDA else (2, 6)
CROP = {"crop_height": 512, "crop_width": 512} if CUDA else {"crop_height": 64, "crop_width": 64}
PAIRS = {
    "R101->MBV2": ("deeplabv3:resnet101", "deeplabv3plus:mobilenet_v2"),
    "R50->MBV3S": ("deeplabv3:resnet50", "fpn:tu-mobilenetv3_small_050"),
    "R18->MiT-B0": ("fpn:resnet18", "segformer:mit_b0"),
}
SWEPT = {  # the sweep of --sweep; its teachers are trained before the clock starts
    "space": {"lambda_kd": {"low": 0.01, "high": 10.0, "log": True}},
    "num_trials": 16, "baseline_trials": 1, "sampler": "random", "pruner": "none",
}  # fmt: skip
SWEEP_STEPS = 200 if CUDA else 8
OUT = Path(__file__).with_suffix(".json")


def config(pair: str, number: int, **fields: Any) -> TrialConfig:
    teacher, student = PAIRS[pair]
    return TrialConfig.parse({
        "method": "heteroakd", "teacher": teacher, "student": student, "batch_size": 8 if CUDA else 4, **CROP,
        "lambda_kd": 0.1 * (number + 1), "steps": WARM_UP + STEPS, "eval_every": WARM_UP, **fields,
    })  # fmt: skip


def group(pair: str, size: int, **fields: Any) -> float:
    """Seconds of a trial-step in a group of a size.

    Args:
        fields: of the students' configs.
    """
    if not CUDA:
        groups.time = SimpleNamespace(perf_counter=time.process_time)
    dataset = small(open_dataset("earth"))
    first = config(pair, 0, **fields)
    teacher = build(first.teacher, num_classes=dataset.num_classes)
    place(teacher, first, torch.device("cuda" if CUDA else "cpu"))
    freeze(teacher)
    marks: dict[str, list[float]] = {}

    def tell(name: str, outcome: Outcome, _seconds: float) -> Answer:
        if isinstance(outcome, HeteroakdError):
            raise outcome
        marks.setdefault(name, []).append(outcome.seconds)
        return Answer()

    with tempfile.TemporaryDirectory() as folder:
        members = [Member(str(n), config(pair, n, **fields), Path(folder) / str(n)) for n in range(size)]
        train_group(members, dataset=dataset, teacher=teacher, tell=tell)
    timed = first.steps - first.report_every  # the steps before the first report are left out
    return statistics.mean((own[-1] - own[0]) / timed for own in marks.values())


def small(dataset: SegDataset) -> SegDataset:
    """With two images to evaluate on: evaluation is not measured."""
    return dataclasses.replace(dataset, splits={**dataset.splits, "val": dataset.splits["val"][:2]})


def rate(pool: ProcessPoolExecutor, pair: str, size: int, processes: int) -> float:
    """Trial-steps per second of so many processes at a time, each with a group of a size."""
    futures = [pool.submit(group, pair, size) for _ in range(processes)]
    return sum(1 / future.result() for future in futures)


def peak_bytes() -> int:
    return peak("cuda" if CUDA else "cpu")  # not ru_maxrss, which a process inherits


def measure(pair: str) -> list[dict[str, Any]]:
    """A row for each size: rate, gain over trials by themselves, and the limit."""
    alone_processes = [1, 8] if CUDA else [1]
    most = max(alone_processes)
    alone: dict[int, list[float]] = {count: [] for count in alone_processes}
    shared: dict[int, list[float]] = {size: [] for size in SIZES}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(most, mp_context=spawn) as pool:
        rate(pool, pair, 1, most)  # imports, allocators
        for _ in range(REPEATS):
            for count in alone_processes:
                alone[count].append(rate(pool, pair, 1, count))
            for size in SIZES:
                shared[size].append(rate(pool, pair, size, 1))
    peaks = {}
    for size in SIZES:
        with ProcessPoolExecutor(1, mp_context=spawn) as own:
            own.submit(group, pair, size).result()
            peaks[size] = own.submit(peak_bytes).result()
    time_ = step_time(config(pair, 0), dataset=open_dataset("earth"))
    rows = []
    best_alone = max(alone, key=lambda count: statistics.median(alone[count]))
    for size in SIZES:
        gains = [mine / theirs for mine, theirs in zip(shared[size], alone[best_alone], strict=True)]
        rows.append({
            "pair": pair, "students": size, "trial_steps_per_s": round(statistics.median(shared[size]), 3),
            "alone_per_s": round(statistics.median(alone[best_alone]), 3), "alone_processes": best_alone,
            "gain": round(statistics.median(gains), 2), "gain_range": [round(min(gains), 2), round(max(gains), 2)],
            "limit": round(time_.seconds / time_.shared_by(size), 2),
            "teacher_over_student": round(time_.guide_seconds / (time_.seconds - time_.guide_seconds), 2),
            "peak_mib": round(peaks[size] / 2**20),
        })  # fmt: skip
    return rows


def swept(size: int, folder: Path) -> float:
    """Seconds of a whole sweep of 16 trials through Ray, in groups of a size."""
    from rich.console import Console

    from explorer.launch.sweep import sweep
    from explorer.study import StudySpec

    base = {
        "pair": "r18:mbv3s", "data": "earth", "batch_size": 4, **CROP, "steps": SWEEP_STEPS, "eval_every": SWEEP_STEPS,
        "teacher_recipe": {"steps": 2},
    }  # fmt: skip
    spec = StudySpec.parse({**SWEPT, "base": base, "group_size": size, "name": f"groups of {size}"})
    started = time.perf_counter()
    assert sweep(spec, folder / str(size), console=Console(file=io.StringIO())) == 0
    return time.perf_counter() - started


def whole_sweeps() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name:
        os.environ["HETEROAKD_CACHE"] = f"{name}/cache"
        folder = Path(name)
        swept(16, folder)  # trains the teacher, starts Ray
        taken: dict[int, list[float]] = {1: [], 4: [], 8: []}
        for turn in range(2):
            for size, found in taken.items():
                found.append(swept(size, folder / str(turn)))
    best = {size: min(found) for size, found in taken.items()}
    return [
        {"students": size, "sweep_s": round(best[size], 1), "gain": round(best[1] / best[size], 2)} for size in taken
    ]


def shared_under_pruning(size: int, *, trials: int = 200, seed: int = 0) -> float:
    """Students to a forward, on average, of a group of a size whose sweep is pruned hard: at a quarter and at three
    quarters of four reports, of those that came so far the best third goes on. Simulated with the group's own choice
    of who goes next; scores are random.
    """
    draw, seen = random.Random(seed), {1: list[float](), 3: list[float]()}
    waiting = [draw.random() for _ in range(trials)]
    alive = dict.fromkeys((waiting.pop() for _ in range(size)), 0)
    waited: dict[float, int] = {}
    forwards = taught = 0
    while alive:
        cohort = next_cohort(alive, step=lambda reports: reports, waited=waited)
        waited = {score: 0 if score in cohort else waited.get(score, 0) + 1 for score in alive}
        forwards, taught = forwards + 1, taught + len(cohort)
        for score in cohort:
            alive[score] += 1
            rung = seen.get(alive[score], [])
            rung.append(score)
            goes_on = sorted(rung)[-max(1, len(rung) // 3)] <= score if alive[score] in seen else True
            if alive[score] == 4 or not goes_on:
                del alive[score]
                if waiting:
                    alive[waiting.pop()] = 0
    return taught / forwards


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sweep", action="store_true", help="also two whole sweeps through Ray")
    parser.add_argument("--pairs", nargs="*", default=list(PAIRS))
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    rows = [row for pair in asked.pairs for row in measure(pair)]
    sweeps = whole_sweeps() if asked.sweep else []
    setting = {
        "device": torch.cuda.get_device_name() if CUDA else f"{os.cpu_count()} {platform.machine()} cores",
        "torch": torch.__version__, "crop": CROP, "batch": config(asked.pairs[0], 0).batch_size, "repeats": REPEATS,
    }  # fmt: skip
    pruned = {
        size: round(statistics.mean(shared_under_pruning(size, seed=seed) for seed in range(20)), 2) for size in SIZES
    }
    found = {"setting": setting, "sharing": rows, "sweeps": sweeps, "students_a_forward_under_pruning": pruned}
    OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{setting['device']}, torch {setting['torch']}, {CROP['crop_height']} x {CROP['crop_width']}")
    print("pair           K   trial-steps/s   alone   gain (range)        limit   T/S   peak MiB")
    for row in rows:
        low, high = row["gain_range"]
        print(f"{row['pair']:12} {row['students']:3} {row['trial_steps_per_s']:15.2f} {row['alone_per_s']:7.2f} "
              f"{row['gain']:6.2f} ({low:.2f}-{high:.2f}) {row['limit']:10.2f} {row['teacher_over_student']:5.1f} "
              f"{row['peak_mib']:10}")  # fmt: skip
    print(f"students to a forward where two thirds are pruned, twice (simulated), by K: {pruned}")
    for row in sweeps:
        print(f"sweep of 16 trials through Ray, groups of {row['students']}: {row['sweep_s']} s, {row['gain']:.2f}x")


if __name__ == "__main__":
    main()

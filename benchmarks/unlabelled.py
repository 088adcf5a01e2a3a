"""What unlabelled images teach: `earth` with 30 labelled tiles, and all its other tiles of train without their labels.

Every row is tuned by as many trials, on one seed, by the mIoU on the validation split; its best setting is then trained
on five fresh seeds and scored on test. Gains are paired by seed. All rows are tuned over the same quasi-random design,
so that none has luckier points. The teacher, a CNN, has seen the labels of all 173 tiles of train: it knows more than
the 30 labels tell the student, as one that was trained elsewhere would.

Rows: the student alone on the 30 tiles; self-training (its own pseudo-labels while it learns); self-training in two
stages (hard pseudo-labels of the student alone, trained anew); kd and heteroakd on all tiles; and on the labelled ones
alone. A few labels and whole images are the regime; nothing here says what happens with many.

Run: `python benchmarks/unlabelled.py`; writes benchmarks/unlabelled.json, and goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from runs import placed
from scipy.stats import qmc

from search_spaces.pairs import PAIRS
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.dataset import SegDataset
from trainables.kept import atomic
from trainables.loop import train
from trainables.models.build import build
from trainables.models.segmodel import SegModel
from trainables.scoring.evaluate import evaluate
from trainables.teachers import freeze, load_teacher

PAIR = "fpn_r18:mit_b0"
LABELLED = 30
TUNING_SEED, SEEDS = 100, (0, 1, 2, 3, 4)
TRIALS = 3
VIEW = {"crop_height": 128, "crop_width": 128, "scale_min": 1.0, "scale_max": 1.5, "flip_vertical": 0.5}
RECIPE = {"steps": 200, "batch_size": 8, "num_threads": 1, **VIEW}
TEACHER = {"steps": 800, "batch_size": 8, "num_threads": 1, "lr": 1e-3, **VIEW}
ALONE, TWO_STAGES = "student alone", "self-training, two stages"
LR = ("lr", 3e-4, 3e-3)
RATIOS = (0.5, 0.75)
ROWS: dict[str, dict[str, Any]] = {
    ALONE: {"fixed": {"method": "task"}, "log": [LR]},
    "self-training": {"fixed": {"method": "task"}, "log": [LR, ("pseudo_weight", 0.1, 3.0)], "ratio": True},
    TWO_STAGES: {
        "fixed": {"method": "kd", "lambda_kd": 0.0, "pseudo_threshold": 0.0},
        "log": [LR, ("pseudo_weight", 0.1, 3.0)],
        "ratio": True,
    },
    "kd": {"fixed": {"method": "kd"}, "log": [LR, ("lambda_kd", 1.0, 40.0)], "ratio": True},
    "heteroakd": {
        "fixed": {"method": "heteroakd"},
        "log": [LR, ("lambda_kd", 1.0, 40.0), ("lambda_hakd", 0.1, 10.0)],
        "ratio": True,
    },
    "kd, labelled tiles": {"fixed": {"method": "kd"}, "log": [LR, ("lambda_kd", 1.0, 40.0)]},
    "heteroakd, labelled tiles": {
        "fixed": {"method": "heteroakd"},
        "log": [LR, ("lambda_kd", 1.0, 40.0), ("lambda_hakd", 0.1, 10.0)],
    },
}
OUT = Path(__file__).with_suffix(".json")


def points(row: str) -> list[dict[str, Any]]:
    """The settings that a row is tuned over."""
    spec = ROWS[row]
    design = qmc.Sobol(4, seed=0).random(8)[:TRIALS]
    found = []
    for place in design:
        values: dict[str, Any] = placed(spec["log"], place)
        if spec.get("ratio"):
            values["unlabelled_ratio"] = RATIOS[int(place[3] * len(RATIOS))]
        found.append({**spec["fixed"], **values})
    return found


class Study:
    """Attributes:
    trials: what has been trained: row, setting, seed, role, val, test, seconds.
    """

    def __init__(self, dataset: SegDataset) -> None:
        self.dataset = dataset
        self.trials: list[dict[str, Any]] = (
            json.loads(OUT.read_text(encoding="utf-8"))["trials"] if OUT.exists() else []
        )
        self._networks = {"teacher": PAIRS[PAIR].teacher.model, "student": PAIRS[PAIR].student.model}
        self._teacher: SegModel | None = None
        self._scored: dict[str, float] | None = None
        self._alone: dict[int, SegModel] = {}

    def config(self, setting: dict[str, Any], seed: int) -> TrialConfig:
        every = {"eval_every": RECIPE["steps"], "seed": seed, "device": "cpu"}
        return TrialConfig.parse({**RECIPE, **self._networks, **every, "teacher_recipe": TEACHER, **setting})

    def run(self, row: str, setting: dict[str, Any], seed: int, role: str) -> dict[str, Any]:
        known = {"row": row, "setting": setting, "seed": seed, "role": role}
        for trial in self.trials:
            if known.items() <= trial.items():
                return trial
        config = self.config(setting, seed)
        with tempfile.TemporaryDirectory() as folder:
            state = train(config, dataset=self.dataset, teacher=self._guide(row, config), directory=Path(folder))
        found = {**known, **self._scores(state.scored, config), "seconds": round(state.seconds, 1)}
        self.trials.append(found)
        self.save()
        print(
            f"{row}, seed {seed}: val {found['val']:.3f}, test {found['test']:.3f}, {found['seconds']:.0f} s",
            flush=True,
        )
        return found

    def best(self, row: str) -> dict[str, Any]:
        tried = [self.run(row, setting, TUNING_SEED, "tuning") for setting in points(row)]
        setting: dict[str, Any] = max(tried, key=lambda trial: trial["val"])["setting"]
        return setting

    def teacher(self) -> SegModel:
        """Trained on the labels of every tile of train, and kept in the cache like any."""
        if self._teacher is None:
            self._teacher = load_teacher(self.config({"method": "kd"}, 0), dataset=open_dataset("earth"))
        return self._teacher

    def teacher_scores(self) -> dict[str, float]:
        if self._scored is None:
            self._scored = self._scores(self.teacher(), self.config({"method": "kd"}, 0))
        return self._scored

    def _guide(self, row: str, config: TrialConfig) -> SegModel | None:
        if config.method == "task":
            return None
        return self._student_alone(config.seed) if row == TWO_STAGES else self.teacher()

    def _student_alone(self, seed: int) -> SegModel:
        if seed not in self._alone:
            config = self.config(self.best(ALONE), seed)
            with tempfile.TemporaryDirectory() as folder:
                state = train(config, dataset=self.dataset, directory=Path(folder))
            found = build(config.student, num_classes=self.dataset.num_classes)
            found.load_state_dict(state.weights())
            self._alone[seed] = freeze(found)
        return self._alone[seed]

    def _scores(self, network: SegModel, config: TrialConfig) -> dict[str, float]:
        return {split: evaluate(network, self.dataset, split, config).miou for split in ("val", "test")}

    def save(self) -> None:
        counts = {"labelled": LABELLED, "unlabelled": len(self.dataset.unlabelled)}
        found = {"pair": PAIR, "recipe": RECIPE, "teacher_recipe": TEACHER, "teacher": self.teacher_scores(), **counts}
        found |= {"tuning_trials": TRIALS, "date": time.strftime("%Y-%m-%d"), "trials": self.trials}
        atomic.write_text(OUT, json.dumps(found, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS), help="only these")
    study = Study(open_dataset(f"earth@{LABELLED}"))
    print(f"teacher: {study.teacher_scores()}", flush=True)
    for row in parser.parse_args().rows:
        setting = study.best(row)
        for seed in SEEDS:
            study.run(row, setting, seed, "confirmed")


if __name__ == "__main__":
    main()

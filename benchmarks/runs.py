"""Trainings that a benchmark asks for, each done once: what its JSON holds is not trained again."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock
from PIL import Image

from explorer.statistics.finalists import interval
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.dataset import SegDataset
from trainables.data.folder import DESCRIPTION
from trainables.kept import atomic
from trainables.loop import train
from trainables.models.build import build
from trainables.models.segmodel import SegModel
from trainables.scoring.evaluate import evaluate
from trainables.teachers import load_teacher

SPLITS = ("val", "test")
ALONE, SELF = "student alone", "self-training"


class Runs:
    """Trainings and their scores, in the order in which they were made.

    Attributes:
        head: what the JSON says beside them.
        done: each run's values, its mIoU on val and test, and the CPU seconds of its training.
    """

    def __init__(self, path: Path, **head: Any) -> None:
        self.path = path
        self.head = head
        self.done: list[dict[str, Any]] = []
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            self.done = found.pop("runs")
            self.head = {**found, **head}

    def __call__(self, values: Mapping[str, Any], *, where: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Train a config, or look it up.

        Args:
            values: fields of a TrialConfig.
            where: further fields that name paths of this machine; the JSON does not hold them.
        """
        known = {"values": dict(values)}
        for run in self.done:
            if run["values"] == known["values"]:
                return run
        config = TrialConfig.parse({"device": "cpu", "eval_every": values["steps"], **values, **(where or {})})
        dataset = opened(config.data)
        teacher = taught_by(config) if config.is_taught else None
        student = build(config.student, num_classes=dataset.num_classes)
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            state = train(config, dataset=dataset, teacher=teacher, directory=Path(folder))
            seconds = time.process_time() - began
            student.load_state_dict(state.weights())
        scores = {split: round(evaluate(student, dataset, split, config).miou, 5) for split in SPLITS}
        run = {**known, **scores, "cpu_seconds": round(seconds, 1)}
        self.done.append(run)
        self.save()
        print(json.dumps(run), flush=True)
        return run

    def save(self) -> None:
        """Beside what another process may have added in the meantime."""
        with FileLock(Path(tempfile.gettempdir()) / f"{self.path.stem}.lock"):
            if self.path.exists():
                theirs = json.loads(self.path.read_text(encoding="utf-8"))
                self.done += [run for run in theirs.pop("runs") if run not in self.done]
                self.head = {**theirs, **self.head}
            self._write()

    def _write(self) -> None:
        head = json.dumps({**self.head, "date": time.strftime("%Y-%m-%d")}, indent=1).removesuffix("\n}")
        body = ",\n".join(f"  {json.dumps(run)}" for run in self.done)
        atomic.write_text(self.path, f'{head},\n "runs": [\n{body}\n ]\n}}\n')


@cache
def opened(data: str) -> SegDataset:
    return open_dataset(data)


_teachers: dict[str, SegModel] = {}


def taught_by(config: TrialConfig) -> SegModel:
    if config.teacher not in _teachers:
        _teachers[config.teacher] = load_teacher(config, dataset=opened(config.data))
    return _teachers[config.teacher]


def paired(runs: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]], split: str = "test") -> list[float]:
    """Mean and 90 % interval (Student's t) of the differences seed by seed, in points of mIoU."""
    gains = [100 * (one[split] - other[split]) for one, other in zip(runs, others, strict=True)]
    return [round(value, 2) for value in interval(gains)]


def compared(row: str, done: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """A row's mean mIoU on test, and its gains over the student alone and over self-training, in points.

    Args:
        done: the runs of each row, by seed.
    """
    runs = done[row]
    return {
        "test": round(100 * sum(run["test"] for run in runs) / len(runs), 2),
        **({} if row == ALONE else {"over_alone": paired(runs, done[ALONE])}),
        **({} if row in (ALONE, SELF) else {"over_self": paired(runs, done[SELF])}),
    }


def placed(searched: Iterable[tuple[str, float, float]], place: Iterable[float]) -> dict[str, float]:
    """A point of a design on [0, 1], as values between the ends of each (name, low, high) on a log scale."""
    return {
        name: float(f"{low * (high / low) ** share:.3g}")
        for (name, low, high), share in zip(searched, place, strict=False)
    }


def smaller(root: Path, folder: Path, times: int) -> None:
    """A copy of a data set with shorter sides: images by averages, labels by the upper left pixel or a near one."""
    for path in sorted([*root.glob("images/*/*"), *root.glob("labels/*/*")]):
        is_image = path.parts[-3] == "images"
        target = (folder / path.relative_to(root)).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as whole:
            size = whole.width // times, whole.height // times
            whole.resize(size, Image.Resampling.BOX if is_image else Image.Resampling.NEAREST).save(target)
    shutil.copy(root / DESCRIPTION, folder / DESCRIPTION)

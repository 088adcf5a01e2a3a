"""A trial of several folds: as many students, each trained without one part of the images and scored on it.

The students go from report to report together, so that a report, and a pruner, sees all folds at one step. Each takes
the very steps that it takes alone (`loop.train` on its fold) and keeps its checkpoints in a folder of its own. What the
trial reports is computed from their reports alone, so a trial that was killed between two folds goes on as if not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from trainables.compiled import begin_step
from trainables.config import TrialConfig
from trainables.data.dataset import SegDataset
from trainables.data.feed import Batch, feed
from trainables.guidance.cache import Hits
from trainables.guidance.guide import Guide
from trainables.kept.store import Store, at
from trainables.loop import Learner
from trainables.models.segmodel import SegModel
from trainables.scoring.meter import Clock
from trainables.state import Report


def train_folds(
    config: TrialConfig,
    *,
    datasets: Sequence[SegDataset],
    teachers: Sequence[SegModel | None],
    directory: Path | Store,
    report: Callable[[Report], None] = lambda _: None,
) -> list[Report]:
    """Train a student on each fold to the budget, or on from where each stands.

    Args:
        datasets: one a fold (`data/folds.py`).
        teachers: of each fold, frozen, or one and the same; None for a method that needs none.
        directory: holds `log.jsonl` and a folder of checkpoints for each fold.
        report: told the mean over folds at each evaluation, those of a resumed trial first; may raise to end the trial.

    Returns:
        What was reported.

    Raises:
        NonFiniteLoss, Interrupted: as `loop.train`, of one of the folds.
    """
    store = at(directory)
    different = {id(teacher): teacher for teacher in teachers if teacher is not None}
    guides = {key: Guide(teacher, config) for key, teacher in different.items()}
    folds = [
        _Fold(config, dataset, teacher, guides.get(id(teacher)), store.inside(folder(number)))
        for number, (dataset, teacher) in enumerate(zip(datasets, teachers, strict=True))
    ]
    told: list[Report] = []
    while True:
        while len(told) < min(len(fold.history) for fold in folds):
            told.append(merged([fold.history[len(told)] for fold in folds]))
            _log(told, store)
            report(told[-1])
        if told and told[-1].step == config.steps:
            return told
        for fold in folds:
            if len(fold.history) == len(told):
                fold.advance()


def folder(number: int) -> str:
    """A fold's own, within the trial's; counted from 0."""
    return f"fold-{number}"


class _Fold:
    """One student in training, and its stream of crops."""

    def __init__(
        self, config: TrialConfig, dataset: SegDataset, teacher: SegModel | None, guide: Guide | None, place: Store
    ) -> None:
        dataset.take_skipped()  # an earlier trial's, in a reused process
        self._learner = Learner(config, dataset=dataset, teacher=teacher, directory=place)
        self._guide = guide
        self._dataset = dataset
        self._batches: Iterator[Batch] | None = None

    @property
    def history(self) -> list[Report]:
        return self._learner.state.history

    def advance(self) -> None:
        """To the next report."""
        learner, config = self._learner, self._learner.config
        if self._batches is None:
            self._batches = feed(self._dataset, config, device=learner.device, start_step=learner.state.step)
        clock = Clock(learner.state.seconds)
        for _ in range(learner.state.step, learner.due_step):
            batch = next(self._batches)
            begin_step(config)
            learner.step(batch, self._guide(batch) if self._guide else None)
        learner.state.seconds = clock.pause()
        learner.assess(hits=Hits())


def merged(reports: Sequence[Report]) -> Report:
    """One report of the folds' at one step: means, but for seconds, which are summed, and files.

    IoU of a class: over the folds where it occurs. No two folds are scored on the same images, so their intervals are
    independent, and that of the mean is made of their ends' distances from their scores.

    Source: Zou and Donner, Construction of confidence limits about effect measures, Stat. Med. 27, 2008 (MOVER).
    """
    first = reports[0]
    scores = [one.miou for one in reports]
    low, high = _ends(reports)
    return Report(
        step=first.step,
        miou=_mean(scores),
        iou=_mean_iou([one.iou for one in reports]),
        terms={name: _mean([one.terms[name] for one in reports]) for name in first.terms},
        grad_shares={name: _mean([one.grad_shares[name] for one in reports]) for name in first.grad_shares},
        lr=first.lr,
        seconds=round(math.fsum(one.seconds for one in reports), 3),
        peer_miou=None if first.peer_miou is None else _mean([one.peer_miou or 0.0 for one in reports]),
        peer_iou=None if first.peer_iou is None else _mean_iou([one.peer_iou or [] for one in reports]),
        skipped=list(dict.fromkeys(name for one in reports for name in one.skipped)),
        miou_low=low,
        miou_high=high,
        fold_miou=scores,
    )


def _ends(reports: Sequence[Report]) -> tuple[float | None, float | None]:
    """Of the interval over images; none where a fold has none."""
    below = [max(0.0, one.miou - one.miou_low) for one in reports if one.miou_low is not None]
    above = [max(0.0, one.miou_high - one.miou) for one in reports if one.miou_high is not None]
    if len(below) < len(reports) or len(above) < len(reports):
        return None, None
    middle, num = _mean([one.miou for one in reports]), len(reports)
    return middle - math.hypot(*below) / num, middle + math.hypot(*above) / num


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _mean_iou(folds: Sequence[list[float | None]]) -> list[float | None]:
    found = [[value for value in of_class if value is not None] for of_class in zip(*folds, strict=True)]
    return [_mean(values) if values else None for values in found]


def _log(told: Sequence[Report], store: Store) -> None:
    log = "".join(json.dumps(asdict(one)) + "\n" for one in told)
    store.write("log.jsonl", lambda path: path.write_bytes(log.encode()))

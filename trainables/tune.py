"""The seam to Ray Tune: config in, metrics out. What Tune calls a trial is one call of `tune_trial`.

Checkpoints are the loop's own, in the trial's folder: a restarted or adopted trial finds them there, so Tune's
checkpoint machinery (and its pickles) is not used.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from ray import tune

from trainables import checkpoint
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.dataset import SegDataset
from trainables.device import pick_device, release
from trainables.errors import HeteroakdError
from trainables.loop import train
from trainables.losses import LOSSES
from trainables.state import Report
from trainables.teachers import ensure_teacher, load_teacher


def tune_trial(params: dict[str, Any], *, study_directory: str, cache: str) -> None:
    """Train one trial and report each evaluation (the fields of `Report`) and the device.

    What a user or the training itself can cause (a damaged image, a non-finite loss) is reported as `failed` with its
    reason, since repeating it would fail again; anything else raises, and Tune restarts the trial.

    Args:
        params: `config`, the fields of TrialConfig, and `directory`, relative to the study's folder.
        study_directory: absolute.
        cache: folder of the trained teachers.
    """
    try:
        run_trial(
            TrialConfig.parse(params["config"]),
            directory=Path(study_directory) / params["directory"],
            cache=Path(cache),
        )
    except HeteroakdError as error:
        tune.report({"step": 0, "miou": float("nan"), "failed": str(error)})


def run_trial(config: TrialConfig, *, directory: Path, cache: Path) -> None:
    release()
    dataset = _dataset(config.data)
    teacher = load_teacher(config, dataset=dataset, cache=cache) if LOSSES[config.method].needs_teacher else None
    device = pick_device(config).type

    def report(found: Report) -> None:
        tune.report({**asdict(found), "device": device})

    train(config, dataset=dataset, teacher=teacher, directory=directory, report=report)


@lru_cache(maxsize=1)
def _dataset(name: str) -> SegDataset:
    """A reused worker keeps the set it has opened: decoded images and content hash, nothing that a trial can change."""
    return open_dataset(name)


def train_teacher(config: dict[str, Any], *, cache: str) -> float:
    """Make sure the cache holds a trial's teacher; its validation mIoU."""
    trial = TrialConfig.parse(config)
    path = ensure_teacher(trial, dataset=open_dataset(trial.data), cache=Path(cache))
    return float(checkpoint.load(path)[1]["miou"])

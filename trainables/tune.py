"""The seam to Ray Tune: config in, metrics out. What Tune calls a trial is one call of `tune_trial`.

Checkpoints are the loop's own, in the trial's folder: a restarted or adopted trial finds them there, so Tune's
checkpoint machinery (and its pickles) is not used.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from ray import tune

from trainables import checkpoint, own
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.dataset import SegDataset
from trainables.device import pick_device
from trainables.errors import HeteroakdError, Interrupted
from trainables.run import run_trial
from trainables.state import Report
from trainables.store import open_store
from trainables.teachers import ensure_teacher


def tune_trial(params: dict[str, Any], *, study_directory: str, cache: str, code: Iterable[str] = ()) -> None:
    """Train one trial and report each evaluation (the fields of `Report`) and the device.

    What a user or the training itself can cause (a damaged image, a non-finite loss) is reported as `failed` with its
    reason, since repeating it would fail again. A full disk or storage out of reach is reported as `interrupted`: it
    says nothing about the trial, which can go on later. Anything else raises, and Tune restarts the trial.

    Args:
        params: `config`, the fields of TrialConfig, and `directory`, relative to `study_directory`.
        study_directory: where the trials' folders are: an absolute path, or a URI (see `store.open_store`).
        cache: folder of the trained teachers.
        code: folders of the user's own modules.
    """
    own.look_in(code)
    try:
        config = TrialConfig.parse(params["config"])
        device = pick_device(config).type

        def report(found: Report) -> None:
            tune.report({**asdict(found), "device": device})

        store = open_store(study_directory, params["directory"])
        run_trial(config, dataset=_dataset(config.data), directory=store, report=report, cache=Path(cache))
    except Interrupted as error:
        tune.report({"step": 0, "miou": float("nan"), "interrupted": str(error)})
    except HeteroakdError as error:
        tune.report({"step": 0, "miou": float("nan"), "failed": str(error)})


@lru_cache(maxsize=1)
def _dataset(name: str) -> SegDataset:
    """A reused worker keeps the set it has opened: decoded images and content hash, nothing that a trial can change."""
    return open_dataset(name)


def train_teacher(config: dict[str, Any], *, cache: str, code: Iterable[str] = ()) -> float:
    """Make sure the cache holds a trial's teacher; its validation mIoU."""
    own.look_in(code)
    trial = TrialConfig.parse(config)
    path = ensure_teacher(trial, dataset=open_dataset(trial.data), cache=Path(cache))
    return float(checkpoint.load(path)[1]["miou"])

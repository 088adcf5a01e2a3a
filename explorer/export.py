"""The bundle: the best config, the weights of its student or both its students, their metrics, and what made them."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml

from explorer.arms import trial_directory
from explorer.results import load_studies, trials
from trainables import checkpoint
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.dataset import SegDataset
from trainables.device import pick_device
from trainables.errors import StudyError
from trainables.evaluate import evaluate_weights
from trainables.metrics import miou
from trainables.state import peer_weights, student_weights
from trainables.store import open_store
from trainables.teachers import weights_hash

_PACKAGES = (
    "heteroakd-explorer",
    "torch",
    "torchvision",
    "timm",
    "segmentation-models-pytorch",
    "ray",
    "optuna",
    "numpy",
)
_EXACT, _NEAR = 1e-6, 5e-3  # of mIoU: CPU against CPU, and where a GPU's kernels are on either side


def export(
    directory: Path, out: Path, *, by: Literal["miou", "gain"] = "miou", trial: int | None = None
) -> dict[str, Any]:
    """Write `best.yaml`, `student.safetensors`, `metrics.json` and `provenance.json`; of a collaborative trial, also
    `peer.safetensors`, the other student.

    The weights are scored again on the validation split (and on the test split if there is one) before anything is
    written, so that a bundle never claims what it does not hold.

    Args:
        by: what "best" means among complete search trials; `gain` is over the matched student alone.
        trial: a search trial's number instead of the best.

    Returns:
        What `metrics.json` holds.

    Raises:
        StudyError: no such trial, its checkpoint is gone, the data set changed, or the weights score otherwise.
    """
    spec, studies = load_studies(directory)
    table = trials(studies)
    row = _choose(table, by, trial)
    chosen = studies["search"].get_trials(deepcopy=False)[int(row["number"])]
    config = TrialConfig.parse(chosen.user_attrs["config"])
    dataset = open_dataset(config.data)
    if dataset.digest() != studies["search"].user_attrs["identity"]["data"]:
        raise StudyError(f"The data set {config.data!r} has changed since the sweep. Export needs the one it ran on.")
    store = open_store(spec.storage_path or directory, trial_directory("search", chosen.number))
    found = checkpoint.latest(store, digest=config.digest())
    if found is None:
        raise StudyError(f"Trial {chosen.number} has no checkpoint in {store}. Was the folder moved or cleaned?")
    on_cpu = chosen.user_attrs.get("device") == pick_device(config).type == "cpu"
    within = _EXACT if on_cpu else _NEAR
    weights, peer = student_weights(found[0]), peer_weights(found[0])
    metrics = {
        "trial": chosen.number,
        "complete_trials": int(((table["role"] == "search") & (table["state"] == "COMPLETE")).sum()),
        "pair": row["pair"],
        "miou": row["miou"],
        "baseline_miou": _number(row["baseline"]),
        "gain": _number(row["gain"]),
        "splits": _scored(config, weights, dataset, recorded=row["miou"], within=within, trial=chosen.number),
    }
    if peer:
        as_student = config.model_copy(update={"student": config.teacher})
        metrics["peer"] = {
            "model": config.teacher,
            "miou": row["peer_miou"],
            "baseline_miou": _number(row["peer_miou"] - row["peer_gain"]),
            "gain": _number(row["peer_gain"]),
            "splits": _scored(as_student, peer, dataset, recorded=row["peer_miou"], within=within, trial=chosen.number),
        }
    out.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    (out / "best.yaml").write_text(f"# {_headline(metrics)}\n# Repeat the trial: heteroakd train best.yaml\n{text}")
    checkpoint.write(out / "student.safetensors", weights, {"model": config.student, "classes": dataset.classes})
    (out / "peer.safetensors").unlink(missing_ok=True)  # of an earlier bundle here
    if peer:
        checkpoint.write(out / "peer.safetensors", peer, {"model": config.teacher, "classes": dataset.classes})
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    made_by = provenance(config, dataset=dataset) | {"study": studies["search"].study_name}
    (out / "provenance.json").write_text(json.dumps(made_by, indent=2) + "\n")
    return metrics


def provenance(config: TrialConfig, *, dataset: SegDataset) -> dict[str, Any]:
    """Versions, seeds, hashes and commit: what one needs to know to trust or repeat the weights."""
    teacher = None
    if config.reads("teacher_checkpoint"):
        teacher = {
            "model": config.teacher,
            "seed": config.teacher_recipe.seed,
            "sha256": weights_hash(config, dataset=dataset),
        }
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "machine": platform.machine(),
        "seed": config.seed,
        "config_digest": config.digest(),
        "data": config.data,
        "data_digest": dataset.digest(),
        "teacher": teacher,
        "commit": _commit(),
    }


def _scored(
    config: TrialConfig, weights: dict[str, Any], dataset: SegDataset, *, recorded: float, within: float, trial: int
) -> dict[str, Any]:
    """mIoU and IoU by class of the student's weights, by split.

    Raises:
        StudyError: the validation split is not `within` what the sweep recorded.
    """
    splits = [split for split in ("val", "test") if split in dataset.splits]
    scores = {split: evaluate_weights(config, weights, dataset, split) for split in splits}
    if not abs(miou(scores["val"]) - recorded) <= within:
        raise StudyError(
            f"The weights of {config.student!r} in trial {trial} score mIoU {miou(scores['val']):.6f}, but the sweep "
            f"recorded {recorded:.6f}. Was it run with other versions?"
        )
    return {
        split: {"miou": miou(iou), "iou": dict(zip(dataset.classes, iou, strict=True))} for split, iou in scores.items()
    }


def _choose(table: pd.DataFrame, by: str, number: int | None) -> pd.Series:
    done = table[(table["role"] == "search") & (table["state"] == "COMPLETE")]
    if number is not None:
        done = done[done["number"] == number]
        if done.empty:
            raise StudyError(f"Search trial {number} is not complete. `heteroakd dashboard` lists those that are.")
    done = done.dropna(subset=[by])
    if done.empty:
        raise StudyError(f"No complete search trial has a {by} yet. Let the sweep go on with `heteroakd resume`.")
    return done.loc[done[by].idxmax()]


def _headline(metrics: dict[str, Any]) -> str:
    gain = metrics["gain"]
    against = f", {100 * gain:+.2f} points over the student alone" if gain is not None else ""
    return f"trial {metrics['trial']}: {metrics['pair']}, mIoU {100 * metrics['miou']:.2f} %{against}"


def _number(value: float) -> float | None:
    return None if value != value else float(value)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Commit of the product's source tree, `-dirty` if it was changed; None when installed from a wheel."""
    here = Path(__file__).resolve()
    git = ["git", "-C", str(here.parent)]
    options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 10, "check": True}
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", here.name], **options)  # else: somebody else's repository
        told: str = subprocess.run([*git, "describe", "--always", "--dirty", "--abbrev=40"], **options).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return told.strip()

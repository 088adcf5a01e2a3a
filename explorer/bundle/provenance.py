"""What made a bundle's weights: versions, seeds, hashes, commit."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trainables.config import TrialConfig
from trainables.data.dataset import SegDataset
from trainables.extras import EXTRAS
from trainables.models.ready.load import origin
from trainables.sources import is_ready
from trainables.teachers import weights_hash

PACKAGES = (
    "heteroakd-explorer",
    "torch",
    "torchvision",
    "timm",
    "segmentation-models-pytorch",
    "ray",
    "optuna",
    "numpy",
)


def provenance(config: TrialConfig, *, dataset: SegDataset) -> dict[str, Any]:
    """What one needs to know to trust or repeat the weights."""
    teacher = None
    if config.is_taught:
        teacher = {
            "model": config.teacher,
            "seed": config.teacher_recipe.seed,
            "sha256": weights_hash(config, dataset=dataset),
        }
        if is_ready(config.teacher):
            teacher |= origin(config.teacher)._asdict()
    packages = PACKAGES if dataset.bands.is_photo else (*PACKAGES, *EXTRAS["bands"])
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
        "machine": platform.machine(),
        "seed": config.seed,
        "config_digest": config.digest(),
        "data": config.data,
        "data_digest": dataset.digest(),
        "teacher": teacher,
        "commit": _commit(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Commit of the product's source tree, `-dirty` if it was changed; None when installed from a wheel."""
    here = Path(__file__).resolve()
    git = ["git", "-C", str(here.parent)]
    options: dict[str, Any] = {
        "capture_output": True,
        "encoding": "utf-8",
        "errors": "replace",
        "timeout": 10,
        "check": True,
    }
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", here.name], **options)  # else: somebody else's repository
        told: str = subprocess.run([*git, "describe", "--always", "--dirty", "--abbrev=40"], **options).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return told.strip()

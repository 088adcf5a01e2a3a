"""A network as the hub holds it: an smp folder, its card with front matter, and the way to a repository."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, HfApi, ModelCard, ModelCardData
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from explorer.bundle.card import card
from explorer.bundle.chosen import Chosen
from explorer.bundle.contents import to_try
from explorer.bundle.markdown import escape, percent
from explorer.redact import redact
from trainables.config import TrialConfig
from trainables.data.dataset import SegDataset
from trainables.errors import ConfigError, StudyError
from trainables.kept import atomic
from trainables.models.build import library_model
from trainables.models.licences import NVIDIA, licences, published_encoder
from trainables.serving import smp_folder
from trainables.serving.smp_folder import Agreement
from trainables.sources import is_ready, local_path

CARD, METRICS = "README.md", "metrics.json"
FILES = (*smp_folder.FILES, METRICS, CARD)
"""All that a folder holds, and all that is pushed."""
TOKEN = "HF_TOKEN"


def check(config: TrialConfig, dataset: SegDataset, folder: Path) -> None:
    """Before anything is scored.

    Raises:
        ConfigError: the folder holds other files.
        ModelError: the network is none that segmentation-models-pytorch can open.
    """
    atomic.check_folder(folder)
    if folder.is_dir() and {path.name for path in folder.iterdir()} - {*FILES}:
        raise ConfigError(f"{folder} holds other files than a network for the hub. Give an empty folder.")
    library_model(config.student, num_classes=dataset.num_classes, channels=dataset.bands.channels)


def write(
    chosen: Chosen, metrics: dict[str, Any], made_by: dict[str, Any], folder: Path, *, licence: str | None = None
) -> None:
    """Write FILES. What the study says of the machine's own paths stays out.

    Args:
        metrics, made_by: what `metrics.json` and `provenance.json` hold.
        licence: of the weights, as the hub names it, such as cc-by-4.0; none: "unknown", or "other" where the encoder's
            is known to be non-commercial.

    Raises:
        ModelError: what segmentation-models-pytorch opens says something else than the network.
        Interrupted: the disk is full.
    """
    config, dataset = chosen.trained.config, chosen.trained.dataset
    on_cpu, student, images = to_try(config, chosen.trained.student, dataset)
    found = smp_folder.write(student, on_cpu, images, folder, classes=dataset.classes, bands=dataset.bands)
    body = card(metrics, config, dataset, made_by, use=_use(dataset, found))
    told = ModelCard(f"---\n{_front(metrics, config, dataset, licence).to_yaml()}\n---\n\n{body}")
    atomic.write_text(folder / CARD, _public(str(told), config))
    atomic.write_text(folder / METRICS, _public(json.dumps(metrics, indent=2) + "\n", config))


def push(folder: Path, repository: str, *, private: bool) -> str:
    """Send FILES to a repository of the hub, which is made where there is none. The token is HF_TOKEN's, and is kept
    nowhere.

    Args:
        repository: OWNER/NAME.
        private: of a repository that is made.

    Returns:
        Where it is.

    Raises:
        ConfigError: the folder is none that `export --hub` wrote, or HF_TOKEN is not set.
        StudyError: the hub does not take it, or cannot be reached.
    """
    if lacking := [name for name in FILES if not (folder / name).is_file()]:
        raise ConfigError(f"{folder} has no {lacking[0]}. `heteroakd export STUDY --hub {folder}` writes it.")
    token = os.environ.get(TOKEN)
    if not token:
        raise ConfigError(f"{TOKEN} is not set. Make a token that may write on the hub, and set {TOKEN} to it.")
    try:
        api = HfApi(token=token)
        api.create_repo(repository, private=private, exist_ok=True)
        sent = api.upload_folder(
            repo_id=repository, folder_path=folder, allow_patterns=[*FILES], commit_message="HeteroAKD Explorer"
        )
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        reason = redact(" ".join(str(error).split())[:300].replace(token, "***")).rstrip(".")
        raise StudyError(f"The hub took nothing for {repository!r}: {reason}.") from None
    return str(sent.commit_url)


def _front(metrics: dict[str, Any], config: TrialConfig, dataset: SegDataset, licence: str | None) -> ModelCardData:
    slug = re.sub(r"[^\w.-]+", "-", dataset.name).strip("-.") or "data"
    restricted = licence is None and licences(config.student).code.endswith(NVIDIA)
    terms: dict[str, Any] = {"license": licence or "unknown"}
    if restricted:
        terms = {"license": "other", "license_name": "nvidia-source-code-license", "license_link": f"{CARD}#licence"}
    results = [
        EvalResult(
            task_type="image-segmentation",
            task_name="Semantic segmentation",
            dataset_type=slug,
            dataset_name=dataset.name,
            dataset_split=split,
            metric_type="mean_iou",
            metric_name="mIoU",
            metric_value=scores["miou"],
        )
        for split, scores in metrics["splits"].items()
    ]
    return ModelCardData(
        model_name=f"{config.student.replace(':', '-')}-{slug}",
        library_name="segmentation-models-pytorch",
        pipeline_tag="image-segmentation",
        tags=["semantic-segmentation", "knowledge-distillation", "heteroakd-explorer"],
        base_model=published_encoder(config.student) if config.pretrained else None,
        datasets=[slug],
        metrics=["mean_iou"],
        eval_results=results,
        **terms,
    )


def _use(dataset: SegDataset, found: Agreement) -> str:
    bands = dataset.bands
    code = f"""```python
import json
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch

model = smp.from_pretrained(".").eval()  # this folder, or the repository that it was pushed to
prepared = json.loads(Path("preprocessor_config.json").read_text())
values = image * prepared["rescale_factor"]  # NumPy, height x width x {bands.channels}, {_values(dataset)}
values = (values - np.array(prepared["image_mean"])) / np.array(prepared["image_std"])
pixels = torch.from_numpy(values).float().permute(2, 0, 1)[None]
height, width = pixels.shape[-2:]
pixels = torch.nn.functional.pad(pixels, (0, -width % 32, 0, -height % 32))
with torch.no_grad():
    ids = model(pixels)[0, :, :height, :width].argmax(0)
```"""
    same = (
        f"Opened by segmentation-models-pytorch, its logits differ from those that were scored by at most "
        f"{found.max_abs_diff:.1e}, at their own stride. At the image's size {percent(found.pixels)} of the pixels of "
        f"{found.num_images} images of val have the same class: that library's upsampling aligns corners."
    )
    names = ", ".join(f"{number}: {escape(name)}" for number, name in enumerate(dataset.classes))
    return f"{code}\n\n{same}\n\nClasses (in `{smp_folder.PREPARED}`, as `id2label`): {names}."


def _values(dataset: SegDataset) -> str:
    return "RGB from 0 to 255" if dataset.bands.is_photo else "numbers as the files hold them"


def _public(text: str, config: TrialConfig) -> str:
    """Without the folders in which a teacher of the user's own lies."""
    path = local_path(config.teacher) if config.is_taught and is_ready(config.teacher) else None
    return text if path is None else text.replace(path, Path(path).name).replace(escape(path), escape(Path(path).name))

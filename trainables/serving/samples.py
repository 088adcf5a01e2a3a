"""What a trained student, and what taught it, see in labelled images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from trainables.config import TrialConfig
from trainables.data.dataset import Sample, SegDataset
from trainables.data.doctor import evenly
from trainables.device import is_here, pick_device, place
from trainables.drawing.shown import picture
from trainables.errors import DataError, HeteroakdError, unknown
from trainables.models.build import build
from trainables.models.segmodel import SegModel
from trainables.scoring.evaluate import predict
from trainables.scoring.metrics import ConfusionMatrix, miou
from trainables.sources import is_ready
from trainables.teachers import kept_path, load_teacher, opened

Ids = UInt8[np.ndarray, "height width"]


class Seen(NamedTuple):
    """One image at its own size, as it is shown, with class ids (and ignore_index) of the label and of each network's
    prediction.

    Attributes:
        teacher: None where nothing taught, or where it is gone.
        miou: of the student on this image alone, in [0, 1]; NaN where no pixel is labelled.
    """

    name: str
    image: UInt8[np.ndarray, "height width 3"]
    label: Ids
    student: Ids
    teacher: Ids | None
    miou: float


def choose(dataset: SegDataset, split: str, *, num: int, names: Sequence[str] = ()) -> list[Sample]:
    """Samples of a split: the named ones (file name, with or without its ending), else `num` evenly spaced ones.

    Raises:
        DataError: no such split, or no such image in it.
    """
    samples = dataset.samples(split)
    if not names:
        return list(evenly(samples, num))
    known = {key: sample for sample in samples for key in (sample.image.stem, sample.image.name)}
    for name in names:
        if name not in known:
            all_names = [sample.image.name for sample in samples[:1000]]
            raise DataError(unknown(f"image of the split {split!r}", name, all_names))
    return [known[name] for name in names]


@torch.no_grad()
def look(
    config: TrialConfig, dataset: SegDataset, chosen: Iterable[Sample], *, student: SegModel, teacher: SegModel | None
) -> list[Seen]:
    """Predict as the trial is evaluated.

    Raises:
        DataError: a sample cannot be read.
    """
    networks = [student.eval(), *([teacher.eval()] if teacher is not None else [])]
    return [_seen(config, dataset, sample, networks) for sample in chosen]


def here(config: TrialConfig) -> TrialConfig:
    """The config on a device that is here: a GPU's trial may be looked at elsewhere."""
    return config if is_here(config.device) else config.model_copy(update={"device": "cpu"})


def network(
    config: TrialConfig, name: str, weights: dict[str, Tensor], num_classes: int, *, channels: int = 3
) -> SegModel:
    """A network with trained weights, in eval mode, where the config computes.

    Args:
        channels: of the images.

    Raises:
        ModelError: it cannot be built.
    """
    built = build(name, num_classes=num_classes, channels=channels)
    built.load_state_dict(weights)
    place(built, config, pick_device(config))
    return built.eval()


def known_teacher(config: TrialConfig, dataset: SegDataset, *, caches: Sequence[Path | None]) -> SegModel | None:
    """What taught a trial, never trained for it: the user's own weights, or those in the first cache that has them.

    Args:
        caches: folders of trained teachers; None: the user's.
    """
    if not config.is_taught:
        return None
    if is_ready(config.teacher):
        with suppress(HeteroakdError):  # it is gone
            return load_teacher(config, dataset=dataset)
        return None
    if config.teacher_checkpoint is not None:
        there = Path(config.teacher_checkpoint).expanduser().is_file()
        return load_teacher(config, dataset=dataset) if there else None
    found = (kept_path(config, dataset=dataset, cache=cache) for cache in caches)
    return next((opened(config, path, dataset=dataset) for path in found if path), None)


def _seen(config: TrialConfig, dataset: SegDataset, sample: Sample, networks: list[SegModel]) -> Seen:
    image, label = dataset.read(sample)
    device = pick_device(config)
    logits = predict(networks[0], image[None].to(device), config, dataset.bands)
    matrix = ConfusionMatrix(dataset.num_classes, ignore_index=dataset.ignore_index, device=device)
    matrix.add(logits, label[None].long().to(device))
    guided = predict(networks[1], image[None].to(device), config, dataset.bands) if len(networks) > 1 else None
    return Seen(
        name=sample.image.name,
        image=picture(image.permute(1, 2, 0).numpy(), dataset.bands),
        label=label.numpy(),
        student=_ids(logits),
        teacher=None if guided is None else _ids(guided),
        miou=miou(matrix.iou()),
    )


def _ids(logits: Tensor) -> Ids:
    return logits[0].argmax(dim=0).to(torch.uint8).cpu().numpy()

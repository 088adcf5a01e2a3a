"""What a teacher can teach: its scores on a data set, its cost, its calibration, its licence."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from trainables.config import TrialConfig, digest
from trainables.data.dataset import SegDataset
from trainables.device import device_name, pick_device, synchronize
from trainables.errors import Interrupted
from trainables.kept import atomic
from trainables.kept.cache import default_cache
from trainables.models.ready.load import origin
from trainables.models.segmodel import SegModel
from trainables.scoring.calibration import calibration
from trainables.scoring.evaluate import confusion, predict
from trainables.scoring.metrics import miou
from trainables.sources import is_ready
from trainables.teachers import ensure_teacher, load_teacher, weights_hash

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PIXELS = 2000
"""Of each image of val, whose confidence is looked at."""
_TIMED = 5
_Found = TypeVar("_Found", bound="DataclassInstance")


@dataclass(frozen=True)
class Facts:
    """Attributes:
    classes: the data set's.
    match: how the teacher's classes are matched with them, a line each; empty where they are the same.
    covered: class ids that it speaks for.
    scores: by eval_mode, "whole" and "slide" (windows of the crop's size): miou, and IoU by class in [0, 1].
    majority: mIoU of always saying val's commonest class.
    calibration: see `scoring/calibration.py`.
    forward_ms: of one crop.
    weights_mib, peak_mib: of its weights; the most held in a forward of one crop, on CUDA alone.
    licence: as its source states it.
    files, commit: what it was made of.
    device: what it was timed on.
    """

    teacher: str
    data: str
    classes: list[str]
    match: list[str]
    covered: list[int]
    logits: bool
    scores: dict[str, dict[str, Any]]
    majority: float
    calibration: dict[str, Any]
    parameters_millions: float
    forward_ms: float
    weights_mib: float
    peak_mib: float | None
    licence: str
    files: dict[str, str]
    commit: str | None
    device: str

    @property
    def is_worse_than_guessing(self) -> bool:
        """Whether it scores below the majority class both whole and in windows."""
        return self.logits and not max(found["miou"] for found in self.scores.values()) >= self.majority


def look(config: TrialConfig, dataset: SegDataset, *, cache: Path | None = None) -> Facts:
    """Score a trial's teacher on val; what was found for these weights, classes and data is kept in the cache. One that
    a sweep trains is trained first, if the cache lacks it.

    Raises:
        TeacherError: it cannot be had.
    """
    path = (cache or default_cache()) / "teachers-looked-at" / f"{looked_at(config, dataset, cache=cache)}.json"
    return remembered(path, Facts, lambda: _look(config, dataset, cache))


def remembered(path: Path, kind: type[_Found], make: Callable[[], _Found]) -> _Found:
    """What a file of the cache holds of this dataclass; else it is made, and kept there if that can be."""
    try:
        return kind(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        found = make()
    with suppress(Interrupted):  # it is made again, then
        atomic.write_text(path, json.dumps(asdict(found), indent=1) + "\n")
    return found


def looked_at(config: TrialConfig, dataset: SegDataset, *, cache: Path | None = None) -> str:
    """The name under which the cache keeps what is known of a trial's teacher; it is trained first, if it is to be."""
    if config.trains_teacher:
        ensure_teacher(config, dataset=dataset, cache=cache)
    files = weights_hash(config, dataset=dataset, cache=cache)
    classes = [config.teacher_classes, config.teacher_synonyms]
    window = [config.crop_height, config.crop_width, config.eval_stride, config.align_corners, config.batch_size]
    return digest([1, config.teacher, files, classes, dataset.digest(), window, pick_device(config).type, config.amp])


def _look(config: TrialConfig, dataset: SegDataset, cache: Path | None) -> Facts:
    torch.set_num_threads(config.num_threads)
    teacher = load_teacher(config, dataset=dataset, cache=cache)
    table = getattr(teacher, "table", None)
    scores, majority = {}, math.nan
    if teacher.has_logits:
        for mode in ("whole", "slide"):
            found = confusion(teacher, dataset, "val", config.model_copy(update={"eval_mode": mode}))
            scores[mode] = {"miou": miou(found.iou()), "iou": dict(zip(dataset.classes, found.iou(), strict=True))}
            majority = miou(found.majority_iou())
    ms, peak = _timed(teacher, config)
    files, commit, licence = _origin(config)
    return Facts(
        teacher=config.teacher,
        data=config.data,
        classes=list(dataset.classes),
        match=[] if table is None or table.is_identity else table.lines(),
        covered=list(range(dataset.num_classes) if teacher.covered is None else teacher.covered),
        logits=teacher.has_logits,
        scores=scores,
        majority=majority,
        calibration=_calibrated(teacher, dataset, config) if teacher.has_logits else {},
        parameters_millions=sum(one.numel() for one in teacher.parameters()) / 1e6,
        forward_ms=ms,
        weights_mib=sum(one.nbytes for one in teacher.state_dict().values()) / 2**20,
        peak_mib=peak,
        licence=licence,
        files=files,
        commit=commit,
        device=device_name(config),
    )


def _origin(config: TrialConfig) -> tuple[dict[str, str], str | None, str]:
    if not is_ready(config.teacher):
        return {}, None, "unknown"
    return origin(config.teacher)


def _calibrated(teacher: SegModel, dataset: SegDataset, config: TrialConfig) -> dict[str, Any]:
    """As JSON has it: lists, no tuples."""
    found = calibration(*_sampled(teacher, dataset, config))
    return {**found._asdict(), "bins": [list(one) for one in found.bins]}


@torch.no_grad()
def _timed(teacher: SegModel, config: TrialConfig) -> tuple[float, float | None]:
    device = pick_device(config)
    image = torch.zeros(1, teacher.channels, *config.padded_crop, device=device)
    teacher(image)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    synchronize(device)
    started = time.perf_counter()
    for _ in range(_TIMED):
        teacher(image)
    synchronize(device)
    taken = 1000 * (time.perf_counter() - started) / _TIMED
    return taken, torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else None


@torch.no_grad()
def _sampled(teacher: SegModel, dataset: SegDataset, config: TrialConfig) -> tuple[Tensor, Tensor]:
    """Logits and labels at PIXELS random labelled pixels of each image of val, of the classes that it knows."""
    known = torch.tensor(range(dataset.num_classes) if teacher.covered is None else teacher.covered)
    places = torch.full((256,), -1)
    places[known] = torch.arange(len(known))
    pairs = list(_pixels(teacher, dataset, config, known, places))
    return torch.cat([logits for logits, _ in pairs]), torch.cat([labels for _, labels in pairs])


def _pixels(
    teacher: SegModel, dataset: SegDataset, config: TrialConfig, known: Tensor, places: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    rng = torch.Generator().manual_seed(0)
    for sample in dataset.samples("val"):
        image, label = dataset.read(sample)
        logits = predict(teacher, image[None].to(pick_device(config)), config, dataset.bands)[0].flatten(1).cpu()
        labels = places[label.flatten().long()].masked_fill(label.flatten() == dataset.ignore_index, -1)
        inside = (labels >= 0).nonzero()[:, 0]
        chosen = inside[torch.randperm(len(inside), generator=rng)[:PIXELS]]
        yield logits[known][:, chosen].T, labels[chosen]

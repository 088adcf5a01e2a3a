"""What a teacher may have to teach this student: cheap evidence, from val, before any of them trains the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainables.config import TrialConfig, digest
from trainables.data.dataset import SegDataset
from trainables.data.loader import named_batches
from trainables.data.transforms import normalize, to_stride
from trainables.device import autocast, memory_format, pick_device
from trainables.kept.cache import default_cache
from trainables.losses.grids import coarser, to_grid
from trainables.models.segmodel import SegModel
from trainables.preflight.look import look, looked_at, remembered
from trainables.recipe import Recipe
from trainables.scoring.evaluate import predict
from trainables.scoring.metrics import ConfusionMatrix, miou
from trainables.scoring.similarity import LinearCKA
from trainables.teachers import cached_path, load_teacher


@dataclass(frozen=True)
class Evidence:
    """All shares and scores in [0, 1], on val; NaN where the teacher has no logits.

    Attributes:
        student_miou, student_error: of the student that was trained briefly, alone; error: share of labelled pixels.
        miou: the teacher's.
        calibration_error, temperature: the teacher's, see `scoring/calibration.py`.
        mended: share of the pixels at which the student is wrong where the teacher is right.
        spoiled: share of the pixels at which the student is right where the teacher is wrong.
        similarity: linear CKA of both networks' `projector_tap`, on the coarser one's grid; NaN without such a tap.
        score: the mIoU of the student with the teacher's word wherever the student is wrong, minus the student's.
        parameters_millions, forward_ms: the teacher's cost, see `look.py`.
    """

    student_miou: float
    student_error: float
    miou: float
    calibration_error: float
    temperature: float
    mended: float
    spoiled: float
    similarity: float
    score: float
    parameters_millions: float
    forward_ms: float


def brief(config: TrialConfig, *, steps: int) -> TrialConfig:
    """Of whose teacher the student is one: trained alone for so many steps, and kept in the cache as any teacher is."""
    own = {name: getattr(config, name) for name in Recipe.model_fields}
    recipe = {**own, "steps": steps, "warmup_steps": min(config.warmup_steps, steps - 1)}
    given: dict[str, Any] = {"teacher_checkpoint": None, "teacher_classes": None, "teacher_synonyms": {}}
    values = config.model_dump() | given | {"teacher": config.student, "teacher_recipe": recipe}
    return TrialConfig.parse(values)


def evidence(config: TrialConfig, dataset: SegDataset, *, steps: int, cache: Path | None = None) -> Evidence:
    """Of a trial's teacher for its student. Both are trained where the cache lacks them; what was found is kept in it.

    Args:
        steps: of the student's brief training.

    Raises:
        HeteroakdError: a network cannot be had, or the cache cannot be written.
    """
    learner = brief(config, steps=steps)
    facts = look(config, dataset, cache=cache)
    student = load_teacher(learner, dataset=dataset, cache=cache)
    key = [1, looked_at(config, dataset, cache=cache), cached_path(learner, dataset=dataset).parent.name]
    path = (cache or default_cache()) / "teachers-compared" / f"{digest([*key, config.projector_tap])}.json"

    def compare() -> Evidence:
        teacher = load_teacher(config, dataset=dataset, cache=cache)
        said = _compared(student, teacher, dataset, config)
        return Evidence(
            **said,
            miou=float(facts.scores[config.eval_mode]["miou"]) if facts.logits else math.nan,
            calibration_error=float(facts.calibration["error"]) if facts.logits else math.nan,
            temperature=float(facts.calibration["temperature"]) if facts.logits else math.nan,
            parameters_millions=facts.parameters_millions,
            forward_ms=facts.forward_ms,
        )

    return remembered(path, Evidence, compare)


@torch.no_grad()
def _compared(student: SegModel, teacher: SegModel, dataset: SegDataset, config: TrialConfig) -> dict[str, float]:
    """The fields of Evidence that take both networks: image by image."""
    torch.set_num_threads(config.num_threads)
    device, ignored = pick_device(config), dataset.ignore_index
    alone, mended = (ConfusionMatrix(dataset.num_classes, ignore_index=ignored, device=device) for _ in range(2))
    alike = LinearCKA()
    counts = torch.zeros(4, dtype=torch.int64, device=device)
    for _, image, label in named_batches(dataset, "val", 1, on_corrupt=config.on_corrupt):
        pixels, truth = image.to(device), label.to(device)
        own = predict(student, pixels, config, dataset.bands)
        alone.add(own, truth)
        wrong, labelled = own.argmax(dim=1) != truth, truth != ignored
        told = predict(teacher, pixels, config, dataset.bands) if teacher.has_logits else own
        right = told.argmax(dim=1) == truth
        mended.add(torch.where(wrong[:, None], told, own), truth)
        parts = (labelled & wrong, labelled & wrong & right, labelled & ~wrong, labelled & ~wrong & ~right)
        counts += torch.stack([part.sum() for part in parts])
        if config.projector_tap in student.taps and config.projector_tap in teacher.taps:
            alike.add(*_cells(student, teacher, normalize(pixels, dataset.bands), config))
    errors, repaired, hits, lost = counts.tolist()
    before = miou(alone.iou())
    return {
        "student_miou": before,
        "student_error": _share(errors, errors + hits),
        "mended": _share(repaired, errors) if teacher.has_logits else math.nan,
        "spoiled": _share(lost, hits) if teacher.has_logits else math.nan,
        "similarity": alike.value(),
        "score": miou(mended.iou()) - before if teacher.has_logits else math.nan,
    }


def _cells(student: SegModel, teacher: SegModel, pixels: Tensor, config: TrialConfig) -> tuple[Tensor, Tensor]:
    """[cells, channels] of both networks' tap on the coarser grid of the two."""
    images = to_stride(pixels).contiguous(memory_format=memory_format(config, pixels.device))
    with autocast(config, images.device):
        own, told = (network(images).taps[config.projector_tap] for network in (student, teacher))
    grid = coarser(own, told)
    first, second = (to_grid(tap, grid).movedim(1, -1).flatten(0, 2) for tap in (own, told))
    return first, second


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan

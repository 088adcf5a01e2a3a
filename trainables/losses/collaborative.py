"""Two students, such as a CNN and a Transformer, that learn together from scratch, as recovered from public sources.

No official code exists; each `Deviation:` names what the public sources do not fix and how it is read here.

Source: Zhu, Luo, Zheng, Wang, Wang: "A good student is cooperative and reliable: CNN-Transformer collaborative learning
for semantic segmentation", ICCV 2023, arXiv 2307.12574.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.errors import ModelError
from trainables.losses.criterion import Criterion
from trainables.losses.grids import mean_over_valid
from trainables.losses.hfd import Mimic
from trainables.losses.selective import pixel_loss, region_features, region_loss, worse_pixels, worse_regions
from trainables.losses.task import Task
from trainables.models.attention import is_convolutional
from trainables.models.segmodel import Features, SegModel
from trainables.models.taps import table

SHALLOW, DEEP = "stage1", "stage4"


class Side(nn.Module):
    """One student's terms: task, and as far as their weights are > 0, hfd, region and pixel towards the other student.

    Deviation: the sources do not say which feature the regions are of; it is the last backbone stage.
    """

    def __init__(
        self, config: TrialConfig, *, own: SegModel, other: SegModel, num_classes: int, ignore_index: int
    ) -> None:
        super().__init__()
        self.config, self.ignore_index = config, ignore_index
        self.task = Task(config, student=own, teacher=None, num_classes=num_classes, ignore_index=ignore_index)
        weights = {"hfd": config.lambda_hfd, "region": config.lambda_region, "pixel": config.lambda_pixel}
        self.weights = _named("", self.task.weights) | {name: weight for name, weight in weights.items() if weight > 0}
        self.mimic: Mimic | None = None
        self.project: nn.Conv2d | None = None
        if config.lambda_hfd > 0:
            channels = own.taps[SHALLOW].channels, other.taps[SHALLOW].channels
            self.mimic = Mimic(*channels, convolutional=is_convolutional(other))
        if config.lambda_region > 0:
            self.project = nn.Conv2d(own.taps[DEEP].channels, other.taps[DEEP].channels, 1)

    def forward(
        self, own: Features, other: Features, labels: Int[Tensor, "b H W"], learns: dict[str, Tensor]
    ) -> dict[str, Float[Tensor, ""]]:
        """Args:
        learns: the regions (`region`) and pixels (`pixel`) in which this student learns from the other.
        """
        terms = _named("", self.task(own, None, labels))
        with torch.autocast(labels.device.type, enabled=False):
            if self.mimic is not None:
                features = own.taps[SHALLOW], other.taps[SHALLOW]
                terms["hfd"] = self.mimic(*features, labels, ignore_index=self.ignore_index)
            if self.project is not None:
                size = {"region_size": self.config.region_size, "ignore_index": self.ignore_index}
                mine, theirs = (region_features(each.taps[DEEP], labels, **size) for each in (own, other))
                terms["region"] = region_loss(self.project(mine), theirs, learns["region"])
            if "pixel" in self.weights:
                tau = self.config.temperature
                terms["pixel"] = pixel_loss(own.logits, other.logits, learns["pixel"], temperature=tau)
        return terms


class Collaborative(Criterion):
    """loss_* of the student and peer_* of the other one, each: task + lambda_hfd hfd + lambda_region region +
    lambda_pixel pixel. A weight of 0 switches its term off.

    In a region or pixel, the student with the lower cross-entropy teaches; where both have the same, the student does.
    `regions_to_student` and `pixels_to_student` are measured: the share in [0, 1] of the valid ones in which the peer
    teaches the student. What remains to 1 is taught by the student.
    """

    needs_teacher: ClassVar[bool] = False
    needs_peer: ClassVar[bool] = True
    zero_when_identical: ClassVar[frozenset[str]] = frozenset({"loss_pixel", "peer_pixel"})

    def __init__(self, *args: Any, student: SegModel, teacher: SegModel, **kwargs: Any) -> None:
        super().__init__(*args, student=student, teacher=teacher, **kwargs)
        check_taps(self.config, student=student, peer=teacher)
        target = {"num_classes": self.num_classes, "ignore_index": self.ignore_index}
        self.student_side = Side(self.config, own=student, other=teacher, **target)
        self.peer_side = Side(self.config, own=teacher, other=student, **target)
        self.weights = _named("loss_", self.student_side.weights) | _named("peer_", self.peer_side.weights)

    def peer_parameters(self) -> list[nn.Parameter]:
        return list(self.peer_side.parameters())

    def forward(
        self,
        student: Features,
        teacher: Features | None,
        labels: Int[Tensor, "batch H W"],
        real: Bool[Tensor, "batch H W"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        assert teacher is not None
        assert real is None  # it needs a label everywhere
        peer = teacher
        to_student, to_peer, measured = {}, {}, {}
        for name, worse, valid in self._compared(student, peer, labels):
            to_student[name], to_peer[name] = worse, valid & ~worse
            measured[f"{name}s_to_student"] = mean_over_valid(worse.float(), valid)
        terms = _named("loss_", self.student_side(student, peer, labels, to_student))
        return terms | _named("peer_", self.peer_side(peer, student, labels, to_peer)) | measured

    def _compared(
        self, student: Features, peer: Features, labels: Int[Tensor, "batch H W"]
    ) -> list[tuple[str, Tensor, Tensor]]:
        """Per kind: where the student is worse than the peer, and what is valid."""
        found = []
        if self.config.lambda_region > 0:
            size = {"region_size": self.config.region_size, "ignore_index": self.ignore_index}
            found.append(("region", *worse_regions(student.logits, peer.logits, labels, **size)))
        if self.config.lambda_pixel > 0:
            ignored = {"ignore_index": self.ignore_index}
            found.append(("pixel", *worse_pixels(student.logits, peer.logits, labels, **ignored)))
        return found


def check_taps(config: TrialConfig, *, student: SegModel, peer: SegModel) -> None:
    """Refuse a pair that lacks a feature to compare.

    Raises:
        ModelError: with the table of both networks' taps.
    """
    needed = {SHALLOW: config.lambda_hfd, DEEP: config.lambda_region}
    for tap in (tap for tap, weight in needed.items() if weight > 0):
        for name, model in ((config.student, student), (config.teacher, peer)):
            if tap not in model.taps:
                raise ModelError(f"{name!r} has no tap {tap!r} to learn by.\n{table(config, student, peer)}")


def _named(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    """By the same names with another prefix than `loss_`."""
    return {prefix + name.removeprefix("loss_"): value for name, value in values.items()}

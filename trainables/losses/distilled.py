"""What the baselines share: terms beside the task loss, and the tap that most of them compare."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.losses.features import Aligned, align
from trainables.losses.kd import configured_kd_loss
from trainables.losses.task import Task
from trainables.models.segmodel import Features, SegModel
from trainables.models.taps import check_tap


class Distilled(Task):
    """The task loss and what `distil` adds to it, computed in fp32 outside autocast; under `with_kd` also loss_kd.

    Ignored cells are in no sum, mean or softmax and get no gradient. The networks' own BatchNorms see them.

    Attributes:
        lambdas: each term's name and the field of TrialConfig that weighs it. A term of weight 0 is not computed.
    """

    needs_teacher = True
    lambdas: ClassVar[dict[str, str]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        weights = {term: float(getattr(self.config, field)) for term, field in self.lambdas.items()}
        if self.config.reads("with_kd") and self.config.with_kd:
            weights["loss_kd"] = self.config.lambda_kd
        self.weights |= {term: weight for term, weight in weights.items() if weight > 0}

    def forward(
        self,
        student: Features,
        teacher: Features | None,
        labels: Int[Tensor, "batch H W"],
        real: Bool[Tensor, "batch H W"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        assert teacher is not None
        terms = super().forward(student, teacher, labels, real)
        with torch.autocast(labels.device.type, enabled=False):
            if "loss_kd" in self.weights:
                everywhere = self.taught(labels, teacher, real, "nothing")
                terms["loss_kd"] = configured_kd_loss(self, student, teacher, everywhere)
            return terms | self.distil(student, teacher, self.taught(labels, teacher, real))

    @abstractmethod
    def distil(
        self, student: Features, teacher: Features, labels: Int[Tensor, "batch H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        """The terms that have a weight, unweighted.

        Args:
            labels: under `distil_on: all`, where the image has none, any class, or the teacher's where it is certain,
                by `needs_label`.
        """

    def align_logits(self, student: Features, teacher: Features, labels: Int[Tensor, "batch H W"]) -> Aligned:
        return align(*self.shared(student.logits, teacher.logits, labels), ignore_index=self.ignore_index)


class Tapped(Distilled):
    """A method that compares the tap `projector_tap` of both networks, on the coarser of its two grids.

    Raises:
        ModelError: one of them has no such tap, or too coarse a grid there.
    """

    def __init__(self, *args: Any, student: SegModel, teacher: SegModel, **kwargs: Any) -> None:
        super().__init__(*args, student=student, teacher=teacher, **kwargs)
        check_tap(self.config, student=student, teacher=teacher)
        self.channels = tuple(net.taps[self.config.projector_tap].channels for net in (student, teacher))

    @classmethod
    def feature_terms(cls) -> frozenset[str]:
        return frozenset(cls.lambdas)

    @classmethod
    def reads_logits(cls, config: TrialConfig) -> bool:
        return config.reads("with_kd") and config.with_kd

    def align_taps(self, student: Features, teacher: Features, labels: Int[Tensor, "batch H W"]) -> Aligned:
        tap = self.config.projector_tap
        return align(student.taps[tap], teacher.taps[tap], labels, ignore_index=self.ignore_index)

    def to_teacher(self) -> nn.Module:
        """A trained 1x1 convolution from the student's channels to the teacher's; nothing where they are as many."""
        source, target = self.channels
        return nn.Identity() if source == target else nn.Conv2d(source, target, kernel_size=1, bias=False)

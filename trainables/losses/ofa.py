"""One-for-all: the student's stages speak in the teacher's logits, where architectures need not resemble each other."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.errors import ModelError
from trainables.losses.distilled import Distilled
from trainables.losses.grids import labels_on_grid, mean_over_valid, to_grid
from trainables.models.segmodel import Features, SegModel


def ofa_loss(
    student: Float[Tensor, "b c h w"],
    teacher: Float[Tensor, "b c h w"],
    labels: Int[Tensor, "b h w"],
    valid: Bool[Tensor, "b h w"],
    *,
    eps: float,
) -> Float[Tensor, ""]:
    """Cross-entropy from the teacher to an exit's logits, the label's class emphasised, mean over valid pixels.

    L = -(1/N) sum_i sum_c [(p_T,c + 1_{c=y})^eps - 1_{c=y}] log p_S,c

    At eps = 1 it is the teacher's cross-entropy; above 1 the label's class weighs more. Not 0 for identical networks.
    The teacher gets no gradient.

    Source: Hao et al. 2023 (OFA-KD), Eq. 6.
    """
    classes = torch.arange(student.shape[1], device=labels.device).view(1, -1, 1, 1)
    is_class = (labels[:, None] == classes).float()
    target = (F.softmax(teacher.detach(), dim=1) + is_class) ** eps - is_class
    return mean_over_valid(-(target * F.log_softmax(student, dim=1)).sum(dim=1), valid)


class Ofa(Distilled):
    """lambda_ofa * loss_ofa over the exits of the student's encoder stages, beside the task loss.

    The teacher's logits are brought to each stage's grid.

    Deviation: an exit is one 1x1 convolution, since a pixel is classified where it is; the paper's, for one class an
    image, merge patches and pool. The mean over exits is taken where the official code sums over its 4: so the default
    weight is 4 * 1. Its last term, on the final logits, is that of method `kd`. Under `distil_on: all`, where there is
    no label, the class of which the teacher is certain is emphasised, and other pixels are left out.

    Raises:
        ModelError: the student has no encoder stage among its taps.
    """

    needs_label = "class"
    lambdas: ClassVar[dict[str, str]] = {"loss_ofa": "lambda_ofa"}

    def __init__(self, *args: Any, student: SegModel, **kwargs: Any) -> None:
        super().__init__(*args, student=student, **kwargs)
        stages = {name: tap.channels for name, tap in student.taps.items() if name.startswith("stage")}
        if not stages:
            raise ModelError(
                f"ofa needs stage1..stage4 among the student's taps, but {self.config.student!r} has "
                f"{', '.join(student.taps) or 'none'}. Choose another method or student."
            )
        if "loss_ofa" in self.weights:
            self.exits = nn.ModuleDict(
                {name: nn.Conv2d(channels, self.num_classes, kernel_size=1) for name, channels in stages.items()}
            )

    def distil(
        self, student: Features, teacher: Features, labels: Int[Tensor, "batch H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        if "loss_ofa" not in self.weights:
            return {}
        losses = [
            self._exit_loss(*self.shared(leave(student.taps[stage].float()), teacher.logits, labels))
            for stage, leave in self.exits.items()
        ]
        return {"loss_ofa": torch.stack(losses).mean()}

    def _exit_loss(
        self, student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b c ht wt"], labels: Int[Tensor, "b H W"]
    ) -> Float[Tensor, ""]:
        grid = (student.shape[-2], student.shape[-1])
        labels = labels_on_grid(labels, grid)
        valid = labels != self.ignore_index
        return ofa_loss(student, to_grid(teacher, grid), labels, valid, eps=self.config.ofa_eps)

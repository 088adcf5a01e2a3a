"""Normalised feature distillation: where each channel is strong, not how strong the teacher's responses are."""

from __future__ import annotations

from typing import Any, ClassVar

from jaxtyping import Bool, Float, Int
from torch import Tensor

from trainables.losses.distilled import Tapped
from trainables.losses.features import unit
from trainables.losses.grids import mean_over_valid
from trainables.models.segmodel import Features, SegModel


def nfd_loss(
    student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """Squared difference of the two z-scores, mean over channels and valid cells.

    L_nfd = (1/(N C)) sum_{i,c} (S'_{c,i} - T'_{c,i})^2;  X'_c = (X_c - mean X_c) / std X_c over the image's valid cells

    In [0, 4]: for a channel of one image it is 2 (1 - Pearson's correlation). A positive factor and a shift of a
    channel change nothing. A channel that is constant in an image is 0 there and gets no gradient. The teacher gets no
    gradient.

    Source: Liu, Yang, Chen 2022 (NFD, arXiv 2207.05256), as two public re-implementations have it: over height and
    width. PKD (Cao et al. 2022) takes the same over the batch too, halved.
    Deviation: mean and standard deviation are those of valid cells.
    """
    difference = _z_scores(student, valid) - _z_scores(teacher.detach(), valid)
    return mean_over_valid(difference.square().mean(dim=1), valid)


def _z_scores(maps: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b h w"]) -> Float[Tensor, "b c h w"]:
    outside = ~valid.flatten(1)[:, None]
    count = valid.flatten(1).sum(dim=1).clamp(min=1)[:, None, None]
    values = maps.flatten(2).masked_fill(outside, 0.0)
    centred = (values - values.sum(dim=2, keepdim=True) / count).masked_fill(outside, 0.0)
    return (unit(centred, dim=2) * count.to(values.dtype).sqrt()).view_as(maps)


class Nfd(Tapped):
    """lambda_nfd * loss_nfd on the tap, beside the task loss.

    Where the channels of the taps differ, the student's go through a trained 1x1 convolution, as in the
    re-implementations.

    Deviation: the paper's tap and weight are in no source that could be read: here the last backbone stage, and 1.
    """

    zero_when_identical = frozenset({"loss_nfd"})
    needs_label = "nothing"
    lambdas: ClassVar[dict[str, str]] = {"loss_nfd": "lambda_nfd"}

    def __init__(self, *args: Any, student: SegModel, teacher: SegModel, **kwargs: Any) -> None:
        super().__init__(*args, student=student, teacher=teacher, **kwargs)
        if "loss_nfd" in self.weights:
            self.projector = self.to_teacher()

    def distil(
        self, student: Features, teacher: Features, labels: Int[Tensor, "batch H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        if "loss_nfd" not in self.weights:
            return {}
        maps = self.align_taps(student, teacher, labels)
        return {"loss_nfd": nfd_loss(self.projector(maps.student), maps.teacher, maps.valid)}

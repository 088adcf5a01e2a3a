"""DIST: the order that the teacher sees among classes, and among pixels, not its probabilities."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from trainables.losses.distilled import Distilled
from trainables.losses.features import unit
from trainables.losses.grids import mean_over_valid
from trainables.models.segmodel import Features


def dist_inter_loss(
    student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """1 - Pearson's correlation over the classes of a pixel, mean over valid pixels.

    L_inter = (1/N) sum_i (1 - r_c(P_S,i, P_T,i)) on the networks' probabilities

    In [0, 2]; a constant vector (norm below 1e-6 about its mean) correlates with nothing: 1, and no gradient. Neither
    a positive factor nor a shift of a network's probabilities changes the value. The teacher gets no gradient.

    Source: Huang et al. 2022 (DIST), Eq. 8.
    """
    centred = [maps - maps.mean(dim=1, keepdim=True) for maps in (student, teacher.detach())]
    correlation = (unit(centred[0], dim=1) * unit(centred[1], dim=1)).sum(dim=1)
    return mean_over_valid(1 - correlation, valid)


def dist_intra_loss(
    student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """1 - Pearson's correlation over the valid pixels of the batch, mean over classes.

    L_intra = (1/C) sum_c (1 - r_i(P_S,c, P_T,c)) on the networks' probabilities

    As `dist_inter_loss`; 0 where no pixel is valid.

    Source: Huang et al. 2022 (DIST), Eq. 9; over the whole batch, as in its official segmentation code.
    """
    centred = [_over_pixels(maps, valid) for maps in (student, teacher.detach())]
    correlation = (unit(centred[0], dim=1) * unit(centred[1], dim=1)).sum(dim=1)
    return (1 - correlation).mean() * valid.any()


def _over_pixels(maps: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b h w"]) -> Float[Tensor, "c n"]:
    """Each class's values about their mean over valid pixels; 0 at ignored ones."""
    outside = ~valid.flatten()
    values = maps.transpose(0, 1).flatten(1).masked_fill(outside, 0.0)
    mean = values.sum(dim=1, keepdim=True) / valid.sum().clamp(min=1)
    return (values - mean).masked_fill(outside, 0.0)


class Dist(Distilled):
    """lambda_dist_inter * loss_dist_inter + lambda_dist_intra * loss_dist_intra, beside the task loss."""

    zero_when_identical = frozenset({"loss_dist_inter", "loss_dist_intra"})
    needs_label = "nothing"
    lambdas: ClassVar[dict[str, str]] = {"loss_dist_inter": "lambda_dist_inter", "loss_dist_intra": "lambda_dist_intra"}

    def distil(
        self, student: Features, teacher: Features, labels: Int[Tensor, "batch H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        maps = self.align_logits(student, teacher, labels)
        p_student, p_teacher = F.softmax(maps.student, dim=1), F.softmax(maps.teacher, dim=1)
        losses = {"loss_dist_inter": dist_inter_loss, "loss_dist_intra": dist_intra_loss}
        return {name: loss(p_student, p_teacher, maps.valid) for name, loss in losses.items() if name in self.weights}

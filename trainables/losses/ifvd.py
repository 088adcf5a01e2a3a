"""Intra-class feature variation distillation: how far each pixel is from its class."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trainables.losses.distilled import Tapped
from trainables.losses.features import EPS, class_means, members, unit
from trainables.losses.grids import mean_over_valid
from trainables.models.segmodel import Features


def ifvd_loss(
    student: Float[Tensor, "b cs h w"],
    teacher: Float[Tensor, "b ct h w"],
    labels: Int[Tensor, "b h w"],
    valid: Bool[Tensor, "b h w"],
    *,
    num_classes: int,
) -> Float[Tensor, ""]:
    """Squared difference of the two networks' variation maps, mean over valid cells.

    L_ifvd = (1/N) sum_i (cos(S_i, mean of S over i's class) - cos(T_i, mean of T over i's class))^2

    The means are those of one image. Channels may differ. The teacher gets no gradient. Memory is linear in cells:
    num_classes floats each beside the features.

    Source: Wang et al. 2020 (IFVD), Eq. 1-3.
    Deviation: mean over valid cells; the official code averages over all, ignored ones costing 0.
    """
    maps = [_variation(each, labels, valid, num_classes=num_classes) for each in (student, teacher.detach())]
    return mean_over_valid((maps[0] - maps[1]).square(), valid)


def _variation(
    maps: Float[Tensor, "b c h w"], labels: Int[Tensor, "b h w"], valid: Bool[Tensor, "b h w"], *, num_classes: int
) -> Float[Tensor, "b h w"]:
    """Cosine of every valid cell and the mean of its class, which has a gradient too; anything at ignored cells."""
    features = maps.flatten(2)
    means = class_means(features, members(labels, valid, num_classes=num_classes))
    products = unit(means, dim=2) @ features
    own = labels.masked_fill(~valid, 0).flatten(1)[:, None].long()
    lengths = torch.linalg.vector_norm(features, dim=1)
    cosines = products.gather(1, own)[:, 0] / lengths.clamp(min=EPS)
    return cosines.masked_fill(lengths < EPS, 0.0).view(labels.shape)


class Ifvd(Tapped):
    """lambda_ifvd * loss_ifvd on the tap, beside the task loss.

    Deviation: under `distil_on: all`, where there is no label, a cell is of the class of which the teacher is certain.
    """

    zero_when_identical = frozenset({"loss_ifvd"})
    needs_label = "class"
    lambdas: ClassVar[dict[str, str]] = {"loss_ifvd": "lambda_ifvd"}

    def distil(
        self, student: Features, teacher: Features, labels: Int[Tensor, "batch H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        if "loss_ifvd" not in self.weights:
            return {}
        maps = self.align_taps(student, teacher, labels)
        return {"loss_ifvd": ifvd_loss(*maps, num_classes=self.num_classes)}

"""Structured knowledge distillation, pair-wise part: which places of an image resemble each other."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from trainables.losses.distilled import Tapped
from trainables.losses.features import unit
from trainables.losses.grids import mean_over_valid
from trainables.models.segmodel import Features


def skd_loss(
    student: Float[Tensor, "b cs h w"], teacher: Float[Tensor, "b ct h w"], valid: Bool[Tensor, "b h w"], *, grid: int
) -> Float[Tensor, ""]:
    """Squared difference of the cosines between any two nodes of an image, mean over pairs of nodes.

    L_skd = mean_{n,i,j} (cos(S_n,i, S_n,j) - cos(T_n,i, T_n,j))^2

    Nodes are the maxima, channel by channel, of a `grid` x `grid` partition (or of the single cells, where there are
    fewer). Channels may differ. The teacher gets no gradient. Memory is grid^4 an image.

    Source: Liu et al. 2019 (SKD), Eq. 3-4, without their pixel-wise and adversarial parts. Their code pools half the
    map's sides into a node: 2 x 2 nodes, the default of `skd_grid`.
    Deviation: a node is the maximum over its valid cells; one without any takes no part.
    """
    size = (min(grid, valid.shape[1]), min(grid, valid.shape[2]))
    present = F.adaptive_max_pool2d(valid[:, None].float(), size).flatten(1) > 0
    cosines = [_cosines(maps, valid, present, size) for maps in (student, teacher.detach())]
    return mean_over_valid((cosines[0] - cosines[1]).square(), present[:, :, None] & present[:, None, :])


def _cosines(
    maps: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b h w"], present: Bool[Tensor, "b n"], size: tuple[int, int]
) -> Float[Tensor, "b n n"]:
    inside = maps.masked_fill(~valid[:, None], torch.finfo(maps.dtype).min)
    nodes = F.adaptive_max_pool2d(inside, size).flatten(2).masked_fill(~present[:, None], 0.0)
    nodes = unit(nodes, dim=1)
    return nodes.transpose(1, 2) @ nodes


class Skd(Tapped):
    """lambda_skd * loss_skd on the tap, beside the task loss."""

    zero_when_identical = frozenset({"loss_skd"})
    lambdas: ClassVar[dict[str, str]] = {"loss_skd": "lambda_skd"}

    def distil(
        self, student: Features, teacher: Features, labels: Int[Tensor, "batch H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        if "loss_skd" not in self.weights:
            return {}
        maps = self.align_taps(student, teacher, labels)
        return {"loss_skd": skd_loss(maps.student, maps.teacher, maps.valid, grid=self.config.skd_grid)}

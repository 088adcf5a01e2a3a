"""Structured knowledge distillation, pair-wise part: which places of an image resemble each other."""

from __future__ import annotations

from math import ceil
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from trainables.losses.distilled import Tapped
from trainables.losses.features import unit
from trainables.losses.grids import mean_over_valid
from trainables.models.segmodel import Features

NODES = (32, 64)
"""Most rows and columns of nodes: what 2 x 2 pooling leaves of 64 x 128 cells. Memory is quadratic in nodes, so that
windows grow on finer maps: a matrix of an image takes 16 MiB at most, where the 64 x 128 nodes of stride 4 at 512 x
1024 pixels would take 256.
"""


def skd_loss(
    student: Float[Tensor, "b cs h w"], teacher: Float[Tensor, "b ct h w"], valid: Bool[Tensor, "b h w"], *, pool: int
) -> Float[Tensor, ""]:
    """Squared difference of the cosines between any two nodes of an image, mean over pairs of nodes.

    L_skd = mean_{n,i,j} (cos(S_n,i, S_n,j) - cos(T_n,i, T_n,j))^2

    Nodes are the maxima, channel by channel, of disjoint windows of `pool` x `pool` cells, ceil(cells / pool) along a
    side, the last one narrower where they do not fit. Channels may differ. The teacher gets no gradient. Windows are
    larger where there would be more than NODES, and smaller where there would be one node alone, which resembles
    itself whatever the student does.

    Source: Liu et al. 2019 (SKD), Eq. 3-4, without their pixel-wise and adversarial parts.
    Deviation: 2 x 2 pooling and the weight 10 are those of CIRKD's code; the authors' own pools half the map's sides
    into a node. The gradient goes through the vectors' lengths too, as in CIRKD's code; the authors' own divides by a
    length without gradient. A node is the maximum over its valid cells; one without any takes no part.
    """
    window = windows((valid.shape[1], valid.shape[2]), pool)
    present = F.max_pool2d(valid[:, None].float(), window, ceil_mode=True).flatten(1) > 0
    cosines = [_cosines(maps, valid, present, window) for maps in (student, teacher.detach())]
    return mean_over_valid((cosines[0] - cosines[1]).square(), present[:, :, None] & present[:, None, :])


def windows(cells: tuple[int, int], pool: int) -> tuple[int, int]:
    """Rows and columns of cells of a node's window."""
    rows, columns = (max(pool, ceil(side / most)) for side, most in zip(cells, NODES, strict=True))
    if rows >= cells[0] and columns >= cells[1]:
        rows, columns = ceil(cells[0] / 2), ceil(cells[1] / 2)
    return min(rows, cells[0]), min(columns, cells[1])


def _cosines(
    maps: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b h w"], present: Bool[Tensor, "b n"], window: tuple[int, int]
) -> Float[Tensor, "b n n"]:
    inside = maps.masked_fill(~valid[:, None], torch.finfo(maps.dtype).min)
    nodes = F.max_pool2d(inside, window, ceil_mode=True).flatten(2).masked_fill(~present[:, None], 0.0)
    nodes = unit(nodes, dim=1)
    return nodes.transpose(1, 2) @ nodes


class Skd(Tapped):
    """lambda_skd * loss_skd on the tap, beside the task loss."""

    is_linear = False
    zero_when_identical = frozenset({"loss_skd"})
    needs_label = "nothing"
    lambdas: ClassVar[dict[str, str]] = {"loss_skd": "lambda_skd"}

    def distil(
        self, student: Features, teacher: Features, labels: Int[Tensor, "batch H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        if "loss_skd" not in self.weights:
            return {}
        maps = self.align_taps(student, teacher, labels)
        return {"loss_skd": skd_loss(maps.student, maps.teacher, maps.valid, pool=self.config.skd_pool)}

"""Af-DCD: the student restores the teacher's masked feature, and tells its channel groups apart, with no augmentation.

Source: Fan et al. 2023 (Af-DCD); equation numbers are theirs.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.errors import ModelError
from trainables.losses.distilled import Tapped
from trainables.losses.features import drawn
from trainables.losses.fitnet import fitnet_loss
from trainables.losses.grids import mean_over_valid
from trainables.models.segmodel import Features, SegModel

MASKED = 0.75
"""Share of the cells that the student's feature is without."""
GROUPS, PATCH, POOL = 16, 4, 4
"""Most channel groups; side of a patch, in pooled cells; side of what is pooled where a patch is left after it."""
HIDDEN = 256
"""Most channels between the decoder's two convolutions; at 2048 of them it would have 75 million weights."""


def afdcd_contrast_loss(
    student: Float[Tensor, "b c h w"],
    teacher: Float[Tensor, "b c h w"],
    valid: Bool[Tensor, "b h w"],
    *,
    groups: int,
    temperature: float,
) -> Float[Tensor, ""]:
    """InfoNCE over the channel groups of the cells of a patch, mean over valid cells and groups.

    L_contrast = mean_{i,m} -log (e_{im,im} / (e_{im,im} + sum_{j, n != m} e_{im,jn}))
    e_{im,jn} = exp(-|S_i^m - T_j^n|_1 / tau)

    i and j are cells of one patch of 4 x 4 (after 4 x 4 max-pooling, where 4 x 4 cells are left), m and n groups of
    neighbouring channels. The teacher gets no gradient. Memory is (16 groups)^2 a patch: linear in cells.

    Source: Eq. 5-8 (omni-contrasting).
    Deviation: ignored cells are no anchors, no negatives and in no maximum. Maps whose sides are no multiple of a
    patch's are padded with ignored cells. The official code sums over the groups.
    """
    pairs = [_patches(maps, valid, groups) for maps in (student, teacher.detach())]
    (anchors, inside), (targets, _) = pairs
    group = torch.arange(groups, device=valid.device).repeat(PATCH * PATCH)
    own = torch.eye(len(group), dtype=torch.bool, device=valid.device)
    compared = (own | (group[:, None] != group)) & inside[:, None]
    similarity = -torch.cdist(anchors, targets, p=1) / temperature
    logs = F.log_softmax(similarity.masked_fill(~compared, torch.finfo(similarity.dtype).min), dim=2)
    return mean_over_valid(-logs.diagonal(dim1=1, dim2=2)[:, None], inside[:, None])


def _patches(
    maps: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b h w"], groups: int
) -> tuple[Float[Tensor, "p n d"], Bool[Tensor, "p n"]]:
    """Of every patch, the vectors of each cell's groups, cell by cell, and which belong to a valid cell."""
    channels, pool = maps.shape[1], POOL if min(valid.shape[1:]) >= POOL * PATCH else 1
    inside = maps.masked_fill(~valid[:, None], torch.finfo(maps.dtype).min)
    pooled = F.max_pool2d(inside, pool, ceil_mode=True)
    present = F.max_pool2d(valid[:, None].float(), pool, ceil_mode=True)
    pooled = pooled.masked_fill(present == 0, 0.0)
    padding = (0, -pooled.shape[3] % PATCH, 0, -pooled.shape[2] % PATCH)
    cells, marks = (
        F.unfold(F.pad(each, padding), PATCH, stride=PATCH).transpose(1, 2).flatten(0, 1) for each in (pooled, present)
    )
    vectors = cells.view(len(cells), groups, channels // groups, PATCH * PATCH).permute(0, 3, 1, 2)
    return vectors.flatten(1, 2), (marks > 0).repeat_interleave(groups, dim=1)


def channel_groups(channels: int) -> int:
    """The largest number of equal groups, up to GROUPS."""
    return max(number for number in range(1, GROUPS + 1) if channels % number == 0)


class Afdcd(Tapped):
    """lambda_afdcd_feature * loss_afdcd_feature + lambda_afdcd_contrast * loss_afdcd_contrast, on the tap.

    The student's feature, brought to the teacher's channels by a trained 1x1 convolution, loses three quarters of its
    cells; two 3x3 convolutions restore it. The first term is its squared difference to the teacher's, mean over
    channels and valid cells; the second tells its parts apart. Neither is 0 for identical networks, since the decoder
    starts at random.

    Deviation: the official code sums the first term over channels and cells of an image, at a weight of 2e-6; as a
    mean, at its 2048 channels and 64 x 128 cells, that is 2e-6 * 2048 * 64 * 128 = 33.6, the default here. It sums the
    second over its 16 groups, at 5e-3; as a mean that is 16 * 5e-3 = 0.08. Those are its weights on Cityscapes; others
    are in `published.py`. It clips the gradient of its own module at 15. One random mask serves the whole batch, so
    that its order is inert; of 2 x 2 cells it leaves none in a third of the steps, which then teach the decoder alone.
    The decoder is narrower within (256 channels), and ignored cells do not enter it.

    Raises:
        ModelError: no number from 2 to 16 divides the teacher's channels.
    """

    needs_label = "nothing"
    lambdas: ClassVar[dict[str, str]] = {
        "loss_afdcd_feature": "lambda_afdcd_feature",
        "loss_afdcd_contrast": "lambda_afdcd_contrast",
    }

    def __init__(self, *args: Any, student: SegModel, teacher: SegModel, **kwargs: Any) -> None:
        super().__init__(*args, student=student, teacher=teacher, **kwargs)
        channels = self.channels[1]
        self.groups = channel_groups(channels)
        if self.groups == 1:
            raise ModelError(
                f"afdcd contrasts 2 to {GROUPS} equal groups of channels, but the teacher {self.config.teacher!r} has "
                f"{channels} at {self.config.projector_tap!r}. Choose another projector_tap, method or teacher."
            )
        if self.lambdas.keys() & self.weights.keys():
            width = min(HIDDEN, channels)
            self.projector = self.to_teacher()
            self.decoder = nn.Sequential(
                nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, channels, 3, padding=1)
            )

    def distil(
        self, student: Features, teacher: Features, labels: Int[Tensor, "batch H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        if not self.lambdas.keys() & self.weights.keys():
            return {}
        maps, terms = self.align_taps(student, teacher, labels), {}
        kept = drawn(*maps.valid.shape[1:], device=maps.valid.device) < 1 - MASKED
        restored = self.decoder(self.projector(maps.student).masked_fill(~(maps.valid & kept)[:, None], 0.0))
        if "loss_afdcd_feature" in self.weights:
            terms["loss_afdcd_feature"] = fitnet_loss(restored, maps.teacher, maps.valid)
        if "loss_afdcd_contrast" in self.weights:
            terms["loss_afdcd_contrast"] = afdcd_contrast_loss(
                restored, maps.teacher, maps.valid, groups=self.groups, temperature=self.config.afdcd_temperature
            )
        return terms

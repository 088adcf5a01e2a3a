"""Bidirectional selective distillation: who errs less teaches, region by region and pixel by pixel.

CE_i = -log p_{i, y_i} of a pixel with label y_i; the mirror of a direction takes the other valid regions and pixels.

Source: Zhu, Luo, Zheng, Wang, Wang: "A good student is cooperative and reliable: CNN-Transformer collaborative learning
for semantic segmentation", ICCV 2023, arXiv 2307.12574.
"""

from __future__ import annotations

from math import ceil

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from trainables.losses.grids import Labels, Maps, coarser, labels_on_grid, mean_over_valid, to_grid


@torch.no_grad()
def worse_pixels(
    first: Float[Tensor, "b c h w"],
    second: Float[Tensor, "b c h2 w2"],
    labels: Int[Tensor, "b H W"],
    *,
    ignore_index: int,
) -> tuple[Bool[Tensor, "b h3 w3"], Bool[Tensor, "b h3 w3"]]:
    """n_i = 1[CE_i(first) > CE_i(second)], and which pixels are valid.

    Deviation: the sources do not state the grid; it is the coarser of the two logit grids, where predictions are
    compared.
    """
    grid = coarser(first, second)
    labels = labels_on_grid(labels, grid)
    one, two = (_errors(to_grid(logits, grid), labels, ignore_index) for logits in (first, second))
    valid = labels != ignore_index
    return (one > two) & valid, valid


@torch.no_grad()
def worse_regions(
    first: Float[Tensor, "b c h w"],
    second: Float[Tensor, "b c h2 w2"],
    labels: Int[Tensor, "b H W"],
    *,
    region_size: int,
    ignore_index: int,
) -> tuple[Bool[Tensor, "b h3 w3"], Bool[Tensor, "b h3 w3"]]:
    """m_r = 1[CE_r(first) > CE_r(second)], CE_r the mean over the region's valid pixels, and which regions have any.

    Args:
        region_size: largest side of a region in pixels of the labels, into which the image is cut evenly.
    """
    size, grid = (labels.shape[-2], labels.shape[-1]), region_grid(labels, region_size)
    weight = (labels != ignore_index)[:, None].float()
    share = F.adaptive_avg_pool2d(weight, grid)[:, 0]
    one, two = (
        masked_mean(_errors(to_grid(logits, size), labels, ignore_index)[:, None], weight, grid)
        for logits in (first, second)
    )
    return (one > two)[:, 0] & (share > 0), share > 0


def region_grid(labels: Labels, region_size: int) -> tuple[int, int]:
    """Rows and columns of regions."""
    return ceil(labels.shape[-2] / region_size), ceil(labels.shape[-1] / region_size)


def region_features(
    maps: Float[Tensor, "b c h w"], labels: Int[Tensor, "b H W"], *, region_size: int, ignore_index: int
) -> Float[Tensor, "b c h2 w2"]:
    """F_r: a feature's mean over each region, each cell by its share of valid pixels; 0 where there is none.

    Deviation: the sources do not say how a feature is brought to regions. A region within one cell has that cell's.
    """
    valid = (labels != ignore_index)[:, None].float()
    weight = F.adaptive_avg_pool2d(valid, (maps.shape[-2], maps.shape[-1]))
    return masked_mean(maps.float(), weight, region_grid(labels, region_size))


def masked_mean(
    maps: Maps, weight: Float[Tensor, "batch 1 height width"], grid: tuple[int, int]
) -> Float[Tensor, "batch channels h2 w2"]:
    """Weighted mean over each cell of a grid that cuts the map evenly; 0 where no weight is."""
    share = F.adaptive_avg_pool2d(weight, grid)
    return F.adaptive_avg_pool2d(maps * weight, grid) / torch.where(share > 0, share, 1.0)


def region_loss(
    projected: Float[Tensor, "b c h w"], other: Float[Tensor, "b c h w"], selected: Bool[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """L_reg = sum_r m_r (1 - cos(P F_r, sg F'_r)) / max(1, sum_r m_r). No gradient to `other`."""
    return mean_over_valid(1 - F.cosine_similarity(projected.float(), other.detach().float(), dim=1), selected)


def pixel_loss(
    own: Float[Tensor, "b c h w"],
    other: Float[Tensor, "b c h2 w2"],
    selected: Bool[Tensor, "b h3 w3"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """L_pix = sum_i n_i tau^2 KL(sg p'_i || p_i) / max(1, sum_i n_i), on the grid of n. No gradient to `other`."""
    grid = (selected.shape[-2], selected.shape[-1])
    log_own = F.log_softmax(to_grid(own, grid) / temperature, dim=1)
    log_other = F.log_softmax(to_grid(other.detach(), grid) / temperature, dim=1)
    divergence = F.kl_div(log_own, log_other, log_target=True, reduction="none").sum(dim=1)
    return temperature**2 * mean_over_valid(divergence, selected)


def _errors(logits: Maps, labels: Int[Tensor, "batch height width"], ignore_index: int) -> Float[Tensor, "batch h w"]:
    """CE_i, 0 at ignored pixels."""
    return F.cross_entropy(logits, labels, ignore_index=ignore_index, reduction="none")

"""Bring logits and labels onto one grid, and average over what is labelled."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from trainables.ranks import denominator

Maps = Float[Tensor, "batch channels height width"]
Labels = Int[Tensor, "batch height width"]


def to_grid(
    maps: Float[Tensor, "b c h w"], size: tuple[int, int], *, align_corners: bool = False
) -> Float[Tensor, "b c h2 w2"]:
    """Resampling in fp32; the same maps if they are on that grid already.

    Enlarged, bilinear. Shrunk, an average in which every cell counts: the mean of a block where both sides shrink by
    whole factors, else a triangle as wide as a step on either side (bilinear with antialiasing).

    Args:
        align_corners: whether the corner cells' centres, not their outer corners, fall together; where maps are
            enlarged.

    Deviation: the sources shrink as they enlarge, by bilinear interpolation without antialiasing. That reads 25 % of
    the cells at a ratio of 4 and 6 % at 8; the others would say nothing and get no gradient.
    """
    maps = maps.float()
    height, width = maps.shape[-2:]
    if (height, width) == size:
        return maps
    if height <= size[0] and width <= size[1]:
        return F.interpolate(maps, size=size, mode="bilinear", align_corners=align_corners)
    if height % size[0] == 0 and width % size[1] == 0:
        return F.adaptive_avg_pool2d(maps, size)
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False, antialias=True)


def labels_on_grid(labels: Int[Tensor, "b H W"], size: tuple[int, int]) -> Int[Tensor, "b h w"]:
    """The label nearest to each cell's centre; ids are never mixed."""
    if labels.shape[-2:] == size:
        return labels
    nearest = F.interpolate(labels[:, None].float(), size=size, mode="nearest-exact")  # exact below 2^24
    return nearest[:, 0].to(labels.dtype)


def coarser(first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c2 h2 w2"]) -> tuple[int, int]:
    """The smaller of two grids, as (height, width)."""
    grid = min(first.shape[-2:], second.shape[-2:])
    return int(grid[0]), int(grid[1])


def mean_over_valid(values: Float[Tensor, "b h w"], valid: Bool[Tensor, "b h w"]) -> Float[Tensor, ""]:
    """Mean over the labelled pixels of the whole batch; 0 where there is none. Ignored pixels get no gradient."""
    return values.masked_fill(~valid, 0.0).sum() / denominator(valid.sum())

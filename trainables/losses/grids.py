"""Bring logits and labels onto one grid, and average over what is labelled."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

Maps = Float[Tensor, "batch channels height width"]
Labels = Int[Tensor, "batch height width"]


def to_grid(maps: Float[Tensor, "b c h w"], size: tuple[int, int]) -> Float[Tensor, "b c h2 w2"]:
    """Bilinear resampling in fp32 (pixel centres aligned), or the same maps if they are on that grid already."""
    maps = maps.float()
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


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
    return values.masked_fill(~valid, 0.0).sum() / valid.sum().clamp(min=1)

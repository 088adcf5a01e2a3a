"""Pixels without a label: where terms on the teacher are taken, and what stands in for the label there."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from trainables.losses.grids import to_grid
from trainables.ranks import denominator

Needs = Literal["nothing", "class"]
"""What a method needs to know of a pixel: nothing but that it is one, or a class, for which the teacher's will do."""


def anywhere(
    labels: Int[Tensor, "b H W"], real: Bool[Tensor, "b H W"], *, stand_in: int, ignore_index: int
) -> Int[Tensor, "b H W"]:
    """The labels, and a class in place of each that is missing, so that no pixel but padding is ignored.

    Args:
        stand_in: the class; the method must not read which it is.
    """
    return labels.masked_fill(real & (labels == ignore_index), stand_in)


@torch.no_grad()
def pseudo_labels(
    logits: Float[Tensor, "b c h w"],
    *,
    size: tuple[int, int],
    threshold: float,
    ignore_index: int,
    align_corners: bool = False,
) -> Int[Tensor, "b H W"]:
    """The likeliest class of each pixel where its probability is at least `threshold`, else `ignore_index`.

    Logits are enlarged first, as in the task loss.

    Source: Lee 2013 (pseudo-label); Sohn et al. 2020 (FixMatch), whose threshold 0.95 is for images, not pixels.
    """
    probability, number = F.softmax(to_grid(logits, size, align_corners=align_corners), dim=1).max(dim=1)
    return number.masked_fill(probability < threshold, ignore_index)


def with_pseudo(
    labels: Int[Tensor, "b H W"], real: Bool[Tensor, "b H W"], pseudo: Int[Tensor, "b H W"], *, ignore_index: int
) -> Int[Tensor, "b H W"]:
    """The labels, and where they are missing in the image, pseudo-labels."""
    return torch.where(real & (labels == ignore_index), pseudo, labels)


def pseudo_loss(
    logits: Float[Tensor, "b c h w"],
    pseudo: Int[Tensor, "b H W"],
    missing: Bool[Tensor, "b H W"],
    *,
    ignore_index: int,
    align_corners: bool = False,
) -> Float[Tensor, ""]:
    """Cross-entropy to the pseudo-labels, summed over the pixels that have one, divided by all that lack a label.

    L_pseudo = -(1/M) sum_i 1[max_c q_i,c >= threshold] log softmax(P_S,i)_{argmax q_i},  M pixels without a label

    So it is small while few pixels are certain. 0 where every pixel is labelled.

    Source: Sohn et al. 2020 (FixMatch), Eq. 4, by pixel and without its two augmentations.
    """
    size = (pseudo.shape[-2], pseudo.shape[-1])
    enlarged = to_grid(logits, size, align_corners=align_corners)
    errors = F.cross_entropy(enlarged, pseudo, ignore_index=ignore_index, reduction="none")
    return errors.masked_fill(~missing, 0.0).sum() / denominator(missing.sum())

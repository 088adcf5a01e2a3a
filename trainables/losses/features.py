"""What the feature losses share: maps on one grid, directions, class means."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from trainables.device import send
from trainables.losses.grids import coarser, labels_on_grid, to_grid

EPS = 1e-6  # a vector shorter than this has no direction


class Aligned(NamedTuple):
    """Student's and teacher's maps in fp32 on the coarser of their grids, with the labels there."""

    student: Float[Tensor, "b cs h w"]
    teacher: Float[Tensor, "b ct h w"]
    labels: Int[Tensor, "b h w"]
    valid: Bool[Tensor, "b h w"]


def align(
    student: Float[Tensor, "b cs hs ws"],
    teacher: Float[Tensor, "b ct ht wt"],
    labels: Int[Tensor, "b H W"],
    *,
    ignore_index: int,
) -> Aligned:
    """Bring both onto the coarser grid: maps by `to_grid`, labels nearest. Channels stay as they are."""
    grid = coarser(student, teacher)
    small = labels_on_grid(labels, grid)
    return Aligned(to_grid(student, grid), to_grid(teacher, grid), small, small != ignore_index)


def drawn(*shape: int, device: torch.device) -> Float[Tensor, "*shape"]:
    """Uniform numbers in [0, 1) of the CPU's generator, the same on every device; nothing waits for them to arrive."""
    numbers = torch.rand(shape)
    return send(numbers.pin_memory() if device.type == "cuda" else numbers, device)


def unit(vectors: Float[Tensor, "*shape"], *, dim: int) -> Float[Tensor, "*shape"]:
    """Vectors along `dim` at length 1. One shorter than EPS becomes 0 and gets no gradient: 1/|x| would explode."""
    length = torch.linalg.vector_norm(vectors, dim=dim, keepdim=True)
    return (vectors / length.clamp(min=EPS)).masked_fill(length < EPS, 0.0)


def members(labels: Int[Tensor, "b h w"], valid: Bool[Tensor, "b h w"], *, num_classes: int) -> Float[Tensor, "b k hw"]:
    """1 where a valid cell is of the class, else 0."""
    classes = torch.arange(num_classes, device=labels.device)[:, None]
    return ((labels.flatten(1)[:, None] == classes) & valid.flatten(1)[:, None]).float()


def class_means(maps: Float[Tensor, "b c hw"], member: Float[Tensor, "b k hw"]) -> Float[Tensor, "b k c"]:
    """Mean feature of every class in every image; 0 for a class that is not there.

    One product of matrices for all classes: memory is that of `member`, not of a copy of the maps for each class.
    """
    return member @ maps.transpose(1, 2) / member.sum(dim=2, keepdim=True).clamp(min=1)


def masked_kl(
    student: Float[Tensor, "*rows n"], teacher: Float[Tensor, "*rows n"], inside: Bool[Tensor, "*inner n"]
) -> Float[Tensor, "*rows"]:
    """KL(softmax(T) || softmax(S)) of every row, both softmaxes over its places inside; 0 for a row without any.

    `inside` broadcasts against the rows. The teacher gets no gradient.
    """
    lowest = torch.finfo(student.dtype).min
    log_student = F.log_softmax(student.masked_fill(~inside, lowest), dim=-1)
    log_teacher = F.log_softmax(teacher.detach().masked_fill(~inside, lowest), dim=-1)
    divergence = F.kl_div(log_student, log_teacher, log_target=True, reduction="none")
    return divergence.masked_fill(~inside, 0.0).sum(dim=-1)

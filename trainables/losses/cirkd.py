"""Cross-image relational distillation: how the pixels of one image resemble those of others.

Source: Yang et al. 2022 (CIRKD); equation numbers are theirs.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from trainables.losses.distilled import Tapped
from trainables.losses.features import Aligned, class_means, drawn, masked_kl, members, unit
from trainables.losses.grids import mean_over_valid
from trainables.losses.memory import ClassMemory
from trainables.models.segmodel import Features, SegModel

CELLS = (16, 32)
"""Largest grid on which cells are compared: at stride 4 of a 512 x 1024 crop, uncompared, 32 GiB would be needed."""
PIXELS, REGIONS = 4096, 1024
"""Vectors in each memory, all classes together, which the official code draws from larger ones."""
PIXELS_A_STEP = 16
"""Pixels of each class that a step puts into the memory."""


def pool_cells(
    maps: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b h w"], size: tuple[int, int] | None = None
) -> tuple[Float[Tensor, "b c n"], Bool[Tensor, "b n"]]:
    """Mean over the valid cells of each bin, and which bins have one.

    Args:
        size: rows and columns of bins; None: of cells, at most CELLS.
    """
    size = size or (min(CELLS[0], valid.shape[1]), min(CELLS[1], valid.shape[2]))
    share = F.adaptive_avg_pool2d(valid[:, None].float(), size)
    total = F.adaptive_avg_pool2d(maps.masked_fill(~valid[:, None], 0.0), size)
    means = torch.where(share > 0, total / share.clamp(min=1e-6), 0.0)
    return means.flatten(2), share.flatten(1) > 0


def cirkd_batch_loss(
    student: Float[Tensor, "b cs n"],
    teacher: Float[Tensor, "b ct n"],
    valid: Bool[Tensor, "b n"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """KL divergence between the rows of the similarity matrices of every two images, mean over valid rows and images.

    L_batch = mean_{i,j,p} KL(softmax_q(<T_ip, T_jq> / tau) || softmax_q(<S_ip, S_jq> / tau)), vectors of length 1

    Channels may differ. The teacher gets no gradient. Memory is (b n)^2.

    Source: Eq. 3-5, with no tau^2, as there.
    Deviation: rows and columns of ignored cells are left out.
    """
    rows = masked_kl(_cosines(student) / temperature, _cosines(teacher) / temperature, valid[None, None])
    return mean_over_valid(rows, valid[:, :, None] & valid.any(dim=1))


def _cosines(maps: Float[Tensor, "b c n"]) -> Float[Tensor, "b n b n"]:
    directions = unit(maps, dim=1)
    return torch.einsum("bcn,dcm->bndm", directions, directions)


def cirkd_memory_loss(
    student: Float[Tensor, "b c n"],
    teacher: Float[Tensor, "b c n"],
    valid: Bool[Tensor, "b n"],
    entries: Float[Tensor, "e c"],
    filled: Bool[Tensor, " e"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """KL divergence between two cells' similarities to the memory, mean over valid cells; 0 for an empty memory.

    L_memory = mean_i KL(softmax_e(<T_i, V_e> / tau) || softmax_e(<S_i, V_e> / tau)), vectors of length 1

    The teacher gets no gradient. Memory is b n e.

    Source: Eq. 6-12: V are pixels in the one term, means of class regions in the other.
    """
    own, guide = (torch.einsum("bcn,ec->bne", unit(maps, dim=1), entries) for maps in (student, teacher))
    rows = masked_kl(own / temperature, guide / temperature, filled)
    return mean_over_valid(rows[:, None], valid[:, None])


class Cirkd(Tapped):
    """lambda_cirkd_batch * loss_cirkd_batch + lambda_cirkd_pixel * loss_cirkd_pixel + lambda_cirkd_region *
    loss_cirkd_region, on the tap, beside the task loss.

    Deviation: cells are averaged to at most 16 x 32 before they are compared, where the official code takes all, or 2 x
    2. The memories start empty, not random, and hold what a step compares with, all of it; a step compares before it
    writes, so that the order of a batch is inert. 16 pixels of each class are drawn a step, from the batch, not from
    each image. A region is the direction of its mean feature, not the mean of directions. The student's head is one 1x1
    convolution, or none where the channels are as many: the official one is two with a BatchNorm, which ignored cells
    would enter, and a ReLU between them. Under `distil_on: all`, where there is no label, cells count and enter the
    memories by the class of which the teacher is certain.
    """

    zero_when_identical = frozenset({"loss_cirkd_batch", "loss_cirkd_pixel", "loss_cirkd_region"})
    needs_label = "class"
    lambdas: ClassVar[dict[str, str]] = {
        "loss_cirkd_batch": "lambda_cirkd_batch",
        "loss_cirkd_pixel": "lambda_cirkd_pixel",
        "loss_cirkd_region": "lambda_cirkd_region",
    }

    def __init__(self, *args: Any, student: SegModel, teacher: SegModel, **kwargs: Any) -> None:
        super().__init__(*args, student=student, teacher=teacher, **kwargs)
        shape = {"num_classes": self.num_classes, "channels": self.channels[1]}
        if "loss_cirkd_pixel" in self.weights:
            self.pixels = ClassMemory(size=PIXELS // self.num_classes + 1, **shape)
        if "loss_cirkd_region" in self.weights:
            self.regions = ClassMemory(size=REGIONS // self.num_classes + 1, **shape)
        if {"loss_cirkd_pixel", "loss_cirkd_region"} & self.weights.keys():
            self.head = self.to_teacher()

    def distil(
        self, student: Features, teacher: Features, labels: Int[Tensor, "batch H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        return self.compare(self.align_taps(student, teacher, labels))

    def compare(self, maps: Aligned) -> dict[str, Float[Tensor, ""]]:
        """The terms on both networks' maps; then what they say is remembered."""
        cells, valid = pool_cells(maps.student, maps.valid)
        guide, _ = pool_cells(maps.teacher, maps.valid)
        terms, temperature = {}, self.config.cirkd_temperature
        if "loss_cirkd_batch" in self.weights:
            terms["loss_cirkd_batch"] = cirkd_batch_loss(cells, guide, valid, temperature=temperature)
        for name in ("pixels", "regions"):
            memory = getattr(self, name, None)
            if memory is not None:
                projected = self.head(cells[..., None])[..., 0]
                terms[f"loss_cirkd_{name.removesuffix('s')}"] = cirkd_memory_loss(
                    projected, guide, valid, memory.entries.flatten(0, 1), memory.filled(), temperature=temperature
                )
        self._remember(maps)
        return terms

    @torch.no_grad()
    def _remember(self, maps: Aligned) -> None:
        features = maps.teacher.flatten(2)
        member = members(maps.labels, maps.valid, num_classes=self.num_classes)
        if "loss_cirkd_region" in self.weights:
            means = unit(class_means(features, member), dim=2)
            self.regions.put(means.transpose(0, 1), member.any(dim=2).transpose(0, 1))
        if "loss_cirkd_pixel" in self.weights:
            self.pixels.put(*draw_pixels(features, member))


def draw_pixels(
    features: Float[Tensor, "b c hw"], member: Float[Tensor, "b k hw"]
) -> tuple[Float[Tensor, "k n c"], Bool[Tensor, "k n"]]:
    """At most PIXELS_A_STEP random directions of each class, and which of them there are; the draw is the CPU's."""
    by_class = member.transpose(0, 1).flatten(1) > 0
    scores = drawn(by_class.shape[1], device=by_class.device)
    best = torch.where(by_class, scores, -1.0).topk(min(PIXELS_A_STEP, len(scores)), dim=1)
    cells = features.shape[2]
    chosen = features[best.indices // cells, :, best.indices % cells]
    return unit(chosen, dim=2), best.values >= 0

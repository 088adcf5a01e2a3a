"""CIRKDv2: beside CIRKD's relations of pixels, how the channels of one image resemble those of others.

Source: CIRKDv2 (Yang et al.), as its official code computes it: winycg/CIRKD, losses/cirkd_channel.py.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trainables.losses.cirkd import CELLS, Cirkd, cirkd_memory_loss, pool_cells
from trainables.losses.features import Aligned, drawn, masked_kl, unit
from trainables.losses.grids import mean_over_valid
from trainables.losses.memory import ClassMemory
from trainables.models.segmodel import SegModel

ENTRIES = 2048
"""Channels in the memory, which the official code draws from a larger one."""
CHANNELS_A_STEP = 256
"""Most channels that a step puts into the memory."""


def channel_batch_loss(
    student: Float[Tensor, "b c n"], teacher: Float[Tensor, "b c n"], present: Bool[Tensor, " b"], *, temperature: float
) -> Float[Tensor, ""]:
    """KL divergence between the channels' similarities in every two images, mean over channels and pairs of images.

    L_batch = mean_{i,j,k} KL(softmax_l(<T_ik, T_jl> / tau) || softmax_l(<S_ik, S_jl> / tau)), vectors of length 1

    A vector is what one channel says of each place of an image. The teacher gets no gradient. Memory is (b c)^2.

    Args:
        present: which images have a valid cell; the others are in no pair.
    """
    own, theirs = (torch.einsum("ikn,jln->ikjl", each, each) / temperature for each in (student, teacher))
    rows = masked_kl(own, theirs, present[:, None].expand(student.shape[:2]))
    pairs = present[:, None, None] & present
    return mean_over_valid(rows, pairs.expand_as(rows))


def channel_mse_loss(
    student: Float[Tensor, "b c n"], teacher: Float[Tensor, "b c n"], valid: Bool[Tensor, "b n"]
) -> Float[Tensor, ""]:
    """Squared difference of the vectors, mean over channels and valid places. The teacher gets no gradient."""
    errors = (student - teacher.detach()).square().mean(dim=1)
    return mean_over_valid(errors[:, None], valid[:, None])


class Cirkdv2(Cirkd):
    """The three terms of `cirkd` and, on the tap likewise, lambda_cirkdv2_batch * loss_cirkdv2_batch +
    lambda_cirkdv2_memory * loss_cirkdv2_memory + lambda_cirkdv2_mse * loss_cirkdv2_mse, beside the task loss.

    Deviation: what `cirkd` deviates in. A channel is compared on 16 x 32 places whatever the crop, each the mean of its
    valid cells, where the official code pools 4 x 4 cells: the same on its 64 x 128. The student's head is one 1x1
    convolution, or none where the channels are as many; the memory starts empty. Its context module and the FitNet term
    behind it are left out.
    """

    zero_when_identical = Cirkd.zero_when_identical | {"loss_cirkdv2_batch", "loss_cirkdv2_memory", "loss_cirkdv2_mse"}
    needs_label = "class"
    lambdas: ClassVar[dict[str, str]] = {
        **Cirkd.lambdas,
        "loss_cirkdv2_batch": "lambda_cirkdv2_batch",
        "loss_cirkdv2_memory": "lambda_cirkdv2_memory",
        "loss_cirkdv2_mse": "lambda_cirkdv2_mse",
    }

    def __init__(self, *args: Any, student: SegModel, teacher: SegModel, **kwargs: Any) -> None:
        super().__init__(*args, student=student, teacher=teacher, **kwargs)
        if self.weights.keys() & (self.lambdas.keys() - Cirkd.lambdas.keys()):
            self.channel_head = self.to_teacher()
        self.channel_memory: ClassMemory | None = None
        if "loss_cirkdv2_memory" in self.weights:
            self.channel_memory = ClassMemory(num_classes=1, size=ENTRIES, channels=CELLS[0] * CELLS[1])

    def compare(self, maps: Aligned) -> dict[str, Float[Tensor, ""]]:
        return super().compare(maps) | self._compare_channels(maps)

    def _compare_channels(self, maps: Aligned) -> dict[str, Float[Tensor, ""]]:
        if not hasattr(self, "channel_head"):
            return {}
        terms, temperature = {}, self.config.cirkd_temperature
        (own, valid), (theirs, _) = (pool_cells(each, maps.valid, CELLS) for each in (maps.student, maps.teacher))
        student, teacher = unit(self.channel_head(own[..., None])[..., 0], dim=2), unit(theirs, dim=2)
        present = valid.any(dim=1)
        if "loss_cirkdv2_batch" in self.weights:
            terms["loss_cirkdv2_batch"] = channel_batch_loss(student, teacher, present, temperature=temperature)
        if "loss_cirkdv2_mse" in self.weights:
            terms["loss_cirkdv2_mse"] = channel_mse_loss(student, teacher, valid)
        if self.channel_memory is not None:
            terms["loss_cirkdv2_memory"] = cirkd_memory_loss(
                student.transpose(1, 2),
                teacher.transpose(1, 2),
                present[:, None].expand(teacher.shape[:2]),
                self.channel_memory.entries[0],
                self.channel_memory.filled(),
                temperature=temperature,
            )
            self.channel_memory.put(*draw_channels(teacher, present))
        return terms


def draw_channels(
    vectors: Float[Tensor, "b c n"], present: Bool[Tensor, " b"]
) -> tuple[Float[Tensor, "1 k n"], Bool[Tensor, "1 k"]]:
    """At most CHANNELS_A_STEP random vectors of images with a valid cell; the draw is the CPU's."""
    there = present[:, None].expand(vectors.shape[:2]).flatten()
    scores = torch.where(there, drawn(len(there), device=there.device), -1.0)
    best = scores.topk(min(CHANNELS_A_STEP, len(scores)))
    return vectors.flatten(0, 1)[best.indices][None], (best.values >= 0)[None]

"""Query-based soft distillation: each cell of the student asks the whole of the teacher's map for what it restores."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.losses.cirkd import pool_cells
from trainables.losses.distilled import Tapped
from trainables.losses.grids import mean_over_valid
from trainables.models.segmodel import Features, SegModel

TOKENS = (32, 64)
"""Most rows and columns of cells that attend to each other; memory is quadratic in them, 16 MiB an image at most."""


def qsd_loss(
    queries: Float[Tensor, "b n c"],
    values: Float[Tensor, "b n c"],
    teacher: Float[Tensor, "b n c"],
    valid: Bool[Tensor, "b n"],
) -> Float[Tensor, ""]:
    """Squared difference of what the student restores to the teacher's map, mean over channels and valid cells.

    L_qsd = (1/(N C)) sum_{i,c} ([softmax_j(<q_i, T_j>) v_j]_{i,c} - T_{i,c})^2, j over the image's valid cells

    Not 0 for identical networks. The teacher gets no gradient. Memory is n^2 an image.

    Source: Lv et al. 2026 (GKD, arXiv 2603.02554), L_feat, as two second-hand readings have it alike: keys are the
    teacher's features themselves, and scores are not divided by the root of the channels.
    Deviation: ignored cells are neither restored nor attended to.
    """
    teacher = teacher.detach()
    scores = queries @ teacher.transpose(1, 2)
    attention = F.softmax(scores.masked_fill(~valid[:, None], torch.finfo(scores.dtype).min), dim=2)
    errors = (attention @ values - teacher).square().mean(dim=2)
    return mean_over_valid(errors[:, None], valid[:, None])


class Qsd(Tapped):
    """lambda_qsd * loss_qsd on the tap, beside the task loss.

    Queries and values are two trained linear maps of the student's cells, each normalised over its channels.

    Deviation: of GKD's three terms this is the one on whole images: its other two need a student that reads masked
    patches, and one with a class token. Maps finer than 32 x 64 cells are averaged to that. GKD trains features alone
    first, which `feature_share` does, and then freezes the encoder, which nothing here does.
    """

    is_linear = False
    needs_label = "nothing"
    lambdas: ClassVar[dict[str, str]] = {"loss_qsd": "lambda_qsd"}

    def __init__(self, *args: Any, student: SegModel, teacher: SegModel, **kwargs: Any) -> None:
        super().__init__(*args, student=student, teacher=teacher, **kwargs)
        if "loss_qsd" in self.weights:
            own, theirs = self.channels
            self.norm = nn.LayerNorm(own)
            self.query, self.value = nn.Linear(own, theirs), nn.Linear(own, theirs)

    def distil(
        self, student: Features, teacher: Features, labels: Int[Tensor, "batch H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        if "loss_qsd" not in self.weights:
            return {}
        maps = self.align_taps(student, teacher, labels)
        size = (min(TOKENS[0], maps.valid.shape[1]), min(TOKENS[1], maps.valid.shape[2]))
        (own, valid), (theirs, _) = (pool_cells(each, maps.valid, size) for each in (maps.student, maps.teacher))
        asked = self.norm(own.transpose(1, 2))
        return {"loss_qsd": qsd_loss(self.query(asked), self.value(asked), theirs.transpose(1, 2), valid)}

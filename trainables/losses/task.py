"""The student alone: pixel cross-entropy."""

from __future__ import annotations

from typing import Any, ClassVar

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from trainables.losses.criterion import Criterion
from trainables.losses.grids import mean_over_valid, to_grid
from trainables.models.segmodel import Features


def task_loss(
    logits: Float[Tensor, "b c h w"], labels: Int[Tensor, "b H W"], *, ignore_index: int
) -> Float[Tensor, ""]:
    """Cross-entropy of the logits upsampled to the label's size, mean over valid pixels.

    L_task = -(1/N) sum_i log softmax(P_S,i)_{y_i}

    Source: Huang et al. 2025 (HeteroAKD), first term of Eq. 11.
    """
    size = (labels.shape[-2], labels.shape[-1])
    errors = F.cross_entropy(to_grid(logits, size), labels, ignore_index=ignore_index, reduction="none")
    return mean_over_valid(errors, labels != ignore_index)


class Task(Criterion):
    needs_teacher: ClassVar[bool] = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.weights = {"loss_task": 1.0}

    def forward(
        self, student: Features, teacher: Features | None, labels: Int[Tensor, "batch H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        return {"loss_task": task_loss(student.logits, labels, ignore_index=self.ignore_index)}

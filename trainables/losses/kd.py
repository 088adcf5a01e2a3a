"""Plain knowledge distillation on the final logits."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from trainables.losses.grids import coarser, labels_on_grid, mean_over_valid, to_grid
from trainables.losses.task import Task
from trainables.models.segmodel import Features


def kd_loss(
    student_logits: Float[Tensor, "b c hs ws"],
    teacher_logits: Float[Tensor, "b c ht wt"],
    labels: Int[Tensor, "b H W"],
    *,
    temperature: float,
    ignore_index: int,
) -> Float[Tensor, ""]:
    """KL divergence from teacher to student, summed over classes, mean over valid pixels, times tau^2.

    L_kd = (tau^2 / N) sum_i KL(softmax(P_T,i / tau) || softmax(P_S,i / tau))

    Computed on the coarser of the two logit grids. The teacher gets no gradient.

    Source: Hinton et al. 2015; Huang et al. 2025 (HeteroAKD), Eq. 1.
    Deviation: direction and tau^2 are those of the code bases the authors built on; the paper's text fixes neither.
    """
    grid = coarser(student_logits, teacher_logits)
    log_student = F.log_softmax(to_grid(student_logits, grid) / temperature, dim=1)
    log_teacher = F.log_softmax(to_grid(teacher_logits.detach(), grid) / temperature, dim=1)
    divergence = F.kl_div(log_student, log_teacher, log_target=True, reduction="none").sum(dim=1)
    valid = labels_on_grid(labels, grid) != ignore_index
    return temperature**2 * mean_over_valid(divergence, valid)


class Kd(Task):
    """lambda_kd * loss_kd beside the task loss."""

    needs_teacher = True
    zero_when_identical = frozenset({"loss_kd"})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.weights["loss_kd"] = self.config.lambda_kd

    def forward(
        self, student: Features, teacher: Features | None, labels: Int[Tensor, "batch H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        assert teacher is not None
        terms = super().forward(student, None, labels)
        terms["loss_kd"] = kd_loss(
            student.logits,
            teacher.logits,
            labels,
            temperature=self.config.temperature,
            ignore_index=self.ignore_index,
        )
        return terms

"""Plain knowledge distillation on the final logits."""

from __future__ import annotations

from typing import Any, ClassVar

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from trainables.losses.criterion import Criterion
from trainables.losses.grids import coarser, labels_on_grid, mean_over_valid, to_grid
from trainables.losses.task import Task
from trainables.losses.unlabelled import Needs
from trainables.models.segmodel import Features


def kd_loss(
    student_logits: Float[Tensor, "b c hs ws"],
    teacher_logits: Float[Tensor, "b c ht wt"],
    labels: Int[Tensor, "b H W"],
    *,
    temperature: float,
    ignore_index: int,
    direction: str = "teacher_student",
) -> Float[Tensor, ""]:
    """KL divergence between the two networks, summed over classes, mean over valid pixels, times tau^2.

    L_kd = (tau^2 / N) sum_i KL(softmax(P_T,i / tau) || softmax(P_S,i / tau))

    Computed on the coarser of the two logit grids. The teacher gets no gradient.

    Args:
        direction: "teacher_student": as above. "student_teacher": KL(S || T), which asks for one of the teacher's modes
            rather than for all of them.

    Source: Hinton et al. 2015; Huang et al. 2025 (HeteroAKD), Eq. 1.
    Deviation: direction and tau^2 are those of the code bases that the authors of HeteroAKD built on. By the one public
    reading of Eq. 1, it is printed the other way round, without tau^2. Ignored pixels are left out; those code bases
    average over all.
    """
    grid = coarser(student_logits, teacher_logits)
    log_student = F.log_softmax(to_grid(student_logits, grid) / temperature, dim=1)
    log_teacher = F.log_softmax(to_grid(teacher_logits.detach(), grid) / temperature, dim=1)
    of, to = (log_student, log_teacher) if direction == "student_teacher" else (log_teacher, log_student)
    divergence = F.kl_div(to, of, log_target=True, reduction="none").sum(dim=1)
    valid = labels_on_grid(labels, grid) != ignore_index
    return temperature**2 * mean_over_valid(divergence, valid)


def configured_kd_loss(
    criterion: Criterion, student: Features, teacher: Features, labels: Int[Tensor, "batch H W"]
) -> Float[Tensor, ""]:
    """loss_kd as a criterion's config has it."""
    return kd_loss(
        *criterion.shared(student.logits, teacher.logits, labels),
        temperature=criterion.config.temperature,
        ignore_index=criterion.ignore_index,
        direction=criterion.config.kd_direction,
    )


class Kd(Task):
    """lambda_kd * loss_kd beside the task loss."""

    needs_teacher = True
    needs_label: ClassVar[Needs | None] = "nothing"
    zero_when_identical = frozenset({"loss_kd"})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if kwargs["teacher"].has_logits:
            self.weights["loss_kd"] = self.config.lambda_kd

    def forward(
        self,
        student: Features,
        teacher: Features | None,
        labels: Int[Tensor, "batch H W"],
        real: Bool[Tensor, "batch H W"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        assert teacher is not None
        terms = super().forward(student, teacher, labels, real)
        if "loss_kd" in self.weights:
            terms["loss_kd"] = configured_kd_loss(self, student, teacher, self.taught(labels, teacher, real, "nothing"))
        return terms

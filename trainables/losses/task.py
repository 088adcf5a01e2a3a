"""The student alone: pixel cross-entropy, the auxiliary head of CNN recipes, and pseudo-labels where there are none."""

from __future__ import annotations

from typing import Any, ClassVar

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.losses.criterion import Criterion
from trainables.losses.grids import mean_over_valid, to_grid
from trainables.losses.unlabelled import Needs, pseudo_loss
from trainables.models.segmodel import Features, SegModel


def task_loss(
    logits: Float[Tensor, "b c h w"], labels: Int[Tensor, "b H W"], *, ignore_index: int, align_corners: bool = False
) -> Float[Tensor, ""]:
    """Cross-entropy of the logits upsampled to the label's size, mean over valid pixels.

    L_task = -(1/N) sum_i log softmax(P_S,i)_{y_i}

    Ignored pixels change neither value nor gradient; but a network's BatchNorms see them, as they do in the sources.

    Source: Huang et al. 2025 (HeteroAKD), first term of Eq. 11.
    Deviation: CIRKD, Af-DCD, DIST, SKD and IFVD align corners; up to 3 % of the loss.
    """
    size = (labels.shape[-2], labels.shape[-1])
    enlarged = to_grid(logits, size, align_corners=align_corners)
    errors = F.cross_entropy(enlarged, labels, ignore_index=ignore_index, reduction="none")
    return mean_over_valid(errors, labels != ignore_index)


def fcn_head(in_channels: int, num_classes: int) -> nn.Sequential:
    """3x3 convolution to a quarter of the channels, BatchNorm, ReLU, dropout 0.1, 1x1 convolution to the classes.

    Source: the auxiliary head of PSPNet (Zhao et al. 2017) as CIRKD's code has it on ResNets.
    """
    width = max(in_channels // 4, 8)
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Conv2d(width, num_classes, 1),
    )


class Task(Criterion):
    """loss_task, and where they are wanted lambda_aux loss_aux of an auxiliary head on stage3 and pseudo_weight
    loss_pseudo.
    """

    needs_teacher: ClassVar[bool] = False
    needs_label: ClassVar[Needs | None] = "nothing"

    def __init__(self, *args: Any, student: SegModel, **kwargs: Any) -> None:
        super().__init__(*args, student=student, **kwargs)
        self.weights = {"loss_task": 1.0}
        if self.config.reads("pseudo_weight") and self.config.pseudo_weight > 0:
            self.weights["loss_pseudo"] = self.config.pseudo_weight
        self.aux_head: nn.Sequential | None = None
        if self.config.lambda_aux > 0:
            self.weights["loss_aux"] = self.config.lambda_aux
            self.aux_head = fcn_head(student.taps["stage3"].channels, self.num_classes)

    def forward(
        self,
        student: Features,
        teacher: Features | None,
        labels: Int[Tensor, "batch H W"],
        real: Bool[Tensor, "batch H W"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """Args:
        teacher: whose pseudo-labels are taken, if any are; None: the student's own.
        """
        outputs = {"loss_task": student.logits}
        if self.aux_head is not None:
            outputs["loss_aux"] = self.aux_head(student.taps["stage3"])
        how: dict[str, Any] = {"ignore_index": self.ignore_index, "align_corners": self.config.align_corners}
        terms = {name: task_loss(logits, labels, **how) for name, logits in outputs.items()}
        if "loss_pseudo" in self.weights:
            pseudo = self.pseudo_labels(teacher or student, labels)
            missing = labels == self.ignore_index
            terms["loss_pseudo"] = pseudo_loss(
                student.logits, pseudo, missing if real is None else missing & real, **how
            )
        return terms

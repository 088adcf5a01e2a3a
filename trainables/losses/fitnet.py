"""FitNets' hint: the teacher's features themselves."""

from __future__ import annotations

from typing import Any, ClassVar

from jaxtyping import Bool, Float, Int
from torch import Tensor

from trainables.losses.distilled import Tapped
from trainables.losses.grids import mean_over_valid
from trainables.models.segmodel import Features, SegModel


def fitnet_loss(
    student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """Squared difference, mean over channels and valid cells. The teacher gets no gradient.

    L_fitnet = (1/(N C)) sum_{i,c} (S_{c,i} - T_{c,i})^2

    Source: Romero et al. 2015 (FitNets), Eq. 3, with the mean that segmentation code bases take and weigh by 10.
    """
    return mean_over_valid((student - teacher.detach()).square().mean(dim=1), valid)


class Fitnet(Tapped):
    """lambda_fitnet * loss_fitnet on the tap, beside the task loss.

    Deviation: trained together with the task loss, not in a stage before it. The regressor is a 1x1 convolution, and
    none where the channels are as many.
    """

    zero_when_identical = frozenset({"loss_fitnet"})
    needs_label = "nothing"
    lambdas: ClassVar[dict[str, str]] = {"loss_fitnet": "lambda_fitnet"}

    def __init__(self, *args: Any, student: SegModel, teacher: SegModel, **kwargs: Any) -> None:
        super().__init__(*args, student=student, teacher=teacher, **kwargs)
        if "loss_fitnet" in self.weights:
            self.regressor = self.to_teacher()

    def distil(
        self, student: Features, teacher: Features, labels: Int[Tensor, "batch H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        if "loss_fitnet" not in self.weights:
            return {}
        maps = self.align_taps(student, teacher, labels)
        return {"loss_fitnet": fitnet_loss(self.regressor(maps.student), maps.teacher, maps.valid)}

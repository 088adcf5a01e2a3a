"""Channel-wise distillation: where in the image each channel is active."""

from __future__ import annotations

from typing import Any, ClassVar

from jaxtyping import Bool, Float, Int
from torch import Tensor

from trainables.config import TrialConfig
from trainables.losses.distilled import Tapped
from trainables.losses.features import masked_kl
from trainables.models.segmodel import Features, SegModel
from trainables.ranks import denominator


def cwd_loss(
    student: Float[Tensor, "b c h w"],
    teacher: Float[Tensor, "b c h w"],
    valid: Bool[Tensor, "b h w"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """KL divergence between the two softmaxes over an image's valid cells, mean over images and channels, times tau^2.

    L_cwd = tau^2 / (N C) sum_{n,c} KL(softmax_space(T_{n,c} / tau) || softmax_space(S_{n,c} / tau))

    N counts the images that have a valid cell. A constant added to a channel changes nothing. The teacher gets no
    gradient.

    Source: Shu et al. 2021 (CWD), Eq. 3-5; normalised as its official code does, by images and channels.
    Deviation: ignored cells are left out of the softmax; the paper has them in.
    """
    inside = valid.flatten(1)[:, None]
    divergence = masked_kl(student.flatten(2) / temperature, teacher.flatten(2) / temperature, inside).sum()
    images = denominator(inside.any(dim=2).sum())
    return temperature**2 * divergence / (images * student.shape[1])


class Cwd(Tapped):
    """lambda_cwd * loss_cwd on the logits and lambda_cwd_feature * loss_cwd_feature on the tap, beside the task loss.

    Deviation: where the channels of the taps differ, the student's go through a trained 1x1 convolution.
    """

    zero_when_identical = frozenset({"loss_cwd", "loss_cwd_feature"})
    needs_label = "nothing"
    lambdas: ClassVar[dict[str, str]] = {"loss_cwd": "lambda_cwd", "loss_cwd_feature": "lambda_cwd_feature"}

    def __init__(self, *args: Any, student: SegModel, teacher: SegModel, **kwargs: Any) -> None:
        super().__init__(*args, student=student, teacher=teacher, **kwargs)
        if "loss_cwd_feature" in self.weights:
            self.projector = self.to_teacher()

    @classmethod
    def feature_terms(cls) -> frozenset[str]:
        return frozenset({"loss_cwd_feature"})

    @classmethod
    def reads_logits(cls, config: TrialConfig) -> bool:
        return config.lambda_cwd > 0 or super().reads_logits(config)

    def distil(
        self, student: Features, teacher: Features, labels: Int[Tensor, "batch H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        terms, temperature = {}, self.config.cwd_temperature
        if "loss_cwd" in self.weights:
            maps = self.align_logits(student, teacher, labels)
            terms["loss_cwd"] = cwd_loss(maps.student, maps.teacher, maps.valid, temperature=temperature)
        if "loss_cwd_feature" in self.weights:
            maps = self.align_taps(student, teacher, labels)
            projected = self.projector(maps.student)
            terms["loss_cwd_feature"] = cwd_loss(projected, maps.teacher, maps.valid, temperature=temperature)
        return terms

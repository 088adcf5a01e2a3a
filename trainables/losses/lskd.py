"""Logit standardisation: plain distillation of logits whose mean and spread are taken off, pixel by pixel."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from trainables.losses.distilled import Distilled
from trainables.losses.features import unit
from trainables.losses.grids import mean_over_valid
from trainables.models.segmodel import Features


def lskd_loss(
    student: Float[Tensor, "b c h w"],
    teacher: Float[Tensor, "b c h w"],
    valid: Bool[Tensor, "b h w"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """KL divergence between the two networks' z-scored logits, mean over valid pixels, times tau^2.

    L_lskd = (tau^2 / N) sum_i KL(softmax(Z(P_T,i) / tau) || softmax(Z(P_S,i) / tau))
    Z(p) = (p - mean_c p) / std_c p, with C - 1 in the standard deviation

    A positive factor and a shift of a pixel's logits change nothing. A pixel whose logits are all the same is uniform
    and gets no gradient. The teacher gets no gradient.

    Source: Sun et al. 2024 (Logit Standardization in Knowledge Distillation, CVPR), as its official code computes it,
    with the pixel in place of the image.
    """
    log_student, log_teacher = (_log_softmax(each, temperature) for each in (student, teacher.detach()))
    divergence = F.kl_div(log_student, log_teacher, log_target=True, reduction="none").sum(dim=1)
    return temperature**2 * mean_over_valid(divergence, valid)


def _log_softmax(logits: Float[Tensor, "b c h w"], temperature: float) -> Float[Tensor, "b c h w"]:
    centred = logits - logits.mean(dim=1, keepdim=True)
    z_scores = unit(centred, dim=1) * (logits.shape[1] - 1) ** 0.5
    return F.log_softmax(z_scores / temperature, dim=1)


class Lskd(Distilled):
    """lambda_lskd * loss_lskd on the logits, beside the task loss.

    Deviation: the source's weight of 9, at a temperature of 2, stands beside a cross-entropy of weight 0.1 (CIFAR-100);
    here of weight 1.
    """

    zero_when_identical = frozenset({"loss_lskd"})
    needs_label = "nothing"
    lambdas: ClassVar[dict[str, str]] = {"loss_lskd": "lambda_lskd"}

    def distil(
        self, student: Features, teacher: Features, labels: Int[Tensor, "batch H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        if "loss_lskd" not in self.weights:
            return {}
        maps = self.align_logits(student, teacher, labels)
        temperature = self.config.temperature
        return {"loss_lskd": lskd_loss(maps.student, maps.teacher, maps.valid, temperature=temperature)}

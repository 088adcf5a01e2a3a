"""Attention transfer: where in the image the features are large."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from trainables.losses.distilled import Tapped
from trainables.losses.grids import mean_over_valid
from trainables.models.segmodel import Features


def at_loss(
    student: Float[Tensor, "b cs h w"], teacher: Float[Tensor, "b ct h w"], valid: Bool[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """Squared difference of the two attention maps, mean over valid cells.

    L_at = (1/N) sum_i (A_S,i - A_T,i)^2;  A_i = a_i / |a|_2 over the image's valid cells;  a_i = mean_c F_{c,i}^2

    Channels may differ; a factor on all of a network's features changes nothing. The teacher gets no gradient.

    Source: Zagoruyko, Komodakis 2017 (AT), Eq. 2 with p = 2, squared, as a mean: |A|_2 = 1, so a cell's square is of
    the order 1/hw, which the default weight of 1e4 makes up for.
    Deviation: the norm is over valid cells; the paper has no ignored ones.
    """
    return mean_over_valid((_attention(student, valid) - _attention(teacher.detach(), valid)).square(), valid)


def _attention(maps: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    energy = maps.square().mean(dim=1).masked_fill(~valid, 0.0)
    return F.normalize(energy.flatten(1), dim=1).view_as(energy)  # at zero features d energy is 0, whatever the norm's


class At(Tapped):
    """lambda_at * loss_at on the tap, beside the task loss."""

    zero_when_identical = frozenset({"loss_at"})
    needs_label = "nothing"
    lambdas: ClassVar[dict[str, str]] = {"loss_at": "lambda_at"}

    def distil(
        self, student: Features, teacher: Features, labels: Int[Tensor, "batch H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        if "loss_at" not in self.weights:
            return {}
        maps = self.align_taps(student, teacher, labels)
        return {"loss_at": at_loss(maps.student, maps.teacher, maps.valid)}

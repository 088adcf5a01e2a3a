"""DiffKD: the student's feature is a noisy teacher's; a diffusion model that is trained on the teacher's cleans it.

Source: Huang et al. 2023 (DiffKD, NeurIPS), as its official code computes it.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trainables.losses.distilled import Tapped
from trainables.losses.features import drawn
from trainables.losses.fitnet import fitnet_loss
from trainables.losses.grids import mean_over_valid
from trainables.models.segmodel import Features, SegModel

TIMES = 1000
"""Times of the forward process, whose noise rises linearly: beta from 1e-4 to 0.02."""
DENOISED_AT = (400, 300, 200, 100, 0)
"""Times of the five steps in which the student's feature is cleaned."""


def kept_shares() -> Float[Tensor, " times"]:
    """abar_t = prod_{s <= t} (1 - beta_s): what of a feature's variance is left at each time."""
    return torch.cumprod(1 - torch.linspace(1e-4, 0.02, TIMES), dim=0)


def noisy(
    clean: Float[Tensor, "b c h w"], noise: Float[Tensor, "c h w"], share: Float[Tensor, "*one"]
) -> Float[Tensor, "b c h w"]:
    """sqrt(abar) x + sqrt(1 - abar) e."""
    return share.sqrt() * clean + (1 - share).sqrt() * noise


def ddim_step(
    noised: Float[Tensor, "b c h w"], noise: Float[Tensor, "b c h w"], share: float, next_share: float
) -> Float[Tensor, "b c h w"]:
    """From one time to an earlier one, given the noise that is believed to be in it; without new noise.

    x' = sqrt(abar') (x - sqrt(1 - abar) e) / sqrt(abar) + sqrt(1 - abar') e

    Source: Song et al. 2021 (DDIM), Eq. 12 with sigma 0.
    """
    clean = (noised - (1 - share) ** 0.5 * noise) / share**0.5
    return next_share**0.5 * clean + (1 - next_share) ** 0.5 * noise


def bottleneck(channels: int, *, reduction: int) -> nn.Sequential:
    """1x1, 3x3 and 1x1 convolutions, the middle one narrow, each with a BatchNorm."""
    width = max(1, channels // reduction)
    return nn.Sequential(
        *(nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width), nn.ReLU()),
        *(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()),
        *(nn.Conv2d(width, channels, 1), nn.BatchNorm2d(channels)),
    )


class Denoiser(nn.Module):
    """The noise in a feature at a time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.times = nn.Embedding(TIMES, channels)
        self.blocks = nn.ModuleList(bottleneck(channels, reduction=4) for _ in range(2))
        self.last = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels))

    def forward(self, noised: Float[Tensor, "b c h w"], time: Int[Tensor, " one"]) -> Float[Tensor, "b c h w"]:
        maps = noised + self.times(time)[..., None, None]
        for block in self.blocks:
            maps = maps + block(maps)
        found: Tensor = self.last(maps)
        return found


class Diffusion(nn.Module):
    """Denoiser, linear autoencoder of the teacher's feature and noise adapter."""

    def __init__(self, student: int, teacher: int) -> None:
        super().__init__()
        width = max(2, teacher // 2)
        self.encoder = nn.Sequential(nn.Conv2d(teacher, width, 1), nn.BatchNorm2d(width))
        self.decoder = nn.Conv2d(width, teacher, 1)
        self.project = nn.Conv2d(student, width, 1)
        self.denoiser = Denoiser(width)
        self.adapter, self.adapted = bottleneck(width, reduction=8), nn.Linear(width, 2)
        self.last = nn.Conv2d(width, width, 1)
        self.register_buffer("shares", kept_shares(), persistent=False)

    def forward(
        self, student: Float[Tensor, "b cs h w"], teacher: Float[Tensor, "b ct h w"], valid: Bool[Tensor, "b h w"]
    ) -> Float[Tensor, ""]:
        """The three terms' sum."""
        student, teacher = (each.masked_fill(~valid[:, None], 0.0) for each in (student, teacher.detach()))
        code = self.encoder(teacher)
        rebuilt = fitnet_loss(self.decoder(code), teacher, valid)
        code = code.detach()
        matched = fitnet_loss(self.cleaned(self.project(student), valid), code, valid)
        return matched + rebuilt + self.unnoised(code, valid)

    def unnoised(self, code: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b h w"]) -> Float[Tensor, ""]:
        """How well the noise in the teacher's feature is told, at a random time: what trains the denoiser."""
        noise = torch.randn(code.shape[1:], device=code.device)
        time = (drawn(1, device=code.device) * TIMES).long()
        found = self.denoiser(noisy(code, noise, self.get_buffer("shares")[time]), time)
        return mean_over_valid((found - noise).square().mean(dim=1), valid)

    def cleaned(self, maps: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b h w"]) -> Float[Tensor, "b c h w"]:
        """The student's feature with as much noise added as the adapter says, then without any."""
        outside = ~valid[:, None]
        sums = (maps + self.adapter(maps)).masked_fill(outside, 0.0).sum(dim=(2, 3))
        means = sums / valid.sum(dim=(1, 2)).clamp(min=1)[:, None]
        share = self.adapted(means).softmax(dim=1)[:, :1, None, None]
        maps = share * maps + (1 - share) * torch.randn(maps.shape[1:], device=maps.device)
        steps = kept_shares().tolist()
        for at, to in zip(DENOISED_AT, (*DENOISED_AT[1:], None), strict=True):
            noise = self.denoiser(maps, torch.full((1,), at, device=maps.device))
            maps = ddim_step(maps, noise, steps[at], 1.0 if to is None else steps[to])
        found: Tensor = self.last(maps)
        return found


class Diffkd(Tapped):
    """lambda_diffkd * loss_diffkd on the tap, beside the task loss.

    L = MSE(cleaned S, code T) + MSE(decoded code T, T) + MSE(told noise, noise), each a mean over channels and valid
    cells. The code is a linear encoder's, of half the teacher's channels; it gets no gradient from the first term. Not
    0 for identical networks, since the denoiser starts at random. Memory is that of seven passes of the denoiser.

    Deviation: one weight for the three terms, which weigh the same in the official example; the last two do not reach
    the student. One noise and one time serve the whole batch, so that its order is inert. Ignored cells are 0 at the
    module's door and in no mean; its BatchNorms see them. The tap is the last backbone stage, as in the official
    example. The paper also cleans logits, with a second module; not here.
    """

    needs_label = "nothing"
    lambdas: ClassVar[dict[str, str]] = {"loss_diffkd": "lambda_diffkd"}

    def __init__(self, *args: Any, student: SegModel, teacher: SegModel, **kwargs: Any) -> None:
        super().__init__(*args, student=student, teacher=teacher, **kwargs)
        if "loss_diffkd" in self.weights:
            self.diffusion = Diffusion(*self.channels)

    def distil(
        self, student: Features, teacher: Features, labels: Int[Tensor, "batch H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        if "loss_diffkd" not in self.weights:
            return {}
        maps = self.align_taps(student, teacher, labels)
        return {"loss_diffkd": self.diffusion(maps.student, maps.teacher, maps.valid)}

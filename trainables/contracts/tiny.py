"""Networks of a few hundred weights, random features and labels: what claims are tried on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainables.models.segmodel import Features, SegModel

NUM_CLASSES = 5
IGNORE = 255


class Stages(nn.Module):
    """An encoder of strides 1, 2, 4, 8, 16, 32."""

    def __init__(self, channels: tuple[int, ...], *, images: int = 3) -> None:
        super().__init__()
        pairs = zip((images, *channels), channels, strict=False)
        self.steps = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.BatchNorm2d(b), nn.ReLU()) for a, b in pairs
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        stages = [images]
        for step in self.steps:
            stages.append(step(stages[-1]))
        return stages


class Decode(nn.Module):
    """One of the encoder's stages, through a convolution and dropout."""

    def __init__(self, stage: int, in_channels: int) -> None:
        super().__init__()
        self.stage = stage
        self.conv = nn.Conv2d(in_channels, 6, 1)
        self.drop = nn.Dropout(0.3)

    def forward(self, stages: list[Tensor]) -> Tensor:
        decoded: Tensor = self.drop(self.conv(stages[self.stage]))
        return decoded


def network(
    seed: int = 0, *, stage: int = 2, width: int = 4, num_classes: int = NUM_CLASSES, channels: int = 3
) -> SegModel:
    """A SegModel whose logits have stride 2 ** stage."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return _assembled(stage, width, num_classes, channels)


def learner(num_classes: int, channels: int = 3) -> SegModel:
    """A SegModel whose weights are drawn from the global random state, as those of a real network are."""
    return _assembled(2, 4, num_classes, channels)


def features(model: SegModel, *, logits: tuple[int, int], taps: tuple[int, int], seed: int, batch: int = 2) -> Features:
    """Random maps of a network's channels on these grids; leaves that require gradients."""
    rng = torch.Generator().manual_seed(seed)
    shapes = {name: (batch, tap.channels, *taps) for name, tap in model.taps.items()}
    maps = {name: torch.randn(shape, generator=rng).requires_grad_() for name, shape in shapes.items()}
    assert isinstance(model.head, nn.Conv2d)
    scores = 3 * torch.randn((batch, model.head.out_channels, *logits), generator=rng)
    return Features(scores.requires_grad_(), maps)


def random_labels(*shape: int, seed: int = 5) -> Tensor:
    """Ids 0..4, a fifth of the pixels ignored."""
    rng = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, NUM_CLASSES, shape, generator=rng)
    return ids.masked_fill(torch.rand(shape, generator=rng) < 0.2, IGNORE)


def _assembled(stage: int, width: int, num_classes: int, images: int = 3) -> SegModel:
    channels = tuple(width + i for i in range(5))
    head = nn.Conv2d(6, num_classes, 1)
    encoder = Stages(channels, images=images)
    return SegModel(encoder, Decode(stage, channels[stage - 1]), head, channels=images)

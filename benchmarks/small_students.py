"""Small students, a CNN and a Transformer of under 200,000 weights, so that a recording can afford many long trainings;
and their teachers, the same three times as wide.

All have stages of strides 4, 8, 16 and 32, and a decoder that sums them at stride 4.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import interpolate

from trainables.models.segmodel import SegModel

WIDTHS = (24, 32, 48, 64)
DECODED = 32  # channels
WIDE = 3  # times as many channels: a teacher


class ConvStage(nn.Sequential):
    """Halves the grid, then two depthwise-separable convolutions."""

    def __init__(self, taken: int, given: int) -> None:
        super().__init__(*_norm(nn.Conv2d(taken, given, 3, stride=2, padding=1)), *_separable(given))


class TransformerStage(nn.Module):
    """A patch embedding that overlaps, then one block of attention over the whole grid; no embedding of places."""

    def __init__(self, taken: int, given: int, stride: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(taken, given, 2 * stride - 1, stride=stride, padding=stride - 1)
        self.block = nn.TransformerEncoderLayer(
            given, nhead=2, dim_feedforward=4 * given, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )

    def forward(self, stage: Tensor) -> Tensor:
        grid = self.embed(stage)
        mixed: Tensor = self.block(grid.flatten(2).transpose(1, 2))
        return mixed.transpose(1, 2).reshape(grid.shape)


class Encoder(nn.Module):
    """The image, then what each part makes of what the one before gave."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, images: Tensor) -> list[Tensor]:
        stages = [images]
        for part in self.parts:
            stages.append(part(stages[-1]))
        return stages


class Decoder(nn.Module):
    """Each stage by a 1x1 convolution to as many channels, summed on the finest grid."""

    def __init__(self, widths: tuple[int, ...], given: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(width, given, 1) for width in widths)
        self.mix = nn.Sequential(*_norm(nn.Conv2d(given, given, 3, padding=1)))

    def forward(self, stages: list[Tensor]) -> Tensor:
        maps = [lateral(stage) for lateral, stage in zip(self.lateral, stages[-len(self.lateral) :], strict=True)]
        size = maps[0].shape[2:]
        mixed: Tensor = self.mix(sum(interpolate(one, size=size, mode="bilinear") for one in maps))
        return mixed


def cnn(num_classes: int) -> SegModel:
    return _cnn(num_classes, 1)


def wide_cnn(num_classes: int) -> SegModel:
    return _cnn(num_classes, WIDE)


def transformer(num_classes: int) -> SegModel:
    return _transformer(num_classes, 1)


def wide_transformer(num_classes: int) -> SegModel:
    return _transformer(num_classes, WIDE)


def late_transformer(num_classes: int) -> SegModel:
    """Attention from stride 8 on: at stride 4 a crop of 128 pixels has 1,024 places, each of which looks at all."""
    return _transformer(num_classes, 1, late=True)


def _cnn(num_classes: int, times: int) -> SegModel:
    first, *widths = (times * width for width in (16, *WIDTHS))
    stem = nn.Sequential(*_norm(nn.Conv2d(3, first, 3, stride=2, padding=1)))
    stages = (ConvStage(taken, given) for taken, given in zip((first, *widths), widths, strict=False))
    return _whole(Encoder(stem, *stages), tuple(widths), times, num_classes)


def _transformer(num_classes: int, times: int, *, late: bool = False) -> SegModel:
    widths = tuple(times * width for width in WIDTHS)
    stages: list[nn.Module] = [TransformerStage(*one) for one in zip((3, *widths), widths, (4, 2, 2, 2), strict=False)]
    if late:
        stages[0] = nn.Sequential(*_norm(nn.Conv2d(3, widths[0], 7, stride=4, padding=3)))
    return _whole(Encoder(*stages), widths, times, num_classes)


def _whole(encoder: Encoder, widths: tuple[int, ...], times: int, num_classes: int) -> SegModel:
    given = times * DECODED
    return SegModel(encoder, Decoder(widths, given), nn.Conv2d(given, num_classes, 1))


def _norm(conv: nn.Conv2d) -> tuple[nn.Module, ...]:
    return conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU(inplace=True)


def _separable(width: int) -> tuple[nn.Module, ...]:
    return *_norm(nn.Conv2d(width, width, 3, padding=1, groups=width)), *_norm(nn.Conv2d(width, width, 1))

"""`file:PATH@cirkd:resnet101`: the DeepLabV3 of CIRKD's and Af-DCD's code, under the names of their checkpoints.

A ResNet with a stem of three 3x3 convolutions (64, 64, 128), dilated to stride 8; an ASPP of 512 channels at rates 12,
24 and 36; a 3x3 convolution and the classifier. It was trained on BGR from 0 to 255 less a mean.

Source: Yang et al. 2022 (CIRKD), official code; its auxiliary head is left out.
"""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.models.ready.foreign import Answer, Foreign, Pixels

ENCODERS = ("resnet18", "resnet50", "resnet101")
PIXELS = Pixels(mean=(104.00698793, 116.66876762, 122.67891434), std=(1.0, 1.0, 1.0), scale=1.0, bgr=True)


class Cirkd(Foreign):
    def __init__(self, encoder: str, num_classes: int) -> None:
        super().__init__()
        self.pixels, self.num_classes = PIXELS, num_classes
        self.pretrained = Stem(encoder)
        self.head = Head(512 if encoder == "resnet18" else 2048, num_classes)

    def ask(self, pixels: Tensor) -> Answer:
        stages = self.pretrained(pixels)
        decoded = self.head.block[:4](self.head.aspp(stages[-1]))
        return Answer(self.head.block[4](decoded), stages, decoded)


class Stem(nn.Module):
    """The encoder. torchvision dilates Bottlenecks alone, and its stem is one 7x7 convolution: both are made here."""

    def __init__(self, encoder: str) -> None:
        super().__init__()
        plain: Any = getattr(torchvision.models, encoder)(weights=None)
        for number, (before, after) in enumerate(((3, 64), (64, 64), (64, 128)), start=1):
            convolution = nn.Conv2d(before, after, 3, stride=2 if number == 1 else 1, padding=1, bias=False)
            setattr(self, f"conv{number}", convolution)
            setattr(self, f"bn{number}", nn.BatchNorm2d(after))
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1, self.layer2 = _wider(plain.layer1), plain.layer2
        self.layer3, self.layer4 = _dilated(plain.layer3, 1, 2), _dilated(plain.layer4, 2, 4)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        found = pixels
        for number in (1, 2, 3):
            found = F.relu(getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(found)))
        stages = [self.layer1(self.maxpool(found))]
        for layer in (self.layer2, self.layer3, self.layer4):
            stages.append(layer(stages[-1]))
        return stages


class Head(nn.Module):
    def __init__(self, channels: int, num_classes: int, width: int = 512) -> None:
        super().__init__()
        self.aspp = Aspp(channels, width)
        self.block = nn.Sequential(*_convolved(width, width, 3), nn.Dropout(0.1), nn.Conv2d(width, num_classes, 1))


class Aspp(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.b0 = nn.Sequential(*_convolved(channels, width, 1))
        for number, rate in enumerate((12, 24, 36), start=1):
            branch = nn.Sequential(*_convolved(channels, width, 3, dilation=rate))
            setattr(self, f"b{number}", nn.ModuleDict({"block": branch}))
        pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_convolved(channels, width, 1))
        self.b4 = nn.ModuleDict({"gap": pooled})
        self.project = nn.Sequential(*_convolved(5 * width, width, 1), nn.Dropout(0.5))

    def forward(self, found: Tensor) -> Tensor:
        branches = [self.b0(found), *(getattr(self, f"b{number}")["block"](found) for number in (1, 2, 3))]
        pooled = self.b4["gap"](found).expand(-1, -1, *found.shape[-2:])
        said: Tensor = self.project(torch.cat([*branches, pooled], dim=1))
        return said


def _convolved(before: int, after: int, side: int, *, dilation: int = 1) -> list[nn.Module]:
    padding = dilation * (side // 2)
    convolution = nn.Conv2d(before, after, side, padding=padding, dilation=dilation, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.ReLU()]


def _wider(layer: nn.Module) -> nn.Module:
    """Its first block reads the 128 channels of the stem, so that one of a BasicBlock needs a projection too."""
    block: Any = layer.get_submodule("0")
    width = block.conv1.out_channels
    block.conv1 = nn.Conv2d(
        128, width, block.conv1.kernel_size, stride=block.conv1.stride, padding=block.conv1.padding, bias=False
    )
    out = width if not hasattr(block, "conv3") else block.conv3.out_channels
    block.downsample = nn.Sequential(nn.Conv2d(128, out, 1, bias=False), nn.BatchNorm2d(out))
    return layer


def _dilated(layer: nn.Module, first: int, rest: int) -> nn.Module:
    """Without its stride: the first block's 3x3 convolutions at rate `first`, the others' at `rest`. The second 3x3 of
    a BasicBlock is at `rest` everywhere.
    """
    for number, block in enumerate(layer.children()):
        rate = first if number == 0 else rest
        for name, convolution in block.named_modules():
            if isinstance(convolution, nn.Conv2d):
                convolution.stride = (1, 1)
                if convolution.kernel_size == (3, 3):
                    wanted = rest if name == "conv2" and not hasattr(block, "conv3") else rate
                    convolution.dilation = convolution.padding = (wanted, wanted)
    return layer

"""The projectors G_T and G_S: a tapped feature to one logit map per class."""

from __future__ import annotations

from torch import nn


def projector(in_channels: int, num_classes: int, *, depth: int, width: int, kernel: int) -> nn.Sequential:
    """(conv - BN - ReLU) x (depth - 1), then a linear 1x1 convolution to one channel per class.

    Args:
        in_channels: channels of the tap.
        num_classes: channels of Z.
        depth: convolutions in all, 1 to 3.
        width: channels between them; unused at depth 1.
        kernel: side of the hidden convolutions, 1 or 3; the stride is 1 and the grid is kept.

    Source: Huang et al. 2025 (HeteroAKD), Eq. 2-4.
    Deviation: the last convolution is linear. With the sources' ReLU on the output, sigmoid(Z) >= 0.5, so that no class
    could ever be denied.
    """
    layers: list[nn.Module] = []
    for _ in range(depth - 1):
        layers += [
            nn.Conv2d(in_channels, width, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        in_channels = width
    return nn.Sequential(*layers, nn.Conv2d(in_channels, num_classes, kernel_size=1))

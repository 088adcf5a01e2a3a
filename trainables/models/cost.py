"""What a network costs: parameters and multiply-accumulates."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from trainables.models.segmodel import SegModel


class Cost(NamedTuple):
    """Attributes:
    parameters_millions: all parameters.
    gmac: 1e9 multiply-accumulates of one forward pass (convolutions and matrix products).
    stride: of the logits.
    """

    parameters_millions: float
    gmac: float
    stride: int


def cost(model: SegModel, *, height: int, width: int, real: bool = False) -> Cost:
    """Cost of one image of this size (sides multiples of 32). Shapes only: the model's own weights are lost.

    Args:
        real: count in a real forward instead; other libraries' networks compute with what is in a tensor.
    """
    device = "cpu" if real else "meta"
    model = model.to(device).eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(torch.zeros(1, model.channels, height, width, device=device))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Cost(parameters / 1e6, counter.get_total_flops() / 2e9, model.stride)

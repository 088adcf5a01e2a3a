"""A network without dropout, so that what is computed on one GPU and on two can be compared."""

from __future__ import annotations

from torch.nn.modules.dropout import _DropoutNd

from trainables.models.build import build
from trainables.models.segmodel import SegModel


def small(num_classes: int) -> SegModel:
    return _steady("fpn:resnet18", num_classes)


def large(num_classes: int) -> SegModel:
    return _steady("deeplabv3:resnet101", num_classes)


def _steady(name: str, num_classes: int) -> SegModel:
    network = build(name, num_classes=num_classes)
    for module in network.modules():
        if isinstance(module, _DropoutNd):
            module.p = 0.0
    return network

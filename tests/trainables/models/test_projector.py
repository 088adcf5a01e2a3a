from __future__ import annotations

import pytest
import torch
from torch import nn

from trainables.models.projector import projector


def shapes(layers):
    return [tuple(layer.weight.shape) for layer in layers if isinstance(layer, nn.Conv2d)]


def test_a_projector_of_depth_one_is_one_linear_map():
    layers = projector(12, 5, depth=1, width=64, kernel=3)
    assert shapes(layers) == [(5, 12, 1, 1)]
    assert len(layers) == 1


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("depth", [2, 3])
def test_hidden_layers_have_the_width_and_kernel_and_the_last_is_linear(depth, kernel):
    layers = projector(12, 5, depth=depth, width=8, kernel=kernel)
    hidden = [(8, 12, kernel, kernel), (8, 8, kernel, kernel)][: depth - 1]
    assert shapes(layers) == [*hidden, (5, 8, 1, 1)]
    kinds = [type(layer) for layer in layers]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * (depth - 1) + [nn.Conv2d]


@pytest.mark.parametrize(("depth", "kernel"), [(1, 1), (2, 1), (2, 3), (3, 3)])
def test_the_grid_is_kept_and_classes_can_be_denied(depth, kernel):
    torch.manual_seed(0)
    layers = projector(12, 5, depth=depth, width=8, kernel=kernel)
    found = layers(torch.randn(2, 12, 6, 9))
    assert found.shape == (2, 5, 6, 9)
    assert (found < 0).any()
    assert (found > 0).any()


def test_with_kernel_one_a_pixel_sees_itself_alone_and_with_kernel_three_its_neighbours():
    tap = torch.zeros(1, 12, 5, 5)
    touched = tap.clone()
    touched[..., 2, 2] = 1
    for kernel, reach in ((1, 1), (3, 9)):
        torch.manual_seed(0)
        layers = projector(12, 5, depth=2, width=32, kernel=kernel).eval()
        moved = (layers(tap) != layers(touched)).any(dim=1)
        assert moved.sum() == reach

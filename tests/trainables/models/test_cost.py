from __future__ import annotations

import pytest
import segmentation_models_pytorch as smp
from torch import nn

from trainables.models.cost import cost
from trainables.models.segmodel import SegModel, Tap


class OneConv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)

    def forward(self, images):
        return [images, self.conv(images)]


class Last(nn.Module):
    def forward(self, stages):
        return stages[-1]


@pytest.fixture
def one_conv():
    return SegModel(OneConv(), Last(), nn.Conv2d(4, 5, 1))


def test_a_convolution_costs_what_is_counted_by_hand(one_conv):
    found = cost(one_conv, height=32, width=64)
    assert found.parameters_millions == pytest.approx((4 * 3 * 9 + 4 + 5 * 4 + 5) / 1e6)  # 137
    assert found.gmac == pytest.approx((4 * 3 * 9 + 5 * 4) * 16 * 32 / 1e9)  # 65536
    assert found.stride == 2
    assert one_conv.taps == {"stage1": Tap(4, 2), "decoder": Tap(4, 2)}


def test_arithmetic_grows_with_the_image_and_parameters_do_not(one_conv):
    small = cost(one_conv, height=32, width=32)
    large = cost(one_conv, height=64, width=96)
    assert large.gmac == pytest.approx(6 * small.gmac)
    assert large.parameters_millions == small.parameters_millions


def test_the_count_of_a_known_network_is_the_published_one():
    """ResNet-18: 11.69 M parameters and 1.82 GMAC on 224x224, of which its classifier has 0.513 M and 0.0005."""
    encoder = smp.encoders.get_encoder("resnet18", weights=None)
    found = cost(SegModel(encoder, Last(), nn.Conv2d(512, 1, 1)), height=224, width=224)
    assert found.parameters_millions == pytest.approx(11.689512 - 0.513 + 0.000513)
    assert found.gmac == pytest.approx(1.82, abs=0.01)

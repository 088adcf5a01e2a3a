from __future__ import annotations

import pytest
import torch
from torch import nn

from trainables.contracts import tiny
from trainables.contracts.tiny import Decode, Stages
from trainables.models.build import build
from trainables.models.fold import TOLERANCE, fold
from trainables.models.segmodel import SegModel
from trainables.teachers import freeze

NETWORKS = {  # BatchNorms: before, after
    "deeplabv3:resnet18": (27, 0),
    "fpn:resnet18": (20, 0),
    "segformer:mit_b0": (1, 0),
    "deeplabv3plus:mobilenet_v2": (61, 0),
    "fpn:tu-mobilenetv3_small_050": (34, 0),  # timm's BatchNorm activates too
    "fpn:tu-tf_efficientnet_lite0": (48, 0),  # timm's convolution pads too
    "fpn:tu-pvt_v2_b0": (0, 0),
}


def norms(model):
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


def teacher(model):
    """Frozen, its statistics and weights such as training leaves them."""
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for norm in norms(model):
            norm.running_mean.normal_(0, 0.5, generator=rng)
            norm.running_var.uniform_(0.3, 3, generator=rng)
            norm.weight.uniform_(0.5, 1.5, generator=rng)
            norm.bias.normal_(0, 0.3, generator=rng)
    return freeze(model)


def of(encoder):
    """A teacher of this encoder of strides 1, 2, 4, 8, 16, 32."""
    torch.manual_seed(0)
    return teacher(SegModel(encoder, Decode(3, 6), nn.Conv2d(6, 5, 1)))


def error(found, model):
    """Largest over all maps, relative to a map's largest absolute value."""
    images = torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(2))
    ours, theirs = found(images), model(images)
    assert ours.taps.keys() == theirs.taps.keys()
    pairs = [(ours.logits, theirs.logits), *((ours.taps[name], tap) for name, tap in theirs.taps.items())]
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)


@pytest.mark.parametrize("name", NETWORKS)
def test_no_norm_is_left_and_every_map_stays(name):
    torch.manual_seed(0)
    model = teacher(build(name, num_classes=7))
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    drawn = torch.get_rng_state()
    found = fold(model)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert (len(norms(model)), len(norms(found))) == NETWORKS[name]
    assert error(found, model) < 2e-5
    assert not any(parameter.requires_grad for parameter in found.parameters())
    after = model.state_dict()
    assert after.keys() == weights.keys()
    assert all(torch.equal(value, weights[key]) for key, value in after.items())
    assert not any(module._forward_hooks for network in (model, found) for module in network.modules())


def test_convolutions_that_share_a_weight_get_each_their_own():
    encoder = Stages((5, 6, 6, 6, 6))
    first, second = encoder.steps[2], encoder.steps[3]
    second[0].weight = first[0].weight
    model = of(encoder)
    with torch.no_grad():
        shared = first[0].weight.clone()
        for step, (mean, var, gain, shift) in ((first, (1, 3, 2, -1)), (second, (-2, 0.25, 3, 5))):
            for place, value in zip(
                (step[1].running_mean, step[1].running_var, step[1].weight, step[1].bias),
                (mean, var, gain, shift),
                strict=True,
            ):
                place.fill_(value)
            step[0].bias.fill_(4)
    found = fold(model).encoder.steps
    torch.testing.assert_close(found[2][0].weight, shared * 2 / 3**0.5)
    torch.testing.assert_close(found[3][0].weight, shared * 3 / 0.25**0.5, rtol=1e-4, atol=0)  # eps is 1e-5
    torch.testing.assert_close(found[2][0].bias, torch.full((6,), (4 - 1) * 2 / 3**0.5 - 1))
    torch.testing.assert_close(found[3][0].bias, torch.full((6,), (4 + 2) * 3 / 0.25**0.5 + 5), rtol=1e-4, atol=0)
    assert torch.equal(first[0].weight, shared)
    assert error(fold(model), model) < 2e-5


class Odd(Stages):
    """Its last stage, which nothing reads, is made in a way of its own; the others are convolution, BatchNorm, ReLU."""

    def __init__(self, made):
        super().__init__((6, 6, 6, 6, 6))
        self.made = made

    def forward(self, images):
        stages = [images]
        for index, step in enumerate(self.steps):
            stages.append((self.made if index == 4 else Odd.usual)(step, stages[-1]))
        return stages

    @staticmethod
    def usual(step, stage):
        return step(stage)


def conv_is_read_by_an_operator_too(step, stage):
    raw = step[0](stage)
    return step[1](raw) + raw


def conv_is_read_through_a_view(step, stage):
    raw = step[0](stage)
    return step[1](raw) * raw.mean(dim=(2, 3), keepdim=True)


def conv_is_a_tap(step, stage):
    raw = step[0](stage)
    step[1](raw)
    return raw


def conv_runs_twice(step, stage):
    return step[1](step[0](stage)) + step[0](stage)


def norm_runs_twice(step, stage):
    return step[1](step[1](step[0](stage)))


def norm_comes_after_the_activation(step, stage):
    return step[1](step[2](step[0](stage)))


@pytest.mark.parametrize(
    "made",
    [
        conv_is_read_by_an_operator_too,
        conv_is_read_through_a_view,
        conv_is_a_tap,
        conv_runs_twice,
        norm_runs_twice,
        norm_comes_after_the_activation,
    ],
)
def test_a_norm_that_is_more_than_the_convolutions_only_reader_stays(made):
    model = of(Odd(made))
    found = fold(model)
    assert (len(norms(model)), len(norms(found))) == (5, 1)
    assert error(found, model) < 2e-5


def norm_is_asked_for_its_weight(step, stage):
    return step(stage) * step[1].weight.mean()


class Scaled(nn.Conv2d):
    """Of the name of what may be folded, but it does more."""

    def forward(self, images):
        return 2 * super().forward(images)


Scaled.__name__ = "Conv2d"


def conv_does_more(step, stage):
    if type(step[0]) is nn.Conv2d:
        step[0] = Scaled(6, 6, 3, stride=2, padding=1)
    return step(stage)


@pytest.mark.parametrize("made", [norm_is_asked_for_its_weight, conv_does_more])
def test_a_network_that_cannot_be_folded_is_given_back_as_it_is(made):
    model = of(Odd(made))
    assert fold(model) is model
    assert len(norms(model)) == 5


def test_statistics_that_were_never_kept_stay():
    encoder = Stages((6, 6, 6, 6, 6))
    encoder.steps[4][1] = nn.BatchNorm2d(6, track_running_stats=False)
    torch.manual_seed(0)
    model = freeze(SegModel(encoder, Decode(3, 6), nn.Conv2d(6, 5, 1)))
    assert len(norms(fold(model))) == 1


def test_the_memory_format_and_the_type_of_weights_stay():
    model = teacher(tiny.network()).to(memory_format=torch.channels_last).double()
    weights = [module.weight for module in fold(model).modules() if isinstance(module, nn.Conv2d)]
    assert all(weight.dtype == torch.float64 for weight in weights)
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    assert TOLERANCE == 1e-4  # as the documents say

"""A network that breaks a claim is caught by that claim."""

from __future__ import annotations

import random
import socket

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trainables.contracts.claim import examine
from trainables.contracts.models import CLAIMS, Network
from trainables.contracts.tiny import Decode, Stages
from trainables.models.segmodel import Features, SegModel


class Sound(SegModel):
    """A few convolutions of which none is idle."""

    def __init__(self, num_classes):
        channels = (4, 5, 6, 7, 8)
        super().__init__(Stages(channels), Decode(5, 8), nn.Conv2d(6, num_classes, 1))


class Changed(Sound):
    """Sound, but for what `change` makes of its logits."""

    def forward(self, images):
        found = super().forward(images)
        return Features(self.change(found.logits, images), found.taps)

    def change(self, logits, images):
        return logits


class CallsHome(Sound):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        with socket.socket() as caller:
            caller.settimeout(1)
            caller.connect(("127.0.0.1", 9))


class Asleep(Sound):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.eval()


class Dice(Sound):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        nn.init.constant_(self.head.weight, random.random())


class TwentyOne(Sound):
    def __init__(self, num_classes):
        super().__init__(21)


class Upsamples(Sound):
    def __init__(self, num_classes):
        self.up = 1
        super().__init__(num_classes)
        self.up = 4

    def forward(self, images):
        found = super().forward(images)
        return Features(F.interpolate(found.logits, scale_factor=self.up), found.taps)


class Divides(Changed):
    def change(self, logits, images):
        return logits / images.std()


class Scribbles(Changed):
    def change(self, logits, images):
        images.mul_(0.5)
        return logits


class Mingles(Changed):
    def change(self, logits, images):
        return logits - logits.mean(dim=0)


class Drops(Changed):
    def change(self, logits, images):
        return F.dropout(logits, 0.5, training=True)


class Idle(Sound):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.idle = nn.Linear(2, 2)


class Secretive(Changed):
    scale = None

    def change(self, logits, images):
        if self.scale is None:
            self.scale = torch.rand(())
        return logits * self.scale


class OnlyWhole(Changed):
    def change(self, logits, images):
        return logits / (logits.dtype == torch.float32)


CAUGHT = {
    CallsHome: "it is built without a network connection",
    Asleep: "it starts in train mode",
    Dice: "a seed gives the same weights",
    TwentyOne: "its logits have a channel for each class",
    Upsamples: "logits and taps have the declared channels and strides",
    Divides: "its maps are finite",
    Scribbles: "images are left alone",
    Mingles: "in eval mode an image does not depend on its batch",
    Drops: "in eval mode nothing is drawn at random",
    Idle: "the loss reaches every parameter",
    Secretive: "a checkpoint holds all of it",
    OnlyWhole: "under bf16 autocast its maps are finite",
}


def broken_claims(kind):
    return {found.sentence: found.reason for found in examine(Network(kind), CLAIMS) if found.reason}


def test_a_sound_network_breaks_no_claim():
    assert broken_claims(Sound) == {}


def test_each_claim_catches_a_network():
    assert list(CAUGHT.values()) == [claim.sentence for claim in CLAIMS]


@pytest.mark.parametrize("kind", CAUGHT, ids=lambda kind: kind.__name__)
def test_a_broken_network_is_caught(kind):
    assert CAUGHT[kind] in broken_claims(kind)


def test_what_no_gradient_reaches_is_named():
    assert broken_claims(Idle) == {
        "the loss reaches every parameter": "No gradient reaches idle.weight, idle.bias (2 in all). "
        "Remove or freeze them."
    }

"""Every decoder keeps every claim, on a CNN and on a Transformer where the two fit."""

from __future__ import annotations

import copy
import functools

import pytest
import torch

from trainables.contracts.claim import broken
from trainables.contracts.models import CLAIMS, Network
from trainables.models import DECODERS
from trainables.models.build import build

CNN, TRANSFORMER = "tu-test_efficientnet", "mit_b0"  # timm's smallest; test_networks.py has those of the pairs
NAMES = [f"{decoder}:{CNN}" for decoder in DECODERS]
NAMES += [f"deeplabv3:{TRANSFORMER}", f"segformer:{TRANSFORMER}", "fpn:tu-edgenext_xx_small"]


OF_BUILDING = {  # these build anew; the others take copies of one build, which costs far more than what they look at
    "it is built without a network connection",
    "it starts in train mode",
    "a seed gives the same weights",
}


@functools.cache
def first(name, num_classes, seed):
    torch.manual_seed(seed)
    return build(name, num_classes=num_classes)


def network(name, *, anew):
    def make(num_classes):
        if anew:
            return build(name, num_classes=num_classes)
        return copy.deepcopy(first(name, num_classes, torch.initial_seed()))

    return Network(make)


def test_the_claims_that_build_anew_are_among_the_claims():
    assert {claim.sentence for claim in CLAIMS} > OF_BUILDING


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.sentence)
@pytest.mark.parametrize("name", NAMES)
def test_a_network_keeps_a_claim(name, claim):
    assert broken(claim, network(name, anew=claim.sentence in OF_BUILDING)) is None

"""Every decoder keeps every claim, on a CNN and on a Transformer where the two fit."""

from __future__ import annotations

import pytest

from trainables.contracts.claim import broken
from trainables.contracts.models import CLAIMS, Network
from trainables.models import DECODERS
from trainables.models.build import build

CNN, TRANSFORMER = "tu-mobilenetv3_small_050", "mit_b0"
NAMES = [f"{decoder}:{CNN}" for decoder in DECODERS]
NAMES += [f"deeplabv3:{TRANSFORMER}", f"segformer:{TRANSFORMER}", "fpn:tu-edgenext_xx_small"]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.sentence)
@pytest.mark.parametrize("name", NAMES)
def test_a_network_keeps_a_claim(name, claim):
    assert broken(claim, Network(lambda num_classes: build(name, num_classes=num_classes))) is None

"""Every method of LOSSES keeps every claim. A new method is tested by its line in the table."""

from __future__ import annotations

import pytest

from trainables.config import TrialConfig
from trainables.contracts.case import Loss
from trainables.contracts.claim import broken
from trainables.contracts.losses import CLAIMS
from trainables.losses import LOSSES, cirkd, cirkdv2

CROP = {"crop_height": 64, "crop_width": 64, "region_size": 8}
FIELDS = {**CROP, "projector_tap": "stage3", "device": "cpu", "lambda_hakd": 2.0}
VARIANTS = {
    "heteroakd, kem_axis space": {"method": "heteroakd", "kem_axis": "space"},
    "heteroakd, no kem": {"method": "heteroakd", "kem": False},
}


def loss(**fields):
    config = TrialConfig.parse({**FIELDS, **fields})
    return Loss(LOSSES[config.method], config)


SUBJECTS = {name: {"method": name} for name in LOSSES} | VARIANTS


@pytest.fixture(autouse=True)
def _small_memories(monkeypatch):
    """Each of CIRKD's thousands of entries is compared with each pixel; no claim is of how many there are."""
    monkeypatch.setattr(cirkd, "PIXELS", 320)
    monkeypatch.setattr(cirkd, "REGIONS", 80)
    monkeypatch.setattr(cirkdv2, "ENTRIES", 80)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.sentence)
@pytest.mark.parametrize("fields", SUBJECTS.values(), ids=SUBJECTS)
def test_a_method_keeps_a_claim(fields, claim):
    assert broken(claim, loss(**fields)) is None


def test_a_projector_of_more_layers_is_trained_whole():
    trained = next(claim for claim in CLAIMS if "trained" in claim.sentence)
    assert broken(trained, loss(method="heteroakd", projector_depth=2, projector_width=8)) is None


def test_weights_come_from_the_config():
    built = loss(method="kd", lambda_kd=0.9)
    assert built.build(*built.networks()).weights == {"loss_task": 1.0, "loss_kd": 0.9}

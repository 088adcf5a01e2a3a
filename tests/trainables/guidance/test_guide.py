"""Without a cache the guide is the teacher, asked for every batch."""

from __future__ import annotations

import pytest
import torch

from trainables.data.feed import Batch
from trainables.guidance.guide import Guide


@pytest.fixture
def batch():
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return Batch(pixels, torch.zeros(2, 64, 64, dtype=torch.long))


def test_it_says_what_the_teacher_says_and_lets_no_gradient_through(small, teacher, batch):
    guide = Guide(teacher, small(method="kd", fold_teacher=False))
    said = guide(batch._replace(pixels=batch.pixels.clone().requires_grad_()))
    whole = teacher(batch.pixels)
    assert torch.equal(said.logits, whole.logits)
    assert said.taps.keys() == whole.taps.keys()
    assert all(torch.equal(said.taps[name], tap) for name, tap in whole.taps.items())
    assert not said.logits.requires_grad
    assert guide.hits.rate is None


def test_made_up_crops_are_not_looked_up_in_a_cache(small, teacher, batch, tmp_path):
    guide = Guide(teacher, small(method="kd", views=2, teacher_cache=True, fold_teacher=False), cache=tmp_path)
    assert torch.equal(guide(batch).logits, teacher(batch.pixels).logits)
    assert guide.hits.rate is None
    assert not list(tmp_path.iterdir())

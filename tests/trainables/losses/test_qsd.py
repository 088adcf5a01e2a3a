from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.losses import qsd as module
from trainables.losses.qsd import Qsd, qsd_loss


def formula(queries, values, teacher, valid):
    errors = []
    for b, i in np.argwhere(valid):
        inside = np.flatnonzero(valid[b])
        scores = np.exp([queries[b, i] @ teacher[b, j] for j in inside])
        restored = (scores / scores.sum()) @ values[b, inside]
        errors.append(((restored - teacher[b, i]) ** 2).mean())
    return np.mean(errors)


def test_it_equals_the_formula(z):
    queries, values, teacher = (z(seed, 3, 6, 4, scale=0.7) for seed in range(3))
    valid = np.random.default_rng(0).random((3, 6)) < 0.7
    valid[1] = False
    found = qsd_loss(*map(torch.as_tensor, (queries, values, teacher, valid))).item()
    assert found == pytest.approx(formula(queries, values, teacher, valid), rel=1e-9)


def test_a_lone_cell_can_only_ask_itself():
    values, teacher = torch.tensor([[[1.0, 4.0]]]), torch.tensor([[[0.0, 2.0]]])
    found = qsd_loss(torch.randn(1, 1, 2), values, teacher, torch.ones(1, 1, dtype=torch.bool))
    assert found.item() == pytest.approx((1 + 4) / 2)


@pytest.mark.parametrize(("tokens", "side"), [((32, 64), 8), ((4, 4), 4)])
def test_maps_are_normalised_mapped_and_averaged_to_so_many_cells(
    tokens, side, small, network, teacher, features, random_labels, monkeypatch
):
    monkeypatch.setattr(module, "TOKENS", tokens)
    torch.manual_seed(0)
    config = small(method="qsd", projector_tap="stage3")
    criterion = Qsd(config, student=network(), teacher=teacher, num_classes=5, ignore_index=255)
    student = features(network(), logits=(8, 8), taps=(8, 8), seed=1)
    guide = features(teacher, logits=(8, 8), taps=(8, 8), seed=2)
    labels = torch.where(random_labels(2, 8, 8) == 255, 0, random_labels(2, 8, 8))

    def cells(maps):
        blocks = maps.taps["stage3"].detach().double().numpy()
        blocks = blocks.reshape(*blocks.shape[:2], side, 8 // side, side, 8 // side).mean(axis=(3, 5))
        return blocks.reshape(*blocks.shape[:2], -1).swapaxes(1, 2)

    def linear(layer, values):
        return values @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()

    own = cells(student)
    own = (own - own.mean(-1, keepdims=True)) / np.sqrt(own.var(-1, keepdims=True) + 1e-5)
    given = linear(criterion.query, own), linear(criterion.value, own), cells(guide)
    expected = formula(*given, np.ones(given[0].shape[:2], dtype=bool))
    assert criterion(student, guide, labels)["loss_qsd"].item() == pytest.approx(expected, rel=1e-4)

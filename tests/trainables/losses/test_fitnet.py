from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.losses.fitnet import Fitnet, fitnet_loss


def formula(student, teacher, labels):
    total, cells = 0.0, np.argwhere(labels != 255)
    for b, i, j in cells:
        total += sum((s - t) ** 2 for s, t in zip(student[b, :, i, j], teacher[b, :, i, j], strict=True))
    return total / (len(cells) * student.shape[1])


def test_the_hint_equals_the_formula(z, random_labels):
    student, teacher, labels = z(0, 2, 5, 6, 8), z(1, 2, 5, 6, 8), random_labels(2, 6, 8)
    loss = fitnet_loss(torch.tensor(student), torch.tensor(teacher), labels != 255)
    assert loss.item() == pytest.approx(formula(student, teacher, labels.numpy()), rel=1e-9)


def test_a_difference_of_three_in_one_of_two_channels_by_hand():
    student, teacher = torch.tensor([3.0, 1.0]).view(1, 2, 1, 1), torch.tensor([0.0, 1.0]).view(1, 2, 1, 1)
    assert fitnet_loss(student, teacher, torch.ones(1, 1, 1, dtype=torch.bool)).item() == 4.5


def test_channels_and_grid_are_the_teachers_after_the_regressor(
    small, network, teacher, features, oracle, z, random_labels
):
    criterion = Fitnet(
        small(method="fitnet", projector_tap="stage3"),
        student=network(),
        teacher=teacher,
        num_classes=5,
        ignore_index=255,
    )
    student = features(network(), logits=(12, 16), taps=(12, 16), seed=1)
    guide = features(teacher, logits=(6, 8), taps=(6, 8), seed=2)
    labels = random_labels(2, 24, 32)
    weight = criterion.regressor.weight.detach().double().numpy()[..., 0, 0]
    small_maps = oracle.bilinear(student.taps["stage3"].detach().double().numpy(), (6, 8))
    projected = np.einsum("kc,bchw->bkhw", weight, small_maps)
    expected = formula(projected, guide.taps["stage3"].detach().numpy(), oracle.nearest(labels.numpy(), (6, 8)))
    assert criterion(student, guide, labels)["loss_fitnet"].item() == pytest.approx(expected, rel=1e-5)

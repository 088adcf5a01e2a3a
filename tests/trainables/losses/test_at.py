from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.losses.at import at_loss


def attention(maps, labels):
    """A of each image, 0 at ignored cells."""
    found = np.zeros(labels.shape)
    for b, i, j in np.argwhere(labels != 255):
        found[b, i, j] = np.mean([value**2 for value in maps[b, :, i, j]])
    return found / np.sqrt((found**2).sum(axis=(1, 2), keepdims=True))


def at(student, teacher, labels):
    return at_loss(torch.as_tensor(student), torch.as_tensor(teacher), labels != 255).item()


def test_attention_transfer_equals_the_formula_for_any_channels(z, random_labels):
    student, teacher, labels = z(0, 2, 3, 6, 8), z(1, 2, 7, 6, 8), random_labels(2, 6, 8)
    squares = (attention(student, labels.numpy()) - attention(teacher, labels.numpy())) ** 2
    assert at(student, teacher, labels) == pytest.approx(squares.sum() / (labels != 255).sum().item(), rel=1e-9)


def test_energies_of_three_to_four_against_one_place_by_hand():
    student = torch.tensor([3.0, 4.0]).sqrt().view(1, 1, 1, 2)  # A = (0.6, 0.8)
    teacher = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)  # A = (1, 0)
    assert at(student, teacher, torch.zeros(1, 1, 2).long()) == pytest.approx((0.16 + 0.64) / 2)


def test_a_factor_on_all_features_of_an_image_changes_nothing(z, random_labels):
    student, teacher, labels = z(0, 2, 3, 6, 8), z(1, 2, 7, 6, 8), random_labels(2, 6, 8)
    factor = np.array([0.1, 30.0]).reshape(2, 1, 1, 1)
    assert at(factor * student, teacher / factor, labels) == pytest.approx(at(student, teacher, labels), rel=1e-6)

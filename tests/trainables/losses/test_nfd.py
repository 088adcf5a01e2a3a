from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.losses.nfd import nfd_loss


def formula(student, teacher, valid):
    total, cells = 0.0, valid.sum()
    for b in range(len(valid)):
        for c in range(student.shape[1]):
            scores = [maps[b, c][valid[b]] for maps in (student, teacher)]
            scores = [(values - values.mean()) / values.std() for values in scores]
            total += ((scores[0] - scores[1]) ** 2).sum()
    return total / (cells * student.shape[1])


def nfd(student, teacher, valid):
    return nfd_loss(torch.as_tensor(student), torch.as_tensor(teacher), torch.as_tensor(valid)).item()


def test_it_equals_the_formula(z, random_labels):
    student, teacher, valid = z(0, 2, 5, 6, 8), z(1, 2, 5, 6, 8), random_labels(2, 6, 8).numpy() != 255
    assert nfd(student, teacher, valid) == pytest.approx(formula(student, teacher, valid), rel=1e-9)


def test_opposite_channels_cost_four_and_uncorrelated_ones_two_by_hand():
    up = np.array([1.0, 1.0, -1.0, -1.0]).reshape(1, 1, 2, 2)
    other = np.array([1.0, -1.0, 1.0, -1.0]).reshape(1, 1, 2, 2)
    everywhere = np.ones((1, 2, 2), dtype=bool)
    assert nfd(up, -3 * up, everywhere) == pytest.approx(4)
    assert nfd(up, other, everywhere) == pytest.approx(2)


def test_a_factor_and_a_shift_of_a_channel_change_nothing(z):
    student, teacher, valid = z(0, 2, 3, 4, 4), z(1, 2, 3, 4, 4), np.ones((2, 4, 4), dtype=bool)
    factor, shift = np.array([0.5, 2.0, 30.0]).reshape(3, 1, 1), np.array([-1.0, 0.0, 7.0]).reshape(3, 1, 1)
    assert nfd(factor * student + shift, teacher, valid) == pytest.approx(nfd(student, teacher, valid), rel=1e-9)


def test_a_constant_channel_is_zero_and_gets_no_gradient(z):
    student = torch.tensor(z(0, 1, 2, 3, 3))
    student[:, 1] = 5.0
    student.requires_grad_()
    loss = nfd_loss(student, torch.tensor(z(1, 1, 2, 3, 3)), torch.ones(1, 3, 3, dtype=torch.bool))
    loss.backward()
    assert loss.isfinite()
    assert (student.grad[:, 1] == 0).all()
    assert (student.grad[:, 0] != 0).any()

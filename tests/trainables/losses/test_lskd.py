from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.losses.lskd import lskd_loss


def formula(student, teacher, valid, tau):
    total, cells = 0.0, np.argwhere(valid)
    for b, i, j in cells:
        logs = []
        for logits in (student[b, :, i, j], teacher[b, :, i, j]):
            scores = (logits - logits.mean()) / logits.std(ddof=1) / tau
            logs.append(scores - np.log(np.exp(scores).sum()))
        total += (np.exp(logs[1]) * (logs[1] - logs[0])).sum()
    return tau**2 * total / len(cells)


def lskd(student, teacher, valid, tau):
    tensors = map(torch.as_tensor, (student, teacher, valid))
    return lskd_loss(*tensors, temperature=tau).item()


@pytest.mark.parametrize("tau", [1.0, 2.0])
def test_it_equals_the_formula(tau, z, random_labels):
    student, teacher, valid = z(0, 2, 5, 6, 8), z(1, 2, 5, 6, 8), random_labels(2, 6, 8).numpy() != 255
    assert lskd(student, teacher, valid, tau) == pytest.approx(formula(student, teacher, valid, tau), rel=1e-9)


def test_two_classes_that_disagree_by_hand():
    """The z-scores of two logits are +-1/sqrt 2 whatever they are."""
    first, second = np.array([9.0, 1.0]).reshape(1, 2, 1, 1), np.array([-0.1, 0.1]).reshape(1, 2, 1, 1)
    share = 1 / (1 + np.exp(-np.sqrt(2)))
    expected = (2 * share - 1) * np.sqrt(2)
    assert lskd(first, second, np.ones((1, 1, 1), dtype=bool), 1.0) == pytest.approx(expected, rel=1e-9)


def test_a_factor_and_a_shift_of_a_pixels_logits_change_nothing(z):
    student, teacher, valid = z(0, 1, 4, 3, 3), z(1, 1, 4, 3, 3), np.ones((1, 3, 3), dtype=bool)
    assert lskd(40 * student - 3, teacher, valid, 2.0) == pytest.approx(lskd(student, teacher, valid, 2.0), rel=1e-9)


def test_a_pixel_of_equal_logits_is_uniform_and_gets_no_gradient(z):
    student = torch.zeros(1, 3, 1, 1, dtype=torch.float64, requires_grad=True)
    teacher = z(1, 1, 3, 1, 1)
    loss = lskd_loss(student, torch.tensor(teacher), torch.ones(1, 1, 1, dtype=torch.bool), temperature=1.0)
    loss.backward()
    scores = (teacher - teacher.mean()) / teacher.std(ddof=1)
    share = np.exp(scores) / np.exp(scores).sum()
    assert loss.item() == pytest.approx((share * np.log(3 * share)).sum(), rel=1e-9)
    assert (student.grad == 0).all()

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.losses.dist import Dist, dist_inter_loss, dist_intra_loss


def pearson(a, b):
    a, b = a - a.mean(), b - b.mean()
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())


def inter(student, teacher, labels):
    return np.mean([1 - pearson(student[b, :, i, j], teacher[b, :, i, j]) for b, i, j in np.argwhere(labels != 255)])


def intra(student, teacher, labels):
    classes = range(student.shape[1])
    return np.mean([1 - pearson(student[:, c][labels != 255], teacher[:, c][labels != 255]) for c in classes])


LOSS = {"inter": (dist_inter_loss, inter), "intra": (dist_intra_loss, intra)}


@pytest.fixture
def probabilities(oracle, z):
    return lambda seed, *shape: oracle.softmax(z(seed, *shape, scale=1.0))


@pytest.mark.parametrize("name", LOSS)
def test_dist_equals_the_formula(name, probabilities, random_labels):
    loss, formula = LOSS[name]
    student, teacher, labels = probabilities(0, 2, 5, 6, 8), probabilities(1, 2, 5, 6, 8), random_labels(2, 6, 8)
    found = loss(torch.tensor(student), torch.tensor(teacher), labels != 255).item()
    assert found == pytest.approx(formula(student, teacher, labels.numpy()), rel=1e-9)


def test_opposite_orders_cost_two_and_the_same_order_nothing_by_hand():
    rising = torch.tensor([0.1, 0.3, 0.6])
    valid = torch.ones(1, 1, 1, dtype=torch.bool)
    one, other = rising.view(1, 3, 1, 1), (0.9 - rising).view(1, 3, 1, 1)
    assert dist_inter_loss(one, other, valid).item() == pytest.approx(2)
    assert dist_inter_loss(one, one / 2 + 0.1, valid).item() == pytest.approx(0, abs=1e-6)
    places = torch.ones(1, 1, 3, dtype=torch.bool)
    one, other = torch.tensor([0.1, 0.2, 0.3]).view(1, 1, 1, 3), torch.tensor([0.1, 0.3, 0.2]).view(1, 1, 1, 3)
    assert dist_intra_loss(one, other, places).item() == pytest.approx(1 - 0.5)  # (-1, 0, 1) . (-1, 1, 0) / 2


@pytest.mark.parametrize("name", LOSS)
def test_factors_and_shifts_along_the_axis_change_nothing(name, probabilities, random_labels):
    loss, _ = LOSS[name]
    student, teacher, labels = (
        torch.tensor(probabilities(0, 2, 5, 6, 8)),
        torch.tensor(probabilities(1, 2, 5, 6, 8)),
        random_labels(2, 6, 8),
    )
    per = (2, 1, 6, 8) if name == "inter" else (1, 5, 1, 1)
    factor, shift = torch.tensor(probabilities(2, 2, 5, 6, 8))[: per[0], : per[1], : per[2], : per[3]] + 0.5, 3.0
    found = loss(student, teacher, labels != 255).item()
    assert loss(factor * student + shift, teacher, labels != 255).item() == pytest.approx(found, rel=1e-6)
    assert loss(student, teacher / factor - shift, labels != 255).item() == pytest.approx(found, rel=1e-6)


def test_the_criterion_correlates_softmaxes_on_the_coarser_grid(
    small, network, teacher, features, oracle, random_labels
):
    criterion = Dist(small(method="dist"), student=network(), teacher=teacher, num_classes=5, ignore_index=255)
    student = features(network(), logits=(12, 16), taps=(6, 8), seed=1)
    guide = features(teacher, logits=(6, 8), taps=(6, 8), seed=2)
    labels = random_labels(2, 24, 32)
    found = criterion(student, guide, labels)
    p_student = oracle.softmax(oracle.bilinear(student.logits.detach().double().numpy(), (6, 8)))
    p_teacher = oracle.softmax(guide.logits.detach().double().numpy())
    ids = oracle.nearest(labels.numpy(), (6, 8))
    assert found["loss_dist_inter"].item() == pytest.approx(inter(p_student, p_teacher, ids), rel=1e-4)
    assert found["loss_dist_intra"].item() == pytest.approx(intra(p_student, p_teacher, ids), rel=1e-4)

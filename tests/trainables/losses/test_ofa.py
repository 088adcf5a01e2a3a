from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainables.errors import ModelError
from trainables.losses.ofa import Ofa, ofa_loss


def formula(student, teacher, labels, eps, oracle):
    log_s, p_t = oracle.log_softmax(student), oracle.softmax(teacher)
    total, cells = 0.0, np.argwhere(labels != 255)
    for b, i, j in cells:
        for c in range(student.shape[1]):
            own = 1.0 if labels[b, i, j] == c else 0.0
            total -= ((p_t[b, c, i, j] + own) ** eps - own) * log_s[b, c, i, j]
    return total / len(cells)


def ofa(student, teacher, labels, eps):
    return ofa_loss(torch.as_tensor(student), torch.as_tensor(teacher), labels, labels != 255, eps=eps).item()


@pytest.mark.parametrize("eps", [0.5, 1.0, 1.5])
def test_ofa_equals_the_formula(eps, oracle, z, random_labels):
    student, teacher, labels = z(0, 2, 5, 6, 8), z(1, 2, 5, 6, 8), random_labels(2, 6, 8)
    assert ofa(student, teacher, labels, eps) == pytest.approx(
        formula(student, teacher, labels.numpy(), eps, oracle), rel=1e-6
    )


def test_flat_logits_of_two_classes_by_hand():
    flat, label = torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1).long()
    assert ofa(flat, flat, label, 1.0) == pytest.approx(math.log(2))  # the teacher's cross-entropy
    assert ofa(flat, flat, label, 2.0) == pytest.approx((1.5**2 - 1 + 0.25) * math.log(2))


def test_above_one_the_labels_class_weighs_more(z, random_labels):
    """As a share of the target's sum: eps 1 has p_T,y = 1/2; eps 2 has 1.25 of 1.5."""
    flat, towards = torch.zeros(1, 2, 1, 1), torch.tensor([1.0, -1.0]).view(1, 2, 1, 1)
    label = torch.zeros(1, 1, 1).long()
    assert ofa(towards, flat, label, 1.0) > math.log(2)  # the teacher is undecided, so the student's decision costs
    assert ofa(towards, flat, label, 2.0) / 1.5 < math.log(2)


def test_the_term_is_the_mean_over_the_exits_each_on_its_stages_grid(
    small, network, teacher, features, oracle, random_labels
):
    criterion = Ofa(
        small(method="ofa", ofa_eps=1.5), student=network(), teacher=teacher, num_classes=5, ignore_index=255
    )
    student = features(network(), logits=(6, 8), taps=(12, 16), seed=1)
    student = student._replace(taps=student.taps | {"stage4": torch.randn(2, 8, 3, 4)})
    guide = features(teacher, logits=(6, 8), taps=(6, 8), seed=2)
    labels = random_labels(2, 24, 32)
    assert criterion.exits.keys() == {"stage1", "stage2", "stage3", "stage4"}
    losses = []
    for name, leave in criterion.exits.items():
        tap = student.taps[name].detach().double().numpy()
        weight, bias = (value.detach().double().numpy() for value in (leave.weight[..., 0, 0], leave.bias))
        logits = np.einsum("kc,bchw->bkhw", weight, tap) + bias[:, None, None]
        grid = tap.shape[2:]
        target = oracle.bilinear(guide.logits.detach().double().numpy(), grid)
        losses.append(formula(logits, target, oracle.nearest(labels.numpy(), grid), 1.5, oracle))
    assert criterion(student, guide, labels)["loss_ofa"].item() == pytest.approx(np.mean(losses), rel=1e-5)


def test_a_student_without_stages_is_refused(small, network, teacher):
    student = network()
    student.taps = {"decoder": student.taps["decoder"]}
    with pytest.raises(ModelError, match=r"ofa needs stage1..stage4 .* has decoder"):
        Ofa(small(method="ofa"), student=student, teacher=teacher, num_classes=5, ignore_index=255)

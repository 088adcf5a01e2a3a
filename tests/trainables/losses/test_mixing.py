"""label_bce (Eq. 5) and knowledge mixing (Eq. 6-7)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainables.losses.heteroakd import knowledge_mixing, label_bce


def bce(proj, labels):
    return label_bce(torch.as_tensor(proj, dtype=torch.float32), labels)


def mixed(proj_teacher, proj_student, labels):
    teacher, student = (torch.as_tensor(proj, dtype=torch.float32) for proj in (proj_teacher, proj_student))
    return knowledge_mixing(teacher, student, bce(teacher, labels), bce(student, labels))


@pytest.mark.parametrize("scale", [0.1, 3, 30])
def test_label_bce_equals_the_formula_to_a_relative_error_of_fp32(scale, oracle, z, random_labels):
    """Relative, because mixing takes ratios of errors, small ones too."""
    proj, labels = z(0, 2, 5, 6, 8, scale=scale).astype(np.float32), random_labels(2, 6, 8)
    expected = oracle.bce(proj.astype(float), labels.numpy())
    np.testing.assert_allclose(bce(proj, labels).numpy(), expected, rtol=1e-5, atol=1e-37)  # fp32's smallest normal


def test_label_bce_by_hand():
    """One pixel of class 0 with logits (0, log 3): -log 1/2 and -log(1 - 3/4)."""
    found = bce(torch.tensor([0.0, math.log(3)]).view(1, 2, 1, 1), torch.zeros(1, 1, 1, dtype=torch.int64))
    assert found.flatten().tolist() == pytest.approx([math.log(2), math.log(4)])


@pytest.mark.parametrize("logit", [5.0, 12.0, 20.0, 80.0])
def test_denying_a_class_rightly_errs_as_little_as_claiming_it_rightly(logit):
    """log(1 + exp(-logit)) for Z = logit where Y = 1 and for Z = -logit where Y = 0."""
    label = torch.zeros(1, 1, 1, dtype=torch.int64)
    found = bce(torch.tensor([logit, -logit]).view(1, 2, 1, 1), label)
    assert found.flatten().tolist() == pytest.approx([math.log1p(math.exp(-logit))] * 2, rel=1e-5)


def test_label_bce_is_the_logit_itself_at_ten_thousand():
    proj = torch.tensor([1e4, -1e4, 1e4, -1e4]).view(1, 2, 1, 2)
    found = bce(proj, torch.tensor([[[0, 0]]]))
    assert found.flatten().tolist() == [0, 1e4, 1e4, 0]


@pytest.mark.parametrize("scale", [0.1, 3, 100])
def test_mixing_equals_the_formula(scale, oracle, z, random_labels):
    proj_teacher, proj_student = (z(seed, 2, 5, 6, 8, scale=scale).astype(np.float32) for seed in (0, 1))
    labels = random_labels(2, 6, 8)
    h_teacher, h_student = (oracle.bce(p.astype(float), labels.numpy()) for p in (proj_teacher, proj_student))
    expected = oracle.mix(proj_teacher.astype(float), proj_student.astype(float), h_teacher, h_student)
    ordinary = np.minimum(h_teacher, h_student) > 1e-35  # fp32 holds fewer digits of what is smaller
    found = mixed(proj_teacher, proj_student, labels).numpy()
    np.testing.assert_allclose(found[ordinary], expected[ordinary], rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("scale", [0.1, 1, 10, 100, 1e4])
def test_the_hybrid_errs_no_more_than_the_worse_of_the_two(scale, z, random_labels):
    proj_teacher, proj_student = (z(seed, 4, 5, 16, 16, scale=scale) for seed in (0, 1))
    labels = random_labels(4, 16, 16)
    hybrid = bce(mixed(proj_teacher, proj_student, labels), labels)
    worse = torch.maximum(bce(proj_teacher, labels), bce(proj_student, labels))
    assert (hybrid <= worse * (1 + 1e-5) + 1e-6).all()


@pytest.mark.parametrize("scale", [1, 10, 1e4])
def test_the_share_of_the_teacher_lies_between_zero_and_one(scale, z, random_labels):
    """Mixing 1 with 0 gives S_T itself."""
    labels = random_labels(2, 6, 8)
    errors = [bce(z(seed, 2, 5, 6, 8, scale=scale), labels) for seed in (0, 1)]
    share = knowledge_mixing(torch.ones(2, 5, 6, 8), torch.zeros(2, 5, 6, 8), *errors)
    assert ((share >= 0) & (share <= 1)).all()
    assert share.min() < 0.1
    assert share.max() > 0.9


@pytest.mark.parametrize("error", [0.0, 1e-42, 1e-30, 0.7, 1e4])
def test_equal_errors_share_by_halves(error):
    errors = torch.full((1, 1, 1, 1), error)
    share = knowledge_mixing(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), errors, errors)
    assert share.item() == 0.5


def test_who_does_not_err_is_followed():
    proj_teacher, proj_student = torch.tensor([[[[9.0]]]]), torch.tensor([[[[-5.0]]]])
    zero, some = torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), 0.3)
    assert knowledge_mixing(proj_teacher, proj_student, zero, some).item() == 9
    assert knowledge_mixing(proj_teacher, proj_student, some, zero).item() == -5


def test_mixing_the_same_logits_returns_them(z, random_labels):
    proj = z(3, 2, 5, 6, 8).astype(np.float32)
    np.testing.assert_allclose(mixed(proj, proj, random_labels(2, 6, 8)).numpy(), proj, rtol=1e-6)


def test_swapping_the_two_changes_nothing(z, random_labels):
    one, other, labels = z(0, 2, 5, 6, 8), z(1, 2, 5, 6, 8), random_labels(2, 6, 8)
    torch.testing.assert_close(mixed(one, other, labels), mixed(other, one, labels))

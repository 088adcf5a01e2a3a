"""label_bce (Eq. 5) and knowledge mixing (Eq. 6-7)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainables.losses.heteroakd import knowledge_mixing, label_bce, log_bce, teacher_share


def bce(proj, labels):
    return label_bce(torch.as_tensor(proj, dtype=torch.float32), labels)


def mixed(proj_teacher, proj_student, labels):
    teacher, student = (torch.as_tensor(proj, dtype=torch.float32) for proj in (proj_teacher, proj_student))
    return knowledge_mixing(teacher, student, labels)


def share(proj_teacher, proj_student, *, label):
    """S_T of class 0 in one pixel of this label."""
    teacher, student = (torch.tensor([[[[float(value)]]]]) for value in (proj_teacher, proj_student))
    return teacher_share(teacher, student, torch.full((1, 1, 1), label)).item()


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
    np.testing.assert_allclose(
        mixed(proj_teacher, proj_student, labels).numpy(), expected, rtol=1e-4, atol=1e-5 * scale
    )


@pytest.mark.parametrize("scale", [0.1, 1, 10, 100, 1e4])
def test_the_hybrid_errs_no_more_than_the_worse_of_the_two(scale, z, random_labels):
    proj_teacher, proj_student = (z(seed, 4, 5, 16, 16, scale=scale) for seed in (0, 1))
    labels = random_labels(4, 16, 16)
    hybrid = bce(mixed(proj_teacher, proj_student, labels), labels)
    worse = torch.maximum(bce(proj_teacher, labels), bce(proj_student, labels))
    assert (hybrid <= worse * (1 + 1e-5) + 1e-6).all()


@pytest.mark.parametrize("scale", [1, 10, 1e4])
def test_the_share_of_the_teacher_lies_between_zero_and_one(scale, z, random_labels):
    maps = (torch.tensor(z(seed, 2, 5, 6, 8, scale=scale)).float() for seed in (0, 1))
    share = teacher_share(*maps, random_labels(2, 6, 8))
    assert ((share >= 0) & (share <= 1)).all()
    assert share.min() < 0.1
    assert share.max() > 0.9


@pytest.mark.parametrize("logit", [0.0, 3.0, 15.0, 16.0, 200.0, 1e4, -3.0, -200.0])
def test_equal_errors_share_by_halves(logit):
    assert share(logit, logit, label=0) == 0.5
    assert share(-logit, -logit, label=1) == 0.5  # as right, by denying


@pytest.mark.parametrize(
    ("teacher", "student", "by_logarithms"),
    [
        (200.0, 198.0, 2.0),  # errors e^-200 and e^-198, both 0 in fp32
        (198.0, 200.0, -2.0),
        (200.0, 200.5, -0.5),
        (120.0, 119.0, 1.0),
        (95.0, 93.0, 2.0),  # e^-95 has few digits there
        (200.0, -200.0, 200.0 + math.log(200)),  # right against wrong by as much
        (-200.0, 200.0, -200.0 - math.log(200)),
        (-200.0, -100.0, math.log(100 / 200)),  # both wrong: errors 200 and 100
        (15.1, 14.9, 0.2),  # on either side of where the form changes
    ],
)
def test_the_share_by_hand_where_errors_underflow_and_where_they_do_not(teacher, student, by_logarithms):
    """S_T = 1 / (1 + e^-d), d = log H(Z_S) - log H(Z_T)."""
    expected = 1 / (1 + math.exp(-by_logarithms))
    assert share(teacher, student, label=0) == pytest.approx(expected, rel=1e-5, abs=1e-30)
    assert share(-teacher, -student, label=1) == pytest.approx(expected, rel=1e-5, abs=1e-30)


def test_log_bce_is_the_logarithm_of_the_error_at_any_logit(oracle):
    """In float64 errors are numbers up to a right logit of 708."""
    proj = np.concatenate([np.linspace(-300, 300, 601), np.linspace(14.9, 15.1, 41)]).reshape(1, 1, 1, -1)
    label = np.zeros((1, 1, proj.shape[-1]), dtype=np.int64)
    expected = np.log(oracle.bce(proj, label))
    found = log_bce(torch.tensor(proj).float(), torch.tensor(label)).double().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_who_does_not_err_is_followed():
    label = torch.zeros(1, 1, 1, dtype=torch.int64)
    right, wrong = torch.tensor([[[[200.0]]]]), torch.tensor([[[[-5.0]]]])
    assert knowledge_mixing(right, wrong, label).item() == 200
    assert knowledge_mixing(wrong, right, label).item() == 200


def test_mixing_the_same_logits_returns_them(z, random_labels):
    proj = z(3, 2, 5, 6, 8).astype(np.float32)
    np.testing.assert_allclose(mixed(proj, proj, random_labels(2, 6, 8)).numpy(), proj, rtol=1e-6)


def test_swapping_the_two_changes_nothing(z, random_labels):
    one, other, labels = z(0, 2, 5, 6, 8), z(1, 2, 5, 6, 8), random_labels(2, 6, 8)
    torch.testing.assert_close(mixed(one, other, labels), mixed(other, one, labels))

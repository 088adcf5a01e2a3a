from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainables.losses.kd import kd_loss


def kd(student, teacher, labels, temperature=1.0, **fields):
    return kd_loss(
        torch.as_tensor(student), torch.as_tensor(teacher), labels, temperature=temperature, ignore_index=255, **fields
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize(
    ("student_grid", "teacher_grid"), [((6, 8), (6, 8)), ((6, 8), (3, 4)), ((3, 4), (6, 8)), ((5, 7), (3, 4))]
)
def test_kd_equals_the_formula_on_the_coarser_grid(student_grid, teacher_grid, temperature, oracle, z, random_labels):
    student, teacher, labels = z(0, 2, 5, *student_grid), z(1, 2, 5, *teacher_grid), random_labels(2, 12, 16)
    expected = oracle.kd(student, teacher, labels.numpy(), temperature)
    assert kd(student, teacher, labels, temperature).item() == pytest.approx(expected, rel=1e-5)


def test_the_divergence_runs_from_teacher_to_student_by_hand():
    teacher, student = np.log([[0.5, 0.5]]).reshape(1, 2, 1, 1), np.log([[0.25, 0.75]]).reshape(1, 2, 1, 1)
    loss = kd(student, teacher, torch.zeros(1, 1, 1, dtype=torch.int64))
    assert loss.item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3), rel=1e-5)  # 0.1438; reverse: 0.1308


def test_the_other_direction_runs_from_student_to_teacher_by_hand():
    teacher, student = np.log([[0.5, 0.5]]).reshape(1, 2, 1, 1), np.log([[0.25, 0.75]]).reshape(1, 2, 1, 1)
    leaf = torch.tensor(student, requires_grad=True)
    loss = kd(leaf, teacher, torch.zeros(1, 1, 1, dtype=torch.int64), direction="student_teacher")
    expected = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    slope = 0.25 * (math.log(0.5) - expected)  # p_c (log p_c / q_c - KL)
    assert leaf.grad.flatten().tolist() == pytest.approx([slope, -slope], rel=1e-5)


def test_identical_teacher_and_student_cost_nothing(z, random_labels):
    logits = z(2, 2, 5, 6, 8)
    assert kd(logits, logits, random_labels(2, 12, 16), 2.0).item() == pytest.approx(0, abs=1e-7)


def test_a_shift_of_all_logits_of_a_pixel_changes_nothing(z, random_labels):
    student, teacher, labels = z(3, 2, 5, 6, 8), z(4, 2, 5, 6, 8), random_labels(2, 6, 8)
    shift = z(5, 2, 1, 6, 8)
    assert kd(student + shift, teacher - shift, labels).item() == pytest.approx(
        kd(student, teacher, labels).item(), rel=1e-5
    )


def test_temperature_divides_the_logits_and_tau_squared_multiplies_the_loss(z, random_labels):
    student, teacher, labels = z(3, 2, 5, 6, 8), z(4, 2, 5, 6, 8), random_labels(2, 6, 8)
    cool = kd(student / 3, teacher / 3, labels).item()
    assert kd(student, teacher, labels, 3.0).item() == pytest.approx(9 * cool, rel=1e-5)


def test_at_high_temperature_kd_is_half_the_variance_of_the_logits_difference(z):
    student, teacher = z(6, 2, 5, 6, 8, scale=1), z(7, 2, 5, 6, 8, scale=1)
    expected = 0.5 * (teacher - student).var(axis=1).mean()
    assert kd(student, teacher, torch.zeros(2, 6, 8, dtype=torch.int64), 100.0).item() == pytest.approx(
        expected, rel=0.03
    )


def test_no_gradient_reaches_the_teacher(z, random_labels):
    student = torch.tensor(z(0, 2, 5, 6, 8), requires_grad=True)
    teacher = torch.tensor(z(1, 2, 5, 3, 4), requires_grad=True)
    kd(student, teacher, random_labels(2, 12, 16)).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


def test_the_gradient_is_tau_times_the_difference_of_the_softmaxes(oracle, z, random_labels):
    student, teacher, labels = z(0, 2, 5, 6, 8), z(1, 2, 5, 6, 8), random_labels(2, 6, 8)
    leaf = torch.tensor(student, requires_grad=True)
    kd(leaf, teacher, labels, 2.0).backward()
    valid = (labels.numpy() != 255)[:, None]
    expected = 2.0 * (oracle.softmax(student / 2) - oracle.softmax(teacher / 2)) * valid / valid.sum()
    np.testing.assert_allclose(leaf.grad.numpy(), expected, atol=1e-8)

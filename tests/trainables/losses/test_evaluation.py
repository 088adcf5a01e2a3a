"""Knowledge evaluation (Eq. 8-9) and the distillation loss it weights (Eq. 10)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainables.losses.heteroakd import hakd_loss, knowledge_evaluation


@pytest.fixture
def parts(z, oracle, random_labels):
    """Z_S, Z_hyb, their errors and W on a grid with ignored pixels, in float64."""
    labels = random_labels(2, 6, 8)
    proj_student, hybrid = z(0, 2, 5, 6, 8), z(1, 2, 5, 6, 8)
    errors = [oracle.bce(proj, labels.numpy()) for proj in (proj_student, hybrid)]
    return proj_student, hybrid, errors, labels


def evaluate(errors, labels, axis):
    student, hybrid = (torch.as_tensor(error) for error in errors)
    return knowledge_evaluation(student, hybrid, labels != 255, axis=axis)


@pytest.mark.parametrize("axis", ["class", "space"])
def test_evaluation_equals_the_formula(axis, parts, oracle):
    *_, errors, labels = parts
    valid = (labels.numpy() != 255)[:, None]
    expected = oracle.evaluate(*errors, labels.numpy(), axis)
    np.testing.assert_allclose(evaluate(errors, labels, axis).numpy() * valid, expected * valid, rtol=1e-9)


def test_weights_sum_to_one_over_the_classes_of_each_pixel(parts):
    *_, errors, labels = parts
    torch.testing.assert_close(evaluate(errors, labels, "class").sum(dim=1), torch.ones(2, 6, 8).double())


def test_over_space_weights_have_the_same_total_as_over_classes(parts):
    *_, errors, labels = parts
    weight = evaluate(errors, labels, "space")
    pixels = (labels != 255).sum(dim=(1, 2)).double()
    torch.testing.assert_close(weight.sum(dim=(2, 3)), (pixels / 5)[:, None].expand(2, 5))
    assert (weight.sum(dim=1)[labels == 255] == 0).all()


def test_over_space_what_stands_at_ignored_pixels_does_not_count(parts):
    *_, (student, hybrid), labels = parts
    ignored = (labels.numpy() == 255)[:, None]
    changed = np.where(ignored, 1e4, student), np.where(ignored, -7.0, hybrid)
    torch.testing.assert_close(
        evaluate(changed, labels, "space"), evaluate((student, hybrid), labels, "space"), rtol=0, atol=0
    )


def test_over_space_each_image_is_weighed_by_itself(parts):
    *_, (student, hybrid), labels = parts
    both = evaluate((student, hybrid), labels, "space")
    alone = evaluate((student[:1], hybrid[:1]), labels[:1], "space")
    torch.testing.assert_close(both[:1], alone)


def test_a_worse_hybrid_adds_nothing_to_the_students_error_by_hand():
    student = torch.tensor([math.log(2), 0.0]).view(1, 2, 1, 1)
    valid = torch.ones(1, 1, 1, dtype=torch.bool)
    worse = knowledge_evaluation(student, student + 5, valid, axis="class")
    assert worse.flatten().tolist() == pytest.approx([2 / 3, 1 / 3])
    better = knowledge_evaluation(student, torch.zeros(1, 2, 1, 1), valid, axis="class")  # dH = (log 2, 0)
    assert better.flatten().tolist() == pytest.approx([4 / 5, 1 / 5])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("axis", ["class", "space"])
def test_hakd_equals_the_formula(axis, temperature, parts, oracle):
    proj_student, hybrid, errors, labels = parts
    weight = oracle.evaluate(*errors, labels.numpy(), axis)
    tensors = [torch.tensor(a) for a in (proj_student, hybrid, weight)]
    loss = hakd_loss(*tensors, labels != 255, temperature=temperature)
    assert loss.item() == pytest.approx(
        oracle.hakd(proj_student, hybrid, weight, labels.numpy(), temperature), rel=1e-9
    )


def test_hybrid_and_weights_are_constants_in_the_gradient(parts, oracle):
    proj_student, hybrid, errors, labels = parts
    weight = oracle.evaluate(*errors, labels.numpy(), "class")
    leaves = [torch.tensor(a, requires_grad=True) for a in (proj_student, hybrid, weight)]
    hakd_loss(*leaves, labels != 255, temperature=2.0).backward()
    expected = oracle.hakd_gradient(proj_student, hybrid, weight, labels.numpy(), 2.0)
    np.testing.assert_allclose(leaves[0].grad.numpy(), expected, atol=1e-12)
    assert leaves[1].grad is None
    assert leaves[2].grad is None


def test_uniform_weights_and_the_teachers_own_logits_give_plain_distillation_over_c(parts, oracle):
    proj_student, proj_teacher, _, labels = parts
    cross_entropy = -(oracle.softmax(proj_teacher) * oracle.log_softmax(proj_student)).sum(axis=1)
    tensors = [torch.tensor(a) for a in (proj_student, proj_teacher, np.full_like(proj_student, 1 / 5))]
    loss = hakd_loss(*tensors, labels != 255, temperature=1.0)
    assert loss.item() == pytest.approx(oracle.mean(cross_entropy, labels.numpy()) / 5, rel=1e-9)


def test_hakd_is_the_logarithm_of_c_over_c_for_flat_logits_by_hand():
    flat = torch.zeros(1, 4, 2, 2)
    loss = hakd_loss(flat, flat, flat + 1 / 4, torch.ones(1, 2, 2, dtype=torch.bool), temperature=1.0)
    assert loss.item() == pytest.approx(math.log(4) / 4)

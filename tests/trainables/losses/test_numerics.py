"""Every formula at |Z| = 1e4, on bf16 inputs, and on batches without a label."""

from __future__ import annotations

import pytest
import torch

from trainables.losses.heteroakd import hakd_loss, knowledge_evaluation, knowledge_mixing, label_bce
from trainables.losses.kd import kd_loss
from trainables.losses.task import task_loss


def chain(student, teacher, labels, *, axis="class", temperature=1.0):
    """Every piece of the method on one grid; `student` and `teacher` stand for logits and for Z alike."""
    errors = [label_bce(proj, labels) for proj in (teacher, student)]
    hybrid = knowledge_mixing(teacher, student, labels)
    valid = labels != 255
    weight = knowledge_evaluation(errors[1], label_bce(hybrid, labels), valid, axis=axis)
    return {
        "task": task_loss(student, labels, ignore_index=255),
        "kd": kd_loss(student, teacher, labels, temperature=temperature, ignore_index=255),
        "hakd": hakd_loss(student, hybrid, weight, valid, temperature=temperature),
        "hybrid": hybrid,
        "weight": weight,
    }


@pytest.mark.parametrize("axis", ["class", "space"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_everything_is_finite_for_logits_of_any_size_and_precision(scale, dtype, axis, z, random_labels):
    student, teacher = (torch.tensor(z(seed, 2, 5, 6, 8, scale=1)).sign().mul(scale).to(dtype) for seed in (0, 1))
    student.requires_grad_()
    found = chain(student, teacher, random_labels(2, 6, 8), axis=axis)
    assert all(value.isfinite().all() for value in found.values())
    (found["task"] + found["kd"] + found["hakd"]).backward()
    assert student.grad.isfinite().all()


def test_losses_of_huge_logits_are_right_not_merely_finite(oracle, z, random_labels):
    student, teacher = (z(seed, 2, 5, 6, 8, scale=1e4) for seed in (0, 1))
    labels = random_labels(2, 6, 8)
    found = chain(torch.tensor(student).float(), torch.tensor(teacher).float(), labels)
    assert found["task"].item() == pytest.approx(oracle.task(student, labels.numpy()), rel=1e-4)
    assert found["kd"].item() == pytest.approx(oracle.kd(student, teacher, labels.numpy(), 1.0), rel=1e-4)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_task_and_kd_are_computed_in_fp32_from_bf16(scale, oracle, z, random_labels):
    student, teacher = (torch.tensor(z(seed, 2, 5, 3, 4, scale=scale)).bfloat16() for seed in (0, 1))
    labels = random_labels(2, 6, 8)
    found = task_loss(student, labels, ignore_index=255)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(oracle.task(student.double().numpy(), labels.numpy()), rel=1e-4)
    found = kd_loss(student, teacher, labels, temperature=1.0, ignore_index=255)
    assert found.dtype == torch.float32
    expected = oracle.kd(student.double().numpy(), teacher.double().numpy(), labels.numpy(), 1.0)
    assert found.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("axis", ["class", "space"])
def test_a_batch_without_labels_costs_zero_and_moves_nothing(axis, z):
    student = torch.tensor(z(0, 2, 5, 6, 8), requires_grad=True)
    found = chain(student, torch.tensor(z(1, 2, 5, 6, 8)), torch.full((2, 6, 8), 255), axis=axis)
    losses = [found[name] for name in ("task", "kd", "hakd")]
    assert [loss.item() for loss in losses] == [0, 0, 0]
    sum(losses).backward()
    assert (student.grad == 0).all()


@pytest.mark.parametrize("temperature", [1e-3, 100.0])
def test_every_temperature_of_the_range_is_finite(temperature, z, random_labels):
    student, teacher = (torch.tensor(z(seed, 2, 5, 6, 8)).float() for seed in (0, 1))
    student.requires_grad_()
    found = chain(student, teacher, random_labels(2, 6, 8), temperature=temperature)
    (found["kd"] + found["hakd"]).backward()
    assert found["kd"].isfinite()
    assert found["hakd"].isfinite()
    assert student.grad.isfinite().all()

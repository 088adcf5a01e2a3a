from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainables.losses.task import Task, task_loss


@pytest.mark.parametrize("grid", [(8, 12), (4, 6), (3, 5), (16, 24)])
def test_task_loss_equals_the_formula_on_logits_at_any_stride(grid, oracle, z, random_labels):
    logits, labels = z(0, 2, 5, *grid), random_labels(2, 8, 12)
    loss = task_loss(torch.tensor(logits), labels, ignore_index=255)
    assert loss.item() == pytest.approx(oracle.task(logits, labels.numpy()), rel=1e-5)


def test_equal_logits_cost_the_logarithm_of_the_number_of_classes():
    labels = torch.tensor([[[0, 3], [255, 1]]])
    assert task_loss(torch.zeros(1, 5, 2, 2), labels, ignore_index=255).item() == pytest.approx(math.log(5))


def test_the_gradient_is_softmax_minus_one_hot_over_the_valid_pixels(oracle, z, random_labels):
    logits, labels = z(1, 2, 5, 6, 8), random_labels(2, 6, 8)
    leaf = torch.tensor(logits, requires_grad=True)
    task_loss(leaf, labels, ignore_index=255).backward()
    valid = labels.numpy() != 255
    one_hot = labels.numpy()[:, None] == np.arange(5)[None, :, None, None]
    expected = (oracle.softmax(logits) - one_hot) * valid[:, None] / valid.sum()
    np.testing.assert_allclose(leaf.grad.numpy(), expected, atol=1e-8)


def test_another_ignore_index_is_respected(z):
    logits, labels = torch.tensor(z(2, 1, 5, 1, 2)), torch.tensor([[[3, 5]]])
    assert task_loss(logits, labels, ignore_index=5).item() == pytest.approx(
        task_loss(logits[..., :1], labels[..., :1], ignore_index=255).item()
    )


def test_aligned_corners_change_the_task_loss_by_hand():
    """Logits of class 0 along a row: 0, 3 at stride 2; those of class 1 are 0, and all four pixels are of class 0."""
    logits, labels = torch.tensor([[[[0.0, 3.0]], [[0.0, 0.0]]]]), torch.zeros(1, 1, 4, dtype=torch.int64)
    for aligned, row in ((True, [0, 1, 2, 3]), (False, [0, 0.75, 2.25, 3])):
        expected = sum(math.log1p(math.exp(-value)) for value in row) / 4
        loss = task_loss(logits, labels, ignore_index=255, align_corners=aligned)
        assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_the_criterion_aligns_corners_where_its_config_says_so(small, network, features, random_labels):
    maps, labels = features(network(), logits=(4, 6), taps=(4, 6), seed=1), random_labels(2, 8, 12)
    for aligned in (False, True):
        criterion = Task(small(align_corners=aligned), student=network(), teacher=None, num_classes=5, ignore_index=255)
        expected = task_loss(maps.logits, labels, ignore_index=255, align_corners=aligned)
        assert torch.equal(criterion(maps, None, labels)["loss_task"], expected)


def test_the_auxiliary_head_adds_its_weighted_cross_entropy_and_is_trained(oracle, small, network, random_labels):
    student = network()
    plain = Task(small(), student=student, teacher=None, num_classes=5, ignore_index=255)
    assert not list(plain.parameters())
    criterion = Task(small(lambda_aux=0.4), student=student, teacher=None, num_classes=5, ignore_index=255).eval()
    assert criterion.weights == {"loss_task": 1.0, "loss_aux": 0.4}
    features, labels = student(torch.randn(2, 3, 64, 64, generator=torch.manual_seed(0))), random_labels(2, 64, 64)
    terms = criterion(features, None, labels)
    logits = criterion.aux_head(features.taps["stage3"])
    expected = oracle.task(logits.detach().numpy(), labels.numpy())
    assert terms["loss_aux"].item() == pytest.approx(expected, rel=1e-5)
    assert terms["loss_task"].item() == pytest.approx(plain(features, None, labels)["loss_task"].item())
    terms["loss_aux"].backward()
    assert all(weight.grad.abs().sum() > 0 for weight in criterion.parameters())
    assert student.encoder.steps[0][0].weight.grad.abs().sum() > 0
    assert student.head.weight.grad is None

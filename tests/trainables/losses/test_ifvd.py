from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.losses.ifvd import ifvd_loss


def variation(maps, labels):
    """Of one image: cosine of each labelled place and the mean feature of its class."""
    found = np.zeros(labels.shape)
    for i, j in np.argwhere(labels != 255):
        a, b = maps[:, i, j], maps[:, labels == labels[i, j]].mean(axis=1)
        found[i, j] = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
    return found


def formula(student, teacher, labels):
    maps = [np.stack([variation(*pair) for pair in zip(each, labels, strict=True)]) for each in (student, teacher)]
    return ((maps[0] - maps[1]) ** 2).sum() / (labels != 255).sum()


def ifvd(student, teacher, labels):
    maps = torch.as_tensor(student), torch.as_tensor(teacher)
    return ifvd_loss(*maps, labels, labels != 255, num_classes=5)


def test_ifvd_equals_the_formula_for_any_channels(z, random_labels):
    student, teacher, labels = z(0, 2, 3, 6, 8), z(1, 2, 7, 6, 8), random_labels(2, 6, 8)
    expected = formula(student, teacher, labels.numpy())
    assert ifvd(student.astype("float32"), teacher.astype("float32"), labels).item() == pytest.approx(
        expected, rel=1e-5
    )


def test_two_pixels_of_a_class_by_hand():
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(1, 2, 1, 2)  # mean (1/2, 1/2): cosines 1 / sqrt 2
    teacher = torch.ones(1, 2, 1, 2)  # cosines 1
    expected = (1 - 0.5**0.5) ** 2
    assert ifvd(student, teacher, torch.tensor([[[2, 2]]])).item() == pytest.approx(expected)
    assert ifvd(student, teacher, torch.tensor([[[2, 3]]])).item() == pytest.approx(0)  # each is its class's mean


def test_the_class_means_have_a_gradient_too(z):
    """As differences of the formula have it: a pixel also moves the mean that the others of its class are held to."""
    student, teacher, labels = z(0, 1, 2, 1, 3), z(1, 1, 2, 1, 3), torch.tensor([[[2, 2, 3]]])
    leaf = torch.tensor(student).float().requires_grad_()
    ifvd(leaf, torch.tensor(teacher).float(), labels).backward()
    step, numeric = 1e-5, np.zeros(student.shape)
    for place in np.ndindex(*student.shape):
        moved = np.zeros(student.shape)
        moved[place] = step
        ends = [formula(student + sign * moved, teacher, labels.numpy()) for sign in (1, -1)]
        numeric[place] = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(leaf.grad.numpy(), numeric, atol=1e-5)


def test_a_factor_on_each_pixel_of_a_class_of_one_pixel_changes_nothing(z):
    labels = torch.arange(4).view(1, 2, 2)
    student, teacher = z(0, 1, 3, 2, 2), z(1, 1, 7, 2, 2)
    assert ifvd(9 * student.astype("float32"), teacher.astype("float32"), labels).item() == pytest.approx(0, abs=1e-12)


def test_memory_is_linear_in_pixels_and_less_than_a_copy_of_the_features_for_each_class(saved_bytes):
    def loss(side):
        rng = torch.Generator().manual_seed(0)
        student = torch.randn(1, 32, side, side, generator=rng).requires_grad_()
        teacher, labels = torch.randn(1, 32, side, side, generator=rng), torch.zeros(1, side, side).long()
        return ifvd_loss(student, teacher, labels, labels != 255, num_classes=19)

    few, many = saved_bytes(lambda: loss(32)), saved_bytes(lambda: loss(64))
    features = 32 * 64 * 64 * 4
    assert many < 4.2 * few
    assert many < 19 / 2 * features

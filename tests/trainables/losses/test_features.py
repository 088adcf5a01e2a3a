from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainables.losses.features import align, class_means, masked_kl, members, unit


def test_a_vector_without_direction_becomes_zero_and_gets_no_gradient():
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-8, 0.0]], requires_grad=True)
    found = unit(vectors, dim=1)
    assert found.tolist() == [pytest.approx([0.6, 0.8]), [0, 0], [0, 0]]
    found.sum().backward()
    assert vectors.grad[0].tolist() == pytest.approx([0.2 * 0.16, -0.2 * 0.12])  # (1 - u (u . 1)) / 5
    assert (vectors.grad[1:] == 0).all()


def test_class_means_are_those_of_each_image_and_zero_for_an_absent_class(z, random_labels):
    maps, labels = z(0, 2, 3, 6, 8), random_labels(2, 6, 8)
    labels[0][labels[0] == 2] = 1
    member = members(labels, labels != 255, num_classes=5)
    found = class_means(torch.tensor(maps).float().flatten(2), member)
    for b, c in np.ndindex(2, 5):
        inside = labels.numpy()[b] == c
        expected = maps[b][:, inside].mean(axis=1) if inside.any() else np.zeros(3)
        np.testing.assert_allclose(found[b, c].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_the_divergence_is_over_the_places_inside_by_hand():
    student, teacher = torch.zeros(2, 3), torch.tensor([0.0, math.log(3), 50.0]).expand(2, 3)
    inside = torch.tensor([[True, True, False], [False, False, False]])
    expected = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert masked_kl(student, teacher, inside).tolist() == pytest.approx([expected, 0])


def test_maps_and_labels_meet_on_the_coarser_grid_in_fp32_with_their_own_channels():
    fine, coarse = torch.ones(1, 2, 8, 12, dtype=torch.bfloat16), torch.ones(1, 3, 4, 6)
    labels = torch.zeros(1, 16, 24).long()
    labels[:, :8] = 255
    for student, teacher in ((fine, coarse), (coarse, fine)):
        found = align(student, teacher, labels, ignore_index=255)
        assert found.student.shape == (1, student.shape[1], 4, 6)
        assert found.teacher.shape == (1, teacher.shape[1], 4, 6)
        assert found.student.dtype == found.teacher.dtype == torch.float32
        assert found.valid.tolist() == [[[False] * 6] * 2 + [[True] * 6] * 2]

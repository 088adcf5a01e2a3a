from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.losses.skd import skd_loss, windows


def nodes(maps, labels, pool):
    """Of one image: the largest value of every channel in each pool x pool block; None for one without a label."""
    found = []
    for i in range(0, labels.shape[0], pool):
        for j in range(0, labels.shape[1], pool):
            block = np.s_[i : i + pool, j : j + pool]
            inside = labels[block] != 255
            found.append(maps[(slice(None), *block)][:, inside].max(axis=1) if inside.any() else None)
    return found


def cosine(a, b):
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())


def formula(student, teacher, labels, pool):
    errors = []
    for s, t, ids in zip(student, teacher, labels, strict=True):
        found = [(a, b) for a, b in zip(nodes(s, ids, pool), nodes(t, ids, pool), strict=True) if a is not None]
        errors += [(cosine(s1, s2) - cosine(t1, t2)) ** 2 for s1, t1 in found for s2, t2 in found]
    return np.mean(errors)


def skd(student, teacher, labels, pool):
    return skd_loss(torch.as_tensor(student), torch.as_tensor(teacher), labels != 255, pool=pool).item()


@pytest.mark.parametrize("grid", [(8, 16), (9, 15), (5, 5), (3, 8), (2, 5)])
@pytest.mark.parametrize("pool", [1, 2, 4])
def test_skd_equals_the_formula_for_any_channels(pool, grid, z, random_labels):
    """Its nodes are ceil(cells / pool) disjoint windows a side: the last one is narrower, as of CIRKD's max-pooling."""
    student, teacher, labels = z(0, 2, 3, *grid), z(1, 2, 7, *grid), random_labels(2, *grid)
    labels[0, :4, :8] = 255  # at least a whole node
    assert skd(student, teacher, labels, pool) == pytest.approx(
        formula(student, teacher, labels.numpy(), pool), rel=1e-9
    )


def test_two_places_at_right_angles_against_parallel_ones_by_hand():
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(1, 2, 1, 2)  # cosine of the two places: 0
    teacher = torch.ones(1, 2, 1, 2)  # 1; each with itself: 1 and 1
    assert skd(student, teacher, torch.zeros(1, 1, 2).long(), 2) == pytest.approx((0 + 1 + 1 + 0) / 4)


def test_a_factor_and_a_rotation_of_the_channels_change_nothing(z, random_labels):
    """Of maps of one cell a node: a rotation does not commute with a maximum."""
    student, teacher, labels = z(0, 2, 3, 2, 2), z(1, 2, 3, 2, 2), random_labels(2, 2, 2)
    rotation, _ = np.linalg.qr(z(2, 3, 3))
    turned = 7 * np.einsum("kc,bchw->bkhw", rotation, student)
    assert skd(turned, teacher, labels, 2) == pytest.approx(skd(student, teacher, labels, 2), rel=1e-6)


def test_a_map_too_small_to_pool_keeps_two_nodes_a_side(z):
    """Else a 64-pixel crop at stride 32 would be one node, which resembles itself whatever the student does."""
    student, teacher, labels = z(0, 1, 3, 2, 2), z(1, 1, 3, 2, 2), torch.zeros(1, 2, 2).long()
    assert skd(student, teacher, labels, 2) == pytest.approx(formula(student, teacher, labels.numpy(), 1), rel=1e-9)
    assert skd(student, teacher, labels, 2) > 0


def test_a_fine_map_is_pooled_to_the_most_nodes(z):
    """128 x 256 cells by 2 would be 8,192 nodes, 268 MB a matrix; by 4 they are the 2,048 of 64 x 128 cells."""
    student, teacher, labels = z(0, 1, 2, 128, 256), z(1, 1, 2, 128, 256), torch.zeros(1, 128, 256).long()
    assert skd(student, teacher, labels, 2) == pytest.approx(skd(student, teacher, labels, 4), rel=1e-12)


@pytest.mark.parametrize("cells", [(1, 1), (2, 2), (5, 9), (65, 129), (129, 257), (1000, 2000)])
def test_nodes_are_never_more_than_memory_allows_nor_one_alone(cells):
    """2,048 nodes make a matrix of 16 MiB an image."""
    nodes = [-(-side // window) for side, window in zip(cells, windows(cells, 2), strict=True)]
    assert nodes[0] <= 32
    assert nodes[1] <= 64
    assert nodes[0] * nodes[1] > 1 or cells == (1, 1)

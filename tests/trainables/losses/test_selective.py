"""Who teaches whom, region by region and pixel by pixel, against NumPy float64 with plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainables.losses.selective import pixel_loss, region_features, region_loss, worse_pixels, worse_regions

IGNORE = 255


def bins(length, count):
    """Where each of `count` even parts begins and ends; uneven ones overlap by a cell."""
    return [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]


def cross_entropy(oracle, logits, labels):
    """CE_i on the labels' grid, 0 where ignored."""
    log_p = oracle.log_softmax(oracle.bilinear(logits, labels.shape[1:]))
    found = np.zeros(labels.shape)
    for b, i, j in np.argwhere(labels != IGNORE):
        found[b, i, j] = -log_p[b, labels[b, i, j], i, j]
    return found


def regions(oracle, first, second, labels, grid):
    """{(image, row, column): m_r} of the regions with a valid pixel."""
    one, two = (cross_entropy(oracle, logits, labels) for logits in (first, second))
    found = {}
    for b in range(len(labels)):
        for r, (top, bottom) in enumerate(bins(labels.shape[1], grid[0])):
            for c, (left, right) in enumerate(bins(labels.shape[2], grid[1])):
                part = (b, slice(top, bottom), slice(left, right))
                valid = labels[part] != IGNORE
                if valid.any():
                    found[b, r, c] = one[part][valid].mean() > two[part][valid].mean()
    return found


def feature(maps, labels, b, part):
    """F_r: mean over a region's cells, each by the share of its pixels that are valid."""
    rows, columns = bins(labels.shape[1], maps.shape[2]), bins(labels.shape[2], maps.shape[3])
    total, weight = 0.0, 0.0
    for i in range(*part[0]):
        for j in range(*part[1]):
            share = (labels[b, slice(*rows[i]), slice(*columns[j])] != IGNORE).mean()
            total, weight = total + share * maps[b, :, i, j], weight + share
    return total / weight if weight else np.zeros(maps.shape[1])


def on(x):
    return torch.as_tensor(x)


@pytest.fixture
def labels(random_labels):
    """A quarter of an image and one whole region of the other are ignored."""
    ids = random_labels(2, 32, 48)
    ids[0, :16, :24] = IGNORE
    ids[1, 16:, 32:] = IGNORE
    return ids


@pytest.mark.parametrize(("size", "grid"), [(16, (2, 3)), (8, (4, 6)), (64, (1, 1)), (20, (2, 3))])
def test_regions_are_those_of_the_formula(size, grid, oracle, z, labels):
    first, second = z(0, 2, 5, 8, 12), z(1, 2, 5, 4, 6)
    worse, valid = worse_regions(on(first), on(second), labels, region_size=size, ignore_index=IGNORE)
    expected = regions(oracle, first, second, labels.numpy(), grid)
    assert worse.shape == valid.shape == (2, *grid)
    assert {tuple(at) for at in valid.nonzero().tolist()} == expected.keys()
    assert {at: worse[at].item() for at in expected} == expected
    assert grid == (1, 1) or len(set(expected.values())) == 2  # else nothing is tested


@pytest.mark.parametrize(("student", "peer"), [((8, 12), (4, 6)), ((4, 6), (8, 12)), ((8, 12), (8, 12))])
def test_pixels_are_those_of_the_formula_on_the_coarser_grid(student, peer, oracle, z, labels):
    first, second = z(0, 2, 5, *student), z(1, 2, 5, *peer)
    grid = min(student, peer)
    worse, valid = worse_pixels(on(first), on(second), labels, ignore_index=IGNORE)
    ids = oracle.nearest(labels.numpy(), grid)
    one, two = (cross_entropy(oracle, oracle.bilinear(logits, grid), ids) for logits in (first, second))
    np.testing.assert_array_equal(valid.numpy(), ids != IGNORE)
    np.testing.assert_array_equal(worse.numpy(), (one > two) & (ids != IGNORE))
    assert 0 < worse.sum() < valid.sum()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("peer", [(4, 6), (8, 12), (16, 24)])
def test_pixel_loss_equals_the_formula(temperature, peer, oracle, z, labels):
    first, second = z(0, 2, 5, 8, 12), z(1, 2, 5, *peer)
    worse, _ = worse_pixels(on(first), on(second), labels, ignore_index=IGNORE)
    grid = tuple(worse.shape[1:])
    log_own, log_other = (oracle.log_softmax(oracle.bilinear(maps, grid) / temperature) for maps in (first, second))
    total = 0.0
    for b, i, j in np.argwhere(worse.numpy()):
        p, q = log_other[b, :, i, j], log_own[b, :, i, j]
        total += temperature**2 * (np.exp(p) * (p - q)).sum()
    found = pixel_loss(on(first), on(second), worse, temperature=temperature).item()
    assert found == pytest.approx(total / worse.sum().item(), rel=1e-5)


@pytest.mark.parametrize(("cells", "size"), [((8, 12), 16), ((2, 3), 16), ((1, 2), 8), ((4, 6), 64)])
def test_region_loss_equals_the_formula(cells, size, oracle, z, labels):
    """Feature grids finer than, equal to and coarser than the regions."""
    own, other = z(2, 2, 7, *cells), z(3, 2, 7, 4, 6)
    first, second = z(0, 2, 5, 8, 12), z(1, 2, 5, 4, 6)
    chosen = {"region_size": size, "ignore_index": IGNORE}
    worse, _ = worse_regions(on(first), on(second), labels, **chosen)
    grid = tuple(worse.shape[1:])
    expected = []
    for (b, r, c), m in regions(oracle, first, second, labels.numpy(), grid).items():
        if m:
            parts = [(bins(maps.shape[2], grid[0])[r], bins(maps.shape[3], grid[1])[c]) for maps in (own, other)]
            u, v = (feature(maps, labels.numpy(), b, part) for maps, part in zip((own, other), parts, strict=True))
            expected.append(1 - u @ v / (np.linalg.norm(u) * np.linalg.norm(v)))
    pooled = [region_features(on(maps), labels, **chosen) for maps in (own, other)]
    assert region_loss(*pooled, worse).item() == pytest.approx(np.sum(expected) / max(1, len(expected)), rel=1e-5)
    assert expected or size == 64


def test_regions_and_pixels_by_hand():
    """Two classes, all labels 0: the student is sure and right on the left, sure and wrong on the right."""
    sure = torch.tensor([[[[3.0, -3.0]], [[-3.0, 3.0]]]])
    labels = torch.zeros(1, 1, 2, dtype=torch.int64)
    worse, valid = worse_pixels(sure, torch.zeros(1, 2, 1, 2), labels, ignore_index=IGNORE)
    assert worse.tolist() == [[[False, True]]]
    assert valid.all()
    mixed, _ = worse_regions(sure, torch.zeros(1, 2, 1, 2), labels, region_size=2, ignore_index=IGNORE)
    assert mixed.tolist() == [[[True]]]  # (0.0025 + 6.0025) / 2 > log 2
    loss = pixel_loss(sure, torch.zeros(1, 2, 1, 2), worse, temperature=1.0)
    assert loss.item() == pytest.approx(-math.log(2) + 0.5 * (0.0024757 + 6.0024757), rel=1e-5)


def test_both_turns_partition_what_is_valid(z, labels):
    first, second = on(z(0, 2, 5, 8, 12)), on(z(1, 2, 5, 8, 12))
    for find, options in ((worse_pixels, {}), (worse_regions, {"region_size": 8})):
        one, valid = find(first, second, labels, ignore_index=IGNORE, **options)
        two, again = find(second, first, labels, ignore_index=IGNORE, **options)
        assert torch.equal(valid, again)
        assert not (one & two).any()
        assert torch.equal(one | two, valid)
        assert 0 < one.sum() < valid.sum()


def test_where_both_err_alike_neither_is_worse(z, labels):
    logits = on(z(0, 2, 5, 8, 12))
    assert not worse_pixels(logits, logits, labels, ignore_index=IGNORE)[0].any()
    assert not worse_regions(logits, logits, labels, region_size=8, ignore_index=IGNORE)[0].any()


def test_an_empty_selection_costs_nothing_and_moves_nothing(z):
    own, other = on(z(0, 2, 5, 4, 6)).requires_grad_(), on(z(1, 2, 5, 4, 6))
    nothing = torch.zeros(2, 4, 6, dtype=torch.bool)
    for loss in (pixel_loss(own, other, nothing, temperature=1.0), region_loss(own, other, nothing)):
        (gradient,) = torch.autograd.grad(loss, own)
        assert loss.item() == 0
        assert (gradient == 0).all()


def test_the_one_that_teaches_gets_no_gradient(z):
    own, other = (on(z(seed, 2, 5, 4, 6)).requires_grad_() for seed in (0, 1))
    everywhere = torch.ones(2, 4, 6, dtype=torch.bool)
    (pixel_loss(own, other, everywhere, temperature=2.0) + region_loss(own, other, everywhere)).backward()
    assert other.grad is None
    assert own.grad.abs().sum() > 0

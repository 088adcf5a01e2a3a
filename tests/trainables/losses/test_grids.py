from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.losses.grids import coarser, labels_on_grid, mean_over_valid, to_grid

SIZES = [(6, 8), (12, 16), (3, 4), (5, 7), (9, 4)]


@pytest.mark.parametrize("size", SIZES)
def test_maps_are_enlarged_bilinearly_about_pixel_centres_and_shrunk_by_averages(size, oracle, z):
    maps = z(0, 2, 3, 6, 8)
    np.testing.assert_allclose(
        to_grid(torch.tensor(maps), size).numpy(), oracle.resample(maps, size), rtol=1e-5, atol=1e-5
    )


SHRUNK = [(16, 32), (8, 8), (4, 4), (3, 5), (15, 31), (16, 40), (1, 1)]


@pytest.mark.parametrize("size", SHRUNK)
def test_every_cell_counts_in_a_map_that_is_shrunk(size):
    """Bilinear interpolation without antialiasing leaves 15 of 16 cells without gradient at a ratio of 8."""
    maps = torch.zeros(1, 1, 16, 32, requires_grad=True)
    to_grid(maps, size).sum().backward()
    assert (maps.grad > 0).all()


def test_a_map_shrunk_by_whole_factors_is_the_mean_of_its_blocks(z):
    maps = z(0, 2, 3, 16, 32)
    expected = [[maps[:, :, 8 * i : 8 * i + 8, 4 * j : 4 * j + 4].mean(axis=(2, 3)) for j in range(8)] for i in (0, 1)]
    found = to_grid(torch.tensor(maps), (2, 8)).double().numpy()
    np.testing.assert_allclose(found, np.moveaxis(expected, (0, 1), (2, 3)), rtol=1e-5, atol=1e-6)


def test_a_constant_stays_constant_on_any_grid():
    for size in [*SIZES, *SHRUNK]:
        torch.testing.assert_close(to_grid(torch.full((1, 2, 16, 24), 3.0), size), torch.full((1, 2, *size), 3.0))


def test_a_map_on_its_grid_is_returned_bit_for_bit(z):
    maps = torch.tensor(z(0, 2, 3, 5, 7)).float()
    assert torch.equal(to_grid(maps, (5, 7)), maps)


def test_aligned_corners_keep_the_corner_cells_by_hand():
    maps = torch.tensor([[[[0.0, 3.0]]]])
    assert to_grid(maps, (1, 4), align_corners=True).flatten().tolist() == pytest.approx([0, 1, 2, 3])
    assert to_grid(maps, (1, 4)).flatten().tolist() == pytest.approx([0, 0.75, 2.25, 3])


@pytest.mark.parametrize("size", SIZES)
def test_labels_are_the_nearest_and_never_mixed(size, oracle, random_labels):
    labels = random_labels(2, 6, 8)
    found = labels_on_grid(labels, size)
    assert found.dtype == torch.int64
    np.testing.assert_array_equal(found.numpy(), oracle.nearest(labels.numpy(), size))


def test_resampling_by_two_gives_numbers_worked_by_hand():
    maps = torch.tensor([[[[0.0, 4.0]]]])
    assert to_grid(maps, (1, 4)).flatten().tolist() == [0, 1, 3, 4]
    labels = torch.tensor([[[0, 1, 2, 255]]])
    assert labels_on_grid(labels, (1, 2)).flatten().tolist() == [1, 255]


def test_maps_come_out_in_fp32_on_any_grid():
    half = torch.ones(1, 2, 4, 4, dtype=torch.bfloat16)
    assert to_grid(half, (4, 4)).dtype == to_grid(half, (8, 8)).dtype == torch.float32


def test_the_coarser_grid_is_the_smaller_one_in_either_order():
    fine, coarse = torch.zeros(1, 2, 8, 12), torch.zeros(1, 3, 4, 6)
    assert coarser(fine, coarse) == coarser(coarse, fine) == (4, 6)


def test_the_mean_is_over_the_labelled_pixels_of_the_whole_batch():
    values = torch.tensor([[[1.0, 2.0]], [[6.0, 100.0]]])
    valid = torch.tensor([[[True, True]], [[True, False]]])
    assert mean_over_valid(values, valid).item() == 3.0  # not the mean 3.75 of the images' means 1.5 and 6


def test_the_mean_of_no_pixel_is_zero_even_of_infinite_values():
    assert mean_over_valid(torch.full((1, 2, 2), float("inf")), torch.zeros(1, 2, 2, dtype=torch.bool)).item() == 0

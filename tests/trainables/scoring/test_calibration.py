"""Calibration, counted by hand in NumPy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from trainables.scoring.calibration import BINS, calibration


def test_the_error_is_the_gap_of_each_bin_weighted_by_its_pixels():
    rng = torch.Generator().manual_seed(0)
    logits, labels = 3 * torch.randn(5000, 4, generator=rng), torch.randint(4, (5000,), generator=rng)
    raised = np.exp(logits.numpy().astype(np.float64))
    probabilities = raised / raised.sum(1, keepdims=True)
    sure, right = probabilities.max(1), probabilities.argmax(1) == labels.numpy()
    edges = np.linspace(0, 1, BINS + 1)
    wanted = 0.0
    for low, high in itertools.pairwise(edges):
        inside = (sure > low) & (sure <= high)
        if inside.any():
            wanted += inside.mean() * abs(sure[inside].mean() - right[inside].mean())
    found = calibration(logits, labels)
    assert found.error == pytest.approx(wanted, abs=1e-5)
    assert sum(share for _, _, share in found.bins) == pytest.approx(1)
    assert found.num_pixels == 5000


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_labels_drawn_from_its_own_softmax_are_told_by_their_temperature(factor):
    rng = torch.Generator().manual_seed(1)
    true = 2 * torch.randn(20_000, 5, generator=rng)
    labels = torch.multinomial(true.softmax(1), 1, generator=rng)[:, 0]
    found = calibration(factor * true, labels)
    assert found.temperature == pytest.approx(factor, rel=0.05)
    assert found.error_there < 0.02


def test_without_a_labelled_pixel_nothing_is_known():
    found = calibration(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
    assert found.num_pixels == 0
    assert math.isnan(found.error)

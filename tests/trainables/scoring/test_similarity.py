"""Linear CKA by its definition over cells, in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainables.scoring.similarity import LinearCKA


def of(first, second, *, batches=(30, 50)):
    alike = LinearCKA()
    for x, y in zip(np.split(first, batches), np.split(second, batches), strict=True):
        alike.add(torch.tensor(x), torch.tensor(y))
    return alike.value()


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    first = rng.normal(3.0, 1.0, (80, 5))
    return first, first @ rng.normal(size=(5, 7)) + rng.normal(size=(80, 7)) - 4.0


def test_it_is_what_both_gram_matrices_have_in_common(pair):
    middle = np.eye(80) - 1 / 80
    k, m = (middle @ own @ own.T @ middle for own in pair)
    assert of(*pair) == pytest.approx(np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m)), abs=1e-9)


def test_turns_shifts_and_one_scale_change_nothing_and_other_features_do(pair):
    rng = np.random.default_rng(1)
    turned = pair[0] @ np.linalg.qr(rng.normal(size=(5, 5)))[0] * 9 + 2
    assert of(pair[0], turned) == pytest.approx(1.0, abs=1e-9)
    assert of(pair[0], rng.normal(size=(80, 5))) < 0.3


def test_nothing_that_varies_has_no_likeness():
    assert math.isnan(of(np.ones((80, 2)), np.ones((80, 3))))
    assert math.isnan(LinearCKA().value())

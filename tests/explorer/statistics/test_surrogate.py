"""Blocks that hang on one another: against probabilities by hand."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.statistics.surrogate import Block, sample


def test_what_two_do_together_makes_it_likelier_that_each_does_something():
    """The data show "ab" beyond doubt and say nothing about "a" and "b": they are as likely as the prior has them.

    Of ab there: 1/4 (1 %) with neither, 1/4 (3 %) with a, as much with b, 1/4 (40 %) with both, so 11.75 % in all, and
    a is among 10.75 of them.
    """
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(40, 1))
    nothing = np.zeros((40, 1))
    blocks = {
        "a": Block(nothing, np.ones(1), (0.5,)),
        "b": Block(nothing, np.ones(1), (0.5,)),
        "ab": Block(seen, np.ones(1), (0.99, 0.97, 0.6), ("a", "b")),
    }
    miou = 0.4 + 0.05 * seen[:, 0] + 0.001 * rng.normal(size=40)
    _, draws = sample(miou, blocks, rng, num_chains=2000, num_draws=2)
    there = {key: (values != 0).any(axis=1) for key, values in draws.items()}
    assert there["ab"].all()
    assert there["a"].mean() == pytest.approx(10.75 / 11.75, abs=0.02)
    assert (there["a"] & there["b"]).mean() == pytest.approx(10 / 11.75, abs=0.02)


def test_where_the_data_say_nothing_the_prior_is_left():
    """P(ab) = 1/4 (1 % + 3 % + 3 % + 40 %), and of its own detail 20 % where it is there, else 1 %."""
    nothing, rng = np.zeros((30, 1)), np.random.default_rng(1)
    blocks = {
        "a": Block(nothing, np.ones(1), (0.5,)),
        "b": Block(nothing, np.ones(1), (0.5,)),
        "ab": Block(nothing, np.ones(1), (0.99, 0.97, 0.6), ("a", "b")),
        "detail": Block(nothing, np.ones(1), (0.99, 0.8), ("ab",)),
    }
    _, draws = sample(rng.normal(size=30), blocks, rng, num_chains=4000, num_draws=2)
    there = {key: (values != 0).any(axis=1).mean() for key, values in draws.items()}
    assert there["ab"] == pytest.approx(0.1175, abs=0.015)
    assert there["detail"] == pytest.approx(0.1175 * 0.2 + 0.8825 * 0.01, abs=0.01)
    assert there["a"] == pytest.approx(0.5, abs=0.025)

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from explorer.statistics.finalists import LEVEL as OF_THE_HOUSE
from trainables.scoring import interval as module
from trainables.scoring.interval import LEVEL, interval, resampled, weights


def counts(rng, images, classes=4, pixels=200, skill=0.7):
    """Hits and union of made-up images, whose classes and skill differ from image to image."""
    of_class = rng.multinomial(pixels, rng.dirichlet(np.ones(classes), size=images))
    hits = rng.binomial(of_class, np.clip(rng.normal(skill, 0.15, (images, classes)), 0, 1))
    wrong = rng.multinomial(1, np.ones(classes) / classes, size=images) * (of_class - hits).sum(axis=1, keepdims=True)
    return hits, of_class + wrong


def by_hand(hits, union):
    """mIoU of some images, class by class."""
    found = []
    for number in range(hits.shape[1]):
        h = sum(int(row[number]) for row in hits)
        u = sum(int(row[number]) for row in union)
        if u:
            found.append(h / u)
    return sum(found) / len(found) if found else float("nan")


def test_resamples_are_those_of_a_slow_loop_over_the_same_draws():
    """One class is in one image alone, so some resamples lack it; one image is empty."""
    hits, union = counts(np.random.default_rng(0), 7)
    hits[1:, 3] = union[1:, 3] = 0
    hits[5] = union[5] = 0
    found = resampled(hits, union, resamples=40)
    drawn = np.concatenate(list(weights(7, 40)))
    assert drawn.shape == (40, 7)
    assert (drawn.sum(axis=1) == 7).all()
    assert 0 < (drawn[:, 0] == 0).sum() < 40
    for score, row in zip(found, drawn.astype(int), strict=True):
        chosen = [image for image, times in enumerate(row) for _ in range(times)]
        assert score == pytest.approx(by_hand(hits[chosen], union[chosen]), nan_ok=True, abs=1e-12)


def test_the_draws_do_not_depend_on_how_many_are_held_at_a_time(monkeypatch):
    whole = np.concatenate(list(weights(9, 50)))
    monkeypatch.setattr(module, "_CELLS", 40)
    parts = list(weights(9, 50))
    assert len(parts) > 10
    assert np.array_equal(np.concatenate(parts), whole)


def test_the_interval_is_scipys_of_as_many_draws():
    """Another generator's, so they agree to within the noise of the draws: both ends and the width."""
    hits, union = counts(np.random.default_rng(3), 30)
    low, high = interval(hits, union, resamples=20_000)
    theirs = stats.bootstrap(
        (np.arange(30),), lambda chosen: by_hand(hits[chosen], union[chosen]), vectorized=False, n_resamples=1000,
        confidence_level=LEVEL, method="percentile", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    width = theirs.high - theirs.low
    assert width > 0.02
    assert low == pytest.approx(theirs.low, abs=0.1 * width)
    assert high == pytest.approx(theirs.high, abs=0.1 * width)


def test_it_is_the_same_whatever_was_drawn_before_and_says_the_level_of_the_house():
    hits, union = counts(np.random.default_rng(1), 12)
    first = interval(hits, union)
    np.random.default_rng(0).random(1000)
    assert interval(hits, union) == first
    assert LEVEL == OF_THE_HOUSE


def test_it_holds_the_truth_about_as_often_as_it_says():
    """40 images of a source of 4,000; 300 times. Binomial noise of the share: 1.7 points."""
    rng = np.random.default_rng(5)
    hits, union = counts(rng, 4000)
    truth = by_hand(hits, union)
    held = 0
    for _ in range(300):
        chosen = rng.choice(4000, 40, replace=False)
        low, high = interval(hits[chosen], union[chosen], resamples=400)
        held += low <= truth <= high
    assert 0.84 < held / 300 < 0.95


def test_images_of_a_group_are_drawn_together_and_widen_it():
    """Each image five times over says no more than itself: as a group it has the interval of one."""
    hits, union = counts(np.random.default_rng(2), 10)
    five = np.repeat(hits, 5, axis=0), np.repeat(union, 5, axis=0)
    alone, apart = interval(hits, union), interval(*five)
    together = interval(*five, groups=np.repeat(np.arange(10), 5).tolist())
    assert together == pytest.approx(alone)
    assert apart[1] - apart[0] < 0.6 * (alone[1] - alone[0])


def test_without_anything_to_draw_there_is_none():
    hits, union = counts(np.random.default_rng(2), 4)
    assert interval(hits[:1], union[:1]) is None
    assert interval(hits[:0], union[:0]) is None
    assert interval(hits, union, groups=[0, 0, 0, 0]) is None
    assert interval(0 * hits, 0 * union) is None


def test_a_network_that_is_right_everywhere_has_an_interval_of_no_width():
    union = np.full((5, 3), 9)
    assert interval(union, union) == (1, 1)

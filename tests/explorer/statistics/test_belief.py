"""What is believed of a config's true mean: by hand, and as properties."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from explorer.statistics import belief


def world(num=40, *, luck=0.0, seed=0):
    """Features of random configs, their true means in points, and one score of each."""
    rng = np.random.default_rng(seed)
    features = rng.random((num, 3)).astype(np.float32)
    true = 10 * features[:, 0] - 8 * np.abs(features[:, 1] - 0.5)
    return features, true, true + luck * rng.standard_normal(num)


def test_three_configs_by_hand():
    """Too few for a forest: it is their mean, 4, and what it leaves, (4 + 1 + 9) / 2 = 7, is error and luck."""
    own, runs = np.array([2.0, 3.0, 7.0]), np.array([1, 1, 3])
    found = belief.believe(np.zeros((3, 1), np.float32), own, runs, within=1.0)
    luck = (1.0 + 0.05 * 7) / (2 + 1)  # two further runs, and the assumption, as good as one
    error = 7 - luck * (1 + 1 + 1 / 3) / 3
    weights = np.array([1, 1, 3]) / luck
    expected = (4 / error + weights * own) / (1 / error + weights)
    np.testing.assert_allclose(found.mean, expected)
    np.testing.assert_allclose(found.sd, (1 / error + weights) ** -0.5)
    assert found.freedom == 2
    assert found.luck == pytest.approx(luck**0.5)


def test_without_luck_the_belief_is_what_was_seen():
    features, _, own = world()
    runs = np.where(np.arange(40) < 20, 2, 1)  # twenty repeats, none of which differs
    found = belief.believe(features, own, runs, within=0.0)
    np.testing.assert_allclose(found.mean, own, atol=0.05)
    assert np.argmax(found.mean) == np.argmax(own)


def test_with_much_luck_it_is_nearer_to_the_truth_and_shrinks_towards_the_forest():
    features, true, own = world(luck=4.0)
    found = belief.believe(features, own, np.ones(40), within=0.0)
    measured = belief.believe(features, own, np.r_[np.full(20, 2), np.ones(20)], within=20 * 16.0)
    assert np.abs(found.mean - own).max() < 0.1 * np.ptp(own)  # unmeasured: next to none is assumed
    assert np.mean((measured.mean - true) ** 2) < 0.6 * np.mean((own - true) ** 2)
    between = (measured.mean - own) * (measured.mean - measured.forest)
    assert (between <= 1e-9).all()


def test_no_more_luck_is_taken_off_than_two_standard_deviations():
    """A cliff of 20 points in a good neighbourhood: 2 points of luck do not explain it."""
    features, _, own = world(luck=2.0)
    own[7] = own.max() - 20
    found = belief.believe(features, own, np.r_[np.full(20, 2), np.ones(20)], within=20 * 4.0)
    assert np.abs(found.mean - own).max() <= 2 * found.luck + 1e-9
    assert found.mean[7] < own[7] + 6


def test_a_config_that_was_run_more_often_is_believed_more():
    features, _, own = world(luck=2.0)
    found = belief.believe(features, own, np.r_[4, np.full(19, 2), np.ones(20)], within=22 * 4.0)
    assert found.sd[0] < found.sd[1] < found.sd[-1]


def test_the_forest_has_not_seen_what_it_judges():
    """Scores that no feature explains: a forest that had seen them would repeat them."""
    rng = np.random.default_rng(0)
    features, own = rng.random((60, 3)).astype(np.float32), rng.standard_normal(60)
    found = belief.believe(features, own, np.ones(60), within=0.0)
    assert np.corrcoef(found.forest, own)[0, 1] < 0.3


def test_a_cliff_is_pulled_up_and_the_rest_stays():
    scores = np.array([-20.0, *range(11)])
    middle, high = np.quantile(scores, [0.5, 0.9])
    np.testing.assert_allclose(belief.pulled(scores), [middle - 2.5 * (high - middle), *range(11)])


def test_scores_of_which_most_are_equal_are_left_as_they_are():
    scores = np.array([1.0, 2.0, 3.0, *[5.0] * 9])
    np.testing.assert_array_equal(belief.pulled(scores), scores)


def test_the_same_arguments_give_the_same_belief():
    features, _, own = world(luck=1.0)
    first = belief.believe(features, own, np.ones(40), within=0.0)
    belief.grown.cache_clear()
    second = belief.believe(features, own, np.ones(40), within=0.0)
    np.testing.assert_array_equal(first.mean, second.mean)


def test_finals_are_predicted_with_students_interval():
    """Against the textbook: least squares on 1, rung, expectation, and the variance of a new observation."""
    rng = np.random.default_rng(1)
    rung, forest = rng.random(12), rng.random(12)
    final = 0.2 + 0.5 * rung + 0.3 * forest + 0.05 * rng.standard_normal(12)
    found = belief.line(rung, forest, final).at(0.4, 0.6)
    design = np.column_stack([np.ones(12), rung, forest])
    inverse = np.linalg.inv(design.T @ design)
    weights, new = inverse @ design.T @ final, np.array([1, 0.4, 0.6])
    variance = ((final - design @ weights) ** 2).sum() / 9
    scale = np.sqrt(variance * (1 + new @ inverse @ new))
    assert found.mean == pytest.approx(new @ weights)
    assert found.above(0.7) == pytest.approx(stats.t.sf((0.7 - new @ weights) / scale, 9))


def test_seven_whole_trials_predict_nothing():
    assert belief.line(np.arange(7.0), np.arange(7.0), np.arange(7.0)) is None

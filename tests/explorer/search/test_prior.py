"""What a study of another pair or data set hands on, and that one which is wrong here is passed over."""

from __future__ import annotations

import math

import numpy as np
import pytest
from optuna import create_study
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from explorer.search import belief, prior
from explorer.search.arms import open_arms
from explorer.search.bridge import Bridge
from explorer.search.simulator import simulate
from explorer.study import StudySpec

pytestmark = pytest.mark.usefixtures("quiet_optuna")
LR = FloatDistribution(1e-4, 1e-1, log=True)
KIND = CategoricalDistribution(["a", "b"])
LEVEL = CategoricalDistribution([1, 2, 4])


def trial(value, number=0, **params):
    kinds = {"lr": LR, "kind": KIND, "level": LEVEL}
    made = create_trial(value=value, params=params, distributions={name: kinds[name] for name in params})
    made.number = number
    return made


def peak(lr):
    """Highest at 0.01."""
    return 0.6 - 0.1 * abs(math.log10(lr) + 2)


def earlier(num=30):
    rng = np.random.default_rng(0)
    every = [(10 ** rng.uniform(-4, -1), ["a", "b"][n % 2], [1, 2, 4][n % 3]) for n in range(num)]
    return [trial(peak(lr) - 0.05 * (kind == "b"), lr=lr, kind=kind, level=level) for lr, kind, level in every]


def test_it_expects_most_where_the_earlier_study_was_best_whatever_is_unknown_to_it():
    known = prior.learnt(earlier())
    far, near = ({"lr": lr, "kind": "a", "level": 2} for lr in (2e-4, 1e-2))
    assert known.expects(near) > known.expects(far) + 0.05
    other = {**near, "kind": "c", "level": 3, "more": 7}  # a choice, a level and a dimension that it did not have
    assert 0.45 < known.expects(other) <= 0.6
    assert known.expects({"lr": 5.0}) == known.expects({"lr": 0.1})  # the end of its range


def test_what_is_kept_with_a_study_comes_back_whole():
    study = create_study()
    assert prior.recalled(study) is None
    known = prior.learnt(earlier(60))
    known.remember(study)
    again = prior.recalled(study)
    assert len(again.configs) == 60
    assert again.expects({"lr": 0.003, "kind": "b"}) == known.expects({"lr": 0.003, "kind": "b"})
    assert [mean for _, mean in again.configs] == sorted((mean for _, mean in again.configs), reverse=True)


def test_of_many_configs_the_best_hundred_and_some_of_the_others_are_kept():
    every = earlier(301)
    kept = prior.learnt(every)
    assert len(kept.configs) <= 200
    found = belief.believed(every)
    best = [dict(one.params) for one in found.ranked()]
    assert [params for params, _ in kept.configs[:100]] == best[:100]
    assert kept.configs[-1][1] < np.median(found.belief.mean)


def test_points_are_the_best_and_good_ones_that_lie_apart():
    known = prior.Prior({"lr": LR}, [({"lr": lr}, 0.6 - n / 100) for n, lr in enumerate([1e-2, 1.1e-2, 1e-3, 5e-2])])
    assert known.points({"lr": LR}, 2) == [{"lr": 1e-2}, {"lr": 1.1e-2}]  # of the better third, at least as many
    many = prior.Prior({"lr": LR}, [*known.configs, *(({"lr": 2e-4 + n / 1e5}, 0.1) for n in range(8))])
    assert many.points({"lr": LR}, 2) == [{"lr": 1e-2}, {"lr": 1e-3}]
    narrow = FloatDistribution(8e-3, 2e-2, log=True)
    assert many.points({"lr": narrow}, 4) == [{"lr": 1e-2}, {"lr": 1.1e-2}]  # none that the space does not hold
    assert many.points({"kind": KIND}, 4) == []


def test_shared_are_numbers_and_choices_with_one_in_common():
    theirs = {"lr": LR, "kind": KIND, "level": LEVEL, "own": KIND}
    ours = {
        "lr": FloatDistribution(0, 1),
        "kind": CategoricalDistribution(["c", "d"]),
        "level": FloatDistribution(1, 9),
    }
    assert prior.shared(theirs, ours) == ["lr", "level"]


def test_few_configs_expect_nothing():
    known = prior.learnt(earlier(7))
    assert known.expects({"lr": 0.01}) is None
    assert known.trials({"lr": LR}) == []
    assert prior.learnt([]) is None


def believed_with(expected, truth):
    """The belief's forest after 24 trials of which one feature is noise and one what a prior expected."""
    rng = np.random.default_rng(1)
    trials = []
    for n in range(24):
        lr = 10 ** rng.uniform(-4, -1)
        one = trial(truth(lr, n), n, lr=lr)
        one.set_user_attr(belief.EXPECTED, expected(lr, n))
        trials.append(one)
    return belief.believed(trials)


def test_a_prior_that_is_right_is_heeded_and_one_that_is_wrong_is_passed_over():
    drawn = np.random.default_rng(2).uniform(0.3, 0.6, 24)  # a truth that lr does not tell

    def left(expected, truth):
        found = believed_with(expected, truth)
        return float(np.std(found.belief.own - found.belief.forest))

    right = left(lambda lr, n: drawn[n], lambda lr, n: drawn[n])
    without = left(lambda lr, n: 0.5, lambda lr, n: drawn[n])
    assert right < 0.5 * without
    wrong = left(lambda lr, n: drawn[n], lambda lr, n: peak(lr))
    assert wrong < 1.25 * left(lambda lr, n: 0.5, lambda lr, n: peak(lr))


def spec(**values):
    given = {"space": {"lr": {"low": 1e-4, "high": 1e-1, "log": True}}, "base": {"steps": 2, "eval_every": 1}}
    given |= {"num_trials": 16, "baseline_trials": 1, "pruner": "none", "sampler": "belief", "seeds": [0, 1]}
    return StudySpec.parse({**given, **values})


def run(directory, study, best=-2.0, digest="d"):
    directory.mkdir()
    arms = open_arms(study, directory, data_digest=digest)
    simulate(
        Bridge(arms.values(), grace=1),
        lambda config: [(step, 0.6 - 0.1 * abs(math.log10(config["lr"]) - best)) for step in (1, 2)],
    )
    study.save(directory)
    return arms["search"].trials()


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    directory = tmp_path_factory.mktemp("studies") / "first"
    run(directory, spec())
    return directory


@pytest.mark.parametrize("best", [-2.0, -3.5])
def test_the_second_study_tries_the_firsts_best_at_once_and_finds_its_own_where_that_is_wrong(first, tmp_path, best):
    trials = run(tmp_path / "second", spec(warm_start=str(first)), best, digest="other")
    assert [one.state for one in trials] == [TrialState.COMPLETE] * 16
    assert abs(math.log10(trials[0].params["lr"]) + 2) < 0.3  # what was best in the first study
    assert all(belief.EXPECTED in one.user_attrs for one in trials)
    assert min(abs(math.log10(one.params["lr"]) - best) for one in trials[8:]) < 0.3
    drawn = {math.floor(8 * (math.log10(one.params["lr"]) + 4) / 3) for one in trials[4:8]}
    assert len(drawn) == 4  # half of the first eight are still the sequence's

"""`balance`: the choices of a dimension take turns, so that each has as many trials on every seed."""

from __future__ import annotations

from collections import Counter

import optuna
import pytest

from explorer.search.arms import open_arms
from explorer.study import StudySpec
from trainables.errors import StudyError

SPEC = {
    "space": {
        "method": ["kd", "cwd", "dist"],
        "lambda_cwd": {"low": 0.1, "high": 10, "log": True},
        "lr": {"low": 1e-4, "high": 1e-2, "log": True},
    },
    "base": {"pair": "fpn_r18:mit_b0"},
    "enqueue": [{"method": "dist", "lr": 1e-3}, {"method": "cwd", "lambda_cwd": 3.0}, {"method": "dist", "lr": 2e-3}],
    "seeds": [5, 7],
    "num_trials": 12,
    "balance": "method",
    "pruner": "none",
}


def spec(**changes):
    return StudySpec.parse({**SPEC, **changes})


def test_each_choice_has_as_many_trials_on_every_seed(tmp_path):
    asked = spec()
    asked.check()
    arm = open_arms(asked, tmp_path, data_digest="d", new=True)["search"]
    configs = []
    while arm.remaining():
        trial, config = arm.ask()
        configs.append(config)
        arm.tell(trial, optuna.trial.TrialState.COMPLETE, miou=0.5)
    assert Counter((config.method, config.seed) for config in configs) == {
        (method, seed): 2 for method in ("kd", "cwd", "dist") for seed in (5, 7)
    }
    assert [config.method for config in configs] == ["kd", "kd", "cwd", "cwd", "dist", "dist"] * 2


def test_a_choices_own_points_come_in_its_first_turns_on_every_seed():
    points = spec().points
    assert points[:6] == [
        *({"method": "kd"},) * 2,
        *({"method": "cwd", "lambda_cwd": 3.0},) * 2,
        *({"method": "dist", "lr": 1e-3},) * 2,
    ]
    assert points[6:] == [*({"method": "kd"},) * 2, *({"method": "cwd"},) * 2, *({"method": "dist", "lr": 2e-3},) * 2]


def test_the_student_alone_has_as_many_trials_as_a_method():
    _, base, trials = spec().baseline()
    assert base["method"] == "task"
    assert trials == 4
    assert spec(balance=None).baseline()[2] == 12


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_trials": 13}, "multiple of 3 choices of method times 2 seeds, got 13. Take 18."),
        ({"balance": "lr"}, "'lr', which is no dimension with a list of choices"),
        ({"balance": "pair"}, "'pair', which is no dimension"),
        ({"probes": 2}, "takes no probes"),
        ({"enqueue": [{"lr": 1e-3}]}, "must name method"),
        (
            {"enqueue": [{"method": "kd", "lr": lr} for lr in (1e-3, 2e-3, 3e-3)]},
            "3 points of method = 'kd', which has 2 turns on each seed. Raise num_trials to 18",
        ),
    ],
)
def test_what_would_make_the_turns_unequal_is_refused(changes, words):
    with pytest.raises(StudyError, match=words):
        spec(**changes).check()


def test_a_preset_whose_balanced_dimension_is_fixed_has_no_balance():
    assert StudySpec.parse({"preset": "methods"}).balance == "method"
    asked = StudySpec.parse({"preset": "methods", "base": {"method": "cwd"}})
    assert asked.balance is None
    assert list(asked.space) == ["lambda_cwd", "lr"]
    asked.check()


def test_the_preset_methods_tries_every_method_at_its_papers_weight_first():
    asked = StudySpec.parse({"preset": "methods"})
    asked.check()
    first = asked.points[: len(asked.space["method"])]
    assert [point["method"] for point in first] == asked.space["method"]
    weights = {point["method"]: point for point in first}
    assert weights["kd"]["lambda_kd"] == 1.0
    assert weights["heteroakd"]["lambda_kd"] == 0.1
    assert weights["heteroakd"]["lambda_hakd"] == 1.0
    assert weights["cwd"]["lambda_cwd"] == 3.0
    assert weights["skd"]["lambda_skd"] == 10.0
    assert weights["at"]["lambda_at"] == 1e4
    assert weights["ofa"]["lambda_ofa"] == 4.0

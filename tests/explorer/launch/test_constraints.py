"""Students that cost too much are left out before anything is trained."""

from __future__ import annotations

import pytest

from explorer.launch.constraints import within
from explorer.study import StudySpec

COSTS = {
    "segformer:mit_b0": {"parameters_millions": 3.7, "gmac": 1.0},
    "fpn:resnet18": {"parameters_millions": 13.0, "gmac": 0.5},
}


def spec(**values):
    return StudySpec.parse({"base": {}, "num_trials": 5, **values})


def test_a_student_over_the_limit_leaves_the_space_and_the_points():
    study = spec(
        space={"student": list(COSTS), "lambda_kd": [0.1, 1.0]},
        constraints={"parameters_millions": 5},
        enqueue=[{"student": "fpn:resnet18"}, {"student": "segformer:mit_b0"}, {"lambda_kd": 0.1}],
    )
    kept, why = within(study, COSTS)
    assert kept.space == {"student": ["segformer:mit_b0"], "lambda_kd": [0.1, 1.0]}
    assert kept.enqueue == [{"student": "segformer:mit_b0"}, {"lambda_kd": 0.1}]
    assert why == {"fpn:resnet18": "has parameters_millions 13, more than 5"}
    assert study.space["student"] == list(COSTS)


def test_a_pair_is_judged_by_its_student_alone():
    study = spec(space={"pair": ["r18:mit_b0", "mit_b0:r18"]}, constraints={"gmac": 0.7})
    costs = {**COSTS, **{student: {"gmac": 0.5} for student in study.search_space.students({})}}
    costs[study.search_space.students({})[0]] = {"gmac": 0.9}
    kept, _ = within(study, costs)
    assert kept.space["pair"] == ["mit_b0:r18"]


def test_limits_that_all_keep_change_nothing():
    study = spec(space={"student": list(COSTS)}, constraints={"parameters_millions": 13})
    assert within(study, COSTS) == (study, {})


def test_limits_that_none_keeps_are_refused():
    study = spec(space={"lambda_kd": [0.1, 1.0]}, base={"student": "fpn:resnet18"}, constraints={"gmac": 0.1})
    with pytest.raises(ValueError, match=r"fpn:resnet18 has gmac 0\.5, more than 0\.1"):
        within(study, COSTS)

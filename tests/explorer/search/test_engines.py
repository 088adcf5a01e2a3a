"""Samplers and pruners by name: what is refused, and how a proposal is seeded."""

from __future__ import annotations

import optuna
import pytest

from explorer.search import engines
from explorer.study import StudySpec

LAMBDA = {"low": 0.01, "high": 10.0, "log": True}


def spec(**values):
    return StudySpec.parse({"space": {"lambda_kd": LAMBDA}, "base": {"steps": 9}, "num_trials": 5, **values})


def test_the_samplers_and_pruners_that_are_offered():
    assert {"tpe", "gp", "cmaes", "nsgaii", "qmc", "random", "grid"} <= engines.SAMPLERS.keys()
    pruners = {"hyperband", "successivehalving", "median", "percentile", "patient", "threshold", "wilcoxon", "asha"}
    assert pruners | {"none"} <= engines.PRUNERS.keys()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"sampler": "tpee"}, "Nearest: tpe"),
        ({"pruner": "hiperband"}, "Nearest: hyperband"),
        ({"sampler_options": {"n_starts": 3}}, "no option 'n_starts'"),
        ({"sampler_options": {"n_startup_trials": "x"}}, "The sampler 'tpe' fails with its options"),
        ({"sampler": "gp", "sampler_options": {"n_startup_trials": "x"}}, "The sampler 'gp' fails"),
        ({"pruner": "asha", "pruner_options": {"reduction_factor": 1}}, "The pruner 'asha' refuses its options"),
        ({"pruner": "patient", "pruner_options": {"wrapped_pruner": None}}, "Unknown pruner 'None'"),
        ({"sampler": "grid", "space": {"kmm": [True, False]}, "num_trials": 3}, "grid has 2 points"),
        ({"sampler": "grid", "space": {"kmm": [True, False]}, "num_trials": 2, "probes": 1}, "no `enqueue`"),
        ({"sampler": "cmaes", "objectives": ["miou", "gmac"]}, "takes one objective"),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence(values, said):
    with pytest.raises(ValueError, match=said):
        engines.check(spec(**values), budget=9)


def draw(study_spec, number, stream=0):
    study = optuna.create_study(sampler=engines.sampler(study_spec, number=number, stream=stream))
    return study.ask().suggest_float("x", 0, 1)


def test_a_proposal_depends_on_number_stream_and_seed_and_on_nothing_else():
    assert draw(spec(), 3) == draw(spec(), 3)
    others = {draw(spec(), 3), draw(spec(), 4), draw(spec(), 3, stream=1), draw(spec(sampler_seed=1), 3)}
    assert len(others) == 4


def test_seed_one_does_not_repeat_seed_zero_a_trial_later():
    assert draw(spec(sampler_seed=1), 0) != draw(spec(sampler_seed=0), 1)


@pytest.mark.parametrize("sampler", sorted(engines.SAMPLERS))
def test_only_a_sampler_that_unpickles_needs_trust(sampler):
    values = {"space": {"kmm": [True, False]}, "num_trials": 2} if sampler == "grid" else {}
    study_spec = spec(sampler=sampler, **values)
    engines.refuse_untrusted(study_spec, trusted=True)
    if sampler == "cmaes":
        with pytest.raises(ValueError, match="--trust-storage"):
            engines.refuse_untrusted(study_spec, trusted=False)
    else:
        engines.refuse_untrusted(study_spec, trusted=False)

"""What of a study is open, by its storage alone: as its driver says, and as one counts by hand."""

from __future__ import annotations

import pytest
from optuna.trial import TrialState

from explorer.confirm import plan
from explorer.results.left import num_open
from explorer.results.trials import load_studies, trials
from explorer.search.arms import open_arms
from explorer.search.bridge import Bridge
from explorer.search.simulator import simulate

STEPS = 9


@pytest.fixture
def begun(spec, tmp_path):
    """A study of 4 search trials and 2 students alone, none of them asked for; with its arms."""

    def make(**values):
        study = spec(**{"num_trials": 4, "baseline_trials": 2, "pruner": "none", **values})
        study.save(tmp_path)
        return study, open_arms(study, tmp_path, data_digest="d")

    return make


def seen(study, tmp_path):
    return num_open(study, load_studies(tmp_path)[1])


def test_a_study_that_was_only_begun_is_all_open(begun, tmp_path):
    study, _ = begun()
    assert seen(study, tmp_path) == (6, 0)


def test_each_way_to_end_ends_a_trial_and_running_ends_none(begun, tmp_path):
    study, arms = begun()
    for state in (TrialState.FAIL, TrialState.PRUNED, TrialState.COMPLETE, None):
        trial, _ = arms["search"].ask()
        if state is not None:
            arms["search"].report(trial, 0.5, 1)
            arms["search"].tell(trial, state, miou=0.5 if state == TrialState.COMPLETE else None)
    assert seen(study, tmp_path) == (1 + 2, 0)


def test_a_paused_trial_is_open_and_shown_as_paused_with_why(begun, tmp_path):
    study, arms = begun(num_trials=6, pruner="evidence", pruner_options={"pauses": 2})
    simulate(Bridge([arms["baseline"]], grace=1), lambda _: [(STEPS, 0.5)])
    bridge = Bridge(arms.values(), grace=1)
    bridge.suggest("a")
    assert bridge.report("a", {"step": 3, "miou": 0.3, "miou_low": 0.2}) == "STOP"
    bridge.on_trial_complete("a")
    assert seen(study, tmp_path) == (6, 0)
    (row,) = trials(load_studies(tmp_path)[1]).query("role == 'search'").to_dict("records")
    assert (row["state"], row["step"], row["miou"], row["miou_low"]) == ("PAUSED", 3, 0.3, 0.2)
    assert row["reason"] == (
        "Paused at step 3 of 9 with 30.00 %: the first 2 trials wait for each other there, and the best half of them "
        "go on."
    )


def test_a_limit_that_is_reached_leaves_nothing_to_ask_for(begun, tmp_path):
    study, arms = begun(total_steps=25)
    bridge = Bridge(arms.values(), grace=1)
    simulate(bridge, lambda config: [(step, 0.5) for step in range(1, STEPS + 1)])
    assert len(arms["search"].trials()) == 1  # 18 steps of the students alone, then 27 are more than 25
    assert bridge.num_open() == 0
    assert seen(study, tmp_path) == (0, 0)
    assert seen(study.model_copy(update={"total_steps": None}), tmp_path) == (3, 0)


def test_a_driver_that_dies_says_the_same_as_the_storage(begun, tmp_path):
    study, arms = begun()
    bridge = Bridge(arms.values(), grace=1)
    for name in "abc":
        bridge.suggest(name)
    for step in range(1, STEPS + 1):
        bridge.report("a", {"step": step, "miou": 0.5})
    bridge.on_trial_complete("a")
    assert seen(study, tmp_path) == (bridge.num_open(), 0) == (5, 0)


def test_runs_of_a_confirmation_that_was_asked_for_are_open_until_they_are_scored(begun, tmp_path):
    study, arms = begun(num_trials=2, baseline_trials=1, owner="us")
    for arm, score in ((arms["baseline"], 0.3), (arms["search"], 0.5), (arms["search"], 0.4)):
        trial, _ = arm.ask()
        arm.tell(trial, TrialState.COMPLETE, miou=score)
    studies = load_studies(tmp_path)[1]
    asked = plan.request(study, studies, top=2, num_seeds=2)
    reruns = plan.open_arm(study, studies, asked, top=2, split="val")
    assert seen(study, tmp_path) == (0, 6)  # two finalists and the student alone, on two seeds
    trial, _ = reruns.ask()
    reruns.report(trial, 0.5, STEPS)
    reruns.tell(trial, TrialState.COMPLETE, miou=0.5)
    assert seen(study, tmp_path) == (0, 5)

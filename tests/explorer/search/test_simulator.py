"""Sampling and pruning in virtual time: deterministic, and every decision can be checked against what was known."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest
from optuna.trial import TrialState
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

from explorer.search import engines
from explorer.search.arms import open_arms
from explorer.search.bridge import Bridge
from explorer.search.simulator import simulate
from explorer.study import StudySpec

STEPS = 9
COSTS = {"segformer:mit_b0": {"parameters_millions": 3.7}, "fpn:resnet18": {"parameters_millions": 13.0}}


pytestmark = pytest.mark.usefixtures("quiet_optuna")


def spec(**values):
    defaults = {
        "space": {
            "lambda_kd": {"low": 0.01, "high": 10.0, "log": True},
            "projector_depth": {"low": 1, "high": 2},
            "projector_width": [32, 64],
        },
        "base": {"steps": STEPS, "eval_every": 1},
        "num_trials": 24,
        "baseline_trials": 1,
        "grace_period": 1,
        "reduction_factor": 3,
    }
    return StudySpec.parse({**defaults, **values})


def curve(config):
    best = 0.6 * math.exp(-((math.log10(config["lambda_kd"] / 0.3)) ** 2)) - 0.02 * config["projector_depth"]
    return [(step, max(0.0, best) * (1 - 0.6**step)) for step in range(1, STEPS + 1)]


def run(tmp_path, study, *, workers=3, **options):
    """(search arm, events of the whole sweep)."""
    arms = open_arms(study, tmp_path, data_digest="d")
    arms["search"].study.set_user_attr("costs", COSTS)
    bridge = Bridge(arms.values(), grace=study.grace(STEPS))
    return arms["search"], simulate(bridge, curve, workers=workers, **options)


def recorded(arm):
    return [
        (
            trial.state,
            trial.params,
            trial.values,
            trial.intermediate_values,
            trial.system_attrs,
            trial.user_attrs["config"],
            trial.user_attrs.get("reason"),
            trial.user_attrs.get("paused_at"),
        )
        for trial in arm.trials()
    ]


def assert_true(arm):
    """Every trial's state and values are what its config's curve says."""
    assert len(arm.trials()) == arm.num_trials
    for trial in arm.trials():
        expected = dict(curve(trial.user_attrs["config"]))
        reported = len(trial.intermediate_values)
        assert trial.intermediate_values == {step: expected[step] for step in range(1, reported + 1)}
        assert trial.state == (TrialState.COMPLETE if reported == STEPS else TrialState.PRUNED)
        if trial.state == TrialState.COMPLETE:
            assert trial.values[0] == expected[STEPS]
        else:
            assert f" at step {reported}: " in trial.user_attrs["reason"]


def slow_and_fast(config):
    """Trials of the deeper projector take five times as long, so that results arrive out of order."""
    return 1.0 if config["projector_depth"] == 1 else 5.0


@pytest.mark.parametrize("sampler", sorted({*engines.SAMPLERS} - {"grid"}))
def test_every_sampler_leaves_a_true_storage(tmp_path, sampler):
    trials = 13 if sampler == "gp" else 24
    arm, _ = run(tmp_path, spec(sampler=sampler, num_trials=trials))
    assert_true(arm)


@pytest.mark.parametrize("pruner", sorted(engines.PRUNERS))
def test_every_pruner_leaves_a_true_storage(tmp_path, pruner):
    options = {"lower": 0.2} if pruner == "threshold" else {}
    arm, _ = run(tmp_path, spec(pruner=pruner, pruner_options=options, sampler="random"), step_cost=slow_and_fast)
    assert_true(arm)
    pruned = sum(trial.state == TrialState.PRUNED for trial in arm.trials())
    assert (pruned == 0) == (pruner in ("none", "nop", "patient"))  # every curve rises: patience never runs out


def test_successive_halving_judges_by_the_rung_whatever_order_results_arrive_in(tmp_path):
    """Each decision is recomputed from the values that were known at the same step."""
    study = spec(pruner="successivehalving", sampler="random", num_trials=40, reduction_factor=2)
    arm, events = run(tmp_path, study, workers=4, step_cost=slow_and_fast)
    search = [event for event in events if event.config["method"] == "heteroakd"]
    times = [event.step for event in search]
    assert times != sorted(times)
    rungs, known = [1, 2, 4, 8], defaultdict(list)
    pruned = 0
    for event in search:
        if event.step not in rungs:
            assert not event.stopped or event.step == STEPS
            continue
        known[event.step].append(event.miou)
        go_on = max(1, len(known[event.step]) // 2)
        stays = event.miou >= sorted(known[event.step], reverse=True)[go_on - 1]
        assert event.stopped == (not stays)
        pruned += event.stopped
    assert pruned == sum(trial.state == TrialState.PRUNED for trial in arm.trials()) > 10


def test_hyperband_prunes_before_any_trial_is_complete(tmp_path):
    arm, events = run(tmp_path, spec(pruner="hyperband", sampler="random", baseline_trials=1), workers=24)
    stops = [event for event in events if event.stopped and event.config["method"] == "heteroakd"]
    assert stops[0].step < STEPS
    assert all(event.step == STEPS for event in stops[-1:])
    assert_true(arm)


@pytest.mark.parametrize("pruner", ["hyperband", "successivehalving", "asha", "median", "percentile", "threshold"])
def test_nothing_is_pruned_before_the_grace_period(tmp_path, pruner):
    options = {"lower": 0.9} if pruner == "threshold" else {}
    study = spec(pruner=pruner, pruner_options=options, grace_period=4, sampler="random")
    arm, _ = run(tmp_path, study, step_cost=slow_and_fast)
    pruned = [trial for trial in arm.trials() if trial.state == TrialState.PRUNED]
    assert pruned
    assert min(trial.last_step for trial in pruned) >= 4


def test_probes_are_random_spread_evenly_and_never_pruned(tmp_path):
    study = spec(
        num_trials=40, probes=10, pruner="threshold", pruner_options={"lower": 0.9}, enqueue=[{"lambda_kd": 0.1}]
    )
    arm, _ = run(tmp_path, study)
    probes = [trial for trial in arm.trials() if trial.user_attrs.get("probe")]
    assert [trial.number for trial in probes] == [4, 8, 12, 16, 20, 24, 28, 32, 36, 39]  # 39 free places, 10 probes
    assert {trial.state for trial in probes} == {TrialState.COMPLETE}
    others = [trial for trial in arm.trials() if not trial.user_attrs.get("probe")]
    assert {trial.state for trial in others} == {TrialState.PRUNED}
    drawn = np.log10([trial.params["lambda_kd"] for trial in probes])
    assert drawn.min() < -1
    assert drawn.max() > 0


@pytest.mark.parametrize(("trials", "probes"), [(59, 0), (60, 16), (200, 16)])
def test_sweeps_of_sixty_trials_have_probes(trials, probes):
    assert spec(num_trials=trials).num_probes == probes


def test_a_sweep_repeats_itself_exactly(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, _ = run(tmp_path / "a", spec(), step_cost=slow_and_fast)
    second, _ = run(tmp_path / "b", spec(), step_cost=slow_and_fast)
    assert recorded(first) == recorded(second)
    assert len({trial.params["lambda_kd"] for trial in first.trials()}) == 24


def test_qmc_fills_dimensions_that_not_every_trial_has(tmp_path):
    arm, _ = run(tmp_path, spec(sampler="qmc", num_trials=24, pruner="none"))
    widths = {trial.params["projector_width"] for trial in arm.trials() if "projector_width" in trial.params}
    assert widths == {32, 64}


class Killed(BaseException):
    pass


def kill_at(patch, storage, last, side):
    """Raise at the n-th write, before or after it."""
    write, left = type(storage)._write_log, [last]

    def counted(self, *arguments):
        left[0] -= 1
        if left[0] == 0 and side == "before":
            raise Killed
        write(self, *arguments)
        if left[0] == 0:
            raise Killed

    patch.setattr(type(storage), "_write_log", counted)


@pytest.mark.parametrize("seed", range(6))
def test_a_driver_killed_ten_times_leaves_what_an_undisturbed_one_leaves(tmp_path, seed):
    rng = np.random.default_rng(seed)
    engines = [("tpe", "hyperband"), ("tpe", "median"), ("qmc", "successivehalving"), ("nsgaii", "asha")]
    engine = [*engines, ("belief", "evidence"), ("belief", "evidence")][seed]
    options = {"pauses": 16} if seed == 5 else {}
    trials = 20 if seed >= 4 else 16
    study = spec(num_trials=trials, sampler=engine[0], pruner=engine[1], pruner_options=options, probes=4)
    (tmp_path / "undisturbed").mkdir()
    (tmp_path / "killed").mkdir()
    expected, _ = run(tmp_path / "undisturbed", study, workers=1)
    kills = 0
    while kills < 10:
        with pytest.MonkeyPatch.context() as patch:
            arms = open_arms(study, tmp_path / "killed", data_digest="d")
            kill_at(patch, arms["search"].study._storage, int(rng.integers(1, 60)), rng.choice(["before", "after"]))
            try:
                run(tmp_path / "killed", study, workers=1)
                break
            except Killed:
                kills += 1
    actual, _ = run(tmp_path / "killed", study, workers=1)
    assert kills >= 8
    assert recorded(actual) == recorded(expected)
    assert any(trial.user_attrs.get("reason") for trial in actual.trials())  # and it says why, in the same words
    assert sum("paused_at" in trial.user_attrs for trial in actual.trials()) == (5 if options else 0)
    if engine[0] == "belief":
        assert any("repeats" in trial.user_attrs for trial in actual.trials())


@pytest.mark.parametrize("seed", range(3))
def test_with_several_workers_a_killed_driver_falsifies_nothing(tmp_path, seed):
    rng = np.random.default_rng(100 + seed)
    study = spec(num_trials=20, pruner="successivehalving")
    for _ in range(6):
        with pytest.MonkeyPatch.context() as patch:
            arms = open_arms(study, tmp_path, data_digest="d")
            kill_at(patch, arms["search"].study._storage, int(rng.integers(1, 120)), rng.choice(["before", "after"]))
            try:
                run(tmp_path, study, workers=4)
                break
            except Killed:
                continue
    arm, _ = run(tmp_path, study, workers=4)
    assert_true(arm)


def test_asha_decides_as_tunes_own_scheduler(tmp_path):
    study = spec(pruner="asha", sampler="random", num_trials=40)
    _, events = run(tmp_path, study, workers=4, step_cost=slow_and_fast)
    tunes = AsyncHyperBandScheduler(
        time_attr="step", metric="miou", mode="max", max_t=STEPS, grace_period=1, reduction_factor=3
    )
    (bracket,) = tunes._brackets
    stopped = 0
    for event in events:
        if event.config["method"] == "task":
            continue
        decision = bracket.on_result(event, event.step, event.miou)
        assert event.stopped == (decision == TrialScheduler.STOP or event.step == STEPS)
        stopped += event.stopped and event.step < STEPS
    assert stopped > 10


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii", "random"])
def test_several_objectives_prune_on_miou_and_build_the_front_from_whole_trials(tmp_path, sampler):
    study = spec(
        space={"lambda_kd": {"low": 0.01, "high": 10.0, "log": True}, "student": list(COSTS)},
        objectives=["miou", "parameters_millions"],
        sampler=sampler,
        num_trials=40,
        pruner="successivehalving",
    )
    arm, _ = run(tmp_path, study)
    assert_true(arm)
    states = {trial.state for trial in arm.trials()}
    assert states == {TrialState.COMPLETE, TrialState.PRUNED}
    for trial in arm.trials():
        if trial.state == TrialState.PRUNED:
            assert trial.values is None
        else:
            assert trial.values == [
                dict(curve(trial.user_attrs["config"]))[STEPS],
                COSTS[trial.params["student"]]["parameters_millions"],
            ]
    assert {trial.state for trial in arm.study.best_trials} == {TrialState.COMPLETE}


def test_three_hundred_trials_are_true(tmp_path):
    arm, _ = run(tmp_path, spec(num_trials=300, sampler="random", pruner="hyperband"), workers=16)
    assert_true(arm)


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsgaii"])
def test_a_finite_space_is_not_tried_twice_with_one_seed(tmp_path, sampler):
    space = {"projector_depth": {"low": 1, "high": 2}, "projector_width": [32, 64], "kmm": [True, False]}
    base = {"steps": STEPS, "eval_every": 1, "lambda_kd": 0.3}
    study = spec(space=space, base=base, sampler=sampler, pruner="none", seeds=[0, 1], num_trials=12)
    arm, _ = run(tmp_path, study)
    tried = [(trial.user_attrs["seed"], *sorted(trial.params.items())) for trial in arm.trials()]
    assert len(set(tried)) == 12  # depth 1 x kmm, depth 2 x width x kmm: 6 configs on each of 2 seeds

"""When a sweep asks for no more: each limit, and that a resumed sweep knows it."""

from __future__ import annotations

import math
import re

from optuna.trial import TrialState

from explorer.search import further
from explorer.search.arms import open_arms
from explorer.search.bridge import Bridge
from explorer.search.limits import reached
from explorer.search.simulator import simulate
from explorer.study import StudySpec

STEPS = 5


def spec(**values):
    defaults = {
        "space": {"lambda_kd": {"low": 0.01, "high": 10.0, "log": True}},
        "base": {"steps": STEPS, "eval_every": 1},
        "num_trials": 20,
        "baseline_trials": 2,
        "pruner": "none",
    }
    return StudySpec.parse({**defaults, **values})


def flat(config):
    return [(step, 0.5) for step in range(1, STEPS + 1)]


def run(tmp_path, study, curve=flat, **options):
    arms = open_arms(study, tmp_path, data_digest="d")
    bridge = Bridge(arms.values(), grace=1, **options)
    simulate(bridge, curve)
    return arms, bridge


def test_total_steps_counts_the_students_alone_too(tmp_path):
    arms, bridge = run(tmp_path, spec(total_steps=28))
    assert [trial.state for trial in arms["baseline"].trials()] == [TrialState.COMPLETE] * 2
    assert [trial.state for trial in arms["search"].trials()] == [TrialState.COMPLETE] * 4  # 6 trials of 5 steps: 30
    assert bridge.num_open() == 0
    assert bridge.limit(arms["search"]) == "30 steps are done; total_steps is 28."


def test_a_resumed_sweep_knows_its_limit_and_a_higher_one_goes_on(tmp_path):
    run(tmp_path, spec(total_steps=28))
    assert len(run(tmp_path, spec(total_steps=28))[0]["search"].trials()) == 4
    assert len(run(tmp_path, spec(total_steps=40))[0]["search"].trials()) == 6
    assert len(run(tmp_path, spec())[0]["search"].trials()) == 20


def test_a_plateau_ends_the_search_and_a_gain_begins_anew(tmp_path):
    values = iter([0.1, 0.1, 0.5, 0.5005, 0.52, 0.52, 0.51, 0.5209, 0.9])  # two of the students alone first

    def curve(config):
        value = next(values)
        return [(step, value) for step in range(1, STEPS + 1)]

    arms, bridge = run(tmp_path, spec(plateau_trials=3, plateau_gain=0.001), curve)
    assert [trial.value for trial in arms["search"].trials()] == [0.5, 0.5005, 0.52, 0.52, 0.51, 0.5209]
    assert "3 full trials brought no gain of 0.1 points" in bridge.limit(arms["search"])


def test_gpu_hours_are_what_trials_hold_and_outlive_the_driver(tmp_path):
    study = spec(gpu_hours=1.0)
    arms = open_arms(study, tmp_path, data_digest="d")
    bridge = Bridge(arms.values(), grace=1, gpus=0.5)
    for name in ("a", "b"):
        bridge.suggest(name)
        for step in range(1, STEPS + 1):
            bridge.report(name, {"step": step, "miou": 0.5, "time_this_iter_s": 600.0})
    bridge.suggest("c")
    bridge.report("c", {"step": 1, "miou": 0.5, "time_this_iter_s": 600.0})  # 11 results of 600 s on half a GPU: 0.92 h
    again = Bridge(open_arms(study, tmp_path, data_digest="d").values(), grace=1, gpus=0.5)
    assert again.limit(arms["search"]) is None
    again.suggest("c")
    again.report("c", {"step": 2, "miou": 0.5, "time_this_iter_s": 600.0})
    assert again.limit(arms["search"]) == "1.00 GPU-hours are spent; gpu_hours is 1.0."
    assert again.suggest("d") is None


def test_num_trials_holds_with_failures_among_them(tmp_path):
    def curve(config):
        last = math.nan if config["lambda_kd"] > 0.3 and config["method"] == "heteroakd" else 0.5
        return [(1, 0.4), (STEPS, last)]

    arms, _ = run(tmp_path, spec(sampler="random"), curve)
    states = [trial.state for trial in arms["search"].trials()]
    assert len(states) == 20
    assert 3 < states.count(TrialState.FAIL) < 17


def peak(config):
    return [(step, 0.5 - abs(math.log10(config["lambda_kd"])) / 20) for step in range(1, STEPS + 1)]


def test_a_search_that_has_little_to_expect_ends_and_another_rule_goes_on(tmp_path):
    study = spec(sampler="random", num_trials=60, stop_when=0.2)
    arms, bridge = run(tmp_path, study, peak)
    ended = len(arms["search"].trials())
    assert 30 <= ended < 60
    told = further.history(arms["search"].trials())
    assert all(gain < 0.002 for _, gain in told[-11:])  # by ten trials in a row, not by one
    told = re.fullmatch(
        r"after (\d+) trials, another 10 are expected to bring (\d\.\d\d) points, .* for 10 trials; stop_when is 0.2\.",
        bridge.limit(arms["search"]),
    )
    assert (int(told[1]), float(told[2]) < 0.2) == (ended, True)
    assert bridge.num_open() == 0
    again, _ = run(tmp_path, study, peak)  # resumed as it was
    assert len(again["search"].trials()) == ended
    lower, _ = run(tmp_path, study.model_copy(update={"stop_when": 0.05}), peak)
    more = len(lower["search"].trials())
    assert ended < more
    never, bridge = run(tmp_path, study.model_copy(update={"stop_when": 0.0}), peak)
    assert len(never["search"].trials()) == 60
    assert bridge.limit(never["search"]) is None


def test_trials_of_a_warm_start_count_in_what_is_expected_but_ten_of_its_own_are_run(tmp_path):
    run(tmp_path, spec(sampler="random", num_trials=60), peak)
    trials = open_arms(spec(num_trials=60), tmp_path, data_digest="d")["search"].trials()
    study = spec(stop_when=0.2)
    assert reached(study, search=trials[:9], every=[], known=trials) is None
    assert reached(study, search=trials[:10], every=[], known=trials).startswith("after 10 trials, another 10")
    assert reached(study, search=trials[:10], every=[], known=trials[:29]) is None  # too few say anything


def test_the_history_ends_with_the_figure_and_begins_with_twenty_trials(tmp_path):
    arms, _ = run(tmp_path, spec(sampler="random", num_trials=30), peak)
    trials = arms["search"].trials()
    told = further.history(trials)
    assert [num for num, _ in told] == list(range(20, 31))
    assert told[-1][1] == further.expected(trials)
    assert told[0][1] > told[-1][1]

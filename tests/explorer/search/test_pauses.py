"""Pauses: who waits, who goes on and who ends, by hand-made studies; then whole sweeps in virtual time."""

from __future__ import annotations

from collections import Counter

import optuna
import pytest
from optuna.trial import TrialState

from explorer.search.arms import open_arms
from explorer.search.bridge import Bridge
from explorer.search.pauses import PAUSED_AT, Pauses, is_paused, turn
from explorer.search.simulator import simulate
from explorer.study import StudySpec

STEPS = 9  # rungs at 3 and 6
RUNNING, COMPLETE, PRUNED, FAIL = TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL

pytestmark = pytest.mark.usefixtures("quiet_optuna")


def trial(number, curve, *, state=RUNNING, waits=None, on=None, student="s", **attributes):
    """A trial of nine steps. waits: the step at which it paused; on: why it went on."""
    told = {"student": student, "budget": STEPS, **attributes}
    if waits is not None:
        told[PAUSED_AT] = {"step": waits, "because": "it waits", **({"on": on} if on else {})}
    made = optuna.trial.create_trial(state=RUNNING, user_attrs=told, intermediate_values=dict(curve))
    made.number, made.state = number, state
    return made


def decided(first, trials, *, all_asked=True, limit=None):
    """Number -> whether it goes on."""
    found = Pauses(first).verdicts(trials, all_asked=all_asked, limit=limit)
    return {verdict.trial.number: verdict.goes_on for verdict in found}


@pytest.mark.parametrize(
    ("before", "step", "rung"),
    [((), 1, None), ((1, 2), 3, "step 3"), ((1, 2, 3), 4, None), ((1, 2, 3, 4, 5), 6, "step 6"), ((6,), 9, None)],
)
def test_a_trial_pauses_with_the_report_that_gets_to_a_third_and_to_two_thirds(before, step, rung):
    curve = dict.fromkeys([*before, step], 0.5)
    because = Pauses(4).due(trial(0, curve), step)
    assert (because is None) if rung is None else (f"Paused at {rung} of 9 with 50.00 %" in because)


def test_a_report_that_passes_both_rungs_pauses_once():
    assert Pauses(4).due(trial(0, {2: 0.1, 7: 0.5}), 7) is not None
    assert Pauses(4).due(trial(0, {2: 0.1, 7: 0.5, 8: 0.5}), 8) is None


def test_a_trial_that_goes_on_and_repeats_its_report_does_not_pause_there_again():
    assert Pauses(4).due(trial(0, {3: 0.5}, waits=3, on="it is among the best"), 3) is None
    assert Pauses(4).due(trial(0, {3: 0.5, 6: 0.6}, waits=3, on="it is among the best"), 6) is not None


@pytest.mark.parametrize(
    ("number", "told", "pauses"),
    [(3, {}, True), (4, {}, False), (1, {"probe": True}, False), (1, {"repeats": 0}, False)],
)
def test_only_the_first_trials_pause_and_no_probe_or_repeat(number, told, pauses):
    assert (Pauses(4).due(trial(number, {3: 0.5}, **told), 3) is not None) == pauses


def test_trials_of_an_earlier_study_do_not_count_as_the_first():
    assert Pauses(4, num_warm=10).due(trial(13, {3: 0.5}), 3) is not None
    assert Pauses(4, num_warm=10).due(trial(14, {3: 0.5}), 3) is None


def test_a_paused_trial_is_told_from_one_that_runs():
    assert is_paused(trial(0, {3: 0.5}, waits=3))
    assert not is_paused(trial(0, {3: 0.5}))
    assert not is_paused(trial(0, {3: 0.5}, waits=3, on="it is among the best"))
    assert not is_paused(trial(0, {3: 0.5, 4: 0.5}, waits=3))
    assert not is_paused(trial(0, {3: 0.5}, waits=3, state=PRUNED))


def waiting(*values, **more):
    return [trial(number, {3: value}, waits=3, **more) for number, value in enumerate(values)]


def test_nobody_ends_while_others_are_on_their_way_or_still_to_come():
    """Of three that came, the best one goes on at once."""
    three = waiting(0.1, 0.4, 0.3)
    assert decided(4, [*three, trial(3, {2: 0.9})]) == {1: True}
    assert decided(4, three, all_asked=False) == {1: True}
    assert decided(4, three[:1], all_asked=False) == {}


def test_a_trial_goes_on_as_soon_as_it_is_among_the_best_half_whoever_went_before():
    gone = trial(0, {3: 0.4, 4: 0.4}, waits=3, on="it was the better of two")
    two = [gone, trial(1, {3: 0.3}, waits=3)]
    assert decided(6, two, all_asked=False) == {}
    assert decided(6, [*two, trial(2, {3: 0.5}, waits=3)], all_asked=False) == {2: True}
    assert decided(6, [*two, trial(2, {3: 0.2}, waits=3), trial(3, {3: 0.1}, waits=3)], all_asked=False) == {1: True}


def test_those_that_go_on_stand_in_line_by_number_behind_those_that_run():
    on = {"waits": 3, "on": "it is among the best"}
    line = [trial(5, {3: 0.1}, **on), trial(2, {3: 0.9}, **on), trial(7, {3: 0.1, 4: 0.2}, **on), trial(8, {1: 0.1})]
    assert [one.number for one in sorted(line, key=turn)] == [7, 8, 2, 5]


def test_the_best_half_go_on_and_the_others_end_once_all_have_come():
    assert decided(4, waiting(0.1, 0.4, 0.3, 0.2)) == {1: True, 2: True, 3: False, 0: False}


def test_a_half_is_rounded_up_and_of_equals_the_earlier_goes_on():
    assert decided(3, waiting(0.3, 0.3, 0.3)) == {0: True, 1: True, 2: False}
    assert decided(1, waiting(0.3)) == {0: True}


def test_trials_of_two_students_are_not_compared():
    large = [trial(number, {3: 0.8}, waits=3, student="large") for number in (0, 1)]
    small = [trial(number, {3: 0.2}, waits=3, student="small") for number in (2, 3)]
    assert decided(4, [*large, *small]) == {0: True, 1: False, 2: True, 3: False}


def test_those_that_failed_on_the_way_are_not_waited_for():
    assert decided(4, [*waiting(0.1, 0.4), trial(2, {1: 0.9}, state=FAIL), trial(3, {}, state=FAIL)]) == {
        1: True,
        0: False,
    }


def test_a_driver_that_died_while_it_carried_out_the_verdicts_leaves_the_same_ones():
    """Of six the best three go on; one of them is told so, and one of the others has ended."""
    six = waiting(0.1, 0.6, 0.3, 0.5, 0.4, 0.2)
    six[1] = trial(1, {3: 0.6}, waits=3, on="it is among the best")
    six[2] = trial(2, {3: 0.3}, waits=3, state=PRUNED)
    assert decided(6, six) == {3: True, 4: True, 5: False, 0: False}


def test_the_second_rung_waits_for_those_that_went_on_from_the_first():
    """Four came to the first; two went on, of which one has come to the second."""
    ended = [trial(number, {3: 0.1}, waits=3, state=PRUNED) for number in (2, 3)]
    first = trial(0, {3: 0.4, 6: 0.5}, waits=6)
    assert decided(4, [first, trial(1, {3: 0.4}, waits=3, on="it is among the best"), *ended]) == {}
    assert decided(4, [first, trial(1, {3: 0.4, 6: 0.6}, waits=6), *ended]) == {1: True, 0: False}


def test_when_no_more_are_asked_for_those_that_wait_end_unless_nothing_is_whole():
    three = [*waiting(0.1, 0.4), trial(2, {3: 0.3, 6: 0.3}, waits=6)]
    assert decided(3, three, limit="100 steps are done.") == {2: True}  # it came furthest
    assert decided(3, [*three, trial(9, {3: 0.1})], limit="100 steps are done.") == {}  # it may yet be whole
    whole = trial(9, {STEPS: 0.2}, state=COMPLETE)
    assert decided(3, [*three, whole], limit="100 steps are done.") == {0: False, 1: False, 2: False}


def spec(**values):
    defaults = {
        "space": {"lambda_kd": {"low": 0.01, "high": 10.0, "log": True}},
        "base": {"steps": STEPS, "eval_every": 1},
        "enqueue": [{"lambda_kd": value} for value in (0.1, 0.6, 0.3, 0.5, 0.4, 0.2)],
        "num_trials": 18,
        "baseline_trials": 1,
        "sampler": "random",
        "pruner": "evidence",
        "pruner_options": {"pauses": 16, "min_resource": STEPS},  # nobody is stopped for another reason
    }
    return StudySpec.parse({**defaults, **values})


def curve(config):
    return [(step, config["lambda_kd"] / 20 + step / 100) for step in range(1, STEPS + 1)]


def run(tmp_path, study, *, workers=1, **options):
    arms = open_arms(study, tmp_path, data_digest="d")
    bridge = Bridge(arms.values(), grace=study.grace(STEPS), discard=options.pop("discard", lambda _: None))
    events = simulate(bridge, curve, workers=workers, **options)
    return arms["search"], bridge, events


@pytest.mark.parametrize("workers", [1, 4])
def test_a_third_of_the_trials_pause_and_a_quarter_of_those_are_whole(tmp_path, workers):
    """Six of 18, of which trials 1, 3, 4 go on from a third, and 1 and 3 (a half rounded up) from two thirds."""
    gone = []
    arm, bridge, events = run(tmp_path, spec(), workers=workers, discard=gone.append)
    trials = arm.trials()
    assert [one.last_step for one in trials] == [3, STEPS, 3, STEPS, 6, 3] + [STEPS] * 12
    assert [one.state for one in trials] == [PRUNED, COMPLETE, PRUNED, COMPLETE, PRUNED, PRUNED] + [COMPLETE] * 12
    assert not any(PAUSED_AT in one.user_attrs for one in trials[6:])
    assert trials[1].user_attrs[PAUSED_AT]["on"].endswith("among the best 1 of 2 trials of this student so far there")
    assert trials[4].user_attrs["reason"] == (  # 0.4 / 20 + 6 / 100
        "Paused at step 6 and never went on: its 8.00 % is not among the best 2 of 3 trials of this student there."
    )
    assert sorted(gone) == [f"trials/search-{number:05d}" for number in (0, 2, 4, 5)]
    assert bridge.num_open() == 0
    steps = Counter(event.config["lambda_kd"] for event in events if event.config["method"] != "task")
    assert [steps[one.params["lambda_kd"]] for one in trials[:6]] == [3, STEPS, 3, STEPS, 6, 3]  # none is run twice


def test_where_a_third_is_one_trial_none_pauses(tmp_path):
    arm, _, _ = run(tmp_path, spec(num_trials=5, enqueue=[]))
    assert [one.state for one in arm.trials()] == [COMPLETE] * 5
    assert not any(PAUSED_AT in one.user_attrs for one in arm.trials())


def test_no_trial_pauses_before_the_grace_period(tmp_path):
    arm, _, _ = run(tmp_path, spec(grace_period=5))
    ended = [one.last_step for one in arm.trials() if one.state == PRUNED]
    assert ended == [6, 6, 6]


def test_a_paused_trial_is_no_orphan_and_is_open_until_the_sweep_ends(tmp_path):
    study = spec(num_trials=9, enqueue=[])
    first = Bridge([open_arms(study, tmp_path, data_digest="d")["search"]], grace=1)
    begun = first.suggest("a")
    for step in (1, 2, 3):
        decision = first.report("a", {"step": step, "miou": 0.5, "seconds": float(step), "occupied_s": 2.0})
    assert decision == "STOP"
    first.on_trial_complete("a", result={"step": 3})
    arms = open_arms(study, tmp_path, data_digest="d")
    (paused,) = arms["search"].trials()
    assert (paused.state, paused.user_attrs["seconds"], paused.user_attrs["occupied_s"]) == (RUNNING, 3.0, 6.0)
    assert arms["search"].orphans() == []
    second = Bridge([arms["search"]], grace=1)
    assert second.num_open() == 9
    assert second.suggest("b")["directory"] == "trials/search-00001"  # what is new comes first
    for step in (1, 2, 3):
        second.report("b", {"step": step, "miou": 0.4, "occupied_s": 1.0})
    second.on_trial_complete("b")
    assert second.suggest("d") == begun  # the better of two goes on, the very same trial
    assert [one.state for one in arms["search"].trials()] == [RUNNING, RUNNING]
    for step in range(1, 7):  # it says its history again, as a resumed trial does
        decision = second.report("d", {"step": step, "miou": 0.5, "occupied_s": 1.0})
        assert decision == ("STOP" if step == 6 else "CONTINUE")
    assert arms["search"].trials()[0].user_attrs["occupied_s"] == 12.0


def test_a_sweep_that_is_resumed_without_pauses_leaves_no_trial_paused(tmp_path):
    first = Bridge([open_arms(spec(), tmp_path, data_digest="d")["search"]], grace=1)
    begun = first.suggest("a")
    for step in (1, 2, 3):
        first.report("a", {"step": step, "miou": 0.5})
    first.on_trial_complete("a")
    without = spec(pruner_options={"min_resource": STEPS}, total_steps=1)
    second = Bridge([arm := open_arms(without, tmp_path, data_digest="d")["search"]], grace=1)
    assert second.suggest("b") == begun
    for step in range(1, STEPS + 1):
        second.report("b", {"step": step, "miou": 0.5})
    assert arm.trials()[0].state == COMPLETE


def test_a_limit_counts_the_steps_of_paused_trials_and_leaves_none_of_them_running(tmp_path):
    """The student alone takes 9 steps, the first two trials of the search 3 each; then there may be no more."""
    arm, bridge, _ = run(tmp_path, spec(total_steps=15))
    limit = "21 steps are done; total_steps is 15."  # the better one of two has gone on to its end
    assert bridge.limit(arm) == limit
    asked = [one for one in arm.trials() if one.state != TrialState.WAITING]
    assert [one.state for one in asked] == [PRUNED, COMPLETE]
    assert asked[0].user_attrs["reason"] == f"Paused at step 3 and never went on: the sweep asks for no more: {limit}"
    assert bridge.num_open() == 0


def test_gpu_hours_count_what_paused_trials_have_held(tmp_path):
    study = spec(gpu_hours=0.5, num_trials=12)
    bridge = Bridge([arm := open_arms(study, tmp_path, data_digest="d")["search"]], grace=1, gpus=2.0)
    for name in "ab":
        bridge.suggest(name)
        for step in (1, 2, 3):
            bridge.report(name, {"step": step, "miou": 0.5, "occupied_s": 160.0})
        bridge.on_trial_complete(name)
    assert bridge.limit(arm).startswith("0.53 GPU-hours are spent")


def test_only_the_pruner_evidence_pauses_and_only_if_it_is_told_to(tmp_path):
    def first(role="search", **values):
        return open_arms(spec(**values), tmp_path, data_digest="d")[role].pauses.first

    assert first() == 6
    assert first(num_trials=60) == 16
    assert first(pruner_options={"pauses": 2}) == 2
    assert first(pruner_options={}) == 0
    assert first(pruner="hyperband", pruner_options={}) == 0
    assert first("baseline") == 0


def test_a_trial_that_is_to_pause_is_not_stopped_before_and_others_are(tmp_path):
    """By ASHA, which halves at steps 1, 2, 4, 8 until enough trials are whole."""
    study = spec(num_trials=12, enqueue=[], reduction_factor=2, grace_period=1, pruner_options={"pauses": 4})
    bridge = Bridge([arm := open_arms(study, tmp_path, data_digest="d")["search"]], grace=1)
    for number in range(6):
        bridge.suggest(str(number))
        decision = bridge.report(str(number), {"step": 1, "miou": 0.5 - 0.1 * number})
        assert decision == ("CONTINUE" if number < 4 else "STOP")
    assert [one.state for one in arm.trials()] == [RUNNING] * 4 + [PRUNED] * 2


@pytest.mark.parametrize(("whole", "decision"), [(1, "STOP"), (2, "CONTINUE")])
def test_once_enough_trials_are_whole_none_pauses(tmp_path, whole, decision):
    """Then the pruner judges them; here it asks for two whole trials."""
    study = spec(num_trials=12, pruner_options={"pauses": 4, "num_whole": 2, "min_resource": STEPS})
    bridge = Bridge([open_arms(study, tmp_path, data_digest="d")["search"]], grace=1)
    for number in range(whole):
        bridge.suggest(str(number))
        assert bridge.report(str(number), {"step": STEPS, "miou": 0.5}) == "STOP"
    bridge.suggest("last")
    assert bridge.report("last", {"step": 3, "miou": 0.5}) == decision

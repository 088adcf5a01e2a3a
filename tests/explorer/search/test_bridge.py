"""The bridge over real Ray Tune with a synthetic trainable: the storage must tell the truth about every trial."""

from __future__ import annotations

import math
import os

import pytest
from optuna.trial import TrialState
from ray import tune
from ray.exceptions import NodeDiedError
from ray.tune.schedulers import TrialScheduler

from explorer.launch.sweep import fit
from explorer.search.arms import open_arms
from explorer.search.bridge import Bridge
from explorer.search.deaths import Death

STEPS = 9


SPAN = {"miou_low": 0.2, "miou_high": 0.3}


def curve(lambda_kd, step):
    """mIoU of the synthetic trainable: best at lambda_kd = 0.3, rising with the step."""
    return 0.5 * math.exp(-((math.log10(lambda_kd / 0.3)) ** 2)) * (1 - 0.5**step)


def synthetic(params):
    config = params["config"]
    for step in range(1, config["steps"] + 1):
        tune.report(
            {"step": step, "miou": curve(config["lambda_kd"], step), "iou": [0.25], "seconds": float(step), **SPAN}
        )


def run(tmp_path, study, trainable, *, arms=None, max_failures=0):
    arms = arms or open_arms(study, tmp_path, data_digest="d")
    bridge = Bridge(arms.values(), grace=study.grace(STEPS), max_failures=max_failures)
    fit(bridge, trainable, tmp_path, {"cpu": 1}, 2)
    return arms


def test_every_state_and_every_value_is_true_after_a_pruned_sweep(ray_local, tmp_path, spec):
    arms = run(tmp_path, spec(), synthetic)

    fresh = open_arms(spec(), tmp_path, data_digest="d")  # what another process reads
    trials = fresh["search"].study.get_trials()
    assert len(trials) == 20
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert sum(trial.state == TrialState.PRUNED for trial in trials) >= 5
    for trial in trials:
        reported = len(trial.intermediate_values)
        expected = {step: curve(trial.params["lambda_kd"], step) for step in range(1, reported + 1)}
        assert trial.intermediate_values == pytest.approx(expected)
        if trial.state == TrialState.COMPLETE:
            assert reported == STEPS
            assert trial.value == pytest.approx(expected[STEPS])
        else:
            assert reported < STEPS
        assert trial.user_attrs["seconds"] == reported
        assert trial.user_attrs["ray_trial_id"]
        assert SPAN.items() <= trial.user_attrs.items()
    assert [trial.state for trial in arms["baseline"].study.get_trials()] == [TrialState.COMPLETE]


def test_under_ray_a_paused_trial_goes_on_or_ends_and_none_is_left(ray_local, tmp_path, spec):
    """Two of six pause at a third; the better one goes on, and pauses once more alone."""
    options = {"pauses": 2, "min_resource": STEPS}  # nobody is stopped for another reason
    run(tmp_path, spec(num_trials=6, pruner="evidence", pruner_options=options), synthetic)
    trials = open_arms(spec(), tmp_path, data_digest="d")["search"].study.get_trials()
    better, worse = sorted(trials[:2], key=lambda trial: -curve(trial.params["lambda_kd"], STEPS))
    assert better.user_attrs["paused_at"]["step"] == 6
    assert (worse.state, worse.last_step) == (TrialState.PRUNED, 3)
    assert {trial.state for trial in trials if trial is not worse} == {TrialState.COMPLETE}
    for trial in trials:
        expected = {step: curve(trial.params["lambda_kd"], step) for step in trial.intermediate_values}
        assert trial.intermediate_values == pytest.approx(expected)


NAN, REFUSED, CRASHED, KILLED = 1, 2, 3, 4  # trials of the search, and what befalls them; 0 and 5 run undisturbed


def fated(params, *, folder):
    role, number = params["directory"].removeprefix("trials/").rsplit("-", 1)
    fate = int(number) if role == "search" else None
    with (folder / f"calls-{role}-{number}").open("a") as calls:
        calls.write("x")
    if fate == REFUSED:
        tune.report({"step": 0, "miou": float("nan"), "failed": "r0.png is damaged."})
        return
    if fate == CRASHED:
        raise OSError("disk on fire")
    for step in range(1, STEPS + 1):
        if fate == KILLED and step == 4 and len((folder / f"calls-{role}-{number}").read_text()) == 1:
            os._exit(1)
        tune.report({"step": step, "miou": float("nan") if (fate, step) == (NAN, 3) else step / 10})


@pytest.fixture(scope="module")
def fates(ray_local, make_spec, tmp_path_factory):
    """(the search's trials, how often each was begun) of a sweep, on SQLite, in which each kind of end befalls one."""
    folder = tmp_path_factory.mktemp("fates")
    study = make_spec(num_trials=6, pruner="nop", storage="sqlite")
    run(folder, study, tune.with_parameters(fated, folder=folder), max_failures=1)
    trials = open_arms(study, folder, data_digest="d")["search"].study.get_trials()  # as another process reads them
    return trials, [len((folder / f"calls-search-{trial.number:05d}").read_text()) for trial in trials]


def test_a_nan_is_failed_at_once_with_its_reason(fates):
    trial = fates[0][NAN]
    assert trial.state == TrialState.FAIL
    assert trial.intermediate_values == pytest.approx({1: 0.1, 2: 0.2})
    assert trial.user_attrs["reason"] == "mIoU is nan at step 3."


def test_a_user_error_is_failed_with_its_sentence_and_not_retried(fates):
    trial = fates[0][REFUSED]
    assert (trial.state, trial.user_attrs["reason"]) == (TrialState.FAIL, "r0.png is damaged.")
    assert fates[1][REFUSED] == 1


def test_a_crashing_trial_is_failed_with_the_crash_and_the_others_go_on(fates):
    trials, begun = fates
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "FAIL", "FAIL", "COMPLETE", "COMPLETE"]
    assert "disk on fire" in trials[CRASHED].user_attrs["reason"]
    assert begun == [1, 1, 1, 2, 2, 1]  # max_failures is 1


def test_a_dead_worker_is_restarted_and_its_repeated_reports_count_once(fates):
    trial = fates[0][KILLED]
    assert trial.state == TrialState.COMPLETE
    assert trial.intermediate_values == pytest.approx({step: step / 10 for step in range(1, STEPS + 1)})


def test_an_interrupted_trial_is_adopted_with_its_number_config_and_reports(tmp_path, spec):
    study = spec(num_trials=3, pruner="nop")
    first = Bridge(open_arms(study, tmp_path, data_digest="d").values(), grace=1)
    assert first.num_open() == 4
    begun = {name: first.suggest(name) for name in ("a", "b")}
    first.report("b", {"step": 1, "miou": 0.1})
    first.on_trial_complete("b", result={"step": 1})  # a stop that is neither a pruning nor an end

    arms = open_arms(study, tmp_path, data_digest="d")
    second = Bridge(arms.values(), grace=1)
    assert second.num_open() == 4
    assert [second.suggest("c"), second.suggest("d")] == [begun["a"], begun["b"]]
    for name in ("c", "d"):
        for step in range(1, STEPS + 1):
            decision = second.report(name, {"step": step, "miou": step / 10})
        assert decision == TrialScheduler.STOP
    assert second.num_open() == 2
    assert second.suggest("e")["directory"] == "trials/search-00001"
    assert second.suggest("f")["directory"] == "trials/search-00002"
    assert second.suggest("g") is None  # e and f may come back
    adopted = arms["search"].study.get_trials()[0]
    assert adopted.intermediate_values == pytest.approx({step: step / 10 for step in range(1, STEPS + 1)})


def test_the_other_students_miou_and_every_skipped_file_are_told_once(tmp_path, spec):
    arms = open_arms(spec(num_trials=1, pruner="nop"), tmp_path, data_digest="d")
    bridge = Bridge([arms["search"]], grace=1)
    bridge.suggest("a")
    for step in range(1, STEPS + 1):
        skipped = {2: ["b.png"], 5: ["a.png", "b.png"]}.get(step, [])
        bridge.report("a", {"step": step, "miou": 0.5, "peer_miou": step / 100, "skipped": skipped})
    (trial,) = arms["search"].trials()
    assert trial.user_attrs["peer_miou"] == STEPS / 100
    assert trial.user_attrs["skipped"] == ["b.png", "a.png"]


def test_a_trial_without_another_student_or_skipped_files_says_nothing_of_them(tmp_path, spec):
    arms = open_arms(spec(num_trials=1, pruner="nop"), tmp_path, data_digest="d")
    bridge = Bridge([arms["search"]], grace=1)
    bridge.suggest("a")
    bridge.report("a", {"step": STEPS, "miou": 0.5, "peer_miou": None, "peer_iou": None, "skipped": []})
    assert not {"peer_miou", "peer_iou", "skipped"} & set(arms["search"].trials()[0].user_attrs)


def test_a_crash_loop_is_failed_after_max_failures_and_progress_starts_the_count_anew(tmp_path, spec):
    arms = open_arms(spec(num_trials=1, pruner="nop"), tmp_path, data_digest="d")
    bridge = Bridge([arms["search"]], grace=1, max_failures=2)
    for attempt, reached in enumerate([2, 2, 3, 3, 3]):  # twice at step 2, then one step on, then stuck there
        name = str(attempt)
        bridge.suggest(name)
        for step in range(1, reached + 1):
            bridge.report(name, {"step": step, "miou": 0.5})
        bridge.note_death(name, Death(RuntimeError("OSError: disk on fire")))
        bridge.on_trial_complete(name, error=True)
    (trial,) = arms["search"].trials()
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["reason"] == "crashed 3 times at step 3: OSError: disk on fire"
    assert trial.intermediate_values == {1: 0.5, 2: 0.5, 3: 0.5}
    assert bridge.suggest("last") == "FINISHED"


def test_crashes_are_counted_across_drivers(tmp_path, spec):
    for driver in range(3):
        arms = open_arms(spec(num_trials=1, pruner="nop"), tmp_path, data_digest="d")
        bridge = Bridge([arms["search"]], grace=1, max_failures=2)
        bridge.suggest(str(driver))
        bridge.on_trial_complete(str(driver), error=True)
        bridge.live.clear()
    assert arms["search"].trials()[0].user_attrs["reason"] == "crashed 3 times at step 0: the worker died"


def test_a_lost_node_is_not_counted(tmp_path, spec):
    arms = open_arms(spec(num_trials=1, pruner="nop"), tmp_path, data_digest="d")
    bridge = Bridge([arms["search"]], grace=1, max_failures=0)
    for attempt in range(5):
        assert bridge.suggest(str(attempt))["directory"] == "trials/search-00000"
        bridge.note_death(str(attempt), Death(NodeDiedError("The node has died.")))
        bridge.on_trial_complete(str(attempt), error=True)
    assert arms["search"].trials()[0].state == TrialState.RUNNING
    assert bridge.num_open() == 1


def test_a_full_disk_ends_the_sweep_and_leaves_its_trials_to_go_on(tmp_path, spec):
    arms = open_arms(spec(num_trials=3, pruner="nop"), tmp_path, data_digest="d")
    bridge = Bridge([arms["search"]], grace=1, max_failures=0)
    bridge.suggest("a")
    bridge.suggest("b")
    assert bridge.report("a", {"step": 0, "miou": math.nan, "interrupted": "The disk is full."}) == TrialScheduler.STOP
    assert bridge.report("b", {"step": 1, "miou": 0.5}) == TrialScheduler.STOP
    for name in ("a", "b"):
        bridge.on_trial_complete(name)
    assert bridge.suggest("c") == "FINISHED"
    assert bridge.interrupted == "The disk is full."
    states = [trial.state for trial in open_arms(spec(num_trials=3), tmp_path, data_digest="d")["search"].trials()]
    assert states == [TrialState.RUNNING, TrialState.RUNNING]
    assert bridge.num_open() == 3


@pytest.mark.parametrize("when", ["suggest", "report", "complete"])
def test_a_storage_that_fails_interrupts_and_what_it_did_not_take_did_not_happen(tmp_path, when, spec):
    arms = open_arms(spec(num_trials=2, pruner="nop"), tmp_path, data_digest="d")
    bridge = Bridge([arms["search"]], grace=1, max_failures=0)
    bridge.suggest("a")
    bridge.report("a", {"step": 1, "miou": 0.5})
    with pytest.MonkeyPatch.context() as patch:

        def full(*_):
            raise OSError(28, "No space left on device")

        patch.setattr(type(arms["search"].study._storage), "_write_log", full)
        if when == "suggest":
            assert bridge.suggest("b") == "FINISHED"
        elif when == "report":
            assert bridge.report("a", {"step": 2, "miou": 0.5}) == TrialScheduler.STOP
        else:
            bridge.on_trial_complete("a", error=True)
    assert "No space left on device" in bridge.interrupted
    (trial,) = open_arms(spec(num_trials=2), tmp_path, data_digest="d")["search"].trials()
    assert (trial.state, trial.intermediate_values) == (TrialState.RUNNING, {1: 0.5})


def test_repeated_results_are_not_judged_again(tmp_path, spec):
    """A trial that reports its history anew must not be pruned by what its peers have done since."""
    arms = open_arms(spec(num_trials=9, pruner="median", sampler="random"), tmp_path, data_digest="d")
    bridge = Bridge([arms["search"]], grace=1)
    bridge.suggest("slow")
    for step in (1, 2):
        assert bridge.report("slow", {"step": step, "miou": 0.1}) == TrialScheduler.CONTINUE
    for number in range(6):
        bridge.suggest(str(number))
        for step in range(1, STEPS + 1):
            bridge.report(str(number), {"step": step, "miou": 0.5})
    again = Bridge([open_arms(spec(num_trials=9, pruner="median"), tmp_path, data_digest="d")["search"]], grace=1)
    again.suggest("slow")
    assert again.report("slow", {"step": 1, "miou": 0.1}) == TrialScheduler.CONTINUE
    decision = again.report("slow", {"step": 2, "miou": 0.1, "seconds": 2.0})
    assert decision == TrialScheduler.STOP  # judged where it stands, with what is known now
    assert arms["search"].study.get_trials()[0].user_attrs["seconds"] == 2.0


@pytest.mark.parametrize("pruner", ["hyperband", "successivehalving", "median"])
def test_a_small_student_is_not_pruned_for_being_smaller(tmp_path, pruner, spec):
    study = spec(
        space={"student": ["segformer:mit_b0", "fpn:tu-mobilenetv3_small_050"]},
        sampler="random",
        pruner=pruner,
        reduction_factor=2,
        num_trials=20,
    )
    arms = open_arms(study, tmp_path, data_digest="d")
    bridge = Bridge([arms["search"]], grace=1)
    decisions = {}
    for number in range(20):
        name = str(number)
        student = bridge.suggest(name)["config"]["student"]
        level = 0.8 if student == "segformer:mit_b0" else 0.2  # all trials of a student are alike
        for step in range(1, STEPS + 1):
            decision = bridge.report(name, {"step": step, "miou": level})
            if decision == TrialScheduler.STOP:
                break
        decisions.setdefault(student, []).append(arms["search"].study.get_trials()[number].state)

    small = decisions["fpn:tu-mobilenetv3_small_050"]
    assert len(small) >= 5
    assert set(small) == {TrialState.COMPLETE}


def test_a_told_trial_is_stopped_not_told_again(tmp_path, spec):
    arms = open_arms(spec(num_trials=1), tmp_path, data_digest="d")
    bridge = Bridge([arms["search"]], grace=1)
    bridge.suggest("a")
    assert bridge.report("a", {"step": STEPS, "miou": 0.5}) == TrialScheduler.STOP
    assert bridge.report("a", {"step": STEPS + 1, "miou": 0.9}) == TrialScheduler.STOP
    bridge.on_trial_complete("a", error=True)
    (trial,) = arms["search"].study.get_trials()
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.5)


def test_tunes_copy_of_the_bridge_holds_no_storage(tmp_path, spec):
    import pickle

    bridge = Bridge(open_arms(spec(), tmp_path, data_digest="d").values(), grace=1)
    assert b"study" not in pickle.dumps(bridge)


def test_optuna_sees_what_was_reported_when_it_samples(tmp_path, spec):
    """TPE must learn from pruned trials as pruned: no COMPLETE trial may hold fewer values than its budget."""
    arms = open_arms(spec(num_trials=12, pruner="successivehalving", reduction_factor=2), tmp_path, data_digest="d")
    bridge = Bridge([arms["search"]], grace=1)
    for number in range(12):
        config = bridge.suggest(str(number))["config"]
        for step in range(1, STEPS + 1):
            if bridge.report(str(number), {"step": step, "miou": curve(config["lambda_kd"], step)}) == "STOP":
                break
    complete = arms["search"].study.get_trials(states=(TrialState.COMPLETE,))
    assert all(len(trial.intermediate_values) == STEPS for trial in complete)


def test_a_grid_is_tried_whole_and_ends(tmp_path, spec):
    grid = {"lambda_kd": [0.1, 1.0], "lambda_hakd": [1.0, 10.0]}
    arms = open_arms(spec(sampler="grid", space=grid, num_trials=4), tmp_path, data_digest="d")
    bridge = Bridge([arms["search"]], grace=1)
    points = set()
    for number in range(4):
        config = bridge.suggest(str(number))["config"]
        points.add((config["lambda_kd"], config["lambda_hakd"]))
        bridge.report(str(number), {"step": STEPS, "miou": 0.5})
    assert points == {(0.1, 1.0), (0.1, 10.0), (1.0, 1.0), (1.0, 10.0)}
    assert bridge.suggest("4") == "FINISHED"
    assert {trial.state for trial in arms["search"].study.get_trials()} == {TrialState.COMPLETE}


def test_baselines_are_never_pruned(tmp_path, spec):
    study = spec(space={"lr": {"low": 1e-4, "high": 1e-2, "log": True}}, num_trials=9, baseline_trials=None)
    arm = open_arms(study, tmp_path, data_digest="d")["baseline"]
    bridge = Bridge([arm], grace=1)
    for number in range(9):
        bridge.suggest(str(number))
        for step in range(1, STEPS + 1):
            bridge.report(str(number), {"step": step, "miou": 0.9 - number / 10})  # each worse than all before
    assert {trial.state for trial in arm.study.get_trials()} == {TrialState.COMPLETE}

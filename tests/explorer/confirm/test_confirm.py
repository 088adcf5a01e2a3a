"""A confirmation: who is run again on which seeds, never twice, and what is said of it and shipped."""

from __future__ import annotations

import math
import shutil

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from dashboards.frames import COLUMNS
from explorer.confirm import plan
from explorer.confirm import run as confirm_run
from explorer.results import confirmed as confirm
from explorer.results import confirmed_runs
from explorer.results.confirmed_runs import score_key
from explorer.results.trials import load_frames, load_studies
from explorer.search.arms import open_arms, trial_directory
from explorer.search.bridge import Bridge
from explorer.search.groups import GroupBridge
from trainables.errors import StudyError
from trainables.preflight.check import Preflight

STEPS = 9


@pytest.fixture
def searched(spec, tmp_path):
    """Makes a study whose search trials, and students alone, ended with the given mIoU: (spec, its studies)."""

    def make(search, alone=(0.3,), **values):
        study = spec(**{"num_trials": len(search), "baseline_trials": len(alone), "owner": "us", **values})
        study.save(tmp_path)
        arms = open_arms(study, tmp_path, data_digest="d")
        for arm, scores in ((arms["baseline"], alone), (arms["search"], search)):
            for score in scores:
                trial, _ = arm.ask()
                state = TrialState.FAIL if score is None else TrialState.COMPLETE
                arm.tell(trial, state, miou=score)
        return study, load_studies(tmp_path)[1]

    return make


def begin(study, studies, *, top=5, seeds=3, split="val"):
    """Ask for a confirmation; nothing is run."""
    asked = plan.request(study, studies, top=top, num_seeds=seeds)
    return plan.open_arm(study, studies, asked, top=top, split=split)


def run(arm, score, bridge=None):
    """Run all that is open as Tune would, with mIoU by (attributes of the run)."""
    bridge = bridge or Bridge([arm], grace=1)
    count = 0
    while isinstance(bridge.suggest(f"t{count}"), dict):
        found = score(bridge.live[f"t{count}"].trial.user_attrs)
        for step in range(1, STEPS + 1):
            nan = found is None
            bridge.report(f"t{count}", {"step": step, "miou": math.nan if nan else found * step / STEPS})
        bridge.on_trial_complete(f"t{count}")
        count += 1
    return count


def pairs(study):
    """(first search trial or student alone, seed) of each run, in the order of the runs."""
    return [
        (told["sources"][0] if told["part"] == "finalist" else "alone", told["seed"])
        for told in (trial.user_attrs for trial in study.get_trials())
    ]


def test_the_best_configs_and_their_student_alone_run_on_fresh_seeds_seed_by_seed(searched):
    study, studies = searched([0.2, 0.5, 0.4, None], seeds=[0, 1000])
    arm = begin(study, studies, top=2, seeds=2)
    assert pairs(arm.study) == [(1, 1001), (2, 1001), ("alone", 1001), (1, 1002), (2, 1002), ("alone", 1002)]
    source = studies["search"].get_trials()[1].user_attrs["config"]
    told = arm.study.get_trials()[0].user_attrs
    assert told["config"] == {**source, "seed": 1001}
    assert told["budget"] == STEPS
    assert told["pair"] == studies["search"].get_trials()[1].user_attrs["pair"]


def test_two_seeds_of_one_config_are_one_finalist_with_their_mean(searched):
    """Trials take the seeds in turn: each of these points runs on both, and the luckiest trial is not of the best."""
    points = [{"lambda_kd": value} for value in (0.1, 0.1, 1.0, 1.0)]
    study, studies = searched([0.9, 0.1, 0.6, 0.7], seeds=[0, 1], enqueue=points)
    found = plan.request(study, studies, top=5, num_seeds=1).finalists
    assert [one.sources for one in found] == [[3, 2], [0, 1]]
    assert [one.miou for one in found] == pytest.approx([0.65, 0.5])


def test_the_matched_student_alone_is_the_best_of_its_own(searched):
    study, studies = searched([0.5], alone=(0.2, 0.45, 0.4), space={"lr": {"low": 1e-4, "high": 1e-2, "log": True}})
    alone = plan.request(study, studies, top=1, num_seeds=1).alone
    tuned = studies["baseline"].get_trials()[1]
    (found,) = alone.values()
    assert (found.sources, found.config.lr) == ([1], tuned.params["lr"])


def test_nothing_runs_twice_and_more_seeds_are_added(searched):
    study, studies = searched([0.2, 0.5, 0.4])
    arm = begin(study, studies, top=2, seeds=2)
    assert run(arm, lambda told: 0.5) == 6
    again = begin(study, studies, top=2, seeds=2)
    assert (run(again, lambda told: 0.5), len(again.study.get_trials())) == (0, 6)
    more = begin(study, studies, top=3, seeds=3)
    assert run(more, lambda told: 0.5) == 3 * 1 + 2 + 1  # third seed of three, two seeds of the third finalist, ...
    assert len(set(pairs(more.study))) == len(more.study.get_trials()) == 12


def test_no_run_is_pruned_however_bad(searched):
    study, studies = searched([0.5, 0.4])
    arm = begin(study, studies)
    run(arm, lambda told: 0.9 if told["part"] == "alone" else 0.01)
    assert {trial.state for trial in arm.study.get_trials()} == {TrialState.COMPLETE}
    assert all(len(trial.intermediate_values) == STEPS for trial in arm.study.get_trials())


def test_a_killed_driver_leaves_its_runs_to_the_next(searched):
    study, studies = searched([0.5, 0.4])
    bridge = Bridge([begin(study, studies, seeds=2)], grace=1)
    first, _ = bridge.suggest("a"), bridge.suggest("b")
    bridge.report("a", {"step": 1, "miou": 0.1})  # and here it dies
    arm = begin(study, studies, seeds=2)
    assert arm.num_open() == 6
    again = Bridge([arm], grace=1)
    assert again.suggest("c") == first
    again = Bridge([begin(study, studies, seeds=2)], grace=1)
    assert run(arm, lambda told: 0.5, again) == 6
    assert [trial.state.name for trial in arm.study.get_trials()] == ["COMPLETE"] * 6


def test_runs_of_one_teacher_and_seed_meet_in_groups(searched):
    study, studies = searched([0.5, 0.4, 0.3], group_size=4)
    arm = begin(study, studies, seeds=2)
    bridge = GroupBridge([arm], size=4, post=lambda *_: None, grace=1)
    members = bridge.suggest("h")["members"]
    assert [(m["config"]["method"], m["config"]["seed"]) for m in members] == [("heteroakd", 1000)] * 3


@pytest.fixture
def confirmed(searched, tmp_path):
    """Makes a confirmed study: score(search trial or "alone", seed) on val; on test it is a tenth less, give or take as
    much over images.
    """

    def make(search, score, *, seeds=4, split="val", top=5, images=True, **values):
        study, studies = searched(search, **values)
        arm = begin(study, studies, seeds=seeds, split=split, top=top)
        run(arm, lambda told: score("alone" if told["part"] == "alone" else told["sources"][0], told["seed"]))
        for trial in arm.study.get_trials(states=[TrialState.COMPLETE]):
            found = {"miou": trial.value - 0.1, "iou": [0.1]}
            found |= {"miou_low": trial.value - 0.2, "miou_high": trial.value} if images else {}
            arm.study.set_user_attr(score_key("test", trial.number), found)
        return study, confirm.frame(study, studies), confirm.choice(study, tmp_path)

    return make


WOBBLE = {1000: 0.01, 1001: -0.01, 1002: 0.02, 1003: -0.02}
"""What a seed does to every config alike; what it does to one is its sign, smaller."""


def scored(means):
    noise = {name: 0.002 * np.random.default_rng(place).standard_normal(4) for place, name in enumerate(means)}
    return lambda name, seed: means[name] + WOBBLE[seed] + noise[name][seed - 1000]


def test_the_table_says_by_hand_what_fresh_seeds_said(confirmed, tmp_path):
    score = scored({0: 0.40, 1: 0.50, "alone": 0.30})
    study, rows, _ = confirmed([0.45, 0.44], score, split="test")
    assert list(rows.columns) == list(COLUMNS["confirmed"])
    assert rows["number"].tolist() == [1, 0]
    best = np.array([score(1, seed) for seed in WOBBLE])
    alone = np.array([score("alone", seed) for seed in WOBBLE])
    row = rows.iloc[0]
    t = 2.353363  # of Student's t, 0.95, 3 degrees of freedom, from a table
    assert (row["miou"], row["val_miou"]) == pytest.approx((best.mean() - 0.1, best.mean()))
    assert row["curse"] == pytest.approx(0.44 - best.mean())
    assert row["miou_high"] - row["miou"] == pytest.approx(t * best.std(ddof=1) / 2, rel=1e-5)
    assert row["gain"] == pytest.approx((best - alone).mean())
    assert row["gain"] - row["gain_low"] == pytest.approx(t * (best - alone).std(ddof=1) / 2, rel=1e-5)
    assert (row["split"], row["num_seeds"]) == ("test", 4)
    assert (row["images_low"], row["images_high"]) == pytest.approx((best.mean() - 0.2, best.mean()))
    assert confirmed_runs.num_open(confirm.open_study(study, tmp_path)) == 0


def test_scores_of_a_release_without_intervals_over_images_have_none(confirmed):
    score = scored({0: 0.40, 1: 0.50, "alone": 0.30})
    _, rows, _ = confirmed([0.45, 0.44], score, split="test", images=False)
    assert rows[["images_low", "images_high"]].isna().all(axis=None)
    assert rows["miou_low"].notna().all()


def test_a_clear_winner_is_named_and_shipped_with_its_median_weights(confirmed):
    score = scored({0: 0.40, 1: 0.50, 2: 0.41, "alone": 0.30})
    _, rows, choice = confirmed([0.45, 0.44, 0.43], score)
    assert rows["winner"].tolist() == [True, False, False]
    assert (choice.number, choice.separable, choice.winner) == (1, True, True)
    assert "told apart from every other finalist" in choice.sentences[0]
    by_score = sorted(WOBBLE, key=lambda seed: score(1, seed))
    assert choice.seed == choice.config["seed"] == by_score[1]  # the lower one of the two in the middle
    assert choice.val_miou == pytest.approx(score(1, choice.seed))
    assert choice.baseline_miou == pytest.approx(score("alone", choice.seed))
    assert choice.directory == trial_directory("confirmed", choice.run)


def test_finalists_within_noise_are_listed_and_the_best_mean_recommended(confirmed):
    score = scored({0: 0.4000, 1: 0.4002, 2: 0.20, "alone": 0.10})
    _, rows, choice = confirmed([0.45, 0.44, 0.43], score)
    assert not rows["winner"].any()
    best, other = rows["number"][:2]
    assert (choice.number, choice.separable) == (best, False)
    assert f"Not separable: trials {best}, {other} are within noise." in choice.sentences[0]
    assert rows["reason"][0] == f"not told apart from trial {other}"
    assert rows["reason"][2].startswith(f"below trial {best}")


def test_the_best_finalist_is_no_winner_when_the_student_alone_is_as_good(confirmed):
    _, rows, choice = confirmed([0.45, 0.44], scored({0: 0.40, 1: 0.50, "alone": 0.501}))
    assert (choice.separable, choice.winner, rows["winner"].any()) == (True, False, False)
    assert "Distillation is not shown to help" in choice.sentences[1]
    assert rows["reason"][0] == "not shown to beat the student alone"


def test_without_a_student_alone_no_gain_is_claimed(confirmed):
    _, rows, choice = confirmed([0.45, 0.44], scored({0: 0.40, 1: 0.50}), alone=(None,))
    assert rows["gain"].isna().all()
    assert not choice.winner
    assert rows["reason"][0] == "no student alone to compare with"


def test_a_finalist_with_failed_runs_is_ranked_last_and_not_recommended(confirmed):
    score = scored({0: 0.40, 1: 0.50, "alone": 0.30})
    _, rows, choice = confirmed(
        [0.45, 0.44], lambda name, seed: None if (name, seed) == (1, 1002) else score(name, seed)
    )
    assert rows["number"].tolist() == [0, 1]
    assert rows["reason"][1] == "1 of 4 runs failed, so its mean is not one over seeds; confirm again to repeat them"
    assert choice.number == 0


def test_where_every_finalist_has_failed_runs_none_is_shipped(confirmed):
    score = scored({0: 0.40, 1: 0.50, "alone": 0.30})
    _, rows, choice = confirmed(
        [0.45, 0.44], lambda name, seed: None if name != "alone" and seed == 1002 else score(name, seed)
    )
    assert choice is None
    assert len(rows) == 2
    assert not rows["winner"].any()


def test_a_failed_run_is_tried_again_and_then_counts(searched):
    study, studies = searched([0.5, 0.4])
    failing = begin(study, studies, seeds=2)
    run(
        failing, lambda told: None if (told["part"], told["sources"][0], told["seed"]) == ("finalist", 0, 1001) else 0.5
    )
    again = begin(study, studies, seeds=2)
    assert run(again, lambda told: 0.5) == 1
    rows = confirm.frame(study, studies)
    assert rows["num_seeds"].tolist() == [2, 2]
    assert not rows["reason"].str.contains("failed").any()


def test_while_runs_are_open_nobody_has_won(searched, tmp_path):
    """Of one finalist all is there, of two that were added later nothing: the first is not the only one."""
    study, studies = searched([0.5, 0.4, 0.3])
    run(begin(study, studies, top=1), lambda told: 0.5 + WOBBLE[told["seed"]] - (0.3 if told["part"] == "alone" else 0))
    assert confirm.frame(study, studies)["winner"].tolist() == [True]
    begin(study, studies, top=3)
    choice = confirm.choice(study, tmp_path)
    assert (choice.winner, choice.separable, choice.num_open) == (False, False, 6)
    assert choice.sentences[0].startswith("6 runs are open, so nothing is settled. So far trial 0 has the best mean")
    assert confirm.frame(study, studies)["reason"][0] == "6 runs are open"


def test_scores_on_val_are_said_not_to_be_independent(confirmed):
    score = scored({0: 0.40, 1: 0.50, "alone": 0.30})
    assert "not independent" in confirmed([0.45, 0.44], score)[2].sentences[-1]


def test_one_fresh_seed_tells_nothing_apart(confirmed):
    _, rows, choice = confirmed([0.45, 0.44], scored({0: 0.40, 1: 0.50, "alone": 0.30}), seeds=1)
    assert rows["miou_low"].isna().all()
    assert not choice.separable
    assert "one fresh seed" in choice.sentences[0]


def test_earlier_finalists_stay_in_the_table(searched, tmp_path):
    """Who confirms five, looks, and then confirms the best two must not get an easier test."""
    study, studies = searched([0.5, 0.4, 0.3])
    run(begin(study, studies, top=3), lambda told: 0.5)
    run(begin(study, studies, top=1), lambda told: 0.5)
    assert len(confirm.frame(study, studies)) == 3


def test_a_study_that_was_never_confirmed_has_an_empty_table_and_no_choice(searched, tmp_path):
    study, studies = searched([0.5])
    assert confirm.frame(study, studies).empty
    assert confirm.choice(study, tmp_path) is None
    assert load_frames(tmp_path, analyse=False).confirmed.empty


def test_a_search_without_a_complete_trial_is_refused(searched):
    study, studies = searched([None])
    with pytest.raises(StudyError, match="nothing to confirm"):
        begin(study, studies)


def test_another_sweeps_confirmation_of_that_name_is_left_alone(searched, tmp_path):
    study, studies = searched([0.5])
    optuna.create_study(study_name="study (confirmed)", storage=studies["search"]._storage).set_user_attr(
        "identity", {"owner": "them"}
    )
    assert confirm.frame(study, studies).empty
    with pytest.raises(StudyError, match="another sweep"):
        begin(study, studies)


def test_hostile_attributes_give_a_table_or_none(searched, tmp_path):
    study, studies = searched([0.5, 0.4])
    arm = begin(study, studies)
    run(arm, lambda told: 0.5)
    for name in (confirmed_runs.ALONE, confirmed_runs.ASKED, confirmed_runs.FINALISTS):
        for bad in ("<script>", [1], {"<b>": {"x": 1}, "split": ["<b>"]}, None, 3):
            arm.study.set_user_attr(name, bad)
            confirm.frame(study, studies)
            confirm.choice(study, tmp_path)


def test_a_changed_data_set_is_not_confirmed_on(searched, monkeypatch):
    study, studies = searched([0.5])
    asked = plan.request(study, studies, top=1, num_seeds=1)
    monkeypatch.setattr(confirm_run, "preflight", lambda _: Preflight("another", {}, []))
    with pytest.raises(StudyError, match="has changed since the sweep"):
        confirm_run._checked(asked, studies["search"], None)


def test_a_set_without_a_test_split_is_scored_on_val_unless_test_is_asked_for(
    searched, tiny_data, tmp_path, monkeypatch
):
    data = shutil.copytree(tiny_data, tmp_path / "data")
    for kind in ("images", "labels"):
        shutil.rmtree(data / kind / "test")
    study, studies = searched([0.5], base={"steps": STEPS, "eval_every": 1, "data": str(data)})
    asked = plan.request(study, studies, top=1, num_seeds=1)
    monkeypatch.setattr(confirm_run, "preflight", lambda _: Preflight("d", {}, []))
    assert confirm_run._checked(asked, studies["search"], None) == "val"
    with pytest.raises(ValueError, match="split 'test' is missing"):
        confirm_run._checked(asked, studies["search"], "test")

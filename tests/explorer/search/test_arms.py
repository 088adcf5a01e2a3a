"""What an arm asks for: seeds, points, probes and baselines, and what it is told when a driver has died."""

from __future__ import annotations

from contextlib import suppress

import pytest
from optuna.trial import TrialState

from explorer.search.arms import open_arms
from explorer.study import StudySpec

STEPS = 9


@pytest.mark.parametrize("storage", ["journal", "sqlite"])
@pytest.mark.parametrize("writes", range(12))
def test_a_trial_whose_driver_died_while_describing_it_is_described_as_it_would_have_been(
    tmp_path, storage, writes, spec
):
    study = spec(
        storage=storage,
        num_trials=2,
        space={"lambda_kd": {"low": 0.01, "high": 10.0, "log": True}, "temperature": {"low": 1.0, "high": 8.0}},
    )
    (tmp_path / "whole").mkdir()
    expected, _ = open_arms(study, tmp_path / "whole", data_digest="d")["search"].ask()
    arms = open_arms(study, tmp_path, data_digest="d")
    with pytest.MonkeyPatch.context() as patch:
        allowed = iter(range(writes))

        def dies(method):
            def call(self, *arguments, **named):
                if next(allowed, None) is None:
                    raise KeyboardInterrupt
                return method(self, *arguments, **named)

            return call

        kind = type(arms["search"].study._storage)
        for name in ("create_new_trial", "set_trial_param", "set_trial_user_attr"):
            patch.setattr(kind, name, dies(getattr(kind, name)))
        with suppress(KeyboardInterrupt):
            arms["search"].ask()

    again = open_arms(study, tmp_path, data_digest="d")["search"]
    (adopted,) = again.orphans() or [again.ask()[0]]
    assert adopted.number == 0
    assert adopted.params == expected.params
    assert adopted.user_attrs["config"] == expected.user_attrs["config"]
    assert again.remaining() == 1


def test_what_would_falsify_a_resumed_study_is_refused(tmp_path, spec):
    open_arms(spec(owner="a"), tmp_path, data_digest="d", new=True)
    for other, said in [({"objectives": ["miou", "gmac"]}, "another objectives"), ({"owner": "b"}, "already holds")]:
        with pytest.raises(ValueError, match=said):
            open_arms(spec(**{"owner": "a", **other}), tmp_path, data_digest="d")
    with pytest.raises(ValueError, match="already holds"):
        open_arms(spec(owner="a"), tmp_path, data_digest="d", new=True)


def test_more_seeds_at_resume_give_every_student_its_own_baselines(tmp_path, spec):
    students = ["segformer:mit_b0", "fpn:resnet18", "fpn:tu-mobilenetv3_small_050"]
    asked = []
    for seeds in ([0], [0, 1, 2]):
        study = spec(space={"student": students}, seeds=seeds, baseline_trials=None)
        arm = open_arms(study, tmp_path, data_digest="d")["baseline"]
        asked += [arm.ask()[1] for _ in range(arm.remaining())]
    assert [(config.student, config.seed) for config in asked] == [(s, n) for n in range(3) for s in students]


def test_more_trials_at_resume_bring_no_more_probes(tmp_path, spec):
    probes = 0
    for trials in (20, 40):
        arm = open_arms(spec(num_trials=trials, probes=4, sampler="random"), tmp_path, data_digest="d")["search"]
        for _ in range(arm.remaining()):
            trial, _ = arm.ask()
            arm.tell(trial, TrialState.COMPLETE, miou=0.5)
            probes += bool(trial.user_attrs.get("probe"))
    assert probes == 4


def test_seeds_are_shared_by_search_and_baseline(tmp_path, spec):
    study = spec(
        seeds=[3, 5], num_trials=4, baseline_trials=None, space={"student": ["segformer:mit_b0", "fpn:resnet18"]}
    )
    arms = open_arms(study, tmp_path, data_digest="d")
    assert arms["baseline"].num_trials == 4
    baselines = [arms["baseline"].ask()[1] for _ in range(4)]
    assert [(config.student, config.seed) for config in baselines] == [
        ("segformer:mit_b0", 3),
        ("fpn:resnet18", 3),
        ("segformer:mit_b0", 5),
        ("fpn:resnet18", 5),
    ]
    assert {config.method for config in baselines} == {"task"}
    assert [arms["search"].ask()[1].seed for _ in range(4)] == [3, 5, 3, 5]


def test_a_tuned_baseline_gets_as_many_trials_as_the_search(tmp_path, spec):
    study = spec(space={"lr": {"low": 1e-4, "high": 1e-2, "log": True}}, num_trials=7, baseline_trials=None)
    baseline = open_arms(study, tmp_path, data_digest="d")["baseline"]
    assert baseline.num_trials == 7
    assert set(baseline.space.dimensions) == {"student", "lr"}


def test_enqueued_points_come_first(tmp_path, spec):
    study = spec(enqueue=[{"lambda_kd": 0.1}, {"lambda_kd": 1.0}])
    arms = open_arms(study, tmp_path, data_digest="d")
    assert [arms["search"].ask()[1].lambda_kd for _ in range(2)] == [0.1, 1.0]


def test_a_storage_of_another_space_is_refused(tmp_path, spec):
    open_arms(spec(), tmp_path, data_digest="d")
    other = spec(space={"lambda_kd": {"low": 0.1, "high": 10.0, "log": True}})
    with pytest.raises(ValueError, match="another space"):
        open_arms(other, tmp_path, data_digest="d")
    with pytest.raises(ValueError, match="another data"):
        open_arms(spec(), tmp_path, data_digest="e")


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_resumed_sweep_does_not_draw_the_same_trials_again(tmp_path, sampler, spec):
    drawn = []
    for _ in range(2):  # two drivers of one study
        arms = open_arms(spec(sampler=sampler), tmp_path, data_digest="d")
        for _ in range(3):
            trial, config = arms["search"].ask()
            arms["search"].tell(trial, TrialState.COMPLETE, miou=0.5)
            drawn.append(config.lambda_kd)
    assert len(set(drawn)) == 6


def test_a_new_sweep_does_not_join_a_study_that_the_storage_holds(tmp_path, spec):
    open_arms(spec(), tmp_path, data_digest="d", new=True)["search"].ask()
    with pytest.raises(ValueError, match="already holds study 'study'"):
        open_arms(spec(), tmp_path, data_digest="d", new=True)


def test_a_teacher_is_trained_as_the_students_save_for_what_is_said(tmp_path, spec):
    study = spec(base={"steps": STEPS, "crop_height": 64, "pretrained": True, "teacher_recipe": {"steps": 50}})
    _, config = open_arms(study, tmp_path, data_digest="d")["search"].ask()
    taught = config.teacher_recipe
    assert (taught.steps, taught.crop_height, taught.pretrained, taught.seed) == (50, 64, True, 0)


def test_a_presets_points_outside_the_users_space_are_dropped():
    pairing = StudySpec.parse({"preset": "pairing", "base": {"pair": "r18:mit_b0"}})
    assert len(pairing.enqueue) == len({str(point) for point in pairing.enqueue}) <= 1
    narrow = StudySpec.parse({"preset": "lambdas", "space": {"lambda_kd": [0.1, 0.2]}})
    assert narrow.enqueue == [{"lambda_kd": 0.1}]

"""What a study takes over from an earlier one, and what it refuses."""

from __future__ import annotations

import pytest
from optuna.trial import TrialState

from explorer.results.trials import load_studies, trials
from explorer.search import warm
from explorer.search.arms import open_arms
from explorer.search.bridge import Bridge
from explorer.search.simulator import simulate
from explorer.study import StudySpec

STEPS = 4


def spec(**values):
    defaults = {
        "space": {"lambda_kd": {"low": 0.01, "high": 10.0, "log": True}},
        "base": {"steps": STEPS, "eval_every": 1},
        "num_trials": 6,
        "baseline_trials": 1,
        "pruner": "successivehalving",
        "grace_period": 1,
        "reduction_factor": 2,
        "sampler": "random",
    }
    return StudySpec.parse({**defaults, **values})


def curve(config):
    return [(step, 0.5 - abs(config["lambda_kd"] - 1) / 30 + 0.01 * step) for step in range(1, STEPS + 1)]


@pytest.fixture
def earlier(tmp_path):
    """(folder, its search trials)."""
    directory = tmp_path / "earlier"
    directory.mkdir()
    study = spec(name="earlier")
    arms = open_arms(study, directory, data_digest="d")
    simulate(Bridge(arms.values(), grace=1), curve)
    study.save(directory)
    return directory, arms["search"].trials()


def begin(tmp_path, study, data_digest="d"):
    (tmp_path / "new").mkdir(exist_ok=True)
    return open_arms(study, tmp_path / "new", data_digest=data_digest)["search"]


def test_trials_of_the_same_data_and_base_are_known_with_every_value_and_not_counted(earlier, tmp_path):
    study = spec(warm_start=str(earlier[0]), enqueue=[{"lambda_kd": 0.1}])
    arm = begin(tmp_path, study)
    known = arm.study.get_trials()[: arm.num_warm]
    assert arm.num_warm == 6
    assert {trial.state for trial in known} == {TrialState.COMPLETE, TrialState.PRUNED}
    by_params = {trial.params["lambda_kd"]: trial for trial in earlier[1]}
    for trial in known:
        before = by_params[trial.params["lambda_kd"]]
        assert (trial.state, trial.intermediate_values) == (before.state, before.intermediate_values)
        assert "earlier" in trial.user_attrs["warm_start"]
    assert arm.remaining() == 6
    assert arm.ask()[0].params == {"lambda_kd": 0.1}


def test_a_warm_start_survives_a_driver_that_dies_in_it(earlier, tmp_path):
    study = spec(warm_start=str(earlier[0]), enqueue=[{"lambda_kd": 0.1}, {"lambda_kd": 0.2}])
    with pytest.MonkeyPatch.context() as patch:
        from optuna import Study

        left, add = iter(range(7)), Study.add_trial

        def dies(self, trial):
            if next(left, None) is None:
                raise KeyboardInterrupt
            add(self, trial)

        patch.setattr(Study, "add_trial", dies)
        with pytest.raises(KeyboardInterrupt):
            begin(tmp_path, study)
    simulate(
        Bridge(open_arms(spec(name="earlier", num_trials=9), earlier[0], data_digest="d").values(), grace=1), curve
    )
    arm = begin(tmp_path, study)  # the earlier study has gone on meanwhile
    assert arm.num_warm == 6
    waiting = [trial.system_attrs["fixed_params"] for trial in arm.trials()]
    assert waiting == [{"lambda_kd": 0.1}, {"lambda_kd": 0.2}]


def test_other_objectives_are_other_values(earlier, tmp_path):
    arm = begin(tmp_path, spec(warm_start=str(earlier[0]), objectives=["miou", "gmac"], num_trials=12))
    assert arm.num_warm == 0
    whole = sum(trial.state == TrialState.COMPLETE for trial in earlier[1])
    assert len(arm.trials()) == min(4, whole)  # points to try, without a value


def test_points_that_are_taken_over_are_no_probes(earlier, tmp_path):
    study = spec(warm_start=str(earlier[0]), num_trials=12, probes=6)
    arm = begin(tmp_path, study, data_digest="other")
    taken = len(arm.trials())
    simulate(Bridge([arm], grace=1), curve)
    probes = [trial.number for trial in arm.trials() if trial.user_attrs.get("probe")]
    assert len(probes) == 6
    assert min(probes) >= taken > 0


def test_of_other_data_only_the_best_points_are_tried_again(earlier, tmp_path):
    arm = begin(tmp_path, spec(warm_start=str(earlier[0])), data_digest="other")
    whole = [trial for trial in earlier[1] if trial.state == TrialState.COMPLETE]
    tried = [trial.system_attrs["fixed_params"] for trial in arm.trials()]
    assert arm.num_warm == 0
    assert tried[0] == max(whole, key=lambda trial: trial.value).params
    assert len(tried) == min(3, len(whole))  # half of the trials, and at most four
    assert all(point in [trial.params for trial in whole] for point in tried)


def test_frames_hold_the_new_trials_alone(earlier, tmp_path):
    study = spec(warm_start=str(earlier[0]))
    begin(tmp_path, study)
    arms = open_arms(study, tmp_path / "new", data_digest="d")
    simulate(Bridge(arms.values(), grace=1), curve)
    study.save(tmp_path / "new")
    table = trials(load_studies(tmp_path / "new")[1])
    assert (table["role"] == "search").sum() == 6
    assert table[table["role"] == "search"]["number"].min() == 6


def test_another_space_or_no_study_is_refused(earlier, tmp_path):
    other = spec(space={"lambda_hakd": {"low": 0.1, "high": 10.0, "log": True}}, warm_start=str(earlier[0]))
    with pytest.raises(ValueError, match="nothing that this study searches: lambda_kd"):
        warm.check(other)
    narrower = spec(space={"lambda_kd": {"low": 0.1, "high": 10.0, "log": True}}, warm_start=str(earlier[0]))
    warm.check(narrower)
    arm = begin(tmp_path, narrower)  # the same data, but its trials do not lie in this space
    assert arm.num_warm == 0
    assert all(0.1 <= trial.system_attrs["fixed_params"]["lambda_kd"] <= 10 for trial in arm.trials())
    with pytest.raises(ValueError, match="holds no study"):
        warm.check(spec(warm_start=str(tmp_path)))

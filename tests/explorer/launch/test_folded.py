"""A sweep over folds: real trainings, Ray's part played. Teachers by fold, whole reports, what is shipped."""

from __future__ import annotations

import io

import optuna
import pytest
from rich.console import Console

from explorer.bundle.export import export
from explorer.confirm import run as confirmation
from explorer.launch import dry_run
from explorer.launch.means import Means, with_group_size
from explorer.launch.sweep import resume, sweep
from explorer.results import confirmed
from explorer.results.trials import load_frames, load_studies
from explorer.search.limits import reached
from explorer.study import StudySpec
from trainables.config import TrialConfig
from trainables.errors import StudyError

NET = "trainables.contracts.tiny:learner"


def quiet():
    return Console(file=io.StringIO(), width=300)


@pytest.fixture(scope="module")
def spec(tiny_data):
    """kd over lambda_kd, three folds; the second trial is pruned at its first report, whatever it says."""
    crop = {"crop_height": 64, "crop_width": 64, "batch_size": 2}
    base = {**crop, "method": "kd", "teacher": NET, "student": NET, "data": str(tiny_data), "device": "cpu"}
    base |= {"steps": 4, "eval_every": 1, "folds": 3, "teacher_recipe": {**crop, "steps": 2}}
    values = {"space": {"lambda_kd": {"low": 0.01, "high": 10.0, "log": True}}, "num_trials": 2, "probes": 0}
    return StudySpec.parse({"name": "folded", "base": base, **values, "grace_period": 1, "pruner": "median"})


class Second(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        return trial.number == 1


@pytest.fixture(scope="module")
def swept(spec, without_ray, tmp_path_factory):
    """The folder of the sweep, what it said, and the cache of its teachers."""
    directory, cache = tmp_path_factory.mktemp("folded") / "study", tmp_path_factory.mktemp("cache")
    console = quiet()
    with without_ray(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("HETEROAKD_CACHE", str(cache))
        patch.setattr("explorer.search.engines.pruner", lambda *_, **__: Second())
        assert sweep(spec, directory, console=console) == 0
        yield directory, console.file.getvalue(), cache


def test_each_fold_has_its_teacher_before_the_first_trial(swept):
    directory, said, cache = swept
    assert len([*cache.glob("*/teacher.safetensors")]) == 3
    assert f"teacher {NET}, fold 3 of 3: 2 steps, or from the cache" in said
    search = load_studies(directory)[1]["search"]
    assert 0 < search.user_attrs["teachers"][NET] < 1
    assert "--set folds=5" not in said


def test_a_trial_and_its_student_alone_report_means_over_the_same_folds(swept):
    directory, _, _ = swept
    studies = load_studies(directory)[1]
    for role in ("search", "baseline"):
        trial = studies[role].get_trials()[0]
        assert trial.state.name == "COMPLETE"
        scores = trial.user_attrs["fold_miou"]
        assert len(scores) == 3
        assert trial.value == pytest.approx(sum(scores) / 3)
        assert trial.user_attrs["miou_low"] < trial.value < trial.user_attrs["miou_high"]
    rows = load_frames(directory, analyse=False).trials
    assert rows["miou_low"].notna().all()


def test_a_pruned_trial_leaves_no_checkpoint_in_any_fold(swept):
    directory, _, _ = swept
    trial = load_studies(directory)[1]["search"].get_trials()[1]
    assert (trial.state.name, list(trial.intermediate_values)) == ("PRUNED", [1])
    kept = {number: [*(directory / f"trials/search-{number:05}").glob("fold-*/*.safetensors")] for number in (0, 1)}
    assert (len(kept[0]), len(kept[1])) == (3, 0)
    assert len([*(directory / "trials/search-00001").glob("fold-*/log.jsonl")]) == 3


def test_its_students_are_not_shipped_but_a_confirmed_one_is(swept, tmp_path):
    """Confirmed without folds, scored on test; the search's score is one over other images, so there is no curse."""
    directory, _, _ = swept
    with pytest.raises(StudyError, match=r"Trial 0 of the search is 3 students, one a fold.*heteroakd confirm"):
        export(directory, tmp_path / "best", graphs=False)
    console = quiet()
    assert confirmation.confirm(directory, top=1, seeds=2, console=console) == 0
    assert "The search scored 3 folds; these runs train on the whole train split" in console.file.getvalue()
    spec, studies = load_studies(directory)
    runs = [TrialConfig.parse(one.user_attrs["config"]) for one in confirmed.open_study(spec, directory).get_trials()]
    assert [one.folds for one in runs] == [None] * 4
    row = load_frames(directory, analyse=False).confirmed.iloc[0]
    assert (row["split"], row["number"]) == ("test", 0)
    assert row["search_miou"] == pytest.approx(studies["search"].get_trials()[0].value)
    assert row["curse"] != row["curse"]
    metrics = export(directory, tmp_path / "best", graphs=False)
    assert metrics["confirmed"]["curse"] is None
    text = (tmp_path / "best/README.md").read_text(encoding="utf-8")
    assert "over folds of train and val, which are other images. The weights here are the run" in text


def test_a_finished_sweep_over_folds_has_nothing_to_resume(swept):
    directory, _, _ = swept
    console = quiet()
    assert resume(directory, console=console) == 0
    assert "nothing to run" in console.file.getvalue()


def test_a_plan_counts_every_fold(spec, home):
    found = dry_run.plan(spec)
    search = next(part for part in found.parts if part.stage == "search")
    assert search.hours == pytest.approx(3 * 4 * search.seconds / 3600)
    teachers = next(part for part in found.parts if part.stage == "teachers")
    assert teachers.hours == pytest.approx(3 * 2 * teachers.seconds / 3600)
    dry_run.show(found, spec, console := quiet())
    assert "Each training is of 3 networks, one a fold" in console.file.getvalue()


def test_steps_of_all_folds_count_towards_the_limit(spec):
    trial = optuna.trial.create_trial(value=0.5, intermediate_values={4: 0.5})
    limited = spec.model_copy(update={"total_steps": 12})
    assert reached(limited, search=[trial], every=[trial], known=[trial]) == "12 steps are done; total_steps is 12."
    assert reached(limited.model_copy(update={"total_steps": 13}), search=[trial], every=[trial], known=[trial]) is None


@pytest.mark.parametrize("size", [4, "auto"])
def test_folds_do_not_go_into_groups(spec, size):
    with pytest.raises(StudyError, match=f"folds is 3, but group_size is {size!r}"):
        spec.model_copy(update={"group_size": size}).check()
    there = Means({"cpu": 1.0, "gpu": 1.0}, 1)
    assert with_group_size(spec, there, [], say=lambda _: pytest.fail("it is measured")).group_size == 1


@pytest.mark.parametrize("name", ["folds", "fold_by"])
def test_how_images_are_cut_is_no_dimension(spec, name):
    with pytest.raises(StudyError, match=f"{name!r} is no dimension: trials are compared on the same images"):
        spec.model_copy(update={"space": {**spec.space, name: [2, 3]}}).check()

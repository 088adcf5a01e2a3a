"""A sweep of which nothing has come: not 0, the first reason, and a remedy that is tried here."""

from __future__ import annotations

import pytest
from optuna.trial import TrialState
from rich.console import Console
from typer.testing import CliRunner

import explorer
from explorer.cli.app import app
from explorer.launch import sweep
from explorer.search.arms import open_arms
from explorer.search.barren import barren
from explorer.study import StudySpec
from trainables.errors import DataError, StudyError

NET = "trainables.contracts.tiny:learner"


def quiet():
    return Console(quiet=True)


@pytest.fixture
def spec(tiny_data, home):
    crop = {"crop_height": 64, "crop_width": 64, "batch_size": 2, "steps": 1}
    base = {**crop, "method": "kd", "teacher": NET, "student": NET, "data": str(tiny_data), "device": "cpu"}
    space = {"lambda_kd": {"low": 0.01, "high": 10.0, "log": True}}
    forms = {"name": "barren", "space": space, "num_trials": 2, "pruner": "none"}
    return StudySpec.parse({**forms, "base": {**base, "teacher_recipe": crop}})


@pytest.fixture
def failed(spec, tmp_path, without_ray, monkeypatch):
    """(folder of a sweep whose trials all failed, what it raised)."""

    def fail(*_args, **_options):
        raise DataError("0.png cannot be decoded: torn. Replace it.")

    monkeypatch.setattr("trainables.tune.run_trial", fail)
    with without_ray(), pytest.raises(StudyError) as caught:
        sweep.sweep(spec, tmp_path / "a study", console=quiet())
    monkeypatch.undo()
    return tmp_path / "a study", str(caught.value)


def sentence(folder):
    return (
        "No trial of the search is complete: 2 failed. The first reason, of trial 0: 0.png cannot be decoded: torn. "
        f"Replace it. Mend that, then begin again: heteroakd sweep '{folder}/study.yaml' --out ANOTHER_FOLDER"
    )


def test_a_sweep_whose_trials_all_failed_says_the_first_reason_and_the_way_out(failed):
    assert failed[1] == sentence(failed[0])


def test_the_command_that_it_names_begins_again_and_can_be_exported(failed, tmp_path, without_ray):
    with without_ray():
        study = explorer.sweep(failed[0] / "study.yaml", tmp_path / "again", console=quiet())
    assert (study.num_open, len(study.best())) == (0, 2)
    assert study.export(tmp_path / "best", onnx=False).metrics["complete_trials"] == 2


@pytest.mark.parametrize(
    "verb",
    [
        lambda study, out: study.resume(console=quiet()),
        lambda study, out: study.confirm(console=quiet()),
        lambda study, out: study.export(out, onnx=False),
        lambda study, out: study.export(out, by="gain", onnx=False),
    ],
)
def test_every_verb_that_asks_for_its_best_says_the_same(failed, tmp_path, without_ray, verb):
    with without_ray(), pytest.raises(StudyError) as caught:
        verb(explorer.Study(failed[0]), tmp_path / "best")
    assert str(caught.value) == sentence(failed[0])
    assert not (tmp_path / "best").exists()


def test_the_command_line_does_not_end_with_0(failed):
    done = CliRunner().invoke(app, ["export", str(failed[0]), "--no-onnx"])
    assert isinstance(done.exception, StudyError)  # which `main` prints and ends with 2


def told(spec, tmp_path, *states):
    """A search whose trials end so; None: still running."""
    search = open_arms(spec, tmp_path, data_digest="d", new=True)["search"]
    for state in states:
        trial, _ = search.ask()
        if state is not None:
            search.report(trial, 0.5, 1)
            search.tell(trial, state, miou=0.5 if state == TrialState.COMPLETE else None)
    return search.study.get_trials(deepcopy=False)


@pytest.mark.parametrize(
    "states",
    [[], [None], [TrialState.FAIL, None], [TrialState.FAIL, TrialState.COMPLETE]],
)
def test_a_search_that_may_yet_have_a_best_is_not_barren(make_spec, tmp_path, states):
    spec = make_spec()
    assert barren(spec, tmp_path, told(spec, tmp_path, *states)) is None


def test_a_search_whose_pruner_stopped_all_says_so(make_spec, tmp_path):
    spec = make_spec()
    said = barren(spec, tmp_path, told(spec, tmp_path, TrialState.PRUNED, TrialState.PRUNED))
    assert said.startswith("No trial of the search is complete: 2 pruned. The pruner stops every trial: raise grace_p")


def test_where_others_share_the_storage_the_remedy_names_what_must_differ(make_spec, tmp_path):
    trials = told(make_spec(), tmp_path, TrialState.FAIL)
    said = barren(make_spec(storage="postgresql://h/d", storage_path="s3://b/x"), tmp_path, trials)
    assert said.endswith("--out ANOTHER_FOLDER, with another name and storage_path in a copy of that file")


def test_without_a_student_alone_the_best_by_gain_points_to_the_best_by_miou(failed, spec, tmp_path, without_ray):
    study = tmp_path / "half"
    plain = sweep.run_arms

    def only_the_search(arms, *args, **options):
        for trial in range(arms["baseline"].num_trials):
            arms["baseline"].tell(arms["baseline"].ask()[0], TrialState.FAIL, facts={"reason": f"made up {trial}"})
        return plain(arms, *args, **options)

    with without_ray(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "run_arms", only_the_search)
        sweep.sweep(spec, study, console=quiet())
    with pytest.raises(StudyError, match=r"has a gain: no student alone is complete\. Choose --by miou\.$"):
        explorer.Study(study).export(tmp_path / "best", by="gain", onnx=False)
    assert explorer.Study(study).export(tmp_path / "best", by="miou", onnx=False).metrics["gain"] is None

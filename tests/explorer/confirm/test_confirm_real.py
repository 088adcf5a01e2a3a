"""A confirmation of a real sweep: real trainings, Ray's part played (test_start.py confirms through Ray)."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from explorer.confirm import plan, run
from explorer.launch.sweep import sole_driver, sweep
from explorer.results import confirmed
from explorer.results.confirmed_runs import score_key
from explorer.results.trials import load_frames, load_studies
from explorer.search.arms import trial_directory
from explorer.search.bridge import Bridge
from explorer.study import StudySpec
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.errors import StudyError
from trainables.kept import checkpoint
from trainables.scoring.evaluate import evaluate_weights
from trainables.state import student_weights


@pytest.fixture(scope="module")
def swept(without_ray, tiny_spec, tmp_path_factory):
    """The folder of a small real sweep."""
    directory = tmp_path_factory.mktemp("confirm") / "tiny"
    with without_ray(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("HETEROAKD_CACHE", str(tmp_path_factory.mktemp("cache")))
        short = {
            "pair": tiny_spec["space"]["pair"][0],
            "steps": 2,
            "teacher_recipe": {**tiny_spec["base"]["teacher_recipe"], "steps": 2},
        }
        space = {name: form for name, form in tiny_spec["space"].items() if name != "pair"}
        small = {
            "space": space,
            "base": {**tiny_spec["base"], **short},
            "enqueue": [],
            "num_trials": 2,
            "pruner": "none",
        }
        assert sweep(StudySpec.parse({**tiny_spec, **small}), directory, console=quiet()) == 0
        yield directory


def quiet():
    return Console(file=io.StringIO(), width=200)


def test_a_real_confirmation_runs_scores_and_goes_on(swept):
    """From a driver that died in mid-run; the scores are those of the weights, computed again here."""
    spec, studies = load_studies(swept)
    asked = plan.request(spec, studies, top=2, num_seeds=1)
    dead = Bridge([plan.open_arm(spec, studies, asked, top=2, split="test")], grace=1)
    dead.suggest("x")
    console = quiet()
    assert run.go_on(swept, console=console) == 0
    assert "distinct configs" not in console.file.getvalue()
    assert run.confirm(swept, seeds=2, console=console) == 0  # top and split as asked before
    study = confirmed.open_study(spec, swept)
    trials = study.get_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 6
    assert len({(trial.user_attrs["key"], trial.user_attrs["seed"]) for trial in trials}) == 6
    last = trials[-1]
    config = TrialConfig.parse(last.user_attrs["config"])
    tensors, _ = checkpoint.latest(swept / trial_directory("confirmed", last.number), digest=config.digest())
    dataset = open_dataset(config.data)
    again = evaluate_weights(config, student_weights(tensors), dataset, "test")
    assert study.user_attrs[score_key("test", last.number)] == again.named()
    assert again.low <= again.miou <= again.high
    assert run.go_on(swept, console=console) == 0
    rows = load_frames(swept, analyse=False).confirmed
    assert rows["num_seeds"].tolist() == [2, 2]
    assert rows["split"].tolist() == ["test", "test"]
    assert (rows["images_low"] <= rows["miou"]).all()
    assert (rows["images_high"] >= rows["miou"]).all()
    assert "finalists on test" in console.file.getvalue()
    assert confirmed.choice(spec, swept).num_open == 0


def test_a_sweep_that_runs_is_not_confirmed(swept):
    with sole_driver(swept), pytest.raises(StudyError, match="Another process is running"):
        run.confirm(swept, console=quiet())

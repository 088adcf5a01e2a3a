"""A Study, over a folder told by hand: no Ray."""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go
import pytest
from optuna.trial import TrialState
from PIL import Image

import explorer
from dashboards.frames import COLUMNS
from explorer.results.trials import load_frames
from explorer.search.arms import open_arms


@pytest.fixture(scope="module")
def trained(make_study, tiny_data, tmp_path_factory):
    """A finished study whose trials were really trained."""
    directory = tmp_path_factory.mktemp("trained") / "study"
    make_study(directory, tiny_data, num_trials=3)
    return explorer.open_study(directory)


@pytest.fixture
def told(spec, tmp_path):
    """Makes a study whose trials ended with the given mIoU, and the arms to tell it more."""

    def make(search, alone=(0.3,), **values):
        asked = spec(**{"name": "told", "num_trials": len(search), "baseline_trials": len(alone), **values})
        asked.save(tmp_path)
        arms = open_arms(asked, tmp_path, data_digest="d")
        for arm, scores in ((arms["baseline"], alone), (arms["search"], search)):
            for score in scores:
                trial, _ = arm.ask()
                if score is not None:
                    arm.report(trial, score, 9)
                    arm.tell(trial, TrialState.COMPLETE, miou=score)
        return explorer.Study(tmp_path), arms

    return make


def test_a_folder_without_a_study_is_one_sentence_however_it_is_asked(tmp_path):
    with pytest.raises(explorer.StudyError, match=f"^{tmp_path} holds no study"):
        explorer.open_study(tmp_path)
    study = explorer.Study(tmp_path)
    for ask in (study.trials, lambda: study.num_open, lambda: study.figure("history"), study.dashboard, study.export):
        with pytest.raises(explorer.StudyError, match="holds no study"):
            ask()
    assert "no trials can be seen" in repr(study)
    assert "holds no study" in study._repr_html_()


def test_every_frame_of_the_dashboard_is_had_by_its_name(trained):
    known = load_frames(trained.directory)
    for name in COLUMNS:
        pd.testing.assert_frame_equal(trained.frame(name), getattr(known, name))
    for name in ("trials", "curves", "importance", "gains"):
        pd.testing.assert_frame_equal(getattr(trained, name)(), getattr(known, name))


def test_an_unknown_frame_or_figure_is_refused_with_the_nearest(trained):
    with pytest.raises(explorer.StudyError, match=r"^Unknown frame 'noize'\. Nearest: noise\.$"):
        trained.frame("noize")
    with pytest.raises(explorer.StudyError, match=r"^Unknown figure 'importanse'\. Nearest: importance\. Figures: "):
        trained.figure("importanse")
    with pytest.raises(explorer.StudyError, match="Unknown figure 'istory'"):
        trained.figures(only=["istory"])


def test_a_frame_is_the_callers_own(told):
    study, _ = told([0.5, 0.4])
    gains, trials = study.gains(), study.trials()
    gains["gain"], trials["miou"] = -1.0, 0.0
    assert study.gains()["gain"].max() > 0
    assert sorted(study.trials()["miou"]) == [0.3, 0.4, 0.5]


def test_statistics_are_computed_again_when_a_trial_is_new_and_only_then(told, monkeypatch):
    study, arms = told([0.5, 0.4], num_trials=3)
    from explorer.statistics import sensitivity

    real, asked = sensitivity.analyse, []
    monkeypatch.setattr(sensitivity, "analyse", lambda frames: asked.append(len(frames.trials)) or real(frames))
    study.importance(), study.gains(), study.trials()
    assert asked == [3]
    trial, _ = arms["search"].ask()
    arms["search"].report(trial, 0.9, 9)
    arms["search"].tell(trial, TrialState.COMPLETE, miou=0.9)
    assert study.trials()["miou"].max() == 0.9
    study.gains()
    assert asked == [3, 4]


def test_the_best_come_first_and_by_gain_are_those_with_one(told):
    study, _ = told([0.5, None, 0.7, 0.6], num_trials=4)
    best = study.best(2)
    assert list(best["number"]) == [2, 3]
    assert list(best.columns[:5]) == ["number", "miou", "baseline", "gain", "param.lambda_kd"]
    assert best["gain"].tolist() == pytest.approx([0.7 - 0.3, 0.6 - 0.3])
    assert list(study.best(by="gain")["number"]) == [2, 3, 0]
    with pytest.raises(explorer.ConfigError, match="by must be miou or gain, got 'loss'"):
        study.best(by="loss")


def test_a_study_without_a_complete_trial_has_empty_answers(told):
    study, _ = told([None], alone=(None,))
    assert study.best().empty
    assert study.gains().empty
    assert isinstance(study.figure("importance"), go.Figure)


def test_what_is_open_is_what_runs_and_what_was_never_asked_for(told):
    study, arms = told([0.5, None, None], num_trials=5, baseline_trials=2)
    assert study.num_open == 2 + 2 + 1  # running, not asked for, and a student alone that was not
    assert study.num_open_runs == 0
    assert "5 trials are open, resume() goes on" in repr(study)
    for trial in arms["search"].orphans():
        arms["search"].tell(trial, TrialState.PRUNED)
    assert study.num_open == 3


def test_what_a_study_calls_itself_is_escaped(told):
    hostile = "<script>alert(1)</script>\x1b[2J"
    study, _ = told([0.5], name=hostile)
    assert "<script>" not in study._repr_html_()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in study._repr_html_()
    assert "\x1b" not in repr(study)
    assert "Study('<script>" in repr(study)


def test_a_repr_names_the_folder_as_seen_from_here(told, tmp_path, monkeypatch):
    study, _ = told([0.5, 0.6])
    monkeypatch.chdir(tmp_path.parent)
    assert repr(study) == f"Study('told' in '{tmp_path.name}': trials 2 of 2 (2 complete); nothing is open)"


def test_the_folder_is_found_again_from_another_one(told, tmp_path, monkeypatch):
    told([0.5])
    monkeypatch.chdir(tmp_path.parent)
    study = explorer.open_study(tmp_path.name)
    monkeypatch.chdir("/")
    assert len(study.trials()) == 2


def test_a_figure_is_the_dashboards(trained):
    drawn = trained.figure("history")
    assert isinstance(drawn, go.Figure)
    xs = [x for trace in drawn.data if trace.x is not None for x in trace.x]
    assert set(xs) >= {0, 1, 2}  # the search's trials


def test_the_page_and_the_sheet_are_where_they_are_said_to_be(trained, tmp_path):
    assert trained.dashboard() == trained.directory / "dashboard.html"
    assert "<html" in trained.dashboard(tmp_path / "new/page.html").read_text()[:500]
    sheet = trained.pictures(1, tmp_path / "sheet.png", images=2)
    with Image.open(sheet) as one, Image.open(trained.pictures([0, 1], tmp_path / "two.png", images=2)) as two:
        assert one.height < two.height


def test_a_bundle_is_of_the_best_trial_and_predicts(trained, tiny_data, tmp_path):
    bundle = trained.export(tmp_path / "bundle", onnx=False)
    assert bundle.metrics["trial"] == trained.best(1)["number"].item()
    assert bundle.metrics["miou"] == trained.best(1)["miou"].item()
    assert bundle.predict(tiny_data / "images/val/0.png").shape == (64, 64)
    assert "not confirmed" in repr(bundle)
    with pytest.raises(explorer.ConfigError, match="by must be miou or gain, got 'luck'"):
        trained.export(tmp_path / "other", by="luck")


def test_a_finished_study_has_nothing_to_resume_and_starts_no_ray(trained, monkeypatch, capsys):
    monkeypatch.setattr("ray.init", lambda **_: pytest.fail("Ray was started"))
    assert trained.resume() is trained
    assert explorer.resume(trained.directory).num_open == 0
    assert "nothing to run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"split": "train"}, "split must be test or val"),
        ({"top": 0}, "top must be >= 1"),
        ({"seeds": -2}, "seeds must"),
    ],
)
def test_a_wrong_confirmation_is_refused_before_the_study_is_read(tmp_path, options, sentence):
    with pytest.raises(explorer.ConfigError, match=sentence):
        explorer.Study(tmp_path).confirm(**options)


def test_no_error_shows_a_password(spec, tmp_path):
    pytest.importorskip("psycopg")
    url = "postgresql://u:hunter2@127.0.0.1:1/db"
    spec(storage=url).save(tmp_path)
    for ask in (explorer.Study(tmp_path).trials, lambda: explorer.sweep("lambdas", storage=[url])):
        with pytest.raises(explorer.HeteroakdError) as found:
            ask()
        assert "hunter2" not in str(found.value)
        assert found.value.__cause__ is None
        assert found.value.__suppress_context__
    assert "hunter2" not in explorer.Study(tmp_path)._repr_html_() + repr(explorer.Study(tmp_path))


def test_a_notebook_shows_the_sentence_and_no_traceback(tmp_path):
    with pytest.raises(explorer.StudyError) as found:
        explorer.open_study(tmp_path)
    assert found.value._render_traceback_() == [f"StudyError: {found.value}"]


def test_a_trial_without_a_student_alone_has_no_gain(told):
    study, _ = told([0.5], alone=(None,))
    assert math.isnan(study.best()["gain"].item())
    assert study.best(by="gain").empty

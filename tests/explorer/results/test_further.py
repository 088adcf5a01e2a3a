"""What more trials are expected to bring, where a user meets it: progress, frames and summary; and the changed rule."""

from __future__ import annotations

import io
import re
from contextlib import nullcontext

import pytest
from optuna.trial import TrialState
from rich.console import Console

from explorer.launch import sweep as sweeping
from explorer.launch.progress import Progress
from explorer.results.trials import load_frames
from explorer.search import further, limits, prior
from explorer.search.arms import open_arms
from explorer.study import StudySpec
from trainables.preflight.check import Preflight

SCORES = [0.30, 0.41, 0.35, 0.38, 0.44, 0.36, 0.47, 0.33, 0.42, 0.45, 0.31, 0.40, 0.43, 0.37, 0.46, 0.39, 0.34, 0.32]


@pytest.fixture
def ended(spec, tmp_path):
    """A study of which 18 search trials are complete and three have failed, and its arms."""
    study = spec(num_trials=30, baseline_trials=1, pruner="none", sampler="random", stop_when=0.2)
    study.save(tmp_path)
    arms = open_arms(study, tmp_path, data_digest="d")
    for score in [*SCORES, None, None, None]:
        trial, _ = arms["search"].ask()
        if score is not None:
            arms["search"].report(trial, score, 9)
        arms["search"].tell(trial, TrialState.FAIL if score is None else TrialState.COMPLETE, miou=score)
    return study, arms


def test_progress_summary_and_frame_say_the_same_figure(ended, tmp_path):
    _, arms = ended
    points = 100 * further.expected(arms["search"].trials())
    out = io.StringIO()
    with Progress(arms, Console(file=out, width=200)):
        trial, _ = arms["baseline"].ask()
        arms["baseline"].tell(trial, TrialState.FAIL)
    (line,) = out.getvalue().splitlines()
    assert line.endswith(f"; another 10 trials are expected to bring {points:.2f} points")
    arms["search"].study.set_user_attr(limits.STOPPED, "enough is enough.")
    frames = load_frames(tmp_path, analyse=False)
    assert frames.further["trials"].tolist() == [20, 21]
    assert 100 * frames.further["expected"].iloc[-1] == pytest.approx(points)
    assert frames.stop_when == 0.2
    assert frames.summary["another 10 trials"] == f"expected to bring {points:.2f} points of mIoU"
    assert frames.summary["stopped"] == "enough is enough."
    assert "earlier study" not in frames.summary


def test_the_summary_says_how_far_an_earlier_study_is_heeded(ended, tmp_path):
    _, arms = ended
    prior.learnt(arms["search"].trials()).remember(arms["search"].study)
    told = load_frames(tmp_path, analyse=False).summary["earlier study"]
    assert re.fullmatch(r"heeded by \d+ % where configs are judged", told)


def test_a_resume_with_another_rule_keeps_it_with_the_study(ended, tmp_path, monkeypatch):
    driven = []
    found = Preflight("d", {}, [], {})
    monkeypatch.setattr(sweeping, "preflight", lambda *_, **__: found)
    monkeypatch.setattr(sweeping, "connected", lambda _: nullcontext())
    monkeypatch.setattr(sweeping, "means", lambda *_, **__: None)
    monkeypatch.setattr(sweeping, "with_group_size", lambda spec, *_, **__: spec)
    monkeypatch.setattr(sweeping, "_drive", lambda arms, *_: driven.append(arms["search"].spec) or 0)
    sweeping.resume(tmp_path, console=Console(file=io.StringIO()), stop_when=0.05, time_budget_s=7)
    assert (driven[0].stop_when, driven[0].time_budget_s) == (0.05, 7)
    kept = StudySpec.of(tmp_path)
    assert (kept.stop_when, kept.time_budget_s) == (0.05, None)  # the budget was for this time alone
    with pytest.raises(ValueError, match="stop_when"):
        sweeping.resume(tmp_path, console=Console(file=io.StringIO()), stop_when=-1)

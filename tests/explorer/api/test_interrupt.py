"""Ctrl-C, or a kernel's interrupt, in the middle of what the door drives. The drivers are stand-ins: no Ray.

`tests/explorer/launch/test_sweep.py` sends a real SIGINT to a real sweep.
"""

from __future__ import annotations

import io
import signal

import pytest
from optuna.trial import TrialState
from rich.console import Console

import explorer
from explorer.confirm import plan
from explorer.confirm import run as confirming
from explorer.launch import sweep as launching
from explorer.results.trials import load_studies
from explorer.search.arms import open_arms


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=300)


def begin(spec, directory, *, ended=0):
    """A study of two search trials and a student alone; so many of the search have ended, the next one runs."""
    spec.save(directory)
    arms = open_arms(spec, directory, data_digest="d")
    for number in range(min(ended + 1, spec.num_trials)):
        trial, _ = arms["search"].ask()
        if number < ended:
            arms["search"].report(trial, 0.5, 9)
            arms["search"].tell(trial, TrialState.COMPLETE, miou=0.5)
    return arms


@pytest.fixture
def interrupted(monkeypatch, spec):
    """Replaces the driver of sweeps by one that gets so far, and is then interrupted."""

    def make(ended):
        def drive(parsed, directory, **_):
            if ended is not None:
                directory.mkdir(parents=True)
                begin(spec(num_trials=2), directory, ended=ended)
            raise KeyboardInterrupt

        monkeypatch.setattr(launching, "sweep", drive)

    return make


@pytest.mark.parametrize(("ended", "left"), [(0, 3), (1, 2)])
def test_an_interrupted_sweep_returns_a_study_that_can_be_asked_and_gone_on_with(
    interrupted, console, tmp_path, ended, left
):
    interrupted(ended)
    study = explorer.sweep("lambdas", out=tmp_path / "study", console=console)
    assert study.num_open == left  # of three, the student alone among them
    assert len(study.best()) == ended
    said = console.file.getvalue()
    assert said == f"{left} trials are open. Go on with: heteroakd resume {tmp_path / 'study'}\n"


def test_before_a_study_was_begun_there_is_nothing_to_return(interrupted, console, tmp_path):
    interrupted(None)
    with pytest.raises(KeyboardInterrupt, match="interrupted before the study was begun") as found:
        explorer.sweep("lambdas", out=tmp_path / "study", console=console)
    assert found.value.__suppress_context__  # a notebook shows no second traceback
    assert not list(tmp_path.iterdir())


def test_a_sweep_that_ends_with_trials_open_says_so_too(monkeypatch, console, spec, tmp_path):
    """As Tune ends after Ctrl-C, or at the time budget."""
    monkeypatch.setattr(launching, "sweep", lambda parsed, directory, **_: 2)
    study = explorer.sweep("lambdas", out=tmp_path / "on a cluster", console=console)
    assert "2 trials are open" in console.file.getvalue()
    assert study.num_open == 2  # as the driver said: its folder cannot be seen from here
    begin(spec(num_trials=2), tmp_path, ended=1)
    assert explorer.Study(tmp_path).num_open == 2


def test_tunes_handler_of_ctrl_c_is_not_left_behind(monkeypatch, console, tmp_path):
    def drive(*_, **__):
        signal.signal(signal.SIGINT, lambda *_: None)
        return 0

    monkeypatch.setattr(launching, "sweep", drive)
    before = signal.getsignal(signal.SIGINT)
    explorer.sweep("lambdas", out=tmp_path / "study", console=console)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupted_confirmation_has_open_runs_and_resume_goes_on_with_them(monkeypatch, console, spec, tmp_path):
    study = spec(num_trials=1, owner="us")
    arms = begin(study, tmp_path, ended=1)
    trial, _ = arms["baseline"].ask()
    arms["baseline"].report(trial, 0.3, 9)
    arms["baseline"].tell(trial, TrialState.COMPLETE, miou=0.3)

    def drive(directory, *, top, seeds, split, console, address, time_budget_s):
        _, studies = load_studies(directory)
        plan.open_arm(study, studies, plan.request(study, studies, top=top, num_seeds=seeds), top=top, split="val")
        raise KeyboardInterrupt

    monkeypatch.setattr(confirming, "confirm", drive)
    found = explorer.Study(tmp_path).confirm(top=1, seeds=3, console=console)
    assert (found.num_open, found.num_open_runs) == (0, 6)
    assert f"6 runs are open. Go on with: heteroakd confirm {tmp_path}\n" in console.file.getvalue()
    monkeypatch.setattr(launching, "resume", lambda directory, **_: 0)
    monkeypatch.setattr(confirming, "go_on", lambda directory, **_: 4)
    explorer.resume(tmp_path, console=console)
    assert f"4 runs are open. Go on with: heteroakd resume {tmp_path}\n" in console.file.getvalue()
    monkeypatch.setattr(launching, "resume", lambda directory, **_: 5)
    monkeypatch.setattr(confirming, "go_on", lambda directory, **_: pytest.fail("the sweep comes first"))
    explorer.resume(tmp_path, console=console)
    assert "5 trials are open" in console.file.getvalue()


def test_another_error_is_no_interrupt(monkeypatch, console, tmp_path):
    def drive(*_, **__):
        raise explorer.Interrupted("The disk is full.")

    monkeypatch.setattr(launching, "sweep", drive)
    with pytest.raises(explorer.Interrupted, match="The disk is full"):
        explorer.sweep("lambdas", out=tmp_path / "study", console=console)


def test_a_job_cannot_be_followed_where_a_loop_runs_already(tmp_path):
    import asyncio

    async def cell():
        explorer.submit("lambdas", tmp_path, address="http://h:1", follow=True)

    with pytest.raises(explorer.ConfigError, match="a notebook cannot follow a job"):
        asyncio.run(cell())

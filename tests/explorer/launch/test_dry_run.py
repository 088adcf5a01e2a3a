"""The dry run: every kind of training once, timed, and the hours they add up to."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console
from typer.testing import CliRunner

from explorer.cli.app import app
from explorer.launch import dry_run
from explorer.study import StudySpec
from trainables.preflight.rehearsal import StepTime

SECONDS = {"task": 0.5, "kd": 1.0, "cwd": 2.0}


@pytest.fixture
def asked(tiny_spec):
    space = {"method": ["kd", "cwd"], "lambda_kd": {"low": 0.1, "high": 1.0}, "lambda_cwd": {"low": 0.1, "high": 1.0}}
    base = {**tiny_spec["base"], "pair": "fpn_r18:mbv3s", "steps": 720, "teacher_recipe": {"steps": 3600}}
    base.pop("method", None)
    changes = {"space": space, "base": base, "enqueue": [], "num_trials": 10, "seeds": [0, 1], "baseline_trials": 3}
    return StudySpec.parse({**tiny_spec, **changes})


@pytest.fixture
def timed(monkeypatch, tmp_path):
    """Step times by method, instead of a clock's; an empty cache."""
    monkeypatch.setenv("HETEROAKD_CACHE", str(tmp_path / "cache"))
    asked = []

    def answer(config, **_):
        asked.append((config.method, config.student))
        return StepTime(SECONDS[config.method], 0.0, 1.0)

    monkeypatch.setattr(dry_run, "step_time", answer)
    return asked


def test_the_hours_are_steps_times_seconds_of_every_training(asked, timed):
    found = dry_run.plan(asked)
    assert found.trainings == {"teachers": 1, "students alone": 3, "search": 10}
    assert found.hours == pytest.approx({"teachers": 0.5, "students alone": 3 * 0.1, "search": 10 * (0.2 + 0.4) / 2})
    assert sorted(timed) == [
        ("cwd", "fpn:tu-mobilenetv3_small_050"),
        ("kd", "fpn:tu-mobilenetv3_small_050"),
        ("task", "fpn:resnet18"),
        ("task", "fpn:tu-mobilenetv3_small_050"),
    ]


def test_trials_of_several_gpus_take_their_hours_on_each(asked, timed):
    """The step that is timed is one GPU's part; 3.8 hours of two."""
    both = asked.model_copy(update={"gpus_per_trial": 2.0})
    found, text = dry_run.plan(both), io.StringIO()
    dry_run.show(dataclasses.replace(found, on_gpu=True), both, Console(file=text, width=160))
    assert "7.60 GPU-hours" in text.getvalue()
    assert "2 processes share each batch" in text.getvalue()


def test_a_cached_teacher_costs_nothing(asked, timed, monkeypatch, tmp_path):
    cached = tmp_path / "teacher.safetensors"
    cached.touch()
    monkeypatch.setattr(dry_run, "cached_path", lambda *_, **__: cached)
    found = dry_run.plan(asked)
    assert found.trainings["teachers"] == 0
    assert "teachers" not in found.hours


def test_the_plan_is_shown_with_every_kind_and_the_sum(asked, timed):
    text = io.StringIO()
    dry_run.show(dry_run.plan(asked), asked, Console(file=text, width=160))
    for word in ("fpn_r18:mbv3s", "cwd", "2000", "0.40", "search: 10 trainings, 3.00 hours", "steps: 3.80 hours"):
        assert word in text.getvalue()
    assert "scaled" not in text.getvalue()


def test_a_dry_run_measures_and_writes_no_study(asked, tmp_path, monkeypatch):
    monkeypatch.setenv("HETEROAKD_CACHE", str(tmp_path / "cache"))
    asked.save(tmp_path)
    out = tmp_path / "study"
    said = CliRunner().invoke(app, ["sweep", str(tmp_path / "study.yaml"), "--dry-run", "--out", str(out)])
    assert said.exit_code == 0, said.output
    assert "search: 10 trainings" in said.output
    assert not out.exists()
    assert not (tmp_path / "cache").exists()


def test_a_group_shares_what_its_teacher_takes(asked, timed, monkeypatch):
    monkeypatch.setattr(
        dry_run, "step_time", lambda config, **_: StepTime(2.0, 1.5 if config.method != "task" else 0, 1.0)
    )
    found = dry_run.plan(asked.model_copy(update={"group_size": 3}))
    assert found.hours == pytest.approx({"teachers": 2.0, "students alone": 3 * 0.4, "search": 10 * 720 * 1.0 / 3600})
    console = Console(file=io.StringIO(), width=200)
    dry_run.show(found, asked.model_copy(update={"group_size": 3}), console)
    assert "Groups of 3, were they always full" in console.file.getvalue()


def test_crops_too_small_for_their_network_are_named(asked, timed):
    """Crops of 32 pixels of images of 64."""
    small = asked.model_copy(update={"base": {**asked.base, "crop_height": 32, "crop_width": 32}})
    text = io.StringIO()
    dry_run.show(dry_run.plan(small), small, Console(file=text, width=1000))
    assert "fpn:resnet18 has 1x1 cells at its deepest on a crop of 32x32" in text.getvalue()
    slide = small.model_copy(update={"base": {**small.base, "eval_mode": "slide"}})
    assert dry_run.plan(slide).notes == []


def shown(found, spec):
    text = io.StringIO()
    dry_run.show(found, spec, Console(file=text, width=200))
    return text.getvalue()


def test_under_a_budget_each_kind_has_the_steps_that_it_can_afford(asked, timed):
    """kd costs 2 and cwd 4 times the student alone: of 720 steps in 12 reports of 60, 30 and 15 a report."""
    spec = asked.model_copy(update={"budget": "seconds", "base": {**asked.base, "eval_every": 60}})
    found = dry_run.plan(spec)
    assert {part.method: part.steps for part in found.parts if part.stage != "teachers"} == {
        "task": 720,
        "kd": 360,
        "cwd": 180,
    }
    assert found.hours == pytest.approx({"teachers": 0.5, "students alone": 3 * 0.1, "search": 10 * 0.1})
    assert len(timed) == 4  # each kind once
    text = shown(found, spec)
    assert "Equal compute, in seconds, measured here, and at launch anew:" in text
    assert "method cwd, teacher fpn:resnet18, student fpn:tu-mobilenetv3_small_050: 2 s a step, 4.00 times" in text
    assert "4.00 times the student alone's: 180 steps" in text
    assert "Equal compute" not in shown(dry_run.plan(asked), asked)


def test_gmac_is_told_as_it_will_be_at_launch(asked, timed, monkeypatch):
    cost = {"task": 1.0, "kd": 1.5, "cwd": 900.0}
    monkeypatch.setattr(dry_run, "step_gmac", lambda config, **_: cost[config.method])
    found = dry_run.plan(asked.model_copy(update={"budget": "gmac"}))  # a report each step
    assert {part.method: part.steps for part in found.parts if part.stage != "teachers"} == {
        "task": 720,
        "kd": 720,  # 1.5 steps between reports are 1, which is told, since steps are whole
        "cwd": 720,
    }
    assert [line.rpartition(": ")[2] for line in found.shares if "method kd" in line] == [
        "720 steps, 150 % of the compute, since steps are whole"
    ]


def test_the_command_takes_a_budget(monkeypatch, tmp_path):
    given = {}
    monkeypatch.setattr("explorer.dry_run", lambda spec, **options: given.update(options))
    said = CliRunner().invoke(app, ["sweep", "--preset", "methods", "--budget", "gmac", "--dry-run"])
    assert (said.exit_code, given["budget"]) == (0, "gmac")
    monkeypatch.undo()
    wrong = CliRunner().invoke(app, ["sweep", "--preset", "methods", "--budget", "watt", "--dry-run"])
    assert "budget" in str(wrong.exception)
    assert "gmac" in str(wrong.exception)

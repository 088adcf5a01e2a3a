"""The reference pages name all verbs with all options, and all fields with range, unit, default and condition."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner
from writers import fields, study, trial, verbs

from explorer.cli.app import app
from explorer.study import StudySpec
from trainables.config import TrialConfig

REFERENCE = Path(__file__).parents[2] / "docs/reference"


def page(name):
    return (REFERENCE / name).read_text()


def row(text, name):
    """The cells of the one table row that begins with a name."""
    [found] = re.findall(rf"^\| `{re.escape(name)}` \|.*$", text, re.MULTILINE)
    return [cell.strip() for cell in found.strip("|").split(" | ")]


VERBS = dict(verbs.commands())


def test_help_names_the_same_verbs():
    said = CliRunner().invoke(app, ["--help"]).output
    assert {name.split()[0] for name in VERBS} == set(re.findall(r"^│ ([a-z]+) ", said, re.MULTILINE))


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_that_help_shows_is_on_the_page(verb):
    section = page("verbs.md").split(f"\n## {verb}\n")[1].split("\n## ")[0]
    said = CliRunner().invoke(app, [*verb.split(), "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}).output
    shown = set(re.findall(r"--[a-z][a-z-]+", said.split("Options")[1]))
    assert shown - {"--help"} <= set(re.findall(r"--[a-z][a-z-]+", section))


def test_a_verbs_row_has_type_default_and_help():
    text = page("verbs.md").split("\n## storage\n")[1].split("\n## ")[0]
    assert row(text, "--port") == ["`--port`", "whole number, 1 to 65535", "`13000`", "Where to listen."]
    assert row(text, "DIRECTORY") == ["`DIRECTORY`", "path", "required", "A study's folder."]


@pytest.mark.parametrize("name", TrialConfig.model_fields)
def test_every_field_of_a_trial_has_one_row(name):
    assert len(row(page("trial.md"), name)) == 6


@pytest.mark.parametrize("name", StudySpec.model_fields)
def test_every_field_of_a_study_has_one_row(name):
    assert len(row(page("study.md"), name)) == 6


def test_every_number_states_its_unit_and_nothing_else_does():
    for name, field in TrialConfig.model_fields.items():
        assert bool(trial.unit_of(name)) == fields.is_number(field.annotation), name
    for name, field in StudySpec.model_fields.items():
        if name not in ("seeds", "constraints", "group_size", "latency"):  # lists, mappings and words of numbers
            assert (name in study.UNITS) == fields.is_number(field.annotation), name


def test_no_unit_or_condition_is_of_a_field_that_is_gone():
    assert {*study.UNITS, *study.CONDITIONS, *study.RANGES} <= set(StudySpec.model_fields)


def test_rows_read_as_the_fields_were_written():
    text = page("trial.md")
    assert row(text, "lr")[1:5] == ["`0.001`", "number, above 0 to 10", "–", "–"]
    assert row(text, "crop_height")[1:4] == ["`128`", "whole number, 32 or more", "pixels"]
    assert row(text, "momentum")[4] == "`optimizer` is sgd"
    assert row(text, "kem_axis")[2:5] == ["`class` or `space`", "–", "`method` is heteroakd; `kem` is true"]
    assert row(text, "eval_every")[1:4] == ["none", "whole number or none, 1 or more", "steps"]
    assert row(text, "region_size")[2] == "`8`, `16`, `32` or `64`"
    text = page("study.md")
    assert row(text, "plateau_gain")[1:5] == [
        "`0.001`",
        "number, 0 to below 1",
        "mIoU, of 1",
        "`plateau_trials` is given",
    ]
    assert row(text, "time_budget_s")[1:4] == ["none", "number or none, above 0", "seconds"]

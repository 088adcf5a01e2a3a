"""A spec in any form, with changes by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

import explorer
from explorer.api.given import plain, study_spec, trial_config
from explorer.study import StudySpec
from trainables.config import TrialConfig
from trainables.errors import ConfigError

SPACE = {"lambda_kd": {"low": 0.1, "high": 1.0}}


def spec(given, *, base=None, set=None, **overrides):
    return study_spec(given, base=base, set=set, overrides=overrides)


def test_a_preset_a_dictionary_a_file_and_a_spec_say_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = StudySpec.parse({"preset": "lambdas", "num_trials": 7, "base": {"steps": 50, "data": "earth"}})
    changes = {"num_trials": 7, "steps": 50, "data": "earth"}
    Path("spec.yaml").write_text(yaml.safe_dump({"preset": "lambdas", "num_trials": 99, "base": {"steps": 1}}))
    for given in (
        "lambdas",
        {"preset": "lambdas"},
        "spec.yaml",
        Path("spec.yaml"),
        StudySpec.parse({"preset": "lambdas"}),
    ):
        assert spec(given, **changes) == wanted
    assert spec(wanted) == wanted


def test_fields_of_the_study_and_of_the_trial_find_their_places():
    found = spec({"space": SPACE}, num_trials=3, seeds=[0, 1], lr=0.01, pair="fpn_r18:mbv3s", base={"steps": 5})
    assert (found.num_trials, found.seeds) == (3, [0, 1])
    assert found.base == {"lr": 0.01, "pair": "fpn_r18:mbv3s", "steps": 5}


def test_what_is_given_twice_is_taken_from_set_then_by_name_then_from_base_then_from_the_spec():
    given = {"space": SPACE, "base": {"lr": 0.1, "steps": 1, "seed": 9, "momentum": 0.1}}
    found = spec(given, base={"lr": 0.2, "steps": 2, "seed": 8}, lr=0.3, steps=3, set={"lr": 0.4, "own.alpha": 1})
    assert found.base == {"lr": 0.4, "steps": 3, "seed": 8, "momentum": 0.1, "own.alpha": 1}


def test_a_field_that_is_fixed_by_name_leaves_the_presets_space():
    assert "lambda_kd" not in spec("lambdas", lambda_kd=0.5).space


@pytest.mark.parametrize(
    ("name", "nearest"), [("num_trails", "num_trials"), ("stepss", "steps"), ("samplr", "sampler"), ("pairs", "pair")]
)
def test_a_misspelt_name_is_refused_with_the_nearest_of_both_kinds(name, nearest):
    with pytest.raises(ConfigError, match=rf"^Unknown field '{name}'\. Nearest: {nearest}\.$"):
        spec("lambdas", **{name: 1})


def test_a_misspelt_preset_is_refused_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(explorer.ConfigError, match=r"Unknown preset 'lamdas'\. Nearest: lambdas"):
        explorer.sweep("lamdas")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", ["nowhere.yaml", "no/such/spec"])
def test_what_looks_like_a_file_is_one(given):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        spec(given)


def test_a_files_mistake_is_said_with_its_name(tmp_path):
    (tmp_path / "spec.yaml").write_text("preset: lambdas\nsamplr: tpe\n")
    with pytest.raises(ConfigError, match=r"spec\.yaml: Unknown field 'samplr'\. Nearest: sampler"):
        spec(tmp_path / "spec.yaml")


@pytest.mark.parametrize("given", [3, None, ["lambdas"]])
def test_what_is_no_spec_is_one_sentence(given):
    with pytest.raises(ConfigError, match=r"^A spec must be a preset's name, .* got "):
        spec(given)


@pytest.mark.parametrize("where", ["base", "set"])
def test_what_is_no_mapping_of_fields_is_one_sentence(where):
    with pytest.raises(ConfigError, match=rf"^{where} must be a mapping of fields to values, got \['lr'\]\.$"):
        spec("lambdas", **{where: ["lr"]})


def test_numbers_of_numpy_paths_and_ranges_become_what_yaml_holds(tmp_path):
    found = spec({"space": SPACE}, seeds=range(3), num_trials=np.int64(4), data=tmp_path, lr=np.float32(0.5))
    assert found.seeds == [0, 1, 2]
    assert found.base == {"data": str(tmp_path), "lr": 0.5}
    assert yaml.safe_load(yaml.safe_dump(found.model_dump(mode="json"))) == found.model_dump(mode="json")
    assert plain({"a": (np.bool_(True), {Path("x"): np.array(2)})}) == {"a": [True, {"x": 2}]}


def test_a_trial_is_given_as_a_file_a_dictionary_or_itself(tmp_path):
    wanted = TrialConfig.parse({"method": "task", "steps": 5, "teacher_recipe": {"steps": 5}})
    (tmp_path / "trial.yaml").write_text("method: task\nsteps: 5\n")
    for given in (
        tmp_path / "trial.yaml",
        str(tmp_path / "trial.yaml"),
        {"method": "task", "steps": np.int64(5)},
        wanted,
    ):
        assert trial_config(given) == wanted
    with pytest.raises(ConfigError, match=r"Unknown field 'stepps'\. Nearest: steps"):
        trial_config({"stepps": 3})

"""The YAML form of a dimension."""

from __future__ import annotations

import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces import dimension
from trainables.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "form", "expected"),
    [
        ("lambda_kd", {"low": 0.01, "high": 10, "log": True}, FloatDistribution(0.01, 10.0, log=True)),
        ("momentum", {"low": 0.5, "high": 0.9, "step": 0.1}, FloatDistribution(0.5, 0.9, step=0.1)),
        ("clip_norm", {"low": 1, "high": 5, "step": 1}, FloatDistribution(1.0, 5.0, step=1.0)),
        ("projector_depth", {"low": 1, "high": 3}, IntDistribution(1, 3)),
        ("projector_width", {"low": 8, "high": 256, "log": True}, IntDistribution(8, 256, log=True)),
        ("crop_height", {"low": 64, "high": 256, "step": 32}, IntDistribution(64, 256, step=32)),
        ("kem", [True, False], CategoricalDistribution([True, False])),
        ("clip_norm", [None, 1.0], CategoricalDistribution([None, 1.0])),
        ("pair", ["r18:mit_b0"], CategoricalDistribution(["r18:mit_b0"])),
    ],
)
def test_form_and_distribution_give_each_other(name, form, expected):
    assert dimension.parse(name, form) == expected
    assert dimension.form(expected) == form


def test_yaml_numbers_without_a_point_are_numbers():
    forms = yaml.safe_load("range: {low: 1e-4, high: 1e-2, log: true}\nlist: [1e-3, 1]")
    assert forms["list"][0] == "1e-3"  # what PyYAML makes of it
    assert dimension.parse("lr", forms["range"]) == FloatDistribution(1e-4, 1e-2, log=True)
    assert dimension.parse("lr", forms["list"]) == CategoricalDistribution([0.001, 1.0])


@pytest.mark.parametrize(
    ("name", "form", "sentence"),
    [
        ("lr", {"low": 2, "high": 1}, "lr: low must be <= high (1.0), got 2.0."),
        ("lr", {"low": 0, "high": 1, "log": True}, "lr: low must be > 0 with log, got 0.0."),
        ("lr", {"low": 0.1, "high": 1, "hi": 2}, "lr: Unknown field 'hi'. Nearest: high."),
        ("lr", {"low": 0.1, "high": 1, "log": True, "step": 0.1}, "lr: step cannot go with log, got 0.1; remove one"),
        ("lr", {"low": 0.1, "high": 1, "step": 0.4}, "lr: step must divide high - low (0.1 to 1.0), got 0.4."),
        ("lr", {"low": 0.1, "high": 1, "step": -1}, "lr: step must be > 0, got -1.0."),
        ("lr", {"low": float("nan"), "high": 1}, "lr: low input should be a finite number, got nan."),
        ("projector_depth", {"low": 1.5, "high": 3}, "projector_depth: low input should be a valid integer"),
        ("kem", {"low": 0, "high": 1}, "kem has no range, got {'low': 0, 'high': 1}: give a list of choices."),
        ("pair", {"low": 0, "high": 1}, "pair has no range"),
        ("lr", [], "lr must have at least one choice, got an empty list."),
        ("lr", [0.1, "1e-1"], "lr: every choice must be listed once, got 0.1 2 times."),
        ("kem", [[True]], "kem: a choice must be a number, a text, a truth value or null, got [True]."),
        ("lr", 0.1, "lr must be a list of choices or a range {low, high}, got 0.1."),
    ],
)
def test_a_wrong_form_is_refused_in_a_sentence(name, form, sentence):
    with pytest.raises(ConfigError) as error:
        dimension.parse(name, form)
    assert str(error.value).startswith(sentence)


def test_probes_meet_the_grid_and_both_ends():
    assert dimension.probes(IntDistribution(64, 256, step=32)) == (64, 96, 256)
    assert dimension.probes(FloatDistribution(0.1, 1.0)) == (0.1, 1.0)
    assert dimension.probes(CategoricalDistribution(["a", "b"])) == ("a", "b")
    assert dimension.probes(IntDistribution(2, 2)) == (2, 2)

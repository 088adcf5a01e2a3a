"""Dimensions and pairs of the user's own code; nothing of it is imported here."""

from __future__ import annotations

import optuna
import pytest
import yaml

from search_spaces.pairs import Network, Pair, resolve_pair
from search_spaces.space import SearchSpace
from trainables.errors import ConfigError

OWN = "my.losses:Gap"
ALPHA = {"low": 0.01, "high": 10.0, "log": True}


def params_of(forms, base, trials=30):
    space = SearchSpace.from_dict(forms)
    space.check(base)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = []
    for _ in range(trials):
        params = space.suggest(study.ask(), base)
        found.append((params, space.config(params, base)))
    return found


def test_an_entry_of_own_is_a_dimension_and_ends_up_in_own():
    for params, config in params_of({"own.alpha": ALPHA, "own.norm": ["l1", "l2"]}, {"method": OWN}):
        assert config.own == {"alpha": params["own.alpha"], "norm": params["own.norm"]}


def test_what_base_fixes_and_what_is_searched_merge():
    for base in ({"own": {"beta": 2}}, {"own.beta": 2}):
        for params, config in params_of({"own.alpha": ALPHA}, {"method": OWN, **base}, trials=2):
            assert config.own == {"alpha": params["own.alpha"], "beta": 2}


def test_an_entry_is_searched_only_where_the_method_is_own():
    found = params_of({"method": ["kd", OWN], "own.alpha": ALPHA, "lambda_kd": ALPHA}, {})
    assert {config.method for _, config in found} == {"kd", OWN}
    for params, config in found:
        assert ("own.alpha" in params) == (config.method == OWN)
        assert ("lambda_kd" in params) == (config.method == "kd")


def test_every_own_method_reads_teacher_and_tap():
    found = params_of({"pair": ["r18:mit_b0", "mit_b0:r18"], "projector_tap": ["stage3", "stage4"]}, {"method": OWN})
    assert all({"pair", "projector_tap"} == params.keys() for params, _ in found)


def test_an_own_method_beside_task_is_told_as_any_other():
    with pytest.raises(ConfigError, match="a trial with method 'task' reads no pair"):
        SearchSpace.from_dict({"method": ["task", OWN], "pair": ["r18:mit_b0"]}).check({})


@pytest.mark.parametrize(
    ("form", "base", "sentence"),
    [
        ({"own.alpha": ALPHA}, {"method": "kd"}, "own.alpha is read only when method is own, but every trial here has"),
        (
            {"own.alpha": ALPHA},
            {"method": OWN, "own": {"alpha": 1}},
            "own.alpha is a dimension, but base fixes it to 1",
        ),
        ({"own.alpha": ALPHA}, {"method": OWN, "own.alpha": 2}, "own.alpha is a dimension, but base fixes it to 2"),
        ({"kem": [True, False]}, {"method": OWN}, "kem is read only when method is heteroakd, but every trial here"),
    ],
)
def test_a_dimension_that_no_trial_reads_is_refused(form, base, sentence):
    with pytest.raises(ConfigError) as caught:
        SearchSpace.from_dict(form).check(base)
    assert str(caught.value).startswith(sentence)


def test_a_range_between_whole_numbers_is_of_whole_numbers():
    for params, _ in params_of(
        {"own.rank": {"low": 1, "high": 4}, "own.share": {"low": 0.0, "high": 1}}, {"method": OWN}
    ):
        assert type(params["own.rank"]) is int
        assert type(params["own.share"]) is float


@pytest.mark.parametrize("name", ["own", "own.", "own.two words", "own.a.b", "owned.alpha"])
def test_what_is_no_entry_is_no_dimension(name):
    with pytest.raises(ConfigError):
        SearchSpace.from_dict({name: [1, 2]})


def test_it_comes_back_from_yaml_and_json():
    space = SearchSpace.from_dict({"method": ["kd", OWN], "own.alpha": ALPHA, "own.norm": ["l1", "l2"]})
    assert SearchSpace.from_dict(yaml.safe_load(yaml.safe_dump(space.to_dict()))) == space
    assert SearchSpace.from_json(space.to_json()) == space


def test_the_students_alone_have_no_own_entries():
    space = SearchSpace.from_dict({"own.alpha": ALPHA, "lr": ALPHA})
    assert list(space.task_space({"method": OWN}).dimensions) == ["lr"]


def test_own_networks_make_a_pair():
    pair = resolve_pair("my.nets:Tiny>segformer:mit_b0")
    assert pair == Pair(Network("my.nets:Tiny", "other"), Network("segformer:mit_b0", "Transformer"))
    ((teacher, student),) = SearchSpace.from_dict({"pair": ["my.nets:Tiny>nets:small"]}).pairs({"method": "kd"})
    assert (teacher, student) == ("my.nets:Tiny", "nets:small")

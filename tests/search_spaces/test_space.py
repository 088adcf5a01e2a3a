"""SearchSpace: forms, checks, conditions."""

from __future__ import annotations

import optuna
import pytest
import yaml
from optuna.trial import FixedTrial

from search_spaces.space import SearchSpace
from trainables.config import TrialConfig
from trainables.errors import ConfigError

FORMS = yaml.safe_load("""
pair: [fpn_r18:mit_b0, pvt_b0:mbv3s]
lambda_kd: {low: 0.01, high: 10, log: true}
projector_depth: {low: 1, high: 3}
projector_width: {low: 32, high: 128, step: 32}
kem: [true, false]
""")


def space(**forms):
    return SearchSpace.from_dict(forms)


def refusal(forms, base):
    with pytest.raises(ConfigError) as error:
        SearchSpace.from_dict(forms).check(base)
    return str(error.value)


def test_yaml_form_round_trips_exactly():
    written = SearchSpace.from_dict(FORMS).to_dict()
    assert written == FORMS
    assert list(written) == list(FORMS)


def test_json_round_trips_exactly_and_keeps_the_order():
    first = SearchSpace.from_dict(FORMS)
    second = SearchSpace.from_json(first.to_json())
    assert second == first
    assert list(second.dimensions) == list(first.dimensions)


@pytest.mark.parametrize("text", ["", "[1]", '{"lr": 3}', '{"lr": {"name": "Foo", "attributes": {}}}'])
def test_text_that_is_no_space_is_refused(text):
    with pytest.raises(ConfigError, match="A stored search space must be"):
        SearchSpace.from_json(text)


def test_digest_ignores_the_order_of_dimensions_but_not_of_choices():
    digest = SearchSpace.from_dict(FORMS).digest()
    assert SearchSpace.from_dict(dict(reversed(FORMS.items()))).digest() == digest
    assert SearchSpace.from_dict(FORMS | {"kem": [False, True]}).digest() != digest
    assert SearchSpace.from_dict(FORMS | {"lambda_kd": {"low": 0.01, "high": 20, "log": True}}).digest() != digest


def test_unknown_field_names_the_nearest():
    with pytest.raises(ConfigError) as error:
        space(lamda_kd=[1])
    assert str(error.value) == "Unknown field 'lamda_kd'. Nearest: lambda_kd."


def test_a_field_that_holds_fields_is_no_dimension():
    with pytest.raises(ConfigError, match="teacher_recipe holds fields of its own"):
        space(teacher_recipe=[1])


@pytest.mark.parametrize(
    ("forms", "base", "sentence"),
    [
        ({"lambda_kd": {"low": -1, "high": 1}}, {}, "lambda_kd must be >= 0.0, got -1.0."),
        ({"optimizer": ["adam", "sgd"]}, {}, "optimizer must be 'adamw' or 'sgd', got 'adam'."),
        ({"crop_height": {"low": 31, "high": 128}}, {}, "crop_height must be >= 32, got 31."),
        (
            {"lambda_kd": [0.1, 1]},
            {"method": "skd"},
            "lambda_kd is read only when with_kd is True, but every trial here has with_kd False. "
            "Remove the dimension or change with_kd.",
        ),
        (
            {"scale_min": {"low": 0.5, "high": 3}, "scale_max": {"low": 2, "high": 4}},
            {},
            "scale_min must be <= scale_max (2.0), got 3.0.",
        ),
        (
            {"pair": ["r18:mit_b0", "r18:foo"]},
            {},
            "Unknown pair 'r18:foo'. Nearest: r18:mit_b0. `heteroakd pairs` lists all.",
        ),
        ({"lr": [0.1]}, {"lr": 1}, "lr is a dimension, but base fixes it to 1. Remove one of the two."),
        ({"lr": [0.1]}, {"lrr": 1}, "Unknown field 'lrr'. Nearest: lr."),
        (
            {"lambda_hakd": [1, 10]},
            {"method": "kd"},
            "lambda_hakd is read only when method is heteroakd, but every trial here has method 'kd'. "
            "Remove the dimension or change method.",
        ),
        (
            {"lambda_hakd": [1, 10], "method": ["task", "kd"]},
            {},
            "lambda_hakd is read only when method is heteroakd, but every trial here has method 'task' or 'kd'. "
            "Remove the dimension or change method.",
        ),
        (
            {"projector_width": [32, 64]},
            {},
            "projector_width is read only when projector_depth is 2 or 3, "
            "but every trial here has projector_depth 1. Remove the dimension or change projector_depth.",
        ),
        (
            {"pair": ["r18:mit_b0"]},
            {"method": "task"},
            "pair is read only when method is kd, heteroakd, cwd, skd, ifvd, at, fitnet, dist, cirkd, afdcd, ofa, nfd, "
            "lskd, qsd, cirkdv2, diffkd, own or collaborative, but every trial here has method 'task'. "
            "Remove the dimension or change method.",
        ),
    ],
)
def test_check_refuses_before_any_trial(forms, base, sentence):
    assert refusal(forms, base) == sentence


@pytest.mark.parametrize("other", ["teacher", "student"])
def test_pair_excludes_teacher_and_student(other):
    sentence = f"pair stands for teacher and student, but {other} is given too. Remove one of the two."
    assert refusal({"pair": ["r18:mit_b0"], other: ["fpn:resnet18"]}, {}) == sentence
    assert refusal({"pair": ["r18:mit_b0"]}, {other: "fpn:resnet18"}) == sentence


def test_pair_is_refused_where_some_trials_would_have_no_student():
    sentence = refusal({"pair": ["r18:mit_b0"], "method": ["task", "kd"]}, {})
    assert sentence.startswith("pair names the student, but a trial with method 'task' reads no pair.")


@pytest.mark.parametrize(
    ("forms", "base"),
    [
        (FORMS, {}),
        ({"projector_width": [32, 64]}, {"projector_depth": 2}),
        ({"momentum": [0.8, 0.9], "optimizer": ["adamw", "sgd"]}, {}),
        ({"scale_min": {"low": 0.5, "high": 3}, "scale_max": {"low": 3, "high": 4}}, {}),
        ({"lambda_kd": [0.1]}, {"pair": "r18:mit_b0"}),
        ({}, {}),
    ],
)
def test_check_passes_what_every_trial_can_use(forms, base):
    SearchSpace.from_dict(forms).check(base)


CHAIN = space(
    projector_width=[32, 64],
    lambda_hakd={"low": 0.1, "high": 10, "log": True},
    projector_depth={"low": 1, "high": 3},
    method=["kd", "heteroakd"],
    lambda_kd={"low": 0.1, "high": 1},
)
ANSWERS = {"projector_width": 64, "lambda_hakd": 2.0, "projector_depth": 2, "method": "heteroakd", "lambda_kd": 0.5}


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ({}, ["method", "projector_depth", "projector_width", "lambda_hakd", "lambda_kd"]),
        ({"projector_depth": 1}, ["method", "projector_depth", "lambda_hakd", "lambda_kd"]),
        ({"method": "kd"}, ["method", "lambda_kd"]),
    ],
)
def test_conditions_chain_and_deciders_are_asked_first(answers, asked):
    answers = ANSWERS | answers
    params = CHAIN.suggest(FixedTrial(answers), {})
    assert list(params) == asked
    assert params == {name: answers[name] for name in asked}


def test_conditions_look_at_base_and_then_at_the_defaults():
    width = space(projector_width=[32, 64])
    assert width.suggest(FixedTrial({"projector_width": 32}), {"projector_depth": 3}) == {"projector_width": 32}
    assert width.suggest(FixedTrial({"projector_width": 32}), {}) == {}


def test_suggested_kinds_follow_the_distributions():
    forms = {"lr": {"low": 0.1, "high": 0.4, "step": 0.1}, "batch_size": {"low": 2, "high": 8, "step": 2}}
    drawn = SearchSpace.from_dict(forms)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [study.ask() for _ in range(20)]
    params = [drawn.suggest(trial, {}) for trial in trials]
    assert {p["batch_size"] for p in params} <= {2, 4, 6, 8}
    assert {round(p["lr"] * 10, 9) for p in params} <= {1, 2, 3, 4}
    assert dict(trials[0].distributions) == dict(drawn.dimensions)


def test_config_expands_the_pair():
    config = SearchSpace.from_dict(FORMS).config({"pair": "pvt_b0:mbv3s", "lambda_kd": 0.5}, {"steps": 7})
    assert config == TrialConfig(
        teacher="fpn:tu-pvt_v2_b0", student="fpn:tu-mobilenetv3_small_050", lambda_kd=0.5, steps=7
    )


def test_students_and_pairs_are_those_that_trials_can_have():
    two = space(pair=["r18:mit_b0", "fpn_r18:mit_b0"])
    assert two.students({}) == ("segformer:mit_b0",)
    assert two.pairs({}) == (("deeplabv3:resnet18", "segformer:mit_b0"), ("fpn:resnet18", "segformer:mit_b0"))

    crossed = space(teacher=["a:b", "c:d"])
    assert crossed.students({"student": "e:f"}) == ("e:f",)
    assert crossed.pairs({"student": "e:f"}) == (("a:b", "e:f"), ("c:d", "e:f"))

    fixed = space(lr=[0.1])
    assert fixed.students({"pair": "r18:mit_b0"}) == ("segformer:mit_b0",)
    assert fixed.pairs({"pair": "r18:mit_b0"}) == (("deeplabv3:resnet18", "segformer:mit_b0"),)
    assert fixed.pairs({"method": "task"}) == ()


def test_gains_are_measured_of_both_students_only_where_two_learn_together():
    two = space(pair=["r18:mit_b0", "r18:lite0"])
    students = ("segformer:mit_b0", "fpn:tu-tf_efficientnet_lite0")
    assert two.alone({"method": "heteroakd"}) == students
    assert two.alone({"method": "collaborative"}) == (*students, "deeplabv3:resnet18")
    both = space(method=["kd", "collaborative"])
    assert both.alone({"teacher": "a:b", "student": "c:d"}) == ("c:d", "a:b")
    assert both.alone({"teacher": "c:d", "student": "c:d"}) == ("c:d",)
    assert space(method=["kd", "task"]).alone({"teacher": "a:b", "student": "c:d"}) == ("c:d",)


def test_task_space_keeps_what_a_student_alone_reads():
    whole = SearchSpace.from_dict(
        FORMS
        | {
            "lr": {"low": 1e-4, "high": 1e-2, "log": True},
            "optimizer": ["adamw", "sgd"],
            "momentum": [0.8, 0.9],
            "method": ["kd", "heteroakd"],
        }
    )
    task = whole.task_space({})
    assert list(task.dimensions) == ["lr", "optimizer", "momentum"]
    assert task.dimensions["lr"] == whole.dimensions["lr"]
    assert list(space(momentum=[0.8], student=["a:b"]).task_space({}).dimensions) == []


def test_a_field_that_is_read_in_one_of_two_ways_is_asked_for_in_either():
    """lambda_kd: under kd, and under skd where with_kd is on."""
    searched = space(method=["kd", "skd", "dist"], with_kd=[True, False], lambda_kd={"low": 0.1, "high": 1.0})
    searched.check({})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(40):
        params = searched.suggest(study.ask(), {})
        seen.add((params["method"], params.get("with_kd"), "lambda_kd" in params))
    assert seen == {("kd", None, True), ("skd", True, True), ("skd", False, False), ("dist", None, False)}


def test_a_tap_that_is_searched_goes_over_the_methods_own():
    searched = space(method=["skd", "heteroakd"], projector_tap=["stage2", "stage3"])
    searched.check({})
    for method in ("skd", "heteroakd"):
        assert searched.config({"method": method, "projector_tap": "stage2"}, {}).projector_tap == "stage2"
    assert space(method=["skd", "heteroakd"]).config({"method": "skd"}, {"method": "heteroakd"}).projector_tap == (
        "decoder"
    )

from __future__ import annotations

import pytest
import torch
import yaml
from pydantic import ValidationError

from trainables.conditions import OWN, as_condition
from trainables.config import TrialConfig
from trainables.device import pick_device
from trainables.errors import ConfigError, HeteroakdError, unknown
from trainables.recipe import Recipe

SENTENCES = [
    ({"temperature": -1.0}, "temperature must be > 0.0, got -1.0."),
    ({"lambda_kd": -0.1}, "lambda_kd must be >= 0.0, got -0.1."),
    ({"flip_horizontal": 1.5}, "flip_horizontal must be <= 1.0, got 1.5."),
    ({"momentum": 1}, "momentum must be < 1.0, got 1."),
    ({"batch_size": 1}, "batch_size must be >= 2, got 1."),
    ({"crop_width": 31}, "crop_width must be >= 32, got 31."),
    ({"warmup_steps": 400}, "warmup_steps must be < steps (400), got 400."),
    ({"method": "kl"}, "Unknown method 'kl'. Nearest: kd. Your own is named package.module:name."),
    ({"projector_kernel": 2}, "projector_kernel must be 1 or 3, got 2."),
    ({"scale_min": 3.0}, "scale_min must be <= scale_max (2.0), got 3.0."),
    ({"temprature": 1.0}, "Unknown field 'temprature'. Nearest: temperature."),
    ({"teacher_recipe": {"lr": 0}}, "teacher_recipe.lr must be > 0.0, got 0."),
    ({"lr": 0, "steps": 0}, "steps must be >= 1, got 0. lr must be > 0.0, got 0."),
]


@pytest.mark.parametrize(("values", "sentence"), SENTENCES, ids=lambda v: "" if isinstance(v, str) else "-".join(v))
def test_a_wrong_value_is_told_in_one_sentence_a_field(values, sentence):
    with pytest.raises(ConfigError) as caught:
        TrialConfig.parse(values)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "warm", None])
def test_what_is_no_finite_number_is_refused_by_name(value):
    with pytest.raises(ConfigError, match=r"^lr input should be .*, got "):
        TrialConfig.parse({"lr": value})


def test_the_nearest_of_a_misspelt_nested_field_is_a_nested_field():
    with pytest.raises(ConfigError, match=r"Unknown field 'teacher_recipe\.weight_deccay'\. Nearest: .*weight_decay"):
        TrialConfig.parse({"teacher_recipe": {"weight_deccay": 0.1}})


def test_a_number_in_yamls_old_spelling_is_a_number():
    assert TrialConfig.parse(yaml.safe_load("lr: 1e-3")).lr == 1e-3  # YAML 1.1 reads a string here


def test_braces_in_a_wrong_value_do_not_break_the_sentence():
    with pytest.raises(ConfigError, match=r"got '\{x\}'"):
        TrialConfig.parse({"kmm": "{x}", "method": "{x}"})


def test_where_the_value_stood_is_said_first(tmp_path):
    path = tmp_path / "trial.yaml"
    path.write_text("steps: 0\n")
    with pytest.raises(ConfigError) as caught:
        TrialConfig.load(path)
    assert str(caught.value) == f"{path}: steps must be >= 1, got 0."


def test_a_config_survives_yaml(tmp_path):
    values = {"method": "kd", "lr": 3e-4, "teacher_recipe": {"steps": 7, "optimizer": "sgd"}, "clip_norm": 1.5}
    config = TrialConfig.parse(values)
    path = tmp_path / "best.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert TrialConfig.load(path) == config
    assert TrialConfig.load(path).digest() == config.digest()


def test_a_config_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        TrialConfig().lr = 1.0
    with pytest.raises(ValidationError, match="frozen"):
        TrialConfig().teacher_recipe.lr = 1.0


@pytest.mark.parametrize("model", [Recipe, TrialConfig])
def test_every_field_is_described_in_a_sentence(model):
    for name, field in model.model_fields.items():
        assert len((field.description or "").strip()) > 5, name
        assert field.description.endswith("."), name


def test_conditions_name_fields_and_values_they_can_have():
    for name in TrialConfig.model_fields:
        for other, values in TrialConfig.conditions(name).items():
            for value in values:
                given = "my.losses:Mine" if value == OWN else value
                parsed = getattr(TrialConfig.parse({other: given}), other)
                assert parsed == given, name
                assert as_condition(parsed) == value, name


def test_an_unknown_name_gets_the_nearest_or_the_whole_list():
    assert (
        unknown("pair", "r18:foo", ["r18:mit_b0", "pvt"], "See.") == "Unknown pair 'r18:foo'. Nearest: r18:mit_b0. See."
    )
    assert unknown("pair", "zzzz", ["b", "a"]) == "Unknown pair 'zzzz'. Known: a, b."


def test_every_error_of_ours_is_a_value_error():
    assert issubclass(ConfigError, HeteroakdError)
    assert issubclass(HeteroakdError, ValueError)


def test_the_teachers_own_trial_is_its_recipe_on_the_trials_data(small):
    config = small(method="heteroakd", teacher="fpn:resnet18", teacher_recipe={"steps": 9, "lr": 0.2, "seed": 5})
    own = config.teacher_config()
    assert (own.method, own.student, own.data) == ("task", "fpn:resnet18", config.data)
    assert (own.steps, own.lr, own.seed) == (9, 0.2, 5)
    assert {name: getattr(own, name) for name in Recipe.model_fields} == config.teacher_recipe.model_dump()


@pytest.mark.parametrize(("steps", "every", "expected"), [(400, None, 80), (7, None, 2), (3, None, 1), (400, 30, 30)])
def test_evaluations_are_a_fifth_of_the_budget_apart_unless_told(steps, every, expected):
    assert TrialConfig(steps=steps, eval_every=every).report_every == expected


def test_a_file_trains_its_teacher_like_its_student_save_the_seed_and_what_it_says_otherwise(tmp_path):
    path = tmp_path / "trial.yaml"
    path.write_text("steps: 50\nlr: 0.02\nseed: 3\ntemperature: 4.0\nteacher_recipe: {lr: 0.5}\n")
    config = TrialConfig.load(path)
    assert config.teacher_recipe == Recipe(steps=50, lr=0.5, seed=0)
    path.write_text("steps: 50\n")
    assert TrialConfig.load(path).teacher_recipe == Recipe(steps=50)
    path.write_text("teacher_recipe: 3\n")
    with pytest.raises(ConfigError, match="teacher_recipe input should be"):
        TrialConfig.load(path)


def test_asking_for_cuda_where_there_is_none_is_told_with_a_remedy(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"^device is 'cuda', but .* Use auto or cpu\.$"):
        pick_device(TrialConfig(device="cuda"))
    assert pick_device(TrialConfig(device="auto")).type == "cpu"


TAPS = {
    **dict.fromkeys(("skd", "ifvd", "at", "fitnet", "cirkd", "cirkdv2", "cwd"), "decoder"),
    **dict.fromkeys(("heteroakd", "afdcd", "nfd", "qsd", "diffkd", "my.losses:Mine"), "stage4"),
}


@pytest.mark.parametrize(("method", "tap"), TAPS.items())
def test_the_tap_is_that_of_the_methods_source_unless_told(method, tap, tmp_path):
    config = TrialConfig(method=method)
    assert config.projector_tap == tap
    assert config.read_values()["projector_tap"] == tap  # what digests and best.yaml hold
    assert config.digest() == TrialConfig(method=method, projector_tap=tap).digest()
    assert TrialConfig(method=method, projector_tap="stage2").projector_tap == "stage2"
    path = tmp_path / "best.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert yaml.safe_load(path.read_text())["projector_tap"] == tap
    assert TrialConfig.load(path) == config


WEIGHTS = [
    ("afdcd", "cityscapes:/x", {"lambda_afdcd_feature": 33.6, "lambda_afdcd_contrast": 0.08, "lambda_kd": 1.0}),
    ("afdcd", "voc", {"lambda_afdcd_feature": 8.4, "lambda_afdcd_contrast": 0.08, "lambda_kd": 1.0}),
    ("afdcd", "ade20k:/x", {"lambda_afdcd_feature": 8.4, "lambda_afdcd_contrast": 0.64, "lambda_kd": 0.5}),
    ("afdcd", "camvid:/x", {"lambda_afdcd_feature": 33.2, "lambda_afdcd_contrast": 0.16, "lambda_kd": 1.0}),
    ("afdcd", "earth", {"lambda_afdcd_feature": 33.6, "lambda_afdcd_contrast": 0.08}),
    ("cirkd", "voc:/x", {"lambda_cirkd_batch": 1.0, "lambda_cirkd_pixel": 0.01, "lambda_cirkd_region": 0.01}),
    ("cirkd", "cityscapes:/x", {"lambda_cirkd_pixel": 0.1, "lambda_cirkd_region": 0.1, "lambda_kd": 1.0}),
    ("heteroakd", "ade20k:/x", {"lambda_kd": 0.1}),
]


@pytest.mark.parametrize(("method", "data", "weights"), WEIGHTS)
def test_weights_are_those_of_the_source_for_the_data_set_unless_told(method, data, weights):
    config = TrialConfig(method=method, data=data)
    assert {name: getattr(config, name) for name in weights} == weights
    told = TrialConfig(method=method, data=data, **dict.fromkeys(weights, 7.0))
    assert {getattr(told, name) for name in weights} == {7.0}


def test_plain_kd_beside_a_method_is_read_only_where_it_is_on():
    fields = ("lambda_kd", "kd_direction", "temperature")
    for method in ("skd", "ifvd", "cwd", "at", "fitnet", "cirkd", "cirkdv2", "afdcd"):
        for on in (False, True):
            config = TrialConfig(method=method, with_kd=on)
            assert config.reads("with_kd")
            assert [config.reads(name) for name in fields] == [on] * 3
    for method, with_kd, lambda_kd in (("kd", False, True), ("heteroakd", False, True), ("dist", False, False)):
        config = TrialConfig(method=method, with_kd=True)
        assert (config.reads("with_kd"), config.reads("lambda_kd")) == (with_kd, lambda_kd)


def test_a_network_sees_the_crop_padded_to_its_coarsest_stride():
    assert TrialConfig(crop_height=360, crop_width=360).padded_crop == (384, 384)
    assert TrialConfig(crop_height=512, crop_width=1024).padded_crop == (512, 1024)
    assert TrialConfig(crop_height=33, crop_width=64).padded_crop == (64, 64)


def test_the_teacher_is_scored_by_its_students_convention():
    assert TrialConfig(align_corners=True).teacher_config().align_corners

"""The contract of a preset, held by each of the table."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

import search_spaces
from explorer.study import StudySpec
from search_spaces.pairs import PAIRS
from search_spaces.preset import load
from search_spaces.space import SearchSpace
from trainables.errors import ConfigError


@pytest.fixture(params=search_spaces.PRESETS)
def preset(request):
    return load(request.param)


def test_check_passes_and_the_base_is_a_trial(preset):
    preset.space.check(preset.base)
    preset.space.config({}, preset.base)
    assert preset.doc.endswith(".")


def test_random_trials_are_valid_and_hold_only_what_they_read(preset):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    asked = set()
    for _ in range(100):
        params = preset.space.suggest(study.ask(), preset.base)
        config = preset.space.config(params, preset.base)
        assert all(config.reads(name) for name in params if name != "pair")
        assert config.student in preset.space.students(preset.base)
        assert (config.teacher, config.student) in preset.space.pairs(preset.base)
        asked |= set(params)
    assert asked == set(preset.space.dimensions)


def test_enqueued_points_are_in_the_space_and_are_tried_as_given(preset):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    assert preset.enqueue
    for point in preset.enqueue:
        for name, value in point.items():
            distribution = preset.space.dimensions[name]
            assert distribution._contains(distribution.to_internal_repr(value))
        study.enqueue_trial(dict(point))
        params = preset.space.suggest(study.ask(), preset.base)
        assert {name: params[name] for name in point} == point


def test_both_forms_round_trip(preset):
    assert SearchSpace.from_dict(preset.space.to_dict()) == preset.space
    assert SearchSpace.from_json(preset.space.to_json()) == preset.space


def test_every_file_with_a_space_is_in_the_table():
    folder = Path(search_spaces.__file__).parent
    with_space = {path.stem for path in folder.glob("*.py") if "\nSPACE = " in path.read_text()}
    assert with_space == {name.replace("-", "_") for name in search_spaces.PRESETS}


def test_a_study_of_every_preset_passes_its_own_check(preset):
    StudySpec.parse({"preset": preset.name}).check()


def test_no_preset_trains_on_crops_too_small_for_its_networks(preset):
    """128 pixels are 4 cells at stride 32, every encoder's coarsest."""
    config = preset.space.config({}, {name: value for name, value in preset.base.items() if name != "by_family"})
    assert min(config.crop_height, config.crop_width, config.teacher_recipe.crop_height) >= 128


@pytest.mark.parametrize("study", ["demo.yaml", "docs/earth.yaml"])
def test_nor_does_a_study_that_is_shown(study):
    spec = StudySpec.load(Path(search_spaces.__file__).parents[1] / study)
    spec.check()
    config = spec.search_space.config({}, spec.trial_base)
    stride = {"stage3": 16, "stage4": 32}[config.projector_tap]
    assert min(config.crop_height, config.crop_width) >= 4 * stride


def test_papers_weights_are_tried_first():
    tried = [(point["lambda_kd"], point["lambda_hakd"]) for point in load("heteroakd").enqueue]
    assert tried == [(0.1, 1.0), (0.1, 10.0)]


def test_a_fixed_field_goes_over_what_a_preset_says_of_families():
    asked = StudySpec.parse({"preset": "paper-cityscapes", "base": {"lr": 0.005}})
    pairs = asked.space["pair"]
    configs = [asked.search_space.config({"pair": pair}, asked.trial_base) for pair in pairs]
    assert {(config.lr, config.teacher_recipe.lr) for config in configs} == {(0.005, 0.005)}
    assert {config.optimizer for config in configs} == {"sgd", "adamw"}


SETS = {"cityscapes": (33.6, 0.08, 1.0), "voc": (8.4, 0.08, 1.0), "ade20k": (8.4, 0.64, 0.5)}
"""Af-DCD's weights of feature, contrast and plain KD."""


@pytest.mark.parametrize("data", SETS)
def test_a_papers_recipe_has_its_sources_weights_for_that_data_set(data):
    base = load(f"paper-{data}").base
    for pair in ("r101:mit_b0", "mit_b4:r18"):
        fields = {name: value for name, value in base.items() if name != "by_family"}
        space = SearchSpace.from_dict({"pair": [pair]})
        config = space.config({"pair": pair}, {**fields, "by_family": base["by_family"], "method": "afdcd"})
        found = (config.lambda_afdcd_feature, config.lambda_afdcd_contrast, config.lambda_kd)
        assert found == SETS[data]
        assert config.with_kd
        assert config.align_corners
        assert config.weight_decay == config.teacher_recipe.weight_decay == 1e-4
        assert config.projector_tap == "stage4"
    memory = SearchSpace({}).config({}, {**fields, "method": "cirkd"})
    wanted = (0.01, 0.01) if data == "voc" else (0.1, 0.1)
    assert (memory.lambda_cirkd_pixel, memory.lambda_cirkd_region) == wanted
    assert memory.projector_tap == "decoder"


def test_a_papers_recipe_tries_the_sources_kd_first_where_another_method_is_fixed():
    def tried(preset, **base):
        return {point["lambda_kd"] for point in StudySpec.parse({"preset": preset, "base": base}).enqueue}

    assert tried("paper-cityscapes") == {0.1}
    assert tried("paper-cityscapes", method="skd") == {1.0}
    assert tried("paper-ade20k", method="afdcd") == {0.5}


@pytest.mark.parametrize(("data", "contrast"), [("earth", 0.08), ("ade20k:/x", 0.64), ("camvid:/x", 0.16)])
def test_every_methods_first_trial_has_the_papers_weight_for_the_data_at_hand(data, contrast):
    asked = StudySpec.parse({"preset": "methods", "base": {"data": data}})
    asked.check()
    first = {point["method"]: point for point in asked.enqueue}
    assert first["afdcd"]["lambda_afdcd_contrast"] == contrast
    assert first["skd"]["lambda_skd"] == 10
    assert (first["kd"]["lambda_kd"], first["heteroakd"]["lambda_kd"]) == (1.0, 0.1)
    taps = {method: asked.search_space.config(point, asked.trial_base).projector_tap for method, point in first.items()}
    decoded = {"skd", "ifvd", "at", "fitnet", "cirkd", "cirkdv2", "cwd"}
    assert {name for name, tap in taps.items() if tap == "decoder"} == decoded


def test_pairing_tries_every_pair_once():
    assert [point["pair"] for point in load("pairing").enqueue] == list(PAIRS)


def test_heteroakd_searches_both_directions():
    names = load("heteroakd").space.to_dict()["pair"]
    assert {PAIRS[name].direction for name in names} == {"CNN->Transformer", "Transformer->CNN"}


@pytest.mark.parametrize("name", ["lamdas", "preset", "os"])
def test_only_presets_are_loaded(name):
    with pytest.raises(ConfigError, match=f"Unknown preset '{name}'"):
        load(name)


def test_unknown_preset_names_the_nearest():
    with pytest.raises(ConfigError, match=r"Nearest: lambdas\. Presets: heteroakd, lambdas, "):
        load("lamdas")

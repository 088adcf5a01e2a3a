"""`by_family` in a base: each network is trained as its family is."""

from __future__ import annotations

import pytest

from search_spaces.space import SearchSpace
from trainables.errors import ConfigError

RECIPES = {"CNN": {"optimizer": "sgd", "lr": 0.02}, "Transformer": {"lr": 2e-4, "weight_decay": 0.05}}
BASE = {"method": "kd", "lr": 0.5, "weight_decay": 0.3, "teacher_recipe": {"steps": 7, "lr": 0.6}, "by_family": RECIPES}
PAIRS = SearchSpace.from_dict({"pair": ["fpn_r18:mit_b0", "mit_b0:mbv3s", "edgenext:mit_b0"]})


def test_student_and_teacher_are_trained_as_their_own_family():
    config = PAIRS.config({"pair": "fpn_r18:mit_b0"}, BASE)
    assert (config.optimizer, config.lr, config.weight_decay) == ("adamw", 2e-4, 0.05)
    teacher = config.teacher_recipe
    assert (teacher.optimizer, teacher.lr, teacher.weight_decay, teacher.steps) == ("sgd", 0.02, 1e-2, 7)

    config = PAIRS.config({"pair": "mit_b0:mbv3s"}, BASE)
    assert (config.optimizer, config.lr, config.weight_decay) == ("sgd", 0.02, 0.3)
    assert (config.teacher_recipe.optimizer, config.teacher_recipe.lr) == ("adamw", 2e-4)


def test_a_family_without_a_recipe_keeps_the_base():
    assert PAIRS.config({"pair": "edgenext:mit_b0"}, BASE).teacher_recipe.lr == 0.6


def test_a_student_alone_is_trained_as_its_family_too():
    alone = SearchSpace.from_dict({"student": ["fpn:resnet18", "segformer:mit_b0"]})
    base = {**BASE, "method": "task"}
    assert alone.config({"student": "fpn:resnet18"}, base).lr == 0.02
    assert alone.config({"student": "segformer:mit_b0"}, base).lr == 2e-4


@pytest.mark.parametrize(
    ("recipes", "words"),
    [
        ({"cnn": {"lr": 1.0}}, "Unknown family 'cnn'"),
        ({"CNN": {"steps": 5}}, "has 'steps', which is no field that families can differ in"),
        ({"CNN": {"lambda_kd": 5}}, "has 'lambda_kd'"),
        ([1], "must map families"),
        ({"CNN": 3}, "must map families"),
        ({"Transformer": {"lr": -1}}, r"lr must be > 0\.?0?, got -1"),
    ],
)
def test_what_is_no_recipe_of_a_family_is_refused(recipes, words):
    with pytest.raises(ConfigError, match=words):
        PAIRS.config({"pair": "fpn_r18:mit_b0"}, {"by_family": recipes})


@pytest.mark.parametrize("recipes", [["CNN"], "CNN", {"CNN": None}])
def test_a_space_is_checked_against_no_malformed_recipes(recipes):
    space = SearchSpace.from_dict({"lr": {"low": 1e-4, "high": 1e-2, "log": True}})
    with pytest.raises(ConfigError, match="must map families"):
        space.check({"by_family": recipes})


def test_a_dimension_that_a_family_fixes_is_refused():
    space = SearchSpace.from_dict({"lr": {"low": 1e-4, "high": 1e-2, "log": True}})
    with pytest.raises(ConfigError, match=r"lr is a dimension, but by_family fixes it to 0\.02 for CNN"):
        space.check({name: value for name, value in BASE.items() if name != "lr"})


def test_two_students_that_learn_together_have_one_recipe():
    """Else the other one's gain would compare two recipes."""
    base = {"method": "collaborative", "by_family": RECIPES}
    with pytest.raises(ConfigError, match="collaborative trains both students by one recipe"):
        PAIRS.config({"pair": "fpn_r18:mit_b0"}, base)
    assert PAIRS.config({"pair": "mit_b4:mit_b0"}, base).lr == 2e-4

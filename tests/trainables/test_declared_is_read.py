"""The condition that TrialConfig declares for a field is the condition under which a trial reads it."""

from __future__ import annotations

import pytest
import torch

from trainables import run as run_module
from trainables.config import TrialConfig
from trainables.losses import LOSSES
from trainables.published import BESIDE
from trainables.run import run

BY_METHOD = {name for name in TrialConfig.model_fields if "method" in TrialConfig.conditions(name)}
HAKD_ONLY = {name for name in BY_METHOD if TrialConfig.conditions(name)["method"] == ("heteroakd",)}

TRIALS = {
    "task": {"method": "task"},
    "task with sgd": {"method": "task", "optimizer": "sgd"},
    "kd": {"method": "kd"},
    "heteroakd": {"method": "heteroakd", "projector_depth": 2, "projector_width": 8},
    "heteroakd without kem": {"method": "heteroakd", "kem": False},
    "cwd": {"method": "cwd", "lambda_cwd_feature": 1.0},
    "skd with kd": {"method": "skd", "with_kd": True},
    **{name: {"method": name} for name in LOSSES if name not in ("task", "kd", "heteroakd", "cwd")},
}

# Another value of every field that some method alone reads, and what else must hold for it to matter.
OTHER = {
    "temperature": {"temperature": 4.0},
    "lambda_hakd": {"lambda_hakd": 5.0},
    "lambda_proj": {"lambda_proj": 2.0},
    "kmm": {"kmm": False},
    "kem": {"kem": False},
    "kem_axis": {"kem_axis": "space"},
    "projector_depth": {"projector_depth": 2},
    "projector_width": {"projector_width": 16},
    "projector_kernel": {"projector_kernel": 3},
    "projector_tap": {"projector_tap": "stage2"},
    "skd_pool": {"skd_pool": 3},
    "ofa_eps": {"ofa_eps": 1.5},
    "region_size": {"region_size": 8},
    **{f"{name}_temperature": {f"{name}_temperature": 2.0} for name in ("cwd", "cirkd", "afdcd")},
    **{name: {name: 0.5} for name in sorted(BY_METHOD) if name.startswith("lambda_") and name not in HAKD_ONLY},
    "lambda_kd": {"lambda_kd": 3.0},
    "with_kd": {"with_kd": True},
    "kd_direction": {"kd_direction": "student_teacher"},
}
NEEDED = {  # else the tap is only checked, and plain KD is off
    ("projector_tap", "cwd"): {"lambda_cwd_feature": 1.0},
    **{(name, method): {"with_kd": True} for name in ("lambda_kd", "kd_direction", "temperature") for method in BESIDE},
}
TEACHERS = {"teacher", "teacher_recipe", "teacher_checkpoint"}  # test_teachers.py shows that these change the teacher
COMPUTED = {"hakd_kernel", "fold_teacher", "teacher_cache"}  # test_lean.py, test_fold.py, guidance/test_cache.py
READY = {"teacher_classes", "teacher_synonyms"}  # models/ready/test_classes.py
ELSEWHERE = TEACHERS | COMPUTED | READY | {"peer_lr", "own"}  # test_state.py and test_own.py
ELSEWHERE |= {"distil_on", "feature_share"}  # losses/test_unlabelled.py, test_staged.py


@pytest.fixture
def reads(folder, cache, monkeypatch, tmp_path):
    """Names of the fields that a trial's run looks at, its bookkeeping (digest) left out."""
    monkeypatch.setenv("HETEROAKD_CACHE", str(cache))
    seen = set()

    class Recording(TrialConfig):
        def __getattribute__(self, name):
            if name in TrialConfig.model_fields:
                seen.add(name)
            return super().__getattribute__(name)

        def digest(self):
            return "recorded"

    def record(config):
        watched = Recording.parse(config.model_dump())
        seen.clear()
        run(watched, directory=tmp_path)
        return set(seen)

    return record


@pytest.fixture
def trial(small):
    return lambda **fields: small(**{"steps": 2, "eval_every": 1, "projector_tap": "stage3", **fields})


@pytest.mark.parametrize("fields", TRIALS.values(), ids=TRIALS)
def test_a_trial_reads_every_field_it_declares_and_none_of_another_method_or_optimizer(fields, reads, trial):
    config = trial(**fields)
    found = reads(config)
    declared = {name for name in TrialConfig.model_fields if config.reads(name)}
    assert declared - found == set()
    others = {name for name in BY_METHOD if config.method not in TrialConfig.conditions(name)["method"]}
    assert found & others == set()
    assert ("momentum" in found) == (config.optimizer == "sgd")


def test_a_trial_with_its_own_teacher_declares_no_recipe_for_one(reads, trial, cache):
    own = str(next(cache.glob("*/teacher.safetensors")))
    config = trial(method="kd", teacher_checkpoint=own)
    found = reads(config)
    assert "teacher_recipe" not in found
    assert not config.reads("teacher_recipe")


def test_task_declares_no_field_of_distillation_and_kd_none_of_heteroakd(trial):
    assert {name for name in BY_METHOD if trial(method="task").reads(name)} == set()
    assert {name for name in HAKD_ONLY if trial(method="kd").reads(name)} == set()
    assert len(HAKD_ONLY) == 9


def test_every_field_of_distillation_is_tried_below():
    assert OTHER.keys() | ELSEWHERE == BY_METHOD


@pytest.fixture
def built(trial, network, teacher, features, random_labels):
    """What a method makes of fixed features: its weighted total, and the shapes of its projectors."""

    def make(**fields):
        config = trial(**fields)
        method = LOSSES[config.method]
        student, guide = network(), teacher if method.needs_teacher or method.needs_peer else None
        torch.manual_seed(0)
        criterion = method(config, student=student, teacher=guide, num_classes=5, ignore_index=255)
        grid = {"logits": (6, 8), "taps": (6, 8)}
        maps = features(student, **grid, seed=1), features(teacher, **grid, seed=2) if guide else None
        found = [criterion(*maps, random_labels(2, 48, 64)) for _ in range(2)]  # memories are empty at first
        total = sum(weight * terms[name].item() for terms in found for name, weight in criterion.weights.items())
        return total, {name: tuple(value.shape) for name, value in criterion.state_dict().items()}

    return make


CLAIMS = [(name, method) for name in OTHER for method in TrialConfig.conditions(name)["method"] if method in LOSSES]


@pytest.mark.parametrize(("name", "method"), CLAIMS)
def test_a_field_changes_loss_or_projector_under_each_method_that_claims_it(name, method, built):
    conditions = TrialConfig.conditions(name)
    base = {other: values[0] for other, values in conditions.items()} | {"method": method}
    base |= NEEDED.get((name, method), {})
    assert built(**base | OTHER[name]) != built(**base)


@pytest.mark.parametrize("method", LOSSES)
def test_a_method_is_changed_by_no_field_that_it_does_not_claim(method, built):
    others = {
        field: value
        for name, fields in OTHER.items()
        if method not in TrialConfig.conditions(name)["method"]
        for field, value in fields.items()
    }
    assert len(others) > 20
    assert built(method=method, **others) == built(method=method)


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ({"kem": False}, "kem_axis"),
        ({"projector_depth": 1}, "projector_width"),
        ({"projector_depth": 1}, "projector_kernel"),
    ],
)
def test_a_field_changes_nothing_where_its_other_conditions_fail(base, name, built):
    assert built(method="heteroakd", **base, **OTHER[name]) == built(method="heteroakd", **base)


def test_momentum_matters_to_sgd_and_not_to_adamw(trial, tmp_path):
    found = {
        (optimizer, momentum): run_module.run(
            trial(method="task", optimizer=optimizer, momentum=momentum, steps=3, eval_every=3),
            directory=tmp_path / f"{optimizer}{momentum}",
        ).terms
        for optimizer in ("sgd", "adamw")
        for momentum in (0.0, 0.9)
    }
    assert found["sgd", 0.0] != found["sgd", 0.9]
    assert found["adamw", 0.0] == found["adamw", 0.9]

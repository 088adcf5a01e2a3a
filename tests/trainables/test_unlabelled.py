"""A trial that learns from unlabelled images: resumed, in parts, side by side, and its matched student alone."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from explorer.study import PSEUDO_WEIGHTS, StudySpec
from trainables.data.catalogue import open_dataset
from trainables.data.feed import Batch
from trainables.errors import DataError
from trainables.group import Answer, Member, train_group
from trainables.loop import averaged, losses, train
from trainables.losses.grids import to_grid
from trainables.preflight.check import preflight
from trainables.state import Report, TrialState
from trainables.teachers import load_teacher


@pytest.fixture(scope="module")
def mixed(folder, tmp_path_factory):
    """The tiny set, with eight unlabelled images of other sizes."""
    root = tmp_path_factory.mktemp("mixed") / "tiny"
    shutil.copytree(folder, root)
    (root / "images/unlabelled").mkdir()
    rng = np.random.default_rng(1)
    for number in range(8):
        pixels = rng.integers(0, 256, (40 + number, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "images/unlabelled" / f"u{number}.png")
    return root


@pytest.fixture
def config(small, mixed):
    usual = {"data": str(mixed), "batch_size": 4, "unlabelled_ratio": 0.5, "projector_tap": "stage3"}
    return lambda **fields: small(**{**usual, "pseudo_threshold": 0.2, **fields})


class Stopped(Exception):
    pass


def stop_at(step):
    def report(found: Report) -> None:
        if found.step == step:
            raise Stopped

    return report


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "heteroakd"},
        {"method": "cirkd", "views": 2},
        {"method": "task", "pseudo_weight": 1.0, "ema_decay": 0.5},
        {"method": "kd", "pseudo_weight": 1.0, "accumulate": 2},
    ],
    ids=lambda fields: fields["method"],
)
def test_a_resumed_trial_equals_the_uninterrupted_one(fields, config, mixed, teacher, outcome, tmp_path):
    dataset, trial = open_dataset(str(mixed)), config(**fields)
    kwargs = {"dataset": dataset, "teacher": None if trial.method == "task" else teacher, "cache": tmp_path / "cache"}
    whole = train(trial, directory=tmp_path / "whole", **kwargs)
    with pytest.raises(Stopped):
        train(trial, directory=tmp_path / "cut", report=stop_at(4), **kwargs)
    again = train(trial, directory=tmp_path / "cut", **kwargs)
    assert outcome(again) == outcome(whole)
    terms = whole.history[-1].terms
    assert all(value > 0 for value in terms.values()), terms


def test_a_cache_answers_for_unlabelled_views_too(config, mixed, teacher, tmp_path):
    dataset, kwargs = open_dataset(str(mixed)), {"teacher": teacher, "cache": tmp_path / "cache"}
    asked, cached = (
        train(
            config(method="kd", views=2, teacher_cache=kept), dataset=dataset, directory=tmp_path / str(kept), **kwargs
        )
        for kept in (False, True)
    )
    assert cached.history[-1].terms == pytest.approx(asked.history[-1].terms, rel=1e-2)  # fp16
    again = train(config(method="kd", views=2, teacher_cache=True), dataset=dataset, directory=tmp_path / "2", **kwargs)
    assert again.history[-1].teacher_hits == 1.0
    assert again.history[-1].terms == cached.history[-1].terms


def test_students_side_by_side_learn_what_they_learn_alone(config, mixed, teacher, outcome, tmp_path):
    dataset = open_dataset(str(mixed))
    trials = {"one": config(method="kd"), "two": config(method="ofa", lambda_ofa=2.0)}
    assert len({trial.shared_digest() for trial in trials.values()}) == 1
    assert (
        config(method="kd", distil_on="labelled", unlabelled_ratio=0.0).shared_digest() != trials["one"].shared_digest()
    )
    members = [Member(name, trial, tmp_path / name) for name, trial in trials.items()]
    told = {}

    def tell(name, found, _seconds):
        told[name] = found
        return Answer()

    train_group(members, dataset=dataset, teacher=teacher, tell=tell)
    for name, trial in trials.items():
        alone = train(trial, dataset=dataset, teacher=teacher, directory=tmp_path / f"{name} alone")
        assert told[name].terms == alone.history[-1].terms
        assert told[name].miou == alone.history[-1].miou


def test_the_teacher_is_trained_on_labels_alone(config, folder, mixed, tmp_path):
    with_images = load_teacher(config(method="kd"), dataset=open_dataset(str(mixed)), cache=tmp_path)
    without = config(method="kd", data=str(folder), unlabelled_ratio=0.0)
    other = load_teacher(without, dataset=open_dataset(str(folder)), cache=tmp_path)
    for one, two in zip(with_images.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_pseudo_labels_of_a_student_alone_are_its_averages_if_it_has_one(config):
    trial = config(method="task", pseudo_weight=1.0, ema_decay=0.5, pseudo_threshold=0.0)
    facts = {"teacher": None, "num_classes": 5, "ignore_index": 255, "device": torch.device("cpu")}
    state = TrialState.start(trial, **facts)
    assert state.ema is not None
    with torch.no_grad():
        state.ema.head.bias += torch.tensor([0.0, 0.0, 0.0, 0.0, 50.0])  # it knows one class alone
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    labels = torch.full((2, 64, 64), 255)
    batch = Batch(pixels, labels, real=torch.ones(2, 64, 64, dtype=torch.bool))
    torch.manual_seed(0)
    terms, _, _ = losses(trial, state, batch, None, sample=False)
    torch.manual_seed(0)
    logits = to_grid(state.student(pixels).logits, (64, 64)).double()
    expected = -logits.log_softmax(1)[:, 4].mean().item()
    assert terms["loss_pseudo"].item() == pytest.approx(expected, rel=1e-5)
    plain = TrialState.start(config(method="task", pseudo_weight=1.0), **facts)
    assert averaged(plain, batch) is None


def test_a_study_whose_images_are_missing_ends_before_it_starts(config, folder):
    with pytest.raises(DataError, match="has no unlabelled images"):
        preflight([config(method="task", data=str(folder))])


SPEC = {
    "space": {"lambda_kd": {"low": 0.1, "high": 30, "log": True}},
    "base": {"method": "kd", "pair": "fpn_r18:mit_b0", "unlabelled_ratio": 0.5},
    "num_trials": 6,
}


def test_the_student_alone_may_learn_from_the_same_images_by_itself():
    space, base, trials = StudySpec.parse(SPEC).baseline()
    assert space.to_dict()["unlabelled_ratio"] == [0.0, 0.5]
    assert space.to_dict()["pseudo_weight"] == PSEUDO_WEIGHTS
    assert base["method"] == "task"
    assert "unlabelled_ratio" not in base
    assert trials == 6  # it has something to tune now


def test_without_unlabelled_images_the_student_alone_is_what_it_was():
    space, _, trials = StudySpec.parse({**SPEC, "base": {**SPEC["base"], "unlabelled_ratio": 0.0}}).baseline()
    assert list(space.dimensions) == ["student"]
    assert trials == 1


def test_a_weight_that_is_fixed_or_searched_is_the_students_too():
    fixed, base, _ = StudySpec.parse({**SPEC, "base": {**SPEC["base"], "pseudo_weight": 0.5}}).baseline()
    assert base["pseudo_weight"] == 0.5
    assert "pseudo_weight" not in fixed.dimensions
    searched = {**SPEC["space"], "pseudo_weight": {"low": 0.2, "high": 0.4}, "unlabelled_ratio": [0.25, 0.75]}
    space, _, _ = StudySpec.parse(
        {**SPEC, "space": searched, "base": {"method": "kd", "pair": "fpn_r18:mit_b0"}}
    ).baseline()
    assert space.to_dict()["pseudo_weight"] == {"low": 0.2, "high": 0.4}
    assert space.to_dict()["unlabelled_ratio"] == [0.25, 0.75]

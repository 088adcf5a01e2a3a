"""What the baselines have in common: weights of 0, grids and channels of any pair, known values."""

from __future__ import annotations

import pytest
import torch

from trainables.errors import ModelError
from trainables.losses import LOSSES
from trainables.losses.distilled import Distilled, Tapped
from trainables.models.segmodel import Features

METHODS = sorted(name for name, loss in LOSSES.items() if issubclass(loss, Distilled))
TERMS = [(name, term) for name in METHODS for term in LOSSES[name].lambdas]
GRIDS = {
    "one grid": (((6, 8), (6, 8)), ((6, 8), (6, 8))),
    "coarser teacher": (((12, 16), (12, 16)), ((6, 8), (3, 4))),
    "finer teacher": (((6, 8), (3, 4)), ((12, 16), (6, 8))),
    "sides that share no factor": (((7, 9), (5, 7)), ((6, 8), (9, 11))),
}
ALL_TERMS = {"lambda_cwd_feature": 50.0}  # else off


@pytest.fixture
def build(small, network, teacher):
    def make(method, *, guide=teacher, **fields):
        torch.manual_seed(0)
        config = small(**{"method": method, "projector_tap": "stage3", **ALL_TERMS, **fields})
        return LOSSES[method](config, student=network(), teacher=guide, num_classes=5, ignore_index=255)

    return make


@pytest.fixture
def maps(features, network, teacher):
    def make(grids):
        (logits, taps), (guide_logits, guide_taps) = grids
        guide = features(teacher, logits=guide_logits, taps=guide_taps, seed=2)
        return features(network(), logits=logits, taps=taps, seed=1), guide

    return make


def twice(criterion, student, guide, labels):
    """The terms of the second call, when memories hold something."""
    criterion(student, guide, labels)
    torch.manual_seed(0)
    return criterion(student, guide, labels)


def test_the_nine_baselines_are_in_the_table():
    assert METHODS == ["afdcd", "at", "cirkd", "cwd", "dist", "fitnet", "ifvd", "ofa", "skd"]


@pytest.mark.parametrize(("method", "term"), TERMS)
def test_a_weight_of_zero_computes_no_term_and_leaves_the_others(method, term, build, maps, random_labels):
    loss = LOSSES[method]
    criterion = build(method, **{loss.lambdas[term]: 0.0})
    found = criterion(*maps(GRIDS["one grid"]), random_labels(2, 12, 16))
    assert found.keys() == criterion.weights.keys() == {"loss_task"} | loss.lambdas.keys() - {term}


@pytest.mark.parametrize("method", METHODS)
def test_with_every_weight_zero_nothing_is_built(method, build, maps, random_labels):
    criterion = build(method, **dict.fromkeys(LOSSES[method].lambdas.values(), 0.0))
    assert criterion(*maps(GRIDS["one grid"]), random_labels(2, 6, 8)).keys() == {"loss_task"}
    assert criterion.state_dict() == {}


@pytest.mark.parametrize("grids", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("method", METHODS)
def test_networks_of_other_channels_and_strides_are_taken(method, grids, build, maps, random_labels):
    criterion, (student, guide) = build(method), maps(grids)
    terms = twice(criterion, student, guide, random_labels(2, 24, 32))
    leaves = [student.logits, *student.taps.values()]
    for name, term in terms.items():
        gradients = torch.autograd.grad(term, leaves, retain_graph=True, allow_unused=True)
        assert any(g is not None and g.abs().sum() > 0 for g in gradients), name
        assert term.isfinite()


@pytest.mark.parametrize("method", METHODS)
def test_identical_networks_cost_nothing_where_the_method_says_so(method, build, features, network, random_labels):
    twin = network(3)
    criterion = build(method, guide=twin)
    one = features(twin, logits=(6, 8), taps=(6, 8), seed=1)
    other = Features(one.logits.detach().clone(), {name: tap.detach().clone() for name, tap in one.taps.items()})
    terms = twice(criterion, one, other, random_labels(2, 6, 8))
    for name in LOSSES[method].lambdas:
        if name in criterion.zero_when_identical:
            assert terms[name].item() == pytest.approx(0, abs=1e-6), name
        else:
            assert terms[name].item() > 1e-3, name


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("method", METHODS)
def test_constant_features_give_finite_values_and_gradients(method, value, build, maps, random_labels):
    criterion = build(method)
    student, guide = (
        Features(
            torch.full_like(found.logits, value).requires_grad_(),
            {name: torch.full_like(tap, value).requires_grad_() for name, tap in found.taps.items()},
        )
        for found in maps(GRIDS["one grid"])
    )
    terms = twice(criterion, student, guide, random_labels(2, 6, 8))
    total = sum(criterion.weights[name] * term for name, term in terms.items())
    leaves = [student.logits, *student.taps.values()]
    gradients = torch.autograd.grad(total, leaves, allow_unused=True)
    assert total.isfinite()
    assert all(g is None or g.abs().max() < 1e4 for g in gradients)


@pytest.mark.parametrize("method", [name for name in METHODS if issubclass(LOSSES[name], Tapped)])
def test_a_pair_without_a_common_grid_at_the_tap_is_refused_when_it_is_built(method, build):
    with pytest.raises(ModelError, match="projector_tap 'stage4' of the student"):
        build(method, projector_tap="stage4", crop_height=32, crop_width=32)

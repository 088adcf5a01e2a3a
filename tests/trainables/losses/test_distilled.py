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


def test_the_baselines_are_in_the_table():
    before = ["afdcd", "at", "cirkd", "cirkdv2", "cwd", "diffkd", "dist", "fitnet", "ifvd"]
    assert [*before, "lskd", "nfd", "ofa", "qsd", "skd"] == METHODS


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


BESIDE = ["afdcd", "at", "cirkd", "cirkdv2", "cwd", "fitnet", "ifvd", "skd"]


@pytest.mark.parametrize("method", METHODS)
def test_plain_kd_runs_beside_the_methods_whose_scripts_have_it(method, build, maps, oracle, random_labels):
    criterion = build(method, with_kd=True, lambda_kd=0.5, temperature=2.0)
    alone, (student, guide), labels = build(method), maps(GRIDS["coarser teacher"]), random_labels(2, 24, 32)
    terms, before = (twice(one, student, guide, labels) for one in (criterion, alone))
    assert "loss_kd" not in before
    if method not in BESIDE:
        assert terms.keys() == before.keys()
        return
    logits = (found.logits.detach().double().numpy() for found in (student, guide))
    assert terms.pop("loss_kd").item() == pytest.approx(oracle.kd(*logits, labels.numpy(), 2.0), rel=1e-4)
    assert criterion.weights == {**alone.weights, "loss_kd": 0.5}
    assert {name: term.item() for name, term in terms.items()} == {name: term.item() for name, term in before.items()}


def test_the_sources_weight_of_plain_kd_is_the_default(build):
    assert {method: build(method, with_kd=True).weights["loss_kd"] for method in BESIDE} == dict.fromkeys(BESIDE, 1.0)
    assert all("loss_kd" not in build(method, with_kd=True, lambda_kd=0.0).weights for method in BESIDE)


@pytest.mark.parametrize("method", sorted(LOSSES))
def test_a_padded_crop_teaches_what_the_crop_teaches(method, small, network, teacher, features, random_labels):
    """Maps of 64x64 padded pixels, whose own are 40x48: what stands in the padding's cells changes nothing.

    The logits of a cell reach half a cell further by bilinear enlargement, so those beside the crop are left alone; and
    hfd's attention has a residual, but also tokens that are means of labelled cells alone (test_collaborative.py).
    """
    guide = network(3) if LOSSES[method].needs_peer else teacher if LOSSES[method].needs_teacher else None
    config = small(method=method, projector_tap="stage3", crop_height=40, crop_width=48, region_size=8, **ALL_TERMS)
    labels = random_labels(2, 64, 64)
    labels[:, 40:], labels[:, :, 48:] = 255, 255
    found = []
    for value in (0.0, 5.0):
        nets = [network(), *([guide] if guide else [])]
        maps = [features(net, logits=(8, 8), taps=(8, 8), seed=seed) for seed, net in enumerate(nets)]
        with torch.no_grad():
            for one in (tensor for each in maps for tensor in (each.logits, *each.taps.values())):
                one[:, :, 6:], one[..., 7:] = value, value  # rows from 48 and columns from 56 on
        torch.manual_seed(0)
        criterion = LOSSES[method](config, student=network(), teacher=guide, num_classes=5, ignore_index=255).eval()
        terms = twice(criterion, maps[0], maps[1] if guide else None, labels)
        found.append({name: term.item() for name, term in terms.items() if not name.endswith("_hfd")})
    assert found[0] == pytest.approx(found[1], rel=1e-5)

"""What every method of LOSSES promises the loop. A new method is tested by its line in the table."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch

from trainables.losses import LOSSES
from trainables.losses.criterion import Criterion
from trainables.models.segmodel import Features


class Case(NamedTuple):
    criterion: Criterion
    student: Features
    guide: Features | None
    labels: torch.Tensor

    def terms(self):
        return self.criterion(self.student, self.guide, self.labels)

    def leaves(self):
        """The student's maps that require a gradient."""
        return [self.student.logits, *self.student.taps.values()]

    def total(self):
        return sum(self.criterion.weights[name] * term for name, term in self.terms().items())

    def gradients(self):
        found = torch.autograd.grad(self.total(), self.leaves(), allow_unused=True)
        return [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(self.leaves(), found, strict=True)]


@pytest.fixture(params=sorted(LOSSES))
def method(request):
    return request.param


@pytest.fixture
def build(method, small, network, teacher):
    """The method's criterion with the config's other defaults."""

    def make(**fields):
        config = small(**{"method": method, "projector_tap": "stage3", "lambda_hakd": 2.0, **fields})
        torch.manual_seed(0)
        guide = teacher if LOSSES[method].needs_teacher else None
        return LOSSES[method](config, student=network(), teacher=guide, num_classes=5, ignore_index=255)

    return make


@pytest.fixture
def case(build, features, network, teacher, random_labels):
    """All maps and the labels on one grid, so that each cell has a label of its own."""

    def make(scale=1.0, labels=None, **fields):
        criterion = build(**fields)
        grid = {"logits": (6, 8), "taps": (6, 8)}
        student, guide = features(network(), **grid, seed=1), features(teacher, **grid, seed=2)
        labels = random_labels(2, 6, 8) if labels is None else labels
        return Case(
            criterion, scaled(student, scale), scaled(guide, scale) if criterion.needs_teacher else None, labels
        )

    return make


def scaled(maps, factor):
    return changed(maps, lambda value: value * factor)


def changed(maps, how):
    """The same features after `how`, as new leaves."""
    values = {name: how(value.detach()).requires_grad_() for name, value in maps.taps.items()}
    return Features(how(maps.logits.detach()).requires_grad_(), values)


def test_terms_are_named_scalars_in_fp32_and_each_has_a_weight(case):
    built = case()
    terms = built.terms()
    assert set(terms) == set(built.criterion.weights)
    assert "loss_task" in terms
    for name, term in terms.items():
        assert name.startswith("loss_")
        assert term.shape == ()
        assert term.dtype == torch.float32


def test_terms_are_finite_and_not_negative(case):
    assert all(0 <= term.item() < float("inf") for term in case().terms().values())


def test_every_term_moves_the_student(case):
    built = case()
    for name, term in built.terms().items():
        found = torch.autograd.grad(term, built.leaves(), retain_graph=True, allow_unused=True)
        assert any(g is not None and g.abs().sum() > 0 for g in found), name


def test_no_gradient_reaches_the_teacher(case):
    built = case()
    built.total().backward()
    if built.guide is not None:
        assert built.guide.logits.grad is None
        assert all(tap.grad is None for tap in built.guide.taps.values())


def test_every_weight_of_the_criterion_is_trained(case):
    built = case(projector_depth=2, projector_width=8)
    built.total().backward()
    for name, parameter in built.criterion.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("axis", ["class", "space"])
def test_ignored_pixels_change_neither_value_nor_gradient(case, axis):
    built = case(kem_axis=axis)
    ignored = (built.labels == 255)[:, None]
    assert ignored.any()
    noise = torch.Generator().manual_seed(9)

    def disturb(value):
        return torch.where(ignored, 50 * torch.randn(value.shape, generator=noise), value)

    other = built._replace(
        student=changed(built.student, disturb),
        guide=None if built.guide is None else changed(built.guide, disturb),
    )
    assert {k: v.item() for k, v in built.terms().items()} == {k: v.item() for k, v in other.terms().items()}
    for one, two in zip(built.gradients(), other.gradients(), strict=True):
        assert torch.equal(one, two)
        assert (one * ignored == 0).all()


@pytest.mark.parametrize("axis", ["class", "space"])
def test_the_order_of_a_batch_changes_nothing(case, axis):
    built = case(kem_axis=axis)
    other = built._replace(
        student=changed(built.student, lambda value: value.flip(0)),
        guide=None if built.guide is None else changed(built.guide, lambda value: value.flip(0)),
        labels=built.labels.flip(0),
    )
    torch.testing.assert_close(built.terms(), other.terms())
    torch.testing.assert_close(built.gradients(), [g.flip(0) for g in other.gradients()])


@pytest.mark.parametrize("axis", ["class", "space"])
def test_a_batch_without_labels_costs_zero_and_moves_nothing(case, axis):
    built = case(labels=torch.full((2, 6, 8), 255), kem_axis=axis)
    assert all(term.item() == 0 for term in built.terms().values())
    assert all((g == 0).all() for g in built.gradients())


@pytest.mark.parametrize("axis", ["class", "space"])
def test_huge_features_stay_finite(case, axis):
    built = case(scale=1e4, kem_axis=axis)
    assert all(term.isfinite() for term in built.terms().values())
    assert all(g.isfinite().all() for g in built.gradients())


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_under_autocast_terms_are_finite_and_in_fp32(case, scale):
    built = case(scale=scale)
    half = built._replace(
        student=changed(built.student, lambda value: value.bfloat16()),
        guide=None if built.guide is None else changed(built.guide, lambda value: value.bfloat16()),
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = half.terms()
    assert all(term.dtype == torch.float32 and term.isfinite() for term in terms.values())
    if scale == 1.0:
        whole = {name: term.item() for name, term in built.terms().items()}
        assert {name: term.item() for name, term in terms.items()} == pytest.approx(whole, rel=0.05)


def test_a_second_call_gives_the_same_terms(case):
    built = case()
    assert {k: v.item() for k, v in built.terms().items()} == {k: v.item() for k, v in built.terms().items()}


def test_building_a_criterion_leaves_the_config_and_the_student_alone(small, network, teacher, method):
    config, student = small(method=method, projector_tap="stage3"), network()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    guide = teacher if LOSSES[method].needs_teacher else None
    LOSSES[method](config, student=student, teacher=guide, num_classes=5, ignore_index=255)
    assert config == small(method=method, projector_tap="stage3")
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


def test_the_methods_weights_are_each_criterions_own(build):
    """Not class attributes, which a second trial in one process would inherit."""
    first, second = build(lambda_kd=0.1), build(lambda_kd=0.9)
    assert first.weights is not second.weights
    assert first.weights.get("loss_kd", 0.1) == 0.1


def test_real_networks_on_different_grids_are_taken(method, small, network, teacher, random_labels):
    """Student logits at stride 4 and teacher logits at stride 8, taps at stride 8, labels at stride 1."""
    config = small(method=method, projector_tap="stage3")
    student, guide = network(), teacher if LOSSES[method].needs_teacher else None
    criterion = LOSSES[method](config, student=student, teacher=guide, num_classes=5, ignore_index=255)
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    terms = criterion(student(images), guide(images) if guide else None, random_labels(2, 64, 96))
    sum(terms.values()).backward()
    assert all(term.isfinite() for term in terms.values())
    assert student.encoder.steps[0][0].weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in teacher.parameters())

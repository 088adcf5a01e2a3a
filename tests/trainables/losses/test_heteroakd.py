"""The whole criterion against the formulas, put together in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.losses.heteroakd import HeteroAkd

GRIDS = {
    "one grid": {"student": ((6, 8), (6, 8)), "teacher": ((6, 8), (6, 8))},
    "coarser teacher": {"student": ((12, 16), (6, 8)), "teacher": ((6, 8), (3, 4))},
    "finer teacher": {"student": ((3, 4), (3, 4)), "teacher": ((12, 16), (6, 8))},
}
SWITCHES = [
    {"kmm": kmm, "kem": kem, "kem_axis": axis}
    for kmm in (True, False)
    for kem, axis in ((True, "class"), (True, "space"), (False, "class"))
]


@pytest.fixture(params=["plain", "auto"])
def criterion(request, small, network, teacher):
    """Of config fields: a HeteroAkd with depth-1 projectors."""

    def make(**fields):
        config = small(method="heteroakd", projector_tap="stage3", hakd_kernel=request.param, **fields)
        torch.manual_seed(0)
        return HeteroAkd(config, student=network(), teacher=teacher, num_classes=5, ignore_index=255)

    return make


@pytest.fixture
def guides(features, network, teacher):
    def make(grids):
        one, other = grids["student"], grids["teacher"]
        student = features(network(), logits=one[0], taps=one[1], seed=1)
        return student, features(teacher, logits=other[0], taps=other[1], seed=2)

    return make


def project(layers, tap):
    (linear,) = layers
    weight, bias = (value.detach().double().numpy() for value in (linear.weight[..., 0, 0], linear.bias))
    return np.einsum("kc,bchw->bkhw", weight, tap.detach().double().numpy()) + bias[:, None, None]


def expected(criterion, student, teacher, labels, oracle):
    """Terms and, for gradients, the pieces of loss_hakd."""
    config, labels = criterion.config, labels.numpy()
    logits = [found.logits.detach().double().numpy() for found in (student, teacher)]
    z_student = project(criterion.student_projector, student.taps["stage3"])
    z_teacher = oracle.resample(project(criterion.teacher_projector, teacher.taps["stage3"]), z_student.shape[2:])
    small = oracle.nearest(labels, z_student.shape[2:])
    h_teacher, h_student = oracle.bce(z_teacher, small), oracle.bce(z_student, small)
    hybrid = oracle.mix(z_teacher, z_student, h_teacher, h_student) if config.kmm else z_teacher
    weight = np.ones_like(hybrid)
    if config.kem:
        weight = oracle.evaluate(h_student, oracle.bce(hybrid, small), small, config.kem_axis)
    terms = {
        "loss_task": oracle.task(logits[0], labels),
        "loss_kd": oracle.kd(*logits, labels, config.temperature),
        "loss_hakd": oracle.hakd(z_student, hybrid, weight, small, config.temperature),
        "loss_proj": oracle.mean((h_teacher + h_student).mean(axis=1), small),
    }
    return terms, (z_student, hybrid, weight, small, config.temperature)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("grids", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("switches", SWITCHES, ids=lambda s: "-".join(map(str, s.values())))
def test_the_four_terms_equal_the_formulas(switches, grids, temperature, criterion, guides, oracle, random_labels):
    built = criterion(temperature=temperature, **switches)
    student, teacher = guides(grids)
    labels = random_labels(2, 24, 32)
    terms = built(student, teacher, labels)
    wanted, _ = expected(built, student, teacher, labels, oracle)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("switches", SWITCHES, ids=lambda s: "-".join(map(str, s.values())))
def test_the_target_and_its_weights_are_constants_for_the_students_tap(
    switches, criterion, guides, oracle, random_labels
):
    built = criterion(temperature=2.0, **switches)
    student, teacher = guides(GRIDS["one grid"])
    labels = random_labels(2, 6, 8)
    built(student, teacher, labels)["loss_hakd"].backward()
    _, parts = expected(built, student, teacher, labels, oracle)
    weight = built.student_projector[0].weight[..., 0, 0].detach().double().numpy()
    wanted = np.einsum("kc,bkhw->bchw", weight, oracle.hakd_gradient(*parts))
    np.testing.assert_allclose(student.taps["stage3"].grad.numpy(), wanted, rtol=1e-3, atol=1e-7)
    assert built.teacher_projector[0].weight.grad is None


def test_only_the_projector_loss_trains_the_teachers_projector(criterion, guides, random_labels):
    built = criterion()
    student, teacher = guides(GRIDS["coarser teacher"])
    terms = built(student, teacher, random_labels(2, 24, 32))
    for name, term in terms.items():
        weight = built.teacher_projector[0].weight
        (gradient,) = torch.autograd.grad(term, weight, retain_graph=True, allow_unused=True)
        assert (gradient is not None) == (name == "loss_proj")


def test_the_weights_are_the_configs_lambdas(criterion):
    built = criterion(lambda_kd=0.3, lambda_hakd=7.0, lambda_proj=0.5)
    assert built.weights == {"loss_task": 1.0, "loss_kd": 0.3, "loss_hakd": 7.0, "loss_proj": 0.5}

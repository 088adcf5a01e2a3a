"""Teachers that do not know all classes, or give no logits: what each method makes of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.conditions import METHODS
from trainables.config import TrialConfig
from trainables.contracts import tiny
from trainables.errors import ModelError
from trainables.losses.find import make_criterion
from trainables.losses.kd import kd_loss
from trainables.published import BESIDE

KNOWN = (0, 2, 4)
FEATURE_METHODS = {"skd", "ifvd", "at", "fitnet", "cirkd", "cirkdv2", "afdcd", "nfd", "qsd", "diffkd"}
TAUGHT = [name for name in METHODS if name not in ("task", "collaborative")]


def networks(**facts):
    student, teacher = tiny.network(1), tiny.network(2, width=6)
    for name, value in facts.items():
        setattr(teacher, name, value)
    return student, teacher


def criterion(student, teacher, **fields):
    config = TrialConfig(crop_height=64, crop_width=64, device="cpu", hakd_kernel="plain", **fields)
    return make_criterion(
        config, student=student, teacher=teacher, num_classes=tiny.NUM_CLASSES, ignore_index=tiny.IGNORE
    )


def maps(student, teacher):
    grid = {"logits": (16, 16), "taps": (8, 8)}
    return tiny.features(student, seed=3, **grid), tiny.features(teacher, seed=4, **grid)


def test_kd_is_that_of_the_known_classes_at_the_pixels_that_are_of_one():
    student, teacher = networks(covered=KNOWN)
    learnt, said = maps(student, teacher)
    labels = tiny.random_labels(2, 16, 16)
    got = criterion(student, teacher, method="kd", temperature=2.0)(learnt, said, labels)["loss_kd"]

    s, t = (each.logits.detach().numpy().astype(np.float64)[:, KNOWN] / 2 for each in (learnt, said))
    log_s, log_t = (each - np.log(np.exp(each).sum(1, keepdims=True)) for each in (s, t))
    divergence = (np.exp(log_t) * (log_t - log_s)).sum(1)
    assert float(got.detach()) == pytest.approx(4 * divergence[np.isin(labels.numpy(), KNOWN)].mean(), rel=1e-5)


@pytest.mark.parametrize("method", ["kd", "cwd", "dist", "lskd", "ofa", "heteroakd"])
def test_what_is_said_of_an_unknown_class_and_at_its_pixels_changes_no_term_on_logits(method):
    student, teacher = networks(covered=KNOWN)
    learnt, said = maps(student, teacher)
    labels = tiny.random_labels(2, 16, 16)
    made = criterion(student, teacher, method=method)
    before = made(learnt, said, labels)
    other = said.logits.detach().clone()
    other[:, [1, 3]] = -50.0
    unknown = (labels == 1) | (labels == 3)
    if method != "ofa":  # its exits' coarser grids average neighbours
        other.masked_fill_(unknown[:, None], 7.0)
    after = made(learnt, said._replace(logits=other), labels)
    for name, value in before.items():
        assert float(after[name].detach()) == pytest.approx(float(value.detach()), rel=1e-5), name


def test_a_teacher_that_knows_all_changes_nothing():
    student, teacher = networks()
    learnt, said = maps(student, teacher)
    labels = tiny.random_labels(2, 16, 16)
    got = criterion(student, teacher, method="kd")(learnt, said, labels)["loss_kd"]
    plain = kd_loss(learnt.logits, said.logits, labels, temperature=1.0, ignore_index=tiny.IGNORE)
    assert torch.equal(got, plain)


@pytest.mark.parametrize("method", TAUGHT)
def test_a_backbone_teaches_through_features_alone(method):
    student, teacher = networks(has_logits=False)
    if method not in FEATURE_METHODS:
        with pytest.raises(ModelError, match=f"^{method} reads a teacher's logits, but .* gives features alone"):
            criterion(student, teacher, method=method)
        return
    learnt, said = maps(student, teacher)
    labels = tiny.random_labels(2, 16, 16)
    terms = criterion(student, teacher, method=method)(learnt, said._replace(logits=said.logits[:, :0]), labels)
    assert len(terms) > 1
    assert all(torch.isfinite(value) for value in terms.values())
    if method in BESIDE:
        with pytest.raises(ModelError, match="without with_kd"):
            criterion(student, teacher, method=method, with_kd=True)


def test_heteroakd_takes_a_backbone_without_its_term_on_logits():
    student, teacher = networks(has_logits=False)
    learnt, said = maps(student, teacher)
    made = criterion(student, teacher, method="heteroakd", lambda_kd=0.0)
    terms = made(learnt, said._replace(logits=said.logits[:, :0]), tiny.random_labels(2, 16, 16))
    assert set(terms) == set(made.weights) == {"loss_task", "loss_proj", "loss_hakd"}


def test_cwd_takes_a_backbone_on_the_tap_alone():
    student, teacher = networks(has_logits=False)
    assert "loss_cwd" not in criterion(student, teacher, method="cwd", lambda_cwd=0.0, lambda_cwd_feature=1.0).weights

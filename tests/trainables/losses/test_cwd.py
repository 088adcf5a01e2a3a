from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainables.losses.cwd import Cwd, cwd_loss


def formula(student, teacher, labels, tau):
    """Image by image, channel by channel, over the places that have a label."""
    divergences = []
    for image_s, image_t, ids in zip(student, teacher, labels, strict=True):
        for s, t in zip(image_s, image_t, strict=True):
            s, t = s[ids != 255] / tau, t[ids != 255] / tau
            if len(s):
                log_p, log_q = t - np.log(np.exp(t).sum()), s - np.log(np.exp(s).sum())
                divergences.append((np.exp(log_p) * (log_p - log_q)).sum())
    return tau**2 * sum(divergences) / max(1, len(divergences))


def cwd(student, teacher, labels, tau=4.0):
    return cwd_loss(torch.as_tensor(student), torch.as_tensor(teacher), labels != 255, temperature=tau).item()


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_cwd_equals_the_formula(tau, z, random_labels):
    student, teacher, labels = z(0, 2, 5, 6, 8), z(1, 2, 5, 6, 8), random_labels(2, 6, 8)
    assert cwd(student, teacher, labels, tau) == pytest.approx(formula(student, teacher, labels.numpy(), tau), rel=1e-9)


def test_an_image_without_labels_does_not_count(z, random_labels):
    student, teacher, labels = z(0, 2, 5, 6, 8), z(1, 2, 5, 6, 8), random_labels(2, 6, 8)
    labels[1] = 255
    assert cwd(student, teacher, labels) == pytest.approx(cwd(student[:1], teacher[:1], labels[:1]), rel=1e-9)


def test_two_places_by_hand():
    teacher, student = np.log([1.0, 3.0]).reshape(1, 1, 1, 2), np.zeros((1, 1, 1, 2))  # (1/4, 3/4) against (1/2, 1/2)
    expected = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert cwd(student, teacher, torch.zeros(1, 1, 2).long(), 1.0) == pytest.approx(expected)
    assert cwd(2 * student, 2 * teacher, torch.zeros(1, 1, 2).long(), 2.0) == pytest.approx(4 * expected)


def test_a_constant_added_to_a_channel_changes_nothing_and_one_added_to_a_place_does(z, random_labels):
    student, teacher, labels = z(0, 2, 5, 6, 8), z(1, 2, 5, 6, 8), random_labels(2, 6, 8)
    found = cwd(student, teacher, labels)
    assert cwd(student + z(2, 2, 5, 1, 1), teacher + z(3, 2, 5, 1, 1), labels) == pytest.approx(found, rel=1e-9)
    assert cwd(student + z(4, 2, 1, 6, 8), teacher, labels) != pytest.approx(found, rel=1e-3)


def test_the_features_go_through_the_projector_and_the_logits_do_not(small, network, teacher, features, random_labels):
    config = small(method="cwd", projector_tap="stage3", lambda_cwd_feature=50.0, cwd_temperature=2.0)
    criterion = Cwd(config, student=network(), teacher=teacher, num_classes=5, ignore_index=255)
    student = features(network(), logits=(6, 8), taps=(6, 8), seed=1)
    guide = features(teacher, logits=(6, 8), taps=(6, 8), seed=2)
    labels = random_labels(2, 6, 8)
    weight = criterion.projector.weight.detach().double().numpy()[..., 0, 0]
    projected = np.einsum("kc,bchw->bkhw", weight, student.taps["stage3"].detach().double().numpy())
    terms = criterion(student, guide, labels)
    logits = [found.logits.detach().double().numpy() for found in (student, guide)]
    assert terms["loss_cwd"].item() == pytest.approx(formula(*logits, labels.numpy(), 2.0), rel=1e-5)
    tap = guide.taps["stage3"].detach().double().numpy()
    assert terms["loss_cwd_feature"].item() == pytest.approx(formula(projected, tap, labels.numpy(), 2.0), rel=1e-4)
    assert criterion.weights == {"loss_task": 1.0, "loss_cwd": 3.0, "loss_cwd_feature": 50.0}

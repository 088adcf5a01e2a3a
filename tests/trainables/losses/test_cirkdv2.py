from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.losses import cirkdv2 as module
from trainables.losses.cirkd import Cirkd
from trainables.losses.cirkdv2 import Cirkdv2, channel_batch_loss, channel_mse_loss, draw_channels
from trainables.losses.features import unit


def divergence(teacher, student):
    log_p, log_q = (scores - np.log(np.exp(scores).sum()) for scores in (teacher, student))
    return (np.exp(log_p) * (log_p - log_q)).sum()


def batch_formula(student, teacher, present, tau):
    """Vectors are images x channels x places."""
    images = np.flatnonzero(present)
    rows = [
        divergence(teacher[j] @ teacher[i, k] / tau, student[j] @ student[i, k] / tau)
        for i in images
        for j in images
        for k in range(student.shape[1])
    ]
    return np.mean(rows)


def directions(values):
    return values / np.linalg.norm(values, axis=2, keepdims=True)


@pytest.mark.parametrize("tau", [0.1, 1.0])
def test_the_term_within_the_batch_equals_the_formula(tau, z):
    student, teacher = directions(z(0, 3, 4, 6)), directions(z(1, 3, 4, 6))
    present = np.array([True, False, True])
    found = channel_batch_loss(*map(torch.as_tensor, (student, teacher, present)), temperature=tau).item()
    assert found == pytest.approx(batch_formula(student, teacher, present, tau), rel=1e-9)


def test_the_squared_difference_is_a_mean_over_channels_and_valid_places(z):
    student, teacher = z(0, 2, 3, 5), z(1, 2, 3, 5)
    valid = np.array([[True, True, False, True, False], [False] * 5])
    found = channel_mse_loss(*map(torch.as_tensor, (student, teacher, valid))).item()
    expected = ((student - teacher) ** 2)[0][:, valid[0]].mean()
    assert found == pytest.approx(expected, rel=1e-9)


def test_only_channels_of_images_with_a_label_are_drawn(monkeypatch):
    monkeypatch.setattr(module, "CHANNELS_A_STEP", 4)
    vectors = unit(torch.randn(3, 2, 5), dim=2)
    drawn, there = draw_channels(vectors, torch.tensor([True, False, True]))
    assert there.all()
    assert {tuple(row.tolist()) for row in drawn[0]} == {tuple(row.tolist()) for row in vectors[[0, 2]].flatten(0, 1)}
    assert not draw_channels(vectors, torch.zeros(3, dtype=torch.bool))[1].any()


def test_beside_the_terms_of_cirkd_are_three_on_channels_compared_on_16_by_32_places(
    small, network, features, random_labels, monkeypatch
):
    """Of networks of as many channels, so without a head; at the second call, when memories hold the first one's."""
    monkeypatch.setattr(module, "ENTRIES", 80)
    student, guide = (features(network(), logits=(16, 32), taps=(16, 32), seed=seed) for seed in (1, 2))
    labels = random_labels(2, 16, 32)

    def second(kind, method):
        config = small(method=method, projector_tap="stage3")
        criterion = kind(config, student=network(), teacher=network(3), num_classes=5, ignore_index=255)
        for _ in range(2):
            torch.manual_seed(0)
            terms = criterion(student, guide, labels)
        return criterion, terms

    (criterion, terms), (_, pixels) = second(Cirkdv2, "cirkdv2"), second(Cirkd, "cirkd")
    assert {name: terms[name].item() for name in pixels} == {name: term.item() for name, term in pixels.items()}
    taps = student.taps["stage3"], guide.taps["stage3"]
    valid = (labels != 255).numpy().reshape(2, -1)
    student, teacher = (
        directions(tap.detach().double().numpy().reshape(2, tap.shape[1], -1) * valid[:, None]) for tap in taps
    )
    present = np.ones(2, dtype=bool)
    entries = criterion.channel_memory.entries[0, : 2 * student.shape[1]].double().numpy()
    memory = np.mean(
        [
            divergence(entries @ teacher[i, k] / 0.1, entries @ student[i, k] / 0.1)
            for i in range(2)
            for k in range(student.shape[1])
        ]
    )
    assert terms["loss_cirkdv2_batch"].item() == pytest.approx(batch_formula(student, teacher, present, 0.1), rel=1e-4)
    assert terms["loss_cirkdv2_memory"].item() == pytest.approx(memory, rel=1e-3)
    squares = ((student - teacher) ** 2).mean(axis=1)
    assert terms["loss_cirkdv2_mse"].item() == pytest.approx(squares[valid].mean(), rel=1e-4)

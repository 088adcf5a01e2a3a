"""What a teacher knows that a student does not, counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainables.preflight import evidence as module
from trainables.preflight.evidence import evidence
from trainables.scoring.evaluate import predict
from trainables.teachers import freeze


def miou(labels, guesses):
    found = []
    for number in range(5):
        label, guess = labels == number, guesses == number
        if (label | guess).any():
            found.append((label & guess).sum() / (label | guess).sum())
    return np.mean(found)


def said(network, dataset, config):
    """Label and prediction of every labelled pixel of val, one after the other."""
    labels, guesses = [], []
    for sample in dataset.samples("val"):
        image, label = dataset.read(sample)
        labels.append(label.numpy().ravel())
        with torch.no_grad():
            guesses.append(predict(network, image[None], config).argmax(dim=1).numpy().ravel())
    label, guess = np.concatenate(labels), np.concatenate(guesses)
    return label[label != 255], guess[label != 255]


def undecided(network, dataset, config):
    """Frozen, and as likely to say one class as another: as it is made, it says one everywhere."""
    image, _ = dataset.read(dataset.samples("val")[0])
    with torch.no_grad():
        network.eval().head.bias -= predict(network, image[None], config).mean(dim=(0, 2, 3))
    return freeze(network)


def test_shares_and_score_are_those_of_the_labelled_pixels(small, dataset, network):
    config = small(method="kd", projector_tap="stage2")
    student, teacher = (undecided(one, dataset, config) for one in (network(1), network(7, stage=3, width=6)))
    found = module._compared(student, teacher, dataset, config)
    label, own = said(student, dataset, config)
    _, told = said(teacher, dataset, config)
    wrong = own != label
    wanted = {"student_error": wrong.mean(), "mended": (told == label)[wrong].mean()}
    wanted["spoiled"] = (told != label)[~wrong].mean()
    for name, share in wanted.items():
        assert found[name] == pytest.approx(share)
        assert 0.0 < share < 1.0, name
    assert found["student_miou"] == pytest.approx(miou(label, own))
    assert found["score"] == pytest.approx(miou(label, np.where(wrong, told, own)) - miou(label, own))
    assert 0.0 < found["similarity"] < 1.0


def test_a_backbone_is_compared_by_its_features_alone(small, dataset, network):
    backbone = freeze(network(2))
    backbone.has_logits = False
    found = module._compared(freeze(network(1)), backbone, dataset, small(method="fitnet", projector_tap="stage2"))
    assert all(math.isnan(found[name]) for name in ("mended", "spoiled", "score"))
    assert found["similarity"] > 0.0


def test_a_teacher_that_is_the_student_mends_nothing_and_the_answer_is_kept(small, dataset, cache, monkeypatch):
    config = small(method="kd")  # its teacher: the same network, trained for 2 steps
    found = evidence(config, dataset, steps=2, cache=cache)
    assert (found.mended, found.spoiled, found.score) == (0.0, 0.0, 0.0)
    assert found.similarity == pytest.approx(1.0)
    assert found.student_miou == found.miou
    later = evidence(config, dataset, steps=3, cache=cache)
    assert later.student_miou != found.student_miou
    monkeypatch.setattr(module, "_compared", lambda *_: pytest.fail("it was compared again"))
    assert evidence(config, dataset, steps=2, cache=cache) == found

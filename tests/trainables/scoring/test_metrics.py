from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainables.ranks import Ranks
from trainables.scoring.metrics import ConfusionMatrix, miou


def matrix(num_classes, ignore_index=255):
    return ConfusionMatrix(num_classes, ignore_index=ignore_index, device=torch.device("cpu"))


def logits_of(guesses, num_classes):
    """Logits whose argmax is the guess."""
    return torch.nn.functional.one_hot(guesses, num_classes).permute(0, 3, 1, 2).float() - 0.3


@pytest.mark.parametrize("ignore_index", [255, 5])
def test_iou_equals_counts_of_pixels_in_numpy(ignore_index):
    rng = np.random.default_rng(0)
    found, seen = matrix(5, ignore_index), []
    for _ in range(3):
        guesses, labels = rng.integers(0, 5, (2, 7, 9)), rng.integers(0, 5, (2, 7, 9))
        labels[rng.random(labels.shape) < 0.2] = ignore_index
        found.add(logits_of(torch.tensor(guesses), 5), torch.tensor(labels))
        seen += [(guesses[labels != ignore_index], labels[labels != ignore_index])]
    guesses, labels = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    expected = [np.sum((guesses == c) & (labels == c)) / np.sum((guesses == c) | (labels == c)) for c in range(5)]
    assert found.iou() == pytest.approx(expected, abs=1e-12)
    assert miou(found.iou()) == pytest.approx(np.mean(expected))
    assert found.counts.sum() == len(labels)
    assert found.counts.dtype == torch.int64


def test_a_class_in_neither_label_nor_prediction_is_left_out():
    found = matrix(4)
    found.add(logits_of(torch.tensor([[[0, 0, 1, 2]]]), 4), torch.tensor([[[0, 1, 1, 255]]]))
    assert found.iou() == [1 / 2, 1 / 2, None, None]  # class 2 is predicted at an ignored pixel only
    assert miou(found.iou()) == 1 / 2


def test_a_class_that_is_predicted_only_or_labelled_only_counts_as_zero():
    found = matrix(3)
    found.add(logits_of(torch.tensor([[[0, 1]]]), 3), torch.tensor([[[0, 2]]]))
    assert found.iou() == [1, 0, 0]
    assert miou(found.iou()) == pytest.approx(1 / 3)


def test_a_split_is_one_matrix_not_a_mean_over_images():
    found = matrix(2)
    found.add(logits_of(torch.tensor([[[0, 0, 0, 0]]]), 2), torch.tensor([[[0, 0, 0, 0]]]))
    found.add(logits_of(torch.tensor([[[0, 1]]]), 2), torch.tensor([[[1, 1]]]))
    assert found.iou() == [4 / 5, 1 / 2]


def test_where_nothing_is_labelled_miou_is_nan():
    found = matrix(3)
    found.add(torch.zeros(1, 3, 2, 2), torch.full((1, 2, 2), 255))
    assert found.iou() == [None, None, None]
    assert math.isnan(miou(found.iou()))


def test_each_image_adds_its_own_counts_and_all_of_them_are_the_split():
    """By hand: an image of two pixels, one of one, one of which nothing is labelled."""
    found = matrix(3)
    found.add(logits_of(torch.tensor([[[0, 1]], [[2, 2]]]), 3), torch.tensor([[[0, 0]], [[2, 255]]]))
    found.add(logits_of(torch.tensor([[[1, 1]]]), 3), torch.tensor([[[255, 255]]]))
    assert found.images().tolist() == [[[1, 0, 0], [2, 1, 0]], [[0, 0, 1], [0, 0, 1]], [[0, 0, 0], [0, 0, 0]]]
    hits, union = found.images().sum(axis=0)
    assert [h / u for h, u in zip(hits, union, strict=True)] == found.iou() == [1 / 2, 0, 1]
    score = found.score()
    assert score.named("peer_") == {
        "peer_miou": 0.5, "peer_miou_low": score.low, "peer_miou_high": score.high, "peer_iou": [1 / 2, 0, 1],
    }  # fmt: skip
    assert score.low <= 0.5 <= score.high


def test_counts_are_those_of_torchmetrics():
    from torchmetrics.functional.classification import multiclass_confusion_matrix  # not above: seconds

    rng = torch.Generator().manual_seed(1)
    found, labels = matrix(7), torch.randint(0, 7, (4, 9, 11), generator=rng)
    guesses = torch.randint(0, 7, (4, 9, 11), generator=rng)
    labels[torch.rand(labels.shape, generator=rng) < 0.3] = 255
    found.add(logits_of(guesses, 7), labels)
    theirs = multiclass_confusion_matrix(guesses, labels, num_classes=7, ignore_index=255)
    assert torch.equal(found.counts, theirs)


def test_one_image_or_none_has_no_interval():
    found = matrix(2)
    assert found.score()[1:3] == (None, None)
    assert found.images().shape == (0, 2, 2)
    found.add(logits_of(torch.tensor([[[0, 1]]]), 2), torch.tensor([[[0, 0]]]))
    assert found.score() == (0.25, None, None, [0.5, 0])


def test_what_ranks_have_counted_is_what_one_process_counts(monkeypatch):
    """Images 0, 2 and 4 here and 1 there, 3 nowhere: sums over ranks are played by adding what the other has."""
    rng = torch.Generator().manual_seed(2)
    guesses, labels = (torch.randint(0, 3, (5, 4, 4), generator=rng) for _ in range(2))
    whole, here, there = matrix(3), matrix(3), matrix(3)
    for found, places in ((whole, (0, 1, 2, 4)), (here, (0, 2, 4)), (there, (1,))):
        for place in places:
            found.add(logits_of(guesses[place][None], 3), labels[place][None])
    said = []
    monkeypatch.setattr(Ranks, "total", lambda _, counts: said.append(counts) or counts)
    assert there.gather(Ranks(1, 2), [1], num=5) == [1]
    monkeypatch.setattr(Ranks, "total", lambda _, counts: counts + said.pop(0))
    assert here.gather(Ranks(0, 2), [0, 2, 4], num=5) == [0, 1, 2, 4]
    assert here.score() == whole.score()
    assert (here.images() == whole.images()).all()

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from trainables.data.loader import eval_batches
from trainables.data.transforms import MEAN, STD, normalize
from trainables.evaluate import evaluate, evaluate_weights, predict
from trainables.loop import train
from trainables.models.segmodel import SegModel


class Pixels(nn.Module):
    def forward(self, images):
        return [images, images]


class First(nn.Module):
    def forward(self, stages):
        return stages[0]


@pytest.fixture
def reader():
    """A student that reads the class id off the red channel, which is 50 times the id: argmax_c of 2 r c - c^2."""

    def make(shift=0):
        head = nn.Conv2d(3, 5, 1)
        ids = torch.arange(5.0)
        nn.init.zeros_(head.weight)
        with torch.no_grad():
            head.weight[:, 0, 0, 0] = 2 * ids * STD[0] * 255 / 50
            head.bias.copy_(2 * ids * MEAN[0] * 255 / 50 - ids**2)
            head.weight.copy_(head.weight.roll(shift, 0))
            head.bias.copy_(head.bias.roll(shift, 0))
        return SegModel(Pixels(), First(), head)

    return make


def test_a_student_that_is_right_scores_one(reader, dataset, small):
    """Class 4 is in no label and no prediction; wrong pixels could hide only under ignored labels."""
    assert evaluate(reader(), dataset, "val", small()) == [1, 1, 1, 1, None]


def test_a_score_is_counted_over_whole_images_in_numpy(reader, dataset, small):
    """A student whose every answer is one class too high."""
    labels = np.concatenate([np.asarray(Image.open(sample.label)).ravel() for sample in dataset.samples("val")])
    labels = labels[labels != 255]
    guesses = labels + 1
    expected = [np.sum((guesses == c) & (labels == c)) / np.sum((guesses == c) | (labels == c)) for c in range(5)]
    assert evaluate(reader(shift=1), dataset, "val", small()) == expected == [0] * 5


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_batch_size_does_not_change_a_score(network, dataset, small, split):
    student = network(3)
    one, other = (evaluate(student, dataset, split, small(batch_size=size)) for size in (2, 8))
    assert one == other


def test_evaluation_uses_the_running_statistics_and_no_dropout(network, dataset, small):
    student = network(3).train()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    assert evaluate(student, dataset, "val", small()) == evaluate(student, dataset, "val", small())
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


def test_logits_come_at_the_images_own_size(network, dataset, small):
    student = network().eval()
    for images, labels in eval_batches(dataset, "val", 2):
        found = predict(student, images, small())
        assert found.shape == (len(images), 5, *labels.shape[1:])


def test_an_image_is_padded_at_the_bottom_and_right_and_cropped_again(network, dataset, small):
    student = network().eval()
    images, _ = list(eval_batches(dataset, "val", 2))[-1]  # 33 x 50
    padded = torch.zeros(1, 3, 64, 64)
    padded[..., :33, :50] = normalize(images)
    logits = student(padded).logits
    whole = torch.nn.functional.interpolate(logits, size=(64, 64), mode="bilinear", align_corners=False)
    torch.testing.assert_close(predict(student, images, small()), whole[..., :33, :50])


def test_weights_are_scored_as_in_their_trial(small, dataset, tmp_path):
    config = small(steps=3, eval_every=3, lr=1e-2)
    state = train(config, dataset=dataset, directory=tmp_path)
    assert evaluate_weights(config, state.weights(), dataset, "val") == state.history[-1].iou

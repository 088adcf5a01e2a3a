from __future__ import annotations

import dataclasses
import itertools
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from trainables.data.catalogue import open_dataset
from trainables.data.loader import eval_batches
from trainables.data.transforms import normalize
from trainables.errors import DataError
from trainables.loop import train
from trainables.models.segmodel import SegModel
from trainables.published import MEAN, STD
from trainables.scoring.evaluate import evaluate, evaluate_weights, predict, window_starts


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
    assert evaluate(reader(), dataset, "val", small()).iou == [1, 1, 1, 1, None]


def test_a_score_is_counted_over_whole_images_in_numpy(reader, dataset, small):
    """A student whose every answer is one class too high."""
    labels = np.concatenate([np.asarray(Image.open(sample.label)).ravel() for sample in dataset.samples("val")])
    labels = labels[labels != 255]
    guesses = labels + 1
    expected = [np.sum((guesses == c) & (labels == c)) / np.sum((guesses == c) | (labels == c)) for c in range(5)]
    assert evaluate(reader(shift=1), dataset, "val", small()).iou == expected == [0] * 5


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
    assert evaluate_weights(config, state.weights(), dataset, "val").iou == state.history[-1].iou


@pytest.mark.parametrize("size", [(64, 64), (33, 50), (48, 64)])
@pytest.mark.parametrize("stride", [0.1, 2 / 3, 1.0])
def test_one_window_that_covers_all_is_the_whole_image(network, small, size, stride):
    student = network().eval()
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    slide = predict(student, images, small(eval_mode="slide", eval_stride=stride))
    assert torch.equal(slide, predict(student, images, small()))


def test_one_of_two_sides_may_be_one_window(network, small):
    """96 wide under a crop of 64 with stride 1/2: windows at 0 and 32; 50 high: one window, padded to 64."""
    student = network().eval()
    images = torch.randint(0, 256, (1, 3, 50, 96), dtype=torch.uint8)
    slide = predict(student, images, small(eval_mode="slide", eval_stride=0.5))
    left, right = (predict(student, images[..., start : start + 64], small()) for start in (0, 32))
    expected = torch.cat([left[..., :32], (left[..., 32:] + right[..., :32]) / 2, right[..., 32:]], dim=-1)
    torch.testing.assert_close(slide, expected)


def test_windows_are_averaged_where_they_overlap(network, small):
    student = network().eval()
    images = torch.randint(0, 256, (1, 3, 100, 150), dtype=torch.uint8)
    slide = predict(student, images, small(eval_mode="slide", eval_stride=2 / 3))  # 64 * 2/3: 43 pixels
    total, count = np.zeros((5, 100, 150)), np.zeros((100, 150))
    for top, left in itertools.product([0, 36], [0, 43, 86]):
        window = images[..., top : top + 64, left : left + 64]
        total[:, top : top + 64, left : left + 64] += predict(student, window, small())[0].detach().numpy()
        count[top : top + 64, left : left + 64] += 1
    assert count.min() == 1
    assert count.max() == 4
    np.testing.assert_allclose(slide[0].detach().numpy(), total / count, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("length", "window", "stride", "starts"),
    [
        (1024, 512, 2 / 3, [0, 341, 512]),
        (2048, 1024, 1.0, [0, 1024]),
        (100, 64, 0.5, [0, 32, 36]),
        (64, 64, 0.5, [0]),
        (50, 64, 0.5, [0]),
        (66, 64, 0.001, [0, 1, 2]),
    ],
)
def test_the_last_window_ends_with_the_image(length, window, stride, starts):
    assert window_starts(length, window, stride) == starts


def test_a_sliding_score_is_the_score_of_the_averaged_logits(reader, dataset, small):
    """A student that looks at one pixel alone cannot tell the two modes apart."""
    config = small(eval_mode="slide", crop_height=32, crop_width=32, eval_stride=0.3)
    assert evaluate(reader(), dataset, "val", config).iou == [1, 1, 1, 1, None]


def test_a_split_too_large_for_one_forward_is_scored_in_parts(reader, dataset, small, monkeypatch):
    monkeypatch.setattr("trainables.scoring.evaluate._MOST_LOGITS", 1)
    assert evaluate(reader(), dataset, "val", small(batch_size=8)).iou == [1, 1, 1, 1, None]


@pytest.fixture
def torn(folder, tmp_path):
    """The tiny set with a torn image in its validation split."""
    root = shutil.copytree(folder, tmp_path / "torn")
    path = root / "images" / "val" / "r1.png"
    path.write_bytes(path.read_bytes()[:300])
    return open_dataset(str(root)), path


def test_a_torn_image_ends_an_evaluation_with_its_name(reader, torn, small):
    with pytest.raises(DataError, match=r"val/r1\.png cannot be decoded"):
        evaluate(reader(), torn[0], "val", small())


def test_a_torn_image_is_left_out_and_named_if_told_so(reader, torn, small):
    dataset, path = torn
    assert evaluate(reader(), dataset, "val", small(on_corrupt="skip")).iou == [1, 1, 1, 1, None]
    assert dataset.take_skipped() == [str(path)]
    assert dataset.take_skipped() == []


def test_a_split_without_a_readable_image_has_no_score(reader, torn, small):
    dataset, _ = torn
    for sample in dataset.samples("val"):
        sample.label.write_bytes(b"")
    with pytest.raises(DataError, match="holds no sample of 'val' that can be read"):
        evaluate(reader(), dataset, "val", small(on_corrupt="skip"))


def test_logits_are_enlarged_by_the_configs_convention(network, small):
    """Of a 64-pixel image at stride 4: with aligned corners, the corner pixels have the corner cells' own logits."""
    student = network().eval()
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        cells = student(normalize(images)).logits
        found = {aligned: predict(student, images, small(align_corners=aligned)) for aligned in (False, True)}
    assert cells.shape[-2:] == (16, 16)
    corners = np.ix_([0], range(5), [0, 63], [0, 63])
    np.testing.assert_allclose(found[True].numpy()[corners], cells[..., ::15, ::15].numpy(), rtol=1e-5, atol=1e-6)
    between = 20  # pixels: at 20 * 15 / 63 cells if aligned, else at 20.5 / 4 - 0.5
    for aligned, at in ((True, 20 * 15 / 63), (False, 20.5 / 4 - 0.5)):
        low, share = int(at), at - int(at)
        row = (1 - share) * cells[..., low, 0] + share * cells[..., low + 1, 0]
        torch.testing.assert_close(found[aligned][..., between, 0], row, rtol=1e-4, atol=1e-5)


def test_the_interval_over_images_draws_the_groups_that_a_trial_names(network, dataset, small):
    """Of val's three images, r0 to r2."""
    student = network(3)
    plain = evaluate(student, dataset, "val", small())
    assert plain.low < plain.miou < plain.high
    assert evaluate(student, dataset, "val", small(fold_by="r{number}")) == plain
    assert evaluate(student, dataset, "val", small(fold_by="{letter}*")) == plain._replace(low=None, high=None)
    declared = dataclasses.replace(dataset, groups={sample.image: "a" for sample in dataset.samples("val")})
    assert evaluate(student, declared, "val", small()) == plain._replace(low=None, high=None)
    assert evaluate(student, declared, "val", small(fold_by="r{number}")) == plain


def test_a_damaged_image_that_is_skipped_leaves_the_others_in_their_groups(network, torn, small):
    """The second of three is passed over: the two that are left are one group, or two."""
    config = {"on_corrupt": "skip"}
    one, two = (evaluate(network(3), torn[0], "val", small(**config, fold_by=by)) for by in ("{letter}*", "r{number}"))
    assert one.low is None
    assert two.low < two.miou < two.high

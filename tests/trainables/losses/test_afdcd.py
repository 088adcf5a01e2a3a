from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainables.errors import ModelError
from trainables.losses.afdcd import Afdcd, afdcd_contrast_loss, channel_groups


def pooled(maps, labels, size):
    """Of one image: the maximum over the valid cells of each size x size block, and whether there is one."""
    height, width = -(-labels.shape[0] // size), -(-labels.shape[1] // size)
    found, valid = np.zeros((len(maps), height, width)), np.zeros((height, width), dtype=bool)
    for i, j in np.ndindex(height, width):
        block = np.s_[size * i : size * (i + 1), size * j : size * (j + 1)]
        inside = labels[block] != 255
        if inside.any():
            valid[i, j], found[:, i, j] = True, maps[(slice(None), *block)][:, inside].max(axis=1)
    return found, valid


def formula(student, teacher, labels, groups, tau, size):
    losses = []
    for s, t, ids in zip(student, teacher, labels, strict=True):
        (s, valid), (t, _) = pooled(s, ids, size), pooled(t, ids, size)
        width = len(s) // groups
        for i, j in np.argwhere(valid):
            for m in range(groups):
                mine = s[m * width : (m + 1) * width, i, j]
                positive = -np.abs(mine - t[m * width : (m + 1) * width, i, j]).sum() / tau
                scores = [positive]
                for a, b in np.argwhere(valid):
                    if (a // 4, b // 4) == (i // 4, j // 4):
                        others = [t[n * width : (n + 1) * width, a, b] for n in range(groups) if n != m]
                        scores += [-np.abs(mine - other).sum() / tau for other in others]
                scores = np.array(scores)
                losses.append(np.log(np.exp(scores - scores.max()).sum()) + scores.max() - positive)
    return np.mean(losses)


def contrast(student, teacher, labels, groups, tau=0.5):
    maps = torch.as_tensor(student), torch.as_tensor(teacher)
    return afdcd_contrast_loss(*maps, labels != 255, groups=groups, temperature=tau).item()


@pytest.mark.parametrize(
    ("grid", "size"), [((4, 8), 1), ((6, 5), 1), ((16, 32), 4), ((18, 21), 4)], ids=lambda v: str(v).replace(" ", "")
)
def test_the_contrast_equals_the_formula_with_and_without_pooling_and_padding(grid, size, z, random_labels):
    student, teacher, labels = z(0, 2, 6, *grid, scale=1), z(1, 2, 6, *grid, scale=1), random_labels(2, *grid)
    expected = formula(student, teacher, labels.numpy(), 3, 0.5, size)
    assert contrast(student, teacher, labels, 3) == pytest.approx(expected, rel=1e-6)


def test_one_cell_of_two_groups_by_hand():
    student, teacher = torch.tensor([1.0, 5.0]).view(1, 2, 1, 1), torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)
    first, second = math.log(1 + math.exp(-2)), math.log(1 + math.exp(-4 + 2))  # |1-1| against |1-3|; |5-3|, |5-1|
    assert contrast(student, teacher, torch.zeros(1, 1, 1).long(), 2, tau=1.0) == pytest.approx((first + second) / 2)


def test_a_constant_on_both_features_changes_nothing(z, random_labels):
    student, teacher, labels = z(0, 2, 6, 4, 8, scale=1), z(1, 2, 6, 4, 8, scale=1), random_labels(2, 4, 8)
    assert contrast(student + 3, teacher + 3, labels, 3) == pytest.approx(contrast(student, teacher, labels, 3))


@pytest.mark.parametrize(("channels", "groups"), [(2048, 16), (256, 16), (88, 11), (24, 12), (7, 7), (17, 1)])
def test_groups_are_equal_and_as_many_as_there_can_be(channels, groups):
    assert channel_groups(channels) == groups


@pytest.fixture
def criterion(small, network, teacher):
    def make(guide=teacher, **fields):
        config = small(method="afdcd", projector_tap="stage3", **fields)
        torch.manual_seed(0)
        return Afdcd(config, student=network(), teacher=guide, num_classes=5, ignore_index=255)

    return make


def test_three_quarters_of_the_cells_are_masked_the_same_in_every_image(criterion, features, network, teacher):
    built, entered = criterion(), []
    built.decoder.register_forward_hook(lambda module, inputs, output: entered.append(inputs[0]))
    maps = [features(net, logits=(4, 4), taps=(40, 40), seed=seed) for seed, net in enumerate((network(), teacher))]
    built(*maps, torch.zeros(2, 40, 40).long())
    empty = (entered[0] == 0).all(dim=1)
    assert torch.equal(empty[0], empty[1])
    assert 0.7 < empty[0].double().mean() < 0.8
    built(*maps, torch.zeros(2, 40, 40).long())
    assert not torch.equal(empty, (entered[1] == 0).all(dim=1))  # another draw each step


def test_both_terms_are_of_the_restored_feature(criterion, features, network, teacher, random_labels):
    built, restored = criterion(), []
    built.decoder.register_forward_hook(lambda module, inputs, output: restored.append(output))
    maps = [features(net, logits=(6, 8), taps=(6, 8), seed=seed) for seed, net in enumerate((network(), teacher))]
    labels = random_labels(2, 6, 8)
    terms = built(*maps, labels)
    output, target = (value.detach().double().numpy() for value in (restored[0], maps[1].taps["stage3"]))
    squares = ((output - target) ** 2).mean(axis=1)[labels.numpy() != 255]
    assert terms["loss_afdcd_feature"].item() == pytest.approx(squares.mean(), rel=1e-5)
    expected = formula(output, target, labels.numpy(), 9, 0.07, 1)
    assert terms["loss_afdcd_contrast"].item() == pytest.approx(expected, rel=1e-4)


def test_the_default_weights_are_the_papers_in_our_normalisation(criterion):
    """2e-6 of a sum over 2048 x 64 x 128, and 5e-3 of a sum over 16 groups."""
    weights = criterion().weights
    assert weights["loss_afdcd_feature"] == pytest.approx(2e-6 * 2048 * 64 * 128, rel=2e-3)
    assert weights["loss_afdcd_contrast"] == pytest.approx(5e-3 * 16)


def test_a_teacher_whose_channels_make_no_groups_is_refused(criterion, network):
    with pytest.raises(ModelError, match=r"2 to 16 equal groups of channels, .* has 17 at 'stage3'"):
        criterion(guide=network(width=14))

"""Where there is no label: which pixels a method compares, and what it takes for the label."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.config import TrialConfig
from trainables.contracts import tiny
from trainables.errors import ModelError
from trainables.losses import LOSSES
from trainables.losses.find import make_criterion
from trainables.losses.kd import Kd
from trainables.losses.unlabelled import anywhere, pseudo_labels, pseudo_loss

GRID = (16, 16)
NEED_NOTHING = ("kd", "cwd", "at", "fitnet", "dist", "skd", "afdcd", "nfd", "lskd", "qsd", "diffkd")
NEED_A_CLASS = ("heteroakd", "ifvd", "ofa", "cirkd", "cirkdv2")
THRESHOLD = 0.8


def criterion(student, teacher, kind=None, **fields):
    usual = {"crop_height": 64, "crop_width": 64, "device": "cpu", "hakd_kernel": "plain", "distil_on": "all"}
    config = TrialConfig(**{**usual, "pseudo_threshold": THRESHOLD, **fields})
    torch.manual_seed(0)
    counts = {"num_classes": tiny.NUM_CLASSES, "ignore_index": tiny.IGNORE}
    if kind is not None:
        return kind(config, student=student, teacher=teacher, **counts)
    return make_criterion(config, student=student, teacher=teacher, **counts)


@pytest.fixture
def seen():
    """Two networks' maps; labels with holes; which pixels are the image's: the last four rows are padding."""
    student, teacher = tiny.network(1), tiny.network(2, width=6)
    learnt, said = (
        tiny.features(net, logits=GRID, taps=(8, 8), seed=seed) for net, seed in ((student, 3), (teacher, 4))
    )
    labels = tiny.random_labels(2, *GRID)
    labels[1] = tiny.IGNORE  # an unlabelled image
    real = torch.ones(2, *GRID, dtype=torch.bool)
    real[:, 12:] = False
    labels[:, 12:] = tiny.IGNORE
    return student, teacher, learnt, said, labels, real


def terms(made, learnt, said, labels, *real):
    torch.manual_seed(1)  # what afdcd and cirkd draw
    made(learnt, said, labels, *real)  # fills cirkd's memories
    torch.manual_seed(2)
    return {name: float(value.detach()) for name, value in made(learnt, said, labels, *real).items()}


def softmax(logits):
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def certain(said, labels, real):
    """The labels with the teacher's class where there is none and it is certain, in NumPy."""
    probability = softmax(said.logits.detach().numpy().astype(np.float64))
    found = np.where(probability.max(1) >= THRESHOLD, probability.argmax(1), tiny.IGNORE)
    missing = real.numpy() & (labels.numpy() == tiny.IGNORE)
    assert (found[missing] != tiny.IGNORE).any()
    assert (found[missing] == tiny.IGNORE).any()
    return torch.from_numpy(np.where(missing, found, labels.numpy()))


def test_every_method_that_is_taught_says_what_it_needs_of_a_pixel():
    says = {name: kind.needs_label for name, kind in LOSSES.items()}
    assert says == {
        "task": "nothing",
        "collaborative": None,
        **dict.fromkeys(NEED_NOTHING, "nothing"),
        **dict.fromkeys(NEED_A_CLASS, "class"),
    }


@pytest.mark.parametrize("method", NEED_NOTHING)
def test_what_needs_no_label_is_taken_at_every_pixel_but_padding(method, seen):
    student, teacher, learnt, said, labels, real = seen
    got = terms(criterion(student, teacher, method=method), learnt, said, labels, real)
    filled = torch.where(real & (labels == tiny.IGNORE), 3, labels)  # any class: which one is not read
    expected = terms(criterion(student, teacher, method=method), learnt, said, filled)
    alone = terms(criterion(student, teacher, method="task"), learnt, None, labels)
    assert got == {**expected, **alone}
    assert got != terms(criterion(student, teacher, method=method, distil_on="labelled"), learnt, said, labels, real)


@pytest.mark.parametrize("method", NEED_A_CLASS)
def test_what_needs_a_class_takes_the_teachers_where_it_is_certain(method, seen):
    student, teacher, learnt, said, labels, real = seen
    got = terms(criterion(student, teacher, method=method, lambda_kd=0.0), learnt, said, labels, real)
    expected = terms(
        criterion(student, teacher, method=method, lambda_kd=0.0), learnt, said, certain(said, labels, real)
    )
    alone = terms(criterion(student, teacher, method="task"), learnt, None, labels)
    kd = {"loss_kd": got["loss_kd"]} if method == "heteroakd" else {}
    assert got == {**expected, **alone, **kd}


@pytest.mark.parametrize("method", ["heteroakd", "ifvd"])
def test_plain_kd_beside_a_method_that_needs_a_class_needs_none(method, seen):
    student, teacher, learnt, said, labels, real = seen
    beside = {"with_kd": True} if method == "ifvd" else {}
    got = terms(criterion(student, teacher, method=method, **beside), learnt, said, labels, real)
    plain = terms(criterion(student, teacher, method="kd"), learnt, said, labels, real)
    assert got["loss_kd"] == plain["loss_kd"]


@pytest.mark.parametrize("method", [*NEED_NOTHING, *NEED_A_CLASS])
def test_distilling_on_labelled_pixels_is_what_it_was(method, seen):
    student, teacher, learnt, said, labels, real = seen
    one, other = (criterion(student, teacher, method=method, distil_on="labelled") for _ in range(2))
    assert terms(one, learnt, said, labels, real) == terms(other, learnt, said, labels)


def test_a_teacher_that_does_not_know_all_classes_labels_with_those_that_it_knows(seen):
    student, teacher, _, said, labels, real = seen
    teacher.covered = (0, 2, 4)
    made = criterion(student, teacher, method="ofa")
    got = made.taught(labels, said, real)
    probability = softmax(said.logits.detach().numpy().astype(np.float64)[:, [0, 2, 4]])
    best = np.array([0, 2, 4])[probability.argmax(1)]
    missing = real.numpy() & (labels.numpy() == tiny.IGNORE)
    expected = np.where(missing, np.where(probability.max(1) >= THRESHOLD, best, tiny.IGNORE), labels.numpy())
    assert (got.numpy() == expected).all()
    assert {*got[real & (labels == tiny.IGNORE)].tolist()} <= {0, 2, 4, tiny.IGNORE}
    assert (criterion(student, teacher, method="kd").taught(labels, said, real)[real] != tiny.IGNORE).all()


def test_pseudo_labels_are_the_likeliest_class_of_the_enlarged_logits(oracle):
    logits = 3 * torch.randn(2, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    got = pseudo_labels(logits, size=(12, 18), threshold=0.7, ignore_index=255)
    probability = oracle.softmax(oracle.bilinear(logits.numpy().astype(np.float64), (12, 18)))
    assert (got.numpy() == np.where(probability.max(1) >= 0.7, probability.argmax(1), 255)).all()


def test_the_pseudo_loss_divides_by_all_that_lack_a_label(oracle):
    logits = torch.randn(1, 3, 2, 3, generator=torch.Generator().manual_seed(0))
    pseudo = torch.tensor([[[0, 255, 2], [1, 1, 255]]])
    missing = torch.tensor([[[True, True, True], [True, False, False]]])
    log_p = oracle.log_softmax(logits.numpy().astype(np.float64))[0]
    expected = -(log_p[0, 0, 0] + log_p[2, 0, 2] + log_p[1, 1, 0]) / 4
    assert float(pseudo_loss(logits, pseudo, missing, ignore_index=255)) == pytest.approx(expected, rel=1e-6)
    assert float(pseudo_loss(logits, pseudo, torch.zeros_like(missing), ignore_index=255)) == 0


def test_a_student_alone_takes_its_own_pseudo_labels_and_a_taught_one_its_teachers(seen):
    student, teacher, learnt, said, labels, real = seen
    missing = real & (labels == tiny.IGNORE)
    for method, source in (("task", learnt), ("kd", said)):
        made = criterion(student, teacher, method=method, pseudo_weight=0.5)
        assert made.weights["loss_pseudo"] == 0.5
        filled = certain(source, labels, real).masked_fill(~missing, tiny.IGNORE)
        expected = pseudo_loss(learnt.logits, filled, missing, ignore_index=tiny.IGNORE)
        got = made(learnt, said if method == "kd" else None, labels, real)["loss_pseudo"]
        assert torch.equal(got, expected)
        assert expected > 0


def test_a_method_of_ones_own_says_it_for_itself(seen):
    student, teacher, *_ = seen

    class Mine(Kd):
        pass

    class Open(Kd):
        needs_label = "nothing"

    with pytest.raises(ModelError, match=r"heteroakd needs a label at each pixel.*Set needs_label in its class"):
        criterion(student, teacher, Mine)
    criterion(student, teacher, Mine, distil_on="labelled")
    criterion(student, teacher, Open)


def test_a_backbone_without_logits_cannot_label(seen):
    student, teacher, *_ = seen
    teacher.has_logits = False
    for fields in ({"method": "cirkd"}, {"method": "at", "distil_on": "labelled", "pseudo_weight": 1.0}):
        with pytest.raises(ModelError, match="gives features alone"):
            criterion(student, teacher, **fields)
    criterion(student, teacher, method="at")


def test_anywhere_fills_the_image_and_leaves_padding():
    labels = torch.tensor([[[1, 255, 255]]])
    real = torch.tensor([[[True, True, False]]])
    assert anywhere(labels, real, stand_in=4, ignore_index=255).tolist() == [[[1, 4, 255]]]

"""What cannot be scored is refused before the first trial, with the remedy; classes that are absent are named."""

from __future__ import annotations

import math

import numpy as np
import pytest
import yaml
from PIL import Image

from trainables.contracts import datasets
from trainables.contracts.claim import examine
from trainables.contracts.datasets import Data
from trainables.data import doctor
from trainables.data.catalogue import open_dataset
from trainables.data.check import verify
from trainables.data.doctor import diagnose
from trainables.errors import DataError
from trainables.scoring.metrics import miou

SPLITS = ("train", "val")
REMEDY = "The masks hold 0 and 255, and 255 is ignored: if it is a class, write `ids: {255: 1}`"


@pytest.fixture
def write(tmp_path):
    """Writes a set of 8x8 images whose masks repeat the ids given for a split."""

    def make(train, val, *, classes=("a", "b"), test=None, num=2, **fields):
        for split, ids in {"train": train, "val": val, **({"test": test} if test else {})}.items():
            for kind in ("images", "labels"):
                (tmp_path / kind / split).mkdir(parents=True, exist_ok=True)
            for number in range(num):
                shade = number + 100 * SPLITS.index(split) if split in SPLITS else 250 - number
                Image.new("RGB", (8, 8), (shade, 0, 0)).save(tmp_path / "images" / split / f"{number:03}.png")
                mask = np.resize(np.array(ids, np.uint8), (8, 8))
                Image.fromarray(mask).save(tmp_path / "labels" / split / f"{number:03}.png")
        (tmp_path / "dataset.yaml").write_text(yaml.safe_dump({"classes": list(classes), **fields}), encoding="utf-8")
        return tmp_path

    return make


def refused(root):
    """What the check before a sweep says, which the doctor must say as well."""
    with pytest.raises(DataError) as caught:
        verify(open_dataset(str(root)))
    assert str(caught.value) in diagnose(str(root)).faults
    return str(caught.value)


def test_masks_of_0_and_255_are_refused_with_a_remedy_that_works(write):
    root = write([0, 255], [0, 255])
    assert refused(root) == (
        f"All that is labelled in split 'train' of {root} is a: a network that says nothing else has an mIoU of 100 %. "
        f"Label a second class. {REMEDY} in dataset.yaml."
    )
    write([0, 255], [0, 255], ids={255: 1})
    dataset = open_dataset(str(root))
    assert verify(dataset) == []
    assert diagnose(str(root)).faults == {}
    label = dataset.read(dataset.samples("val")[0])[1]
    np.testing.assert_array_equal(label.numpy(), np.resize([0, 1], (8, 8)))
    assert diagnose(str(root)).splits[0].class_counts(dataset).tolist() == [64, 64]


def test_binary_masks_under_one_class_name_are_told_of_both_remedies(write):
    root = write([0, 255], [0, 255], classes=["crack"])
    assert refused(root) == (
        f"{root} has one class (crack): mIoU is 100 % whatever a network says. Name at least two, such as background "
        f"and crack. {REMEDY} and two classes in dataset.yaml."
    )


def test_a_split_whose_pixels_are_all_ignored_is_refused(write):
    root = write([0, 1], [255])
    assert refused(root) == (
        f"split 'val' of {root} has no labelled pixel: all are ignored (255), so nothing can be scored. Label some. "
        f"{REMEDY} in dataset.yaml."
    )
    root = write([0, 1], [7], ignore_index=7)
    assert refused(root).endswith("all are ignored (7), so nothing can be scored. Label some.")


def test_a_single_class_is_refused(write):
    root = write([0, 255], [0], classes=["only"], ignore_index=255)
    assert refused(root).startswith(f"{root} has one class (only): mIoU is 100 % whatever a network says.")
    root = write([0, 1], [1, 1])
    assert refused(root).startswith(f"All that is labelled in split 'val' of {root} is b:")


@pytest.mark.parametrize("val", [[255], [1]])
def test_it_would_have_been_no_number_or_all_of_it(val):
    """By hand: what mIoU made of such splits, whatever was predicted or where only b was."""
    iou = [None, None] if val == [255] else [None, 1.0]
    assert math.isnan(miou(iou)) if val == [255] else miou(iou) == 1


def test_a_class_without_a_pixel_is_named_and_no_fault(write):
    root = write([0, 1], [1, 2], classes=["a", "b", "c"])
    said = [
        "No pixel of train is c: cannot be learned.",
        "No pixel of val is a: will be left out of its mIoU unless predicted.",
    ]
    assert verify(open_dataset(str(root))) == said
    assert diagnose(str(root)).faults == {}
    assert set(said) <= set(diagnose(str(root)).advice)


def test_many_absent_classes_are_counted(write):
    root = write([0, 1], [0, 1], classes=[f"c{number}" for number in range(40)])
    named = ", ".join(f"c{number}" for number in range(2, 22))
    assert verify(open_dataset(str(root)))[0] == f"No pixel of train is {named} and 18 more: cannot be learned."


def test_a_test_split_that_cannot_be_scored_is_a_fault_of_the_check(write):
    root = write([0, 1], [0, 1], test=[255])
    verify(open_dataset(str(root)))
    (fault,) = diagnose(str(root)).faults
    assert fault.startswith(f"split 'test' of {root} has no labelled pixel")
    with pytest.raises(DataError, match="split 'test'"):
        verify(open_dataset(str(root)), ["test"])


def test_a_class_that_only_the_masks_left_out_hold_is_no_fault(write, monkeypatch):
    root = write([0], [0, 1], num=9)
    monkeypatch.setattr(doctor, "MASKS", 3)
    (fault,) = diagnose(str(root)).faults
    assert fault.startswith("All that is labelled in split 'train'")
    Image.fromarray(np.ones((8, 8), np.uint8)).save(root / "labels" / "train" / "001.png")  # 0, 3 and 6 are chosen
    assert diagnose(str(root)).faults == {}


@pytest.mark.parametrize(
    ("ids", "sentence"),
    [
        ({255: 2}, "ids must map 255 to a class id (0-1) or ignore_index (255), got 2."),
        ({255: -1}, "ids must map 255 to a class id (0-1) or ignore_index (255), got -1."),
        ({70000: 1}, "must be <= 65535, got 70000."),
        ({"crack": 1}, "should be a valid integer"),
    ],
)
def test_ids_that_map_nowhere_are_refused(write, ids, sentence):
    with pytest.raises(DataError) as caught:
        open_dataset(str(write([0, 1], [0, 1], ids=ids)))
    assert sentence in str(caught.value)


def test_ids_map_many_to_one_and_leave_the_others(write):
    root = write([0, 1, 2, 9, 200, 255], [0, 1], classes=["a", "b", "c"], ids={9: 1, 200: 255})
    dataset = open_dataset(str(root))
    label = dataset.read(dataset.samples("train")[0])[1].flatten()[:6]
    assert label.tolist() == [0, 1, 2, 1, 255, 255]
    assert dataset.id_rule.endswith("has ids 0-2, 9, 200, 255")
    assert dataset.digest() != open_dataset(str(write([0, 1, 2, 9, 200, 255], [0, 1], classes="abc"))).digest()


def test_a_set_of_one_class_breaks_a_claim_of_the_contract(write):
    root = write([0, 255], [0, 255], classes=["only"])
    broken = [one.reason for one in examine(Data(lambda: open_dataset(str(root))), datasets.CLAIMS) if one.reason]
    assert broken == ["mIoU needs two classes, got only."]

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from trainables.data.catalogue import open_dataset
from trainables.errors import DataError


def refusal(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        open_dataset(str(root))
    return str(caught.value)


def test_a_tree_is_listed_in_the_order_of_its_names(tree):
    dataset = open_dataset(str(tree))
    assert (dataset.name, dataset.num_classes, dataset.ignore_index) == ("tiny", 7, 255)
    assert [sample.image.name for sample in dataset.samples("train")] == [f"r{i}.png" for i in range(5)]
    assert all(image.stem == label.stem for split in dataset.splits for image, label in dataset.samples(split))


def test_other_keys_of_dataset_yaml_are_tolerated(tree, describe):
    describe(source={"images": "a camera"}, splits={"train": 5})
    assert open_dataset(str(tree)).num_classes == 7


def test_without_a_palette_each_class_gets_its_own_colour(tree):
    palette = open_dataset(str(tree)).palette
    assert len(set(palette)) == 7
    assert all(0 <= byte <= 255 for colour in palette for byte in colour)


def test_a_set_without_a_name_takes_its_folders(tree, describe):
    describe(name=None)
    assert open_dataset(str(tree)).name == "tiny"


def test_missing_dataset_yaml_is_refused_with_an_example(tree):
    (tree / "dataset.yaml").unlink()
    assert refusal(tree) == (
        f"{tree}/dataset.yaml is missing. Write one that names the classes, such as `classes: [road, sky]`."
    )


def test_dataset_yaml_that_is_no_mapping_is_a_data_error(tree):
    (tree / "dataset.yaml").write_text("- road\n- sky\n")
    assert "must hold a mapping" in refusal(tree)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"classes": []}, "classes must name 1 to 255 classes, got 0."),
        ({"classes": [str(i) for i in range(256)]}, "classes must name 1 to 255 classes, got 256."),
        ({"classes": ["road", "road"]}, "classes must have different names, got road, road."),
        ({"classes": ["road", ["sky"]]}, "classes.1 input should be a valid string, got ['sky']."),
        ({"classes": ["road", ""]}, "classes must have a name each, got 'road', ''."),
        ({"classes": {0: "road", 2: "sky"}}, "classes must name each id from 0 to 1 once, got 0, 2."),
        ({"palette": [[0, 0, 0]] * 6}, "palette must hold one colour for each of the 7 classes, got 6."),
        ({"palette": [[0, 0, 300]] * 7}, "palette.0.2 must be <= 255, got 300."),
        ({"ignore_index": 6}, "ignore_index must be outside the class ids (0-6) and at most 255, got 6."),
        ({"ignore_index": -1}, "ignore_index must be outside the class ids (0-6) and at most 255, got -1."),
        ({"ignore_index": 256}, "ignore_index must be outside the class ids (0-6) and at most 255, got 256."),
    ],
)
def test_wrong_fields_are_refused(tree, describe, fields, sentence):
    describe(**fields)
    message = refusal(tree)
    assert message.startswith(f"{tree}/dataset.yaml: ")
    assert sentence in message


@pytest.mark.parametrize("kind", ["images", "labels"])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_missing_split_is_refused_with_the_expected_folder(tree, split, kind):
    shutil.rmtree(tree / kind / split)
    assert refusal(tree).startswith(f"split '{split}' is missing: expected {tree}/{kind}/{split}, beside")


def test_a_set_without_test_split_opens_and_says_so_when_asked_for_it(tree):
    shutil.rmtree(tree / "images" / "test")
    shutil.rmtree(tree / "labels" / "test")
    dataset = open_dataset(str(tree))
    with pytest.raises(DataError, match=r"split 'test' is missing from .*, which has train, val\."):
        dataset.samples("test")


def test_empty_split_is_refused(tree):
    for kind in ("images", "labels"):
        for path in (tree / kind / "val").iterdir():
            path.unlink()
    assert refusal(tree).startswith(f"split 'val' is empty: {tree}/images/val holds no")


def test_images_without_label_are_refused_naming_three(tree):
    for path in (tree / "labels" / "train").iterdir():
        path.unlink()
    assert f"split 'train' of {tree} has images without label: r0, r1, r2 and 2 more." in refusal(tree)


def test_label_without_image_is_refused(tree):
    (tree / "images" / "train" / "r3.png").unlink()
    assert f"split 'train' of {tree} has labels without image: r3." in refusal(tree)


def test_two_images_of_one_name_are_refused(tree):
    Image.new("RGB", (64, 48)).save(tree / "images" / "train" / "r0.jpg")
    assert "share the name 'r0'" in refusal(tree)


def test_hidden_and_foreign_files_are_left_alone(tree):
    (tree / "images" / "train" / ".r9.png").write_bytes(b"")
    (tree / "images" / "train" / "Thumbs.db").write_bytes(b"")
    assert len(open_dataset(str(tree)).samples("train")) == 5


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("classes: [yes, no]", ("yes", "no")),
        ("classes: [1, 2.50, 010, 0x1F]", ("1", "2.50", "010", "0x1F")),
        ("classes: [2024-01-01, null, road]", ("2024-01-01", "null", "road")),
        ("classes: {0: road, 1: no}", ("road", "no")),
        ("classes:\n  1: sky\n  0: road", ("road", "sky")),
        ("names: {0: person, 1: 'off'}", ("person", "off")),
        ("names: [person, car]\nnc: 2", ("person", "car")),
        ("classes: [road]\nnames: [person, car]", ("road",)),
    ],
)
def test_classes_are_named_as_they_are_written(tree, written, names):
    (tree / "dataset.yaml").write_text(f"{written}\n")
    assert open_dataset(str(tree)).classes == names


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("classes: {0: road, 2: sky}", "classes must name each id from 0 to 1 once, got 0, 2."),
        ("classes: {road: 0, sky: 1}", "classes must name each id from 0 to 1 once, got road, sky."),
        ("classes: [road, ]\nname: x\nignore_index: 0", "ignore_index must be outside"),
        ("classes:\n  - road\n  -", "classes must have a name each, got 'road', ''."),
    ],
)
def test_names_that_cannot_be_understood_are_refused(tree, written, sentence):
    (tree / "dataset.yaml").write_text(f"{written}\n")
    assert sentence in refusal(tree)

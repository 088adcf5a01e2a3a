"""Ids of mask files that mean classes: by name, many to one, ignored, beyond 255, and of other formats than PNG."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from PIL import Image

from trainables.data.catalogue import open_dataset
from trainables.data.check import verify
from trainables.data.doctor import MASK, diagnose
from trainables.errors import DataError


@pytest.fixture
def write(tmp_path):
    """Writes a set of one mask a split, from ids of any depth."""

    def make(stored, /, *, ending="png", **fields):
        for split in ("train", "val"):
            for kind in ("images", "labels"):
                (tmp_path / kind / split).mkdir(parents=True, exist_ok=True)
            shade = np.random.default_rng(len(split)).integers(0, 256, (*stored.shape, 3), dtype=np.uint8)
            Image.fromarray(shade).save(tmp_path / "images" / split / "a.png")
            Image.fromarray(stored).save(tmp_path / "labels" / split / f"a.{ending}")
        (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(fields, sort_keys=False), encoding="utf-8")
        return tmp_path

    return make


def label(root):
    dataset = open_dataset(str(root))
    return dataset.read(dataset.samples("train")[0])[1].numpy()


def refusal(root, check=lambda root: verify(open_dataset(str(root)))):
    with pytest.raises(DataError) as caught:
        check(root)
    return str(caught.value)


def test_ids_by_name_are_all_there_is_and_many_may_be_one(write):
    ids = np.array([[7, 8, 24, 25], [0, 255, 7, 7]], np.uint8)
    table = {7: "road", 8: "road", 24: "person", 25: "person", 0: "void"}
    root = write(ids, ids=table, ignore=["void"])
    assert open_dataset(str(root)).classes == ("road", "person")
    np.testing.assert_array_equal(label(root), [[0, 0, 1, 1], [255, 255, 0, 0]])
    assert diagnose(str(root)).faults == {}
    write(np.where(ids == 24, 1, ids).astype(np.uint8), ids=table, ignore=["void"])  # 1 is no id of its own
    assert refusal(root).endswith("/labels/train/a.png holds id 1, but " + f"{root.name} has ids 0, 7-8, 24-25, 255.")


def test_names_of_ids_follow_the_classes_where_these_are_given(write):
    ids = np.array([[3, 4], [4, 255]], np.uint8)
    np.testing.assert_array_equal(
        label(write(ids, classes=["sky", "road"], ids={3: "road", 4: "sky"})), [[1, 0], [0, 255]]
    )


def test_ignored_ids_are_ignored_and_the_others_mean_themselves(write):
    ids = np.array([[0, 1, 2, 11]], np.uint8)
    np.testing.assert_array_equal(label(write(ids, classes=["a", "b", "c"], ignore=[11, 1])), [[0, 255, 2, 255]])
    assert label(write(ids, classes=["a", "b", "c"], ignore=11)).tolist() == [[0, 1, 2, 255]]


@pytest.mark.parametrize("ending", ["png", "tif", "TIFF"])
def test_ids_beyond_255_are_mapped_when_they_are_read(write, ending):
    ids = np.array([[0, 26001, 26002], [24001, 65535, 26001]], np.uint16)
    table = {0: "ground", 26001: "car", 26002: "car", 24001: "person", 65535: "none"}
    root = write(ids, ending=ending, ids=table, ignore=["none"])
    np.testing.assert_array_equal(label(root), [[0, 1, 1], [2, 255, 1]])
    assert verify(open_dataset(str(root))) == []
    ids[0, 0] = 300
    write(ids, ending=ending, ids=table, ignore=["none"])
    said = f"{root}/labels/train/a.{ending} holds id 300, but dataset.yaml names 0, 255, 24001, 26001-26002, 65535."
    assert refusal(root).startswith(said)
    assert diagnose(str(root)).faults[MASK][0].startswith(said)


def test_another_mapping_beyond_255_is_another_data_set(write):
    ids = np.array([[0, 300]], np.uint16)
    one, other = (open_dataset(str(write(ids, classes=["a", "b"], ids={300: to}))).digest() for to in (1, 0))
    assert one != other


def test_small_ids_of_16_bits_are_ids_where_they_are_said_to_be(write):
    ids = np.array([[0, 7], [7, 255]], np.uint16)
    np.testing.assert_array_equal(label(write(ids, classes=["a", "b"], ids={7: 1})), [[0, 1], [1, 255]])
    root = write(np.array([[0, 7], [7, 300]], np.uint16), classes=["a", "b"], ids={7: 1})
    assert "holds ids beyond 255 (300). Say in dataset.yaml, under `ids`, what each is." in refusal(root)


@pytest.mark.parametrize("ending", ["bmp", "tif", "TIF"])
def test_ids_of_other_formats_are_those_that_are_stored(write, ending):
    ids = (np.arange(48, dtype=np.uint8) % 3).reshape(6, 8)
    root = write(ids, ending=ending, classes=["a", "b", "c"])
    np.testing.assert_array_equal(label(root), ids)
    palette = Image.fromarray(ids)
    palette.putpalette([byte for number in range(256) for byte in (number, 255 - number, 38)])
    palette.save(root / "labels" / "train" / f"a.{ending}")
    np.testing.assert_array_equal(label(root), ids)


def test_a_tiff_whose_zero_is_white_or_that_has_pages_is_refused(write):
    ids = np.array([[0, 1], [1, 0]], np.uint8)
    root = write(ids, ending="tif", classes=["a", "b"])
    path = root / "labels" / "train" / "a.tif"
    Image.fromarray(ids).save(path, tiffinfo={262: 0})
    with Image.open(path) as image:
        assert image.tag_v2[262] == 0  # Pillow turns it
    assert f"{path} is a 8-bit grey, 0 is white, TIFF, whose pixels are no class ids." in refusal(root)
    pages = [Image.fromarray(ids)] * 2
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert f"{path} must hold one picture, got 2." in refusal(root)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"ids": {7: "raod"}, "classes": ["road", "sky"]}, "Unknown class in ids 'raod'. Nearest: road."),
        ({"ids": {7: 1}, "ignore": [7], "classes": ["a", "b"]}, "ignore names id 7, which ids maps to 1."),
        ({"ids": {-1: 1}, "classes": ["a", "b"]}, "must be >= 0, got -1."),
        ({"ignore": [70000], "classes": ["a", "b"]}, "ignore must list ids (0-65535)"),
    ],
)
def test_tables_that_cannot_be_meant_are_refused(write, fields, sentence):
    root = write(np.zeros((2, 2), np.uint8), **fields)
    assert sentence in refusal(root)

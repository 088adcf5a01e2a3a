from __future__ import annotations

import shutil

import pytest
import yaml

from trainables.config import TrialConfig
from trainables.data import DATASETS
from trainables.data.catalogue import open_dataset
from trainables.data.check import verify
from trainables.errors import DataError
from trainables.published import CROPS, with_data_defaults


def test_earth_is_embedded_whole():
    earth = open_dataset("earth")
    assert earth.classes == ("water", "forest", "shrubland", "savanna", "grassland", "cropland", "barren")
    assert {split: len(samples) for split, samples in earth.splits.items()} == {"train": 173, "val": 40, "test": 42}
    assert earth.palette[0] == (20, 60, 160)


def test_earth_passes_its_own_check():
    earth = open_dataset("earth")
    verify(earth, earth.splits)


def test_digest_is_the_same_at_every_opening():
    assert open_dataset("earth").digest() == open_dataset("earth").digest()


def test_digest_does_not_depend_on_the_place(tree, tmp_path):
    moved = shutil.copytree(tree, tmp_path / "moved")
    assert open_dataset(str(moved)).digest() == open_dataset(str(tree)).digest()


@pytest.mark.parametrize("file", ["images/train/r0.png", "labels/val/r1.png", "images/test/r1.png"])
def test_one_flipped_bit_changes_the_digest(tree, file):
    before = open_dataset(str(tree)).digest()
    content = bytearray((tree / file).read_bytes())
    content[-20] ^= 1
    (tree / file).write_bytes(content)
    assert open_dataset(str(tree)).digest() != before


def test_swapped_files_change_the_digest(tree):
    before = open_dataset(str(tree)).digest()
    first, second = (tree / "images" / "train" / name for name in ("r0.png", "r1.png"))
    first.rename(tree / "kept"), second.rename(first), (tree / "kept").rename(second)
    assert open_dataset(str(tree)).digest() != before


@pytest.mark.parametrize(("fields", "changes"), [({"ignore_index": 200}, True), ({"palette": [[1, 2, 3]] * 7}, False)])
def test_only_what_training_reads_of_the_description_counts(tree, describe, fields, changes):
    before = open_dataset(str(tree)).digest()
    describe(**fields)
    assert (open_dataset(str(tree)).digest() != before) is changes


def test_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(DataError) as caught:
        open_dataset("eart")
    assert str(caught.value) == (
        "Unknown data set 'eart'. Nearest: earth. Or give the path of a folder with dataset.yaml."
    )


def test_a_layout_without_a_place_asks_for_its_path():
    with pytest.raises(DataError, match=r"data set 'folder' needs its path, got 'folder'\. Write folder:PATH\."):
        open_dataset("folder")


def test_a_path_may_name_its_layout(tree):
    assert open_dataset(f"folder:{tree}").digest() == open_dataset(str(tree)).digest()
    with pytest.raises(DataError, match="Unknown data set"):
        open_dataset(f"folder:{tree}/nowhere")


@pytest.mark.parametrize("name", [name for name, source in DATASETS.items() if source.root])
def test_named_sets_open_without_a_path(name):
    assert open_dataset(name).samples("train")


@pytest.mark.parametrize(
    ("values", "crop"),
    [
        ({"data": "cityscapes:/somewhere"}, (512, 1024)),
        ({"data": "voc:/somewhere"}, (512, 512)),
        ({"data": "ade20k:/somewhere"}, (512, 512)),
        ({"data": "camvid:/somewhere"}, (360, 360)),
        ({"data": "cityscapes:/somewhere", "crop_height": 256}, (256, 1024)),
        ({"data": "earth"}, (128, 128)),
        ({}, (128, 128)),
    ],
)
def test_a_named_set_brings_the_crop_of_the_papers(values, crop, tmp_path):
    (tmp_path / "trial.yaml").write_text(yaml.safe_dump(values))
    config = TrialConfig.load(tmp_path / "trial.yaml")
    assert (config.crop_height, config.crop_width) == crop
    assert (config.teacher_recipe.crop_height, config.teacher_recipe.crop_width) == crop


def test_every_crop_is_of_a_set_that_is_there_and_is_a_legal_crop():
    assert set(CROPS) <= set(DATASETS)
    assert all(TrialConfig.parse(with_data_defaults({"data": f"{name}:/x"})) for name in CROPS)

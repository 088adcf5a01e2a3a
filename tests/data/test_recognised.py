"""A folder that is no data set of ours is answered with the importer it looks made for."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import explorer
from trainables.data.importers import IMPORTERS
from trainables.errors import DataError

COCO = json.dumps({"info": "x" * 10**6, "images": [], "annotations": [], "categories": []})
FILES = {
    "coco": {"annotations/instances_val2017.json": "{}"},
    "coco, one file": {"export.json": COCO},
    "cvat": {"labelmap.txt": "", "SegmentationClass/a.png": "", "ImageSets/Segmentation/default.txt": ""},
    "labelme": {"photos/a.json": '{"version": "5", "flags": {}, "shapes": []}', "photos/a.jpg": ""},
    "yolo": {"data.yaml": "train: images/train\nnames: [a]\n", "images/train/a.jpg": ""},
    "roboflow": {"train/_classes.csv": "Pixel Value, Class\n", "train/a.jpg": ""},
    "supervisely": {"meta.json": "{}", "ds/ann/a.jpg.json": "{}", "ds/img/a.jpg": ""},
    "hf": {"dataset_dict.json": "{}", "train/data-00000-of-00001.arrow": ""},
    "hf, parquet": {"data/train-00000-of-00001.parquet": ""},
    "voc-custom": {"SegmentationClass/a.png": "", "JPEGImages/a.jpg": ""},
}


@pytest.mark.parametrize("name", FILES)
def test_the_sentence_names_the_importer(name, tmp_path):
    for place, text in FILES[name].items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    with pytest.raises(DataError) as told:
        explorer.check_data(tmp_path)
    assert str(told.value).startswith(f"{tmp_path}/dataset.yaml is missing. It looks like ")
    assert f"`heteroakd data import {name.split(',')[0]} {tmp_path} DST`" in str(told.value)


def test_masks_of_colours_are_known_by_their_channels(tmp_path):
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "masks/a.png")
    with pytest.raises(DataError, match="heteroakd data import rgb"):
        explorer.check_data(tmp_path)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "masks/a.png")
    assert "Write one that names the classes" in str(explorer.check_data(tmp_path))


def test_every_kind_is_looked_for():
    assert {name.split(",")[0] for name in FILES} | {"rgb"} == IMPORTERS.keys()


def test_a_described_folder_is_ours_whatever_else_lies_in_it(tmp_path):
    (tmp_path / "dataset.yaml").write_text("classes: [a, b]\n")
    (tmp_path / "export.json").write_text(COCO)
    assert "import" not in str(explorer.check_data(tmp_path))


def test_a_path_with_a_space_is_one_word_of_the_command(tmp_path):
    folder = tmp_path / "my data"
    folder.mkdir()
    (folder / "export.json").write_text(COCO)
    with pytest.raises(DataError, match=f"`heteroakd data import coco '{folder}' DST`"):
        explorer.check_data(folder)

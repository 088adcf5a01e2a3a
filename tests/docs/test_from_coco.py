"""docs/from-coco.md as a reader follows it: every command in it, in its order, on an export of the embedded images.

As in test_start.py `heteroakd` runs in this process, and what only makes it longer is smaller (SMALLER). No Ray is
started: the sweep of test_start.py has one. The bundle has no graphs, which the tutorial's test holds against PyTorch.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from following import ROOT, TINY_PAIR, blocks, commands, heteroakd

from trainables.data.masks import read_mask

COMMANDS = [words for block in blocks(ROOT / "docs/from-coco.md") for words in commands(block)]
SMALLER = {"--trials": "2", "--steps": "2", "--seeds": "1"}
EARTH = ROOT / "trainables/data/earth"
CATEGORIES = {0: 17, 3: 4}  # classes of the embedded masks -> ids of the export; all else is not annotated
NAMES = {17: "water", 4: "land, grassy"}


def runs(mask):
    """Lengths down the columns, first of what is outside."""
    flat = np.concatenate([[False], mask.T.ravel()])
    ends = np.flatnonzero(np.diff(flat)).tolist()
    return np.diff([0, *ends, mask.size]).tolist()


def outline(mask):
    """A rectangle around all of it, as a polygon."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    (top, bottom), (left, right) = ((int(found[0]), int(found[-1]) + 1) for found in (rows, columns))
    return [[left, top, right, top, right, bottom, left, bottom]]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with `export`: twelve images, of each two annotations, one as run lengths and one as a polygon."""
    home = tmp_path_factory.mktemp("coco")
    (home / "export/annotations").mkdir(parents=True)
    (home / "export/images").mkdir()
    images, annotations = [], []
    for number, mask in enumerate(sorted((EARTH / "labels/train").glob("*.png"))[:60:5]):
        image = EARTH / "images/train" / f"{mask.stem}.jpg"
        (home / "export/images" / image.name).write_bytes(image.read_bytes())
        images.append({"id": 100 + number, "file_name": image.name, "width": 128, "height": 128})
        ids = read_mask(mask)
        for held in (number for number in CATEGORIES if (ids == number).any()):
            shape = {"size": [128, 128], "counts": runs(ids == held)} if held else outline(ids == held)
            one = {"id": len(annotations), "image_id": images[-1]["id"], "category_id": CATEGORIES[held]}
            annotations.append({**one, "segmentation": shape, "iscrowd": 0})
    categories = [{"id": number, "name": name} for number, name in NAMES.items()]
    index = {"images": images, "annotations": annotations, "categories": categories}
    (home / "export/annotations/instances_default.json").write_text(json.dumps(index))
    return home


@pytest.fixture(scope="module")
def printed(home, without_ray):
    """What each verb printed."""
    said = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("HETEROAKD_CACHE", str(home / "cache"))
        with without_ray():
            for words in COMMANDS:
                assert words[0] == "heteroakd"
                said[words[2] if words[1] == "data" else words[1]] = heteroakd(_smaller(words[1:]))
    return said


def _smaller(words):
    """The same command, shorter."""
    taken = [SMALLER.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    taken = [TINY_PAIR if word == "mit_b0:mbv3s" else word for word in taken]
    return [*taken, "--no-onnx"] if words[0] == "export" else taken


def test_the_page_goes_from_an_export_to_predictions():
    verbs = [words[2] if words[1] == "data" else words[1] for words in COMMANDS]
    assert verbs == ["import", "check", "sweep", "confirm", "export", "predict"]
    assert set(SMALLER) <= {word for words in COMMANDS for word in words}


def test_the_import_divides_and_tells_what_it_made(home, printed):
    assert "images: train 6, val 3, test 3" in printed["import"]
    assert "12 images linked, 12 labels written" in printed["import"]
    assert "classes: [background, water, 'land, grassy']" in (home / "lakes/dataset.yaml").read_text()
    assert (home / "lakes.png").stat().st_size > 10_000
    assert "background" in printed["check"]


def test_labels_are_the_annotations(home, printed):
    """Where the smaller one is the run lengths, all of these are left; what no annotation covers is 0."""
    for label in (home / "lakes/labels").rglob("*.png"):
        truth, made = read_mask(EARTH / "labels/train" / label.name), read_mask(label)
        assert (made[truth == 0] > 0).all()
        assert (made[truth == 3] > 0).all()
        assert set(np.unique(made[truth == 0])) <= {1, 2}


def test_the_bundle_is_of_the_confirmed_config_and_predicts_the_export_s_classes(home, printed):
    metrics = json.loads((home / "bundle/metrics.json").read_text())
    assert metrics["chosen"] == "confirmed"
    assert "land, grassy" in (home / "bundle/README.md").read_text()
    masks = list((home / "predicted/masks").iterdir())
    assert len(masks) == 3
    assert all(read_mask(mask).max() <= 2 for mask in masks)

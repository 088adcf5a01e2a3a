"""Masks whose colours are classes, as labelling tools write them, against masks drawn by hand in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from PIL import Image

from explorer.api.diagnosis import lines
from trainables.contracts import datasets
from trainables.contracts.claim import examine
from trainables.contracts.datasets import Data
from trainables.data.catalogue import open_dataset
from trainables.data.check import verify
from trainables.data.doctor import MASK, diagnose
from trainables.errors import DataError

ROAD, CAR, VAN, SKY, VOID = (128, 64, 128), (0, 0, 142), (0, 0, 70), (70, 130, 180), (0, 0, 0)
TABLE = {"road": list(ROAD), "car": [list(CAR), list(VAN)], "sky": list(SKY)}
PAINTED = np.array([ROAD, CAR, VAN, SKY, VOID], np.uint8)
MEANT = np.array([0, 1, 1, 2, 255])  # of PAINTED, void being ignored
IDS = np.kron(np.random.default_rng(0).integers(0, 5, (4, 5)), np.ones((24, 24), np.int64))  # patches of one colour


@pytest.fixture
def write(tmp_path):
    """Writes a set whose masks are given as RGB pixels; the first is train's, the second val's."""

    def make(*masks, ending="png", options=None, **fields):
        for split, pixels in zip(("train", "val"), masks, strict=True):
            for kind in ("images", "labels"):
                (tmp_path / kind / split).mkdir(parents=True, exist_ok=True)
            height, width = pixels.shape[:2]
            shade = np.random.default_rng(len(split)).integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(shade).save(tmp_path / "images" / split / "a.png")
            Image.fromarray(pixels).save(tmp_path / "labels" / split / f"a.{ending}", **(options or {}))
        (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(fields, sort_keys=False), encoding="utf-8")
        return tmp_path

    return make


def label(root, split="train"):
    dataset = open_dataset(str(root))
    return dataset.read(dataset.samples(split)[0])[1].numpy()


def refusal(root):
    with pytest.raises(DataError) as caught:
        verify(open_dataset(str(root)))
    return str(caught.value)


def by_hand(pixels, tolerance, table=PAINTED, meant=MEANT):
    """Every pixel to every colour."""
    away = np.sqrt(((pixels[..., None, :].astype(float) - table.astype(float)) ** 2).sum(-1))
    return np.where(away.min(-1) <= tolerance, meant[away.argmin(-1)], 255)


@pytest.mark.parametrize("ending", ["png", "PNG", "bmp", "tif", "webp"])
def test_each_pixel_is_the_class_whose_colour_it_has(write, ending):
    pixels = PAINTED[IDS]
    options = {"lossless": True} if ending == "webp" else {}
    root = write(pixels, pixels, ending=ending, options=options, colours=TABLE, ignore=[list(VOID)])
    dataset = open_dataset(str(root))
    assert (dataset.classes, dataset.palette) == (("road", "car", "sky"), (ROAD, CAR, SKY))
    np.testing.assert_array_equal(label(root), MEANT[IDS])
    assert verify(dataset) == []
    assert diagnose(str(root)).faults == {}


@pytest.mark.parametrize("mode", ["P", "RGBA"])
def test_colours_are_those_one_sees_whatever_the_file_keeps_them_in(write, mode):
    root = write(PAINTED[IDS], PAINTED[IDS], colours=TABLE, ignore=[list(VOID)])
    path = root / "labels" / "train" / "a.png"
    with Image.open(path) as image:
        image.convert(mode, palette=Image.Palette.ADAPTIVE).save(path)
    np.testing.assert_array_equal(label(root), MEANT[IDS])


def test_black_and_white_of_one_bit_and_of_a_jpeg_are_two_classes(write):
    table = {"ground": [0, 0, 0], "crack": [255, 255, 255]}
    ids = IDS % 2
    pixels = np.array([[0] * 3, [255] * 3], np.uint8)[ids]
    root = write(pixels, pixels, ending="jpg", options={"quality": 85}, colours=table)
    np.testing.assert_array_equal(label(root, "val"), ids)
    (root / "labels" / "train" / "a.jpg").unlink()
    Image.fromarray(ids.astype(bool)).save(root / "labels" / "train" / "a.png")
    np.testing.assert_array_equal(label(root), ids)


@pytest.mark.parametrize(("fields", "tolerance"), [({}, 40), ({"tolerance": 15, "unmatched": 0.3}, 15)])
def test_a_jpegs_damaged_colours_take_the_nearest_and_else_are_ignored(write, fields, tolerance):
    root = write(PAINTED[IDS], PAINTED[IDS], ending="jpg", options={"quality": 50}, colours=TABLE)
    fields = {"colours": {**TABLE, "void": list(VOID)}, "ignore": ["void"], **fields}
    (root / "dataset.yaml").write_text(yaml.safe_dump(fields, sort_keys=False), encoding="utf-8")
    with Image.open(root / "labels" / "train" / "a.jpg") as image:
        stored = np.asarray(image)
    assert len(np.unique(stored.reshape(-1, 3), axis=0)) > 100  # colours that nobody painted
    found = label(root)
    np.testing.assert_array_equal(found, by_hand(stored, tolerance))
    assert open_dataset(str(root)).classes == ("road", "car", "sky")

    dataset = open_dataset(str(root))
    away = np.sqrt(((stored[..., None, :].astype(float) - PAINTED.astype(float)) ** 2).sum(-1)).min(-1)
    unmatched = int((away > tolerance).sum())
    assert unmatched > 0
    assert dataset.check(dataset.samples("train")[0]).unmatched == unmatched
    assert (found != MEANT[IDS])[found != 255].mean() < 0.05  # beside edges, which are everywhere
    share = f"{100 * unmatched / stored[..., 0].size:.2g} % for they are of no colour named"
    assert share in "\n".join(lines(diagnose(str(root), split="train")))


def test_of_two_colours_equally_near_the_first_is_taken(write):
    pixels = np.full((8, 8, 3), 10, np.uint8)
    pixels[:4] = 0
    table = {"b": [12, 10, 10], "a": [8, 10, 10], "c": [0, 0, 0]}
    root = write(pixels, pixels, colours=table, tolerance=2)
    assert open_dataset(str(root)).classes == ("b", "a", "c")
    np.testing.assert_array_equal(np.unique(label(root)), [0, 2])


def test_too_many_pixels_of_no_colour_are_refused_with_colours_and_remedies(write):
    pixels = PAINTED[IDS].copy()
    pixels[:30, :40] = (129, 66, 130)  # 3 away from road
    pixels[30:40, :10] = (1, 200, 3)
    root = write(pixels, pixels, colours=TABLE, ignore=[list(VOID)])
    said = refusal(root)
    assert said == (
        f"{root}/labels/train/a.png has 11.3 % of its pixels in colours that dataset.yaml does not name, at most 1 % "
        "may: [129, 66, 130] (10 %, 3 from [128, 64, 128]), [1, 200, 3] (0.87 %, 200 from [0, 0, 0]). Name them "
        "under `colours` or `ignore`, or raise `tolerance` (here 0) or `unmatched` (0.01)."
    )
    assert diagnose(str(root)).faults[MASK] == [said, said.replace("/train/", "/val/")]
    with pytest.raises(DataError, match="does not name"):
        label(root)
    expected = by_hand(pixels, 3)
    assert (expected == 255).sum() > 100
    write(pixels, pixels, colours=TABLE, ignore=[list(VOID)], tolerance=3)
    np.testing.assert_array_equal(label(root), expected)  # 0.87 % are left
    write(pixels, pixels, colours=TABLE, ignore=[list(VOID)], unmatched=0.12)
    np.testing.assert_array_equal(label(root), by_hand(pixels, 0))


def test_another_table_or_tolerance_is_another_data_set_and_another_limit_is_not(write):
    def digest(**fields):
        return open_dataset(str(write(PAINTED[IDS], PAINTED[IDS], **fields))).digest()

    table = {**TABLE, "void": list(VOID)}
    plain = digest(colours=table)
    assert plain == digest(colours=table, unmatched=0.5) == digest(colours=table, palette=[[1, 2, 3]] * 4)
    others = [
        digest(colours={**table, "sky": [1, 2, 3], "void": list(SKY)}),
        digest(colours={**table, "road": [list(ROAD), [9, 9, 9]]}),
        digest(colours=table, tolerance=4),
        digest(colours=table, ignore=["void"]),
        digest(classes=list(table)),
    ]
    assert len({plain, *others}) == 6


def test_a_set_of_colours_keeps_the_contract_of_data_sets(write):
    root = write(PAINTED[IDS], PAINTED[IDS[::-1]], colours=TABLE, ignore=[list(VOID)])
    findings = examine(Data(lambda: open_dataset(str(root))), datasets.CLAIMS)
    assert [one.reason for one in findings if one.reason] == []


def test_masks_all_ignored_are_not_told_of_a_binary_remedy(write):
    pixels = np.zeros((8, 8, 3), np.uint8)
    root = write(pixels, pixels, colours=TABLE, ignore=[[0, 0, 0]])
    assert refusal(root).endswith("all are ignored (255), so nothing can be scored. Label some.")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"colours": {**TABLE, "cat": list(SKY)}}, "colours must differ: [70, 130, 180] is of sky and of cat."),
        ({"colours": TABLE, "ignore": [list(SKY)]}, "colours must differ: [70, 130, 180] is of sky and of ignore."),
        ({"colours": TABLE, "classes": ["road", "sky"]}, "Unknown class in colours 'car'."),
        ({"colours": TABLE, "classes": [*TABLE, "cat"]}, "colours must name a colour of each class, missing: cat."),
        ({"colours": {"road": [1, 2]}}, "colours.road.0.2 field required"),
        ({"colours": {"road": [1, 2, 300]}}, "colours.road.0.2 must be <= 255, got 300."),
        ({"colours": {"road": 7}}, "colours.road must be a colour such as [128, 64, 128], or a list of such."),
        ({"colours": TABLE, "ids": {0: 1}}, "dataset.yaml has both ids and colours"),
        ({"colours": TABLE, "ignore": [3]}, "ignore names id 3, but `colours` says that masks hold colours."),
        ({"colours": TABLE, "ignore": [0]}, "ignore names id 0, but `colours` says that masks hold colours."),
        ({"colours": TABLE, "ignore": ["skies"]}, "Unknown name in ignore 'skies'. Nearest: sky."),
        ({"colours": TABLE, "classes": [*TABLE], "ignore": ["sky"]}, "ignore names sky, which is a class."),
        ({"colours": TABLE, "tolerance": -1}, "tolerance must be >= 0.0, got -1."),
        ({"colours": TABLE, "unmatched": 5}, "unmatched must be <= 1.0, got 5."),
        ({"classes": ["a", "b"], "ignore": [[0, 0, 0]]}, "ignore names the colour [0, 0, 0], but there are no"),
        ({"classes": ["a", "b"], "ignore": ["void"]}, "ignore names 'void', but there are no names in"),
        ({"classes": ["a", "b"], "ignore": [[0, 0]]}, "ignore must list ids (0-65535), colours such as [0, 0, 0]"),
    ],
)
def test_tables_that_cannot_be_meant_are_refused(write, fields, sentence):
    root = write(PAINTED[IDS], PAINTED[IDS], **fields)
    with pytest.raises(DataError) as caught:
        open_dataset(str(root))
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(f"{root}/dataset.yaml: ")


def test_names_of_colours_are_read_as_they_are_written(write):
    root = write(PAINTED[IDS], PAINTED[IDS])
    written = "colours:\n  no: [128, 64, 128]\n  1: [[0, 0, 142], [0, 0, 70]]\n  2024-01-01: [70, 130, 180]\n"
    (root / "dataset.yaml").write_text(f"{written}  null: [0, 0, 0]\nignore: [null]\n", encoding="utf-8")
    assert open_dataset(str(root)).classes == ("no", "1", "2024-01-01")
    np.testing.assert_array_equal(label(root), MEANT[IDS])

"""COCO: polygons, run lengths, crowds, gaps in ids, several files; compared with labels drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest

import explorer
from trainables.data.catalogue import open_dataset
from trainables.data.importers.cocomask import from_runs
from trainables.errors import DataError

CATEGORIES = [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}, {"id": 90, "name": "house"}]  # with gaps
IMAGES = [{"id": number, "file_name": f"{name}.png"} for number, name in ((10, "sub/a"), (4, "b"), (5, "c"), (6, "d"))]


def box(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def annotation(image, category, segmentation, **more):
    return {"image_id": image, "category_id": category, "segmentation": segmentation, "iscrowd": 0, **more}


@pytest.fixture
def source(tmp_path, photo, written):
    """Write a source of these annotations; images lie in images/, one in a folder of it."""

    def write(annotations, *, images=IMAGES, categories=CATEGORIES, name="annotations/instances_default.json"):
        for image in images:
            photo(tmp_path / "src/images" / image["file_name"])
        index = {"images": images, "categories": categories, "annotations": annotations}
        written(tmp_path / "src" / name, index)
        return tmp_path / "src"

    return write


def test_polygons_of_one_object_are_one_and_the_smaller_object_lies_on_top(source, grid, brought):
    src = source(
        [
            annotation(10, 3, [box(0, 0, 2, 2), box(8, 4, 10, 6)]),  # 8 pixels, though it comes first
            annotation(10, 7, [box(0, 0, 6, 4)]),
            annotation(10, 90, [[6.0, 0.0, 10.0, 0.0, 10.0, 3.0, 6.0, 3.0]], id=5),
        ]
    )
    done, labels = brought("coco", src)
    assert np.array_equal(
        labels["sub_a"],
        grid("""
        1122223333
        1122223333
        2222223333
        222222....
        ........11
        ........11
        """),
    )
    assert not labels["b"].any()  # an image without annotations is background
    assert done.complete
    assert done.report.overlaps == 4
    assert dict(done.classes()["objects"]) == {"background": 0, "cat": 1, "dog": 1, "house": 1}
    dataset = open_dataset(str(done.folder))
    assert dataset.classes == ("background", "cat", "dog", "house")
    assert {split: len(found) for split, found in dataset.splits.items()} == {"train": 2, "val": 1, "test": 1}


def test_run_lengths_are_read_as_numbers_and_as_text_with_their_holes(source, grid, brought):
    ring = [7, 4, 2, 1, 2, 1, 2, 4, 37]  # down the columns: rows 1-4 of columns 1 and 3, rows 1 and 4 of column 2
    src = source(
        [
            annotation(10, 3, {"size": [6, 10], "counts": ring}),
            annotation(4, 7, {"size": [6, 10], "counts": "66`1"}),  # 6, 6, 48
            annotation(5, 7, {"size": [6, 10], "counts": "6660n0"}),  # 6, 6, 6, 6, 36: differences from the fourth on
        ]
    )
    done, labels = brought("coco", src)
    assert done.complete
    assert np.array_equal(
        labels["sub_a"],
        grid("""
        ..........
        .111......
        .1.1......
        .1.1......
        .111......
        ..........
        """),
    )
    assert np.array_equal(labels["b"], grid(6 * ".2........ "))
    assert np.array_equal(labels["c"], grid(6 * ".2.2...... "))


def test_a_crowd_is_ignored_beneath_all_objects_unless_it_is_to_be_drawn(source, grid, brought, tmp_path):
    small_crowd = annotation(10, 7, {"size": [6, 10], "counts": [0, 12, 48]}, iscrowd=1)
    src = source([annotation(10, 3, [box(1, 0, 10, 6)]), small_crowd])
    done, labels = brought("coco", src)
    assert np.array_equal(labels["sub_a"], grid(6 * "x111111111 "))
    assert "crowds that are ignored: 1" in str(done)
    drawn = explorer.import_data("coco", src, tmp_path / "other", crowd="draw")
    assert dict(drawn.classes()["pixels"])["dog"] == 12


def test_what_cannot_be_drawn_is_listed_and_its_box_ignored(source, grid, brought):
    src = source(
        [
            annotation(10, 3, [[1, 1, 2, 2]], id=21, bbox=[0, 0, 2, 1]),
            annotation(10, 3, None, id=22),
            annotation(10, 8, [box(0, 0, 9, 6)], id=23),
            annotation(10, 3, {"size": [6, 10], "counts": [6, 6]}, id=24),
            annotation(10, 3, {"size": [3, 10], "counts": [30]}, id=25),
            annotation(10, 3, {"size": [6, 10], "counts": "6`"}, id=26),
            annotation(10, 3, [box(1e9, 0, 2e9, 6)], id=27),
            annotation(10, 3, [box(20, 0, 25, 6)], id=28),
            annotation(10, 3, [["a", 0, 0, 0, 0, 0]], id=29),
            annotation(99, 3, [box(0, 0, 9, 6)]),
            "no annotation",
            annotation(10, 7, [box(8, 0, 10, 6)], id=30),
        ]
    )
    done, labels = brought("coco", src)
    assert np.array_equal(labels["sub_a"], grid("xx......22 " + 5 * "........22 "))
    reasons = "\n".join(reason for _, reason in done.left_out)
    for sentence in (
        "annotation 21 of sub/a.png has a polygon of 4 numbers, but it needs x and y of 3 points at least. Its box is",
        "annotation 22 of sub/a.png has no segmentation.",
        "annotation 23 of sub/a.png is of category 8, which the file does not name.",
        "annotation 24 of sub/a.png has run lengths of 12 pixels, but the image has 60.",
        "annotation 25 of sub/a.png has run lengths of 10x3, but the image is 10x6.",
        "annotation 26 of sub/a.png has run lengths that are cut off.",
        "annotation 27 of sub/a.png has the point (1e+09, 0), far outside of the image of 10x6.",
        "annotation 28 of sub/a.png covers no pixel of the image.",
        "annotation 29 of sub/a.png cannot be read: segmentation.",
        "2 annotations of no image in it.",
    ):
        assert sentence in reasons
    assert len(done.left_out) == 10
    assert not done.complete


def test_images_that_are_missing_damaged_or_of_another_size_are_listed(source, brought):
    sized = [{**image, "width": 10, "height": 6} for image in IMAGES]
    src = source([], images=[*sized, {"id": 8, "file_name": "wide.png", "width": 12, "height": 6}])
    (src / "images/b.png").unlink()
    whole = (src / "images/c.png").read_bytes()
    (src / "images/c.png").write_bytes(whole[: len(whole) // 2])
    done, labels = brought("coco", src, val=0.3, test=0)
    told = dict(done.left_out)
    assert told["b.png"].startswith("is not there: no such image below ")
    assert "cannot be decoded" in told["images/c.png"]
    assert "is 10x6 as one sees it, but its shapes are of 12x6" in told["images/wide.png"]
    assert labels.keys() == {"sub_a", "d"}


def test_files_of_splits_share_their_classes_by_name_and_keep_their_splits(source, tmp_path, written, photo, brought):
    src = source([annotation(4, 7, [box(0, 0, 10, 3)])], images=IMAGES[:2], name="annotations/instances_train2017.json")
    photo(src / "val2017/v.png")
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "bird"}]
    index = {"images": [{"id": 10, "file_name": "v.png"}], "categories": categories}
    index["annotations"] = [annotation(10, 1, [box(0, 0, 10, 3)])]
    written(src / "annotations/instances_val2017.json", index)
    written(src / "annotations/captions_val2017.json", "{}")
    done, labels = brought("coco", src)
    assert done.report.classes == ("background", "cat", "dog", "house", "bird")
    assert np.array_equal(labels["v"], labels["b"])
    assert labels["v"].max() == 2
    assert done.report.images == {"train": 2, "val": 1}
    with pytest.raises(explorer.ConfigError, match=r"has splits of its own \(train 2, val 1\)\. Leave --val"):
        explorer.import_data("coco", src, tmp_path / "other", val=0.5)


def test_roboflows_export_has_a_group_that_is_no_class(source, brought):
    group = {"id": 0, "name": "pets", "supercategory": "none"}
    pets = [{**one, "supercategory": "pets"} for one in CATEGORIES]
    src = source([annotation(4, 7, [box(0, 0, 10, 6)])], categories=[group, *pets], name="_annotations.coco.json")
    done, _ = brought("coco", src)
    assert done.report.classes == ("background", "cat", "dog", "house")
    assert "Category pets is the group of others" in str(done)


def test_background_is_a_class_only_where_something_is_uncovered(source, tmp_path, brought):
    whole = [annotation(image["id"], 3, [box(0, 0, 10, 6)]) for image in IMAGES]
    src = source([*whole, annotation(4, 7, [box(0, 0, 1, 1)])])
    done, labels = brought("coco", src)
    assert done.report.classes == ("cat", "dog", "house")
    assert labels["b"][0, 0] == 1
    assert labels["b"][1:].max() == 0


def test_background_may_have_another_name_be_a_category_or_be_ignored(source, grid, tmp_path):
    src = source([annotation(10, 3, [box(0, 0, 5, 6)])])
    named = explorer.import_data("coco", src, tmp_path / "named", background="void")
    assert named.report.classes[0] == "void"
    known = explorer.import_data("coco", src, tmp_path / "known", background="House")
    assert known.report.classes == ("cat", "dog", "house")
    assert dict(known.classes()["pixels"]) == {"cat": 30, "dog": 0, "house": 210}
    ignored = explorer.import_data("coco", src, tmp_path / "ignored", background=None, ignore=["house"])
    assert ignored.report.classes == ("cat", "dog")
    assert ignored.report.pixels[255] == 210


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        ("[", "is no JSON"),
        ({"images": []}, "holds no json of COCO with images, annotations and categories"),
        ({"images": [{"id": 1}], "categories": [], "annotations": []}, r"images\.0\.file_name: field required"),
        (
            {"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]},
            "has the category id 1 twice. Keep one.",
        ),
        ({"images": [], "annotations": [], "categories": CATEGORIES}, "has no labelled image that could be read."),
    ],
)
def test_a_broken_index_stops_the_import(tmp_path, written, index, sentence):
    written(tmp_path / "src/export.json", index)
    with pytest.raises(DataError, match=sentence):
        explorer.import_data("coco", tmp_path / "src", tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_text_of_run_lengths_is_looked_at_before_it_is_unpacked():
    for text in ("6", "66", "666~~~~~", "6`", ""):
        with pytest.raises(DataError):
            from_runs(text, (6, 10), (6, 10))

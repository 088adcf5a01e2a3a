"""Labelme, Supervisely and YOLO: outlines, holes, bitmaps, boxes; compared with labels drawn by hand."""

from __future__ import annotations

import base64
import io
import zlib

import numpy as np
import pytest
from PIL import Image

import explorer
from trainables.errors import DataError


def png(mask, *, transparent=False):
    """As the tools store a mask: one bit, or a palette whose first colour is clear."""
    file = io.BytesIO()
    image = Image.fromarray(np.array(mask, np.uint8) * (1 if transparent else 255))
    if transparent:
        image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(file, format="PNG", **({"transparency": 0} if transparent else {}))
    return file.getvalue()


def shape(label, points, **more):
    return {"label": label, "points": points, "group_id": None, "shape_type": "polygon", "flags": {}, **more}


@pytest.fixture
def labelme(tmp_path, photo, written):
    """Write a photo and its json, as Labelme does; shapes of the other photos are empty."""

    def write(shapes, *, name="a", **more):
        for other in {name, "b", "c"}:
            photo(tmp_path / f"src/{other}.png")
            file = {"version": "5.5.0", "flags": {}, "shapes": shapes if other == name else []}
            file |= {"imagePath": f"{other}.png", "imageData": None, "imageHeight": 6, "imageWidth": 10}
            written(tmp_path / f"src/{other}.json", {**file, **(more if other == name else {})})
        return tmp_path / "src"

    return write


def test_labelmes_shapes_are_filled_with_their_outlines_and_holes_lie_on_top(labelme, grid, brought):
    square = [[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]]
    src = labelme(
        [
            shape("_background_", [[2, 2], [2, 2], [2, 3]]),  # a hole
            shape("zebra", square),
            shape("ant", [[9, 0], [6, 0]], shape_type="rectangle"),
            shape("ant", [[6, 5], [9, 5], [9, 5]], shape_type=None),
            shape("__ignore__", [[0, 5], [1, 5]], shape_type="rectangle"),
        ]
    )
    done, labels = brought("labelme", src)
    assert done.report.classes == ("background", "ant", "zebra")
    assert np.array_equal(
        labels["a"],
        grid("""
        22222.1111
        22222.....
        22.22.....
        22.22.....
        22222.....
        xx....1111
        """),
    )
    assert done.complete


def test_labelmes_circle_and_mask(labelme, grid, brought):
    held = base64.b64encode(png([[1, 0, 1], [1, 1, 1]])).decode()
    mask = shape("ant", [[7, 4], [9, 5]], shape_type="mask", mask=held)
    src = labelme([shape("bee", [[2, 2], [4, 2]], shape_type="circle"), mask])
    done, labels = brought("labelme", src)
    assert np.array_equal(
        labels["a"],
        grid("""
        .222......
        22222.....
        22222.....
        22222.....
        .222...1.1
        .......111
        """),
    )
    assert done.complete


def test_labelmes_shapes_of_one_group_are_one_object(labelme, grid, brought):
    """Together they are larger than the other one, so they lie beneath it."""
    two = [shape("ant", [[x, 0], [x + 2, 1]], shape_type="rectangle", group_id=1) for x in (0, 4)]
    src = labelme([shape("bee", [[0, 1], [9, 1]], shape_type="rectangle"), *two])
    done, labels = brought("labelme", src)
    assert np.array_equal(labels["a"], grid("111.111... 2222222222 " + 4 * ".......... "))
    assert dict(done.classes()["objects"]) == {"background": 0, "ant": 1, "bee": 1}


def test_labelmes_photo_may_lie_elsewhere_or_within_and_what_has_none_is_listed(labelme, tmp_path, photo, brought):
    src = labelme([shape("ant", [[0, 0], [9, 5]], shape_type="rectangle")], imagePath="..\\photos\\a.png")
    (src / "a.png").rename(photo(tmp_path / "photos/a.png"))
    within = base64.b64encode((src / "b.png").read_bytes()).decode()
    text = (src / "b.json").read_text().replace('"imageData": null', f'"imageData": "{within}"')
    (src / "b.json").write_text(text)
    (src / "b.png").unlink()
    (src / "c.png").unlink()
    photo(src / "unlabelled.png")
    done, labels = brought("labelme", src, val=0.5, test=0)
    assert labels.keys() == {"a", "b"}
    assert done.left_out == [("c.json", "has no image: c.png is neither beside it nor within. Add it.")]
    assert next((tmp_path / "set/images").rglob("b.png")).read_bytes() == base64.b64decode(within)
    assert "1 image without json: not imported." in str(done)


def test_labelmes_broken_files_and_shapes_are_listed(labelme, written, brought):
    src = labelme(
        [
            shape("ant", [[1, 1]], shape_type="point"),
            shape("ant", [[1, 1], [2, 2]]),
            {"points": [[0, 0]]},
            shape("ant", [[0, 0], [1, float("nan")], [1, 1]]),
            shape("ant", [[0, 0], [1, 0]], shape_type="mask", mask="%"),
            shape("bee", [[5, 5], [9, 5]], shape_type="rectangle"),
        ]
    )
    written(src / "broken.json", "{")
    written(src / "other.json", {"camera": 1})
    written(src / "small.json", {"shapes": [], "imagePath": "b.png", "imageHeight": 3, "imageWidth": 5})
    done, labels = brought("labelme", src)
    assert labels["a"][5].tolist() == [0, 0, 0, 0, 0, 2, 2, 2, 2, 2]
    told = [f"{file}: {reason}" for file, reason in done.left_out]
    for sentence in (
        "a.json: shape 0 (ant) is a point, which has no area.",
        "a.json: shape 1 has 2 points, but a polygon has 3 at least.",
        "a.json: shape 2 cannot be read: label: field required",
        "a.json: shape 3 has the point (1.0, nan), which is no place.",
        "a.json: shape 4 has a mask that is no base64.",
        "broken.json: is no JSON: ",
        "other.json: is no file of Labelme: shapes: field required",
        "is of 5x3, but its image is 10x6 as one sees it.",
    ):
        assert any(sentence in line for line in told), (sentence, told)
    assert len(told) == 8


def test_a_source_without_labelmes_json_is_refused(tmp_path, written):
    written(tmp_path / "src/other.json", {"camera": 1})
    with pytest.raises(DataError, match=r"src holds no json of Labelme with shapes\."):
        explorer.import_data("labelme", tmp_path / "src", tmp_path / "set")


@pytest.fixture
def supervisely(tmp_path, photo, written):
    """Write a project of two data sets; the objects are those of train/a.png."""

    def write(objects):
        classes = [
            {"title": "zebra", "shape": "polygon", "color": "#FF0000"},
            {"title": "ant", "shape": "bitmap", "color": "#0A141E"},
        ]
        written(tmp_path / "src/meta.json", {"classes": classes, "tags": []})
        for name in ("train/img/a.png", "train/img/b.png", "val/img/a.png"):
            image = photo(tmp_path / "src" / name)
            annotation = {"description": "", "tags": [], "size": {"height": 6, "width": 10}}
            annotation["objects"] = objects if name == "train/img/a.png" else []
            written(image.parent.parent / "ann" / f"{image.name}.json", annotation)
        return tmp_path / "src"

    return write


def test_superviselys_polygons_have_holes_and_bitmaps_a_place(supervisely, grid, tmp_path):
    hole = [[2, 2], [3, 2], [3, 3], [2, 3]]
    outline = {"exterior": [[0, 0], [5, 0], [5, 5], [0, 5]], "interior": [hole]}
    packed = base64.b64encode(zlib.compress(png([[0, 1], [1, 1]], transparent=True))).decode()
    plain = base64.b64encode(zlib.compress(png([[1]]))).decode()
    src = supervisely(
        [
            {"classTitle": "ant", "geometryType": "bitmap", "bitmap": {"data": packed, "origin": [8, 4]}},
            {"classTitle": "ant", "geometryType": "bitmap", "bitmap": {"data": plain, "origin": [9, 0]}},
            {"classTitle": "zebra", "geometryType": "polygon", "points": outline},
            {
                "classTitle": "ant",
                "geometryType": "rectangle",
                "points": {"exterior": [[7, 2], [8, 2]], "interior": []},
            },
        ]
    )
    done = explorer.import_data("supervisely", src, tmp_path / "set")
    assert np.array_equal(
        np.array(Image.open(tmp_path / "set/labels/train/a.png")),
        grid("""
        111111...2
        111111....
        11..11.22.
        11..11....
        111111...2
        111111..22
        """),
    )
    assert done.complete
    assert done.report.images == {"train": 2, "val": 1}
    described = (tmp_path / "set/dataset.yaml").read_text()
    assert "classes: [background, zebra, ant]" in described
    assert "- [255, 0, 0]\n- [10, 20, 30]" in described


def test_superviselys_broken_objects_are_listed(supervisely, brought):
    small = base64.b64encode(zlib.compress(png([[1, 1]]))).decode()
    src = supervisely(
        [
            {"classTitle": "ant", "geometryType": "bitmap", "bitmap": {"data": "AAAA", "origin": [0, 0]}},
            {"classTitle": "ant", "geometryType": "bitmap", "bitmap": {"data": small, "origin": [9, 0]}},
            {"classTitle": "bee", "geometryType": "polygon", "points": {"exterior": []}},
            {"classTitle": "ant", "geometryType": "point", "points": {"exterior": [[1, 1]]}},
            {"geometryType": "polygon"},
        ]
    )
    (src / "train/ann/b.png.json").write_text("{}")
    (src / "val/img/a.png").rename(src / "val/img/c.png")
    done, _ = brought("supervisely", src, val=0.5, test=0)
    told = [f"{file}: {reason}" for file, reason in done.left_out]
    for sentence in (
        "train/ann/a.png.json: object 0 has a bitmap that cannot be unpacked.",
        "train/ann/a.png.json: object 1 has a bitmap of 2x1 at (9, 0), outside of the image.",
        "train/ann/a.png.json: object 2 is of 'bee', which meta.json does not name.",
        "train/ann/a.png.json: object 3 (ant) is a point, of which no mask can be made.",
        "train/ann/a.png.json: object 4 cannot be read: classTitle: field required",
        "train/img/b.png: is no annotation of Supervisely: size: field required",
        "val/ann/a.png.json: has no image: val/img/a.png is not there. Add it.",
    ):
        assert any(line.startswith(sentence) for line in told), (sentence, told)


@pytest.fixture
def yolo(tmp_path, photo, written):
    """Write a data set in YOLO's usual tree, with the lines of train's a.png."""

    def write(lines, *, described="names:\n  0: zebra\n  1: no\ntrain: images/train\nval: images/val\n"):
        written(tmp_path / "src/data.yaml", described)
        for name in ("train/a", "train/b", "val/v"):
            photo(tmp_path / f"src/images/{name}.png")
        written(tmp_path / "src/labels/train/a.txt", lines)
        written(tmp_path / "src/labels/train/b.txt", "")
        return tmp_path / "src"

    return write


def test_yolos_polygons_are_shares_of_the_sides_and_boxes_are_ignored(yolo, grid, brought):
    src = yolo("0 0 0 0.4 0 0.4 0.5 0 0.5\n\n1 0.1 0 0.2 0 0.2 1 0.1 1\n1 0.9 0.5 0.2 0.3333\n")
    done, labels = brought("yolo", src)
    assert done.report.classes == ("background", "zebra", "no")
    assert np.array_equal(
        labels["a"],
        grid("""
        1211......
        1211......
        1211....xx
        .2......xx
        .2........
        .2........
        """),
    )
    assert not labels["b"].any()  # an empty file
    assert not labels["v"].any()  # no file at all
    assert done.left_out == [
        ("labels/train/a.txt", "line 4: boxes, of which no mask can be made; their pixels are ignored.")
    ]
    assert done.report.images == {"train": 2, "val": 1}


def test_yolos_broken_lines_are_listed(yolo, brought):
    src = yolo("2 0 0 1 0 1 1\n0 0 0 1 0 1 1.5\n0 0 0 1 0 1\nzebra 0 0 1 1\n0 0.5 0.5 0.5 nan 0 0\n")
    done, labels = brought("yolo", src)
    assert not labels["a"].any()
    assert [reason.split(":")[0] for _, reason in done.left_out] == [
        "line 1 is of class 2, but names has 2 (0-1).",
        "line 2 has a coordinate outside of [0, 1]",
        "line 3 has a polygon of 5 numbers, but it needs x and y of 3 points at least.",
        "line 4 must be a class and numbers.",
        "line 5 has a coordinate outside of [0, 1]",
    ]


def test_yolos_yaml_may_name_lists_a_path_or_roboflows_folder(yolo, written, photo, tmp_path):
    src = yolo("0 0 0 1 0 1 1", described="path: .\nnames: [zebra, no]\ntrain: train.txt\nval: [../images/val]\n")
    written(src / "train.txt", "./images/train/a.png\n./images/train/b.png\n")
    done = explorer.import_data("yolo", src, tmp_path / "one")
    assert done.report.images == {"train": 2, "val": 1}
    written(src / "data.yaml", "names: [zebra, no]\n")
    assert explorer.import_data("yolo", src, tmp_path / "two").report.images == {"train": 2, "val": 1}
    written(src / "data.yaml", "names: [zebra, no]\ntrain: elsewhere\n")
    with pytest.raises(DataError, match=r"data\.yaml names elsewhere, which is not there"):
        explorer.import_data("yolo", src, tmp_path / "three")

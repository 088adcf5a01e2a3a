"""CVAT, VOC with own classes, Roboflow, colours and Hugging Face: masks of colours or ids, compared by hand."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import explorer
from trainables.errors import ConfigError, DataError

RED, BLUE, BLACK, PINK = (200, 0, 0), (0, 0, 200), (0, 0, 0), (255, 100, 200)
ROWS = "0011110022 " * 3 + "0000000000 " * 3  # classes of a mask of 10x6


def coloured(grid, *colours):
    return np.array(colours, np.uint8)[grid(ROWS)]


def save(path, pixels, *, palette=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette([channel for colour in palette for channel in colour])
    image.save(path, **options)


@pytest.fixture
def voc(tmp_path, photo, written):
    """Images and lists in the tree of Pascal VOC; the masks are still to be written."""
    src = tmp_path / "src"
    for name in ("a", "b", "sub/c"):
        photo(src / f"JPEGImages/{name}.png")
    written(src / "ImageSets/Segmentation/train.txt", "a\nsub/c\n")
    written(src / "ImageSets/Segmentation/val.txt", "b\n")
    written(src / "ImageSets/Segmentation/trainval.txt", "a\nb\nsub/c\n")
    return src


LABELMAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nred: dark:200,0,0::\nblue:0,0,200:wheel:\n"


def test_cvats_masks_may_be_of_colours_a_palette_or_line_numbers(voc, grid, written, brought):
    written(voc / "labelmap.txt", LABELMAP)
    rgb = coloured(grid, BLACK, RED, BLUE)
    rgb[5, 9], rgb[5, 8] = PINK, (0, 3, 198)
    save(voc / "SegmentationClass/a.png", rgb)
    save(voc / "SegmentationClass/b.png", 2 - grid(ROWS), palette=[BLUE, RED, BLACK])  # by colour, not by number
    save(voc / "SegmentationClass/sub/c.png", grid(ROWS))
    done, labels = brought("cvat", voc)
    strange = grid(ROWS)
    strange[5, 8:] = 255
    assert done.report.classes == ("background", "red: dark", "blue")
    assert np.array_equal(labels["a"], strange)
    assert np.array_equal(labels["b"], grid(ROWS))
    assert np.array_equal(labels["sub_c"], grid(ROWS))
    assert done.report.images == {"train": 2, "val": 1}
    assert "pixels of no class's colour, which are ignored: 2" in str(done)
    assert done.complete


def test_cvats_black_is_background_where_nothing_else_is_said(voc, grid, written, brought):
    written(voc / "labelmap.txt", "red:200,0,0::\nblue:0,0,200::\n")
    (voc / "ImageSets/Segmentation/train.txt").write_text("a\n")
    save(voc / "SegmentationClass/a.png", coloured(grid, BLACK, RED, BLUE))
    save(voc / "SegmentationClass/b.png", np.minimum(grid(ROWS), 1))  # of the lines: 0 is red
    done, labels = brought("cvat", voc)
    assert done.report.classes == ("background", "red", "blue")
    assert np.array_equal(labels["a"], grid(ROWS))
    assert np.array_equal(labels["b"], np.minimum(grid(ROWS), 1) + 1)
    assert done.left_out == [("sub/c", "is in ImageSets/Segmentation, but has no mask in SegmentationClass. Add it.")]


@pytest.mark.parametrize("line", ['"{}"', "/JPEGImages/{0}.png /SegmentationClass/{0}.png", "{}.PNG", "{}"])
def test_a_list_may_name_an_image_with_blanks_in_several_ways(tmp_path, grid, photo, written, brought, line):
    src, names = tmp_path / "src", ("a b/1 c", "a b/2.5")
    for name, split in zip(names, ("train", "val"), strict=True):
        photo(src / f"JPEGImages/{name}.png")
        save(src / f"SegmentationClass/{name}.png", grid(ROWS))
        written(src / f"ImageSets/Segmentation/{split}.txt", line.format(name) + "\n")
    done, _ = brought("voc-custom", src, classes="sky,red,blue")
    assert (done.report.images, done.left_out) == ({"train": 1, "val": 1}, [])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("road\n", r"labelmap\.txt line 1 must be `name:red,green,blue::`, got 'road'\."),
        ("road:1,2,300::\n", r"line 1 must be `name:red,green,blue::`"),
        ("road:1,2,3::\nsky:1,2,3::\n", r"line 2 gives sky the colour of road\. Change one\."),
        ("# nothing\n", r"labelmap\.txt names no label\."),
    ],
)
def test_a_labelmap_that_cannot_be_read_stops_the_import(voc, written, text, sentence, tmp_path):
    written(voc / "labelmap.txt", text)
    with pytest.raises(DataError, match=sentence):
        explorer.import_data("cvat", voc, tmp_path / "set")


def test_own_classes_in_vocs_tree_are_ids_whose_border_is_ignored(voc, grid, written, brought):
    written(voc / "class_names.txt", "__ignore__\n_background_\nred\nblue\n")
    bordered = grid(ROWS)
    bordered[0] = 255
    palette = [(number, number, number) for number in range(256)]
    save(voc / "SegmentationClass/a.png", bordered, palette=palette)
    save(voc / "SegmentationClass/b.png", grid(ROWS))
    save(voc / "SegmentationClass/sub/c.png", grid(ROWS) + 2, palette=palette)
    done, labels = brought("voc-custom", voc)
    assert np.array_equal(labels["a"], bordered)
    assert np.array_equal(labels["b"], grid(ROWS))
    [(file, reason)] = done.left_out
    assert file == "JPEGImages/sub/c.png"
    assert reason.endswith("c.png holds 2 ids that the list of classes does not name: 3-4.")


def test_masks_of_colours_are_not_taken_for_ids(voc, grid, tmp_path):
    for name in ("a", "b", "sub/c"):
        save(voc / f"SegmentationClass/{name}.png", coloured(grid, BLACK, RED, BLUE))
    with pytest.raises(DataError, match=r"Masks of colours are read by `heteroakd data import rgb`"):
        explorer.import_data("voc-custom", voc, tmp_path / "set", classes="sky,red,blue")
    with pytest.raises(DataError, match=r"does not name its classes in classes\.txt, .* Give --classes road,sky"):
        explorer.import_data("voc-custom", voc, tmp_path / "set")
    (voc / "ImageSets/Segmentation/test.txt").write_text("b\n")
    with pytest.raises(DataError, match=r"val\.txt names b, which is in test, too\. Keep it in one split\."):
        explorer.import_data("voc-custom", voc, tmp_path / "set", classes="sky,red,blue")


def test_roboflows_values_are_those_of_each_folders_table(tmp_path, grid, photo, written, brought):
    src = tmp_path / "src"
    written(src / "train/_classes.csv", "Pixel Value, Class\n0, background\n1, red\n2, blue\n")
    written(src / "valid/_classes.csv", "Pixel Value, Class\n0, background\n2, red\n7, blue\n")
    for name in ("train/a_png.rf.1", "train/lonely", "valid/b_png.rf.2"):
        photo(src / f"{name}.jpg")
    save(src / "train/a_png.rf.1_mask.png", grid(ROWS))
    save(src / "valid/b_png.rf.2_mask.png", np.array([0, 2, 7], np.uint8)[grid(ROWS)])
    done, labels = brought("roboflow", src)
    assert done.report.classes == ("background", "red", "blue")
    assert np.array_equal(labels["a_png.rf.1"], grid(ROWS))
    assert np.array_equal(labels["b_png.rf.2"], grid(ROWS))
    assert done.report.images == {"train": 1, "val": 1}
    assert done.left_out == [("train/lonely.jpg", "has no lonely_mask.png. Add it.")]
    written(src / "valid/_classes.csv", "Pixel Value, Class\nroad, 3\n")
    with pytest.raises(DataError, match=r"line 2 must be a pixel value of 0 to 255 and a class, got 'road, 3'"):
        explorer.import_data("roboflow", src, tmp_path / "other")


@pytest.fixture
def colours(tmp_path, grid, photo):
    """Images beside masks of three colours, one of which is a JPEG."""
    src = tmp_path / "src"
    for name in ("x1", "x2", "x3"):
        photo(src / f"images/{name}.png")
    save(src / "masks/x1.png", coloured(grid, BLACK, RED, BLUE))
    large = coloured(grid, BLACK, RED, BLUE).repeat(16, axis=0).repeat(16, axis=1)
    save(src / "masks/x2_mask.jpg", large, quality=60)
    photo(src / "images/x2.png", size=(160, 96))
    pixels = coloured(grid, BLACK, RED, BLUE)
    pixels[0, 0], pixels[0, 1] = (180, 20, 20), PINK
    save(src / "masks/x3.png", pixels)
    return src


TABLES = {
    "class_dict.csv": "name,r,g,b\nsky,0,0,0\nred,200,0,0\nblue,0,0,200\n",
    "label_colors.txt": "0 0 0\tsky\n200 0 0\tred\n0 0 200\tblue\n",
    "colours.yaml": "sky: [0, 0, 0]\nred: '#c80000'\nblue: [0, 0, 200]\n",
}


@pytest.mark.parametrize("table", TABLES)
def test_a_table_of_colours_may_be_csv_text_or_yaml(colours, grid, written, brought, table):
    written(colours / table, TABLES[table])
    done, labels = brought("rgb", colours)
    assert done.report.classes == ("sky", "red", "blue")
    assert np.array_equal(labels["x1"], grid(ROWS))
    strange = grid(ROWS)
    strange[0, :2] = 255  # neither is quite a colour of the table
    assert np.array_equal(labels["x3"], strange)


@pytest.mark.parametrize("tolerance", [60, None])
def test_damaged_colours_are_the_nearest_within_the_tolerance(colours, grid, written, brought, tolerance):
    """Which is 40 for JPEG and 0 for what is not damaged."""
    written(colours / "class_dict.csv", TABLES["class_dict.csv"])
    _, labels = brought("rgb", colours, tolerance=tolerance)
    whole = grid(ROWS).repeat(16, axis=0).repeat(16, axis=1)
    inner = np.zeros((6, 16, 10, 16), bool)
    inner[:, 4:12, :, 4:12] = True  # a JPEG's damage is near the edges
    inner = inner.reshape(whole.shape)
    assert np.array_equal(labels["x2"][inner], whole[inner])
    assert (labels["x2"] == whole).mean() > 0.95
    damaged = 255 if tolerance is None else 1
    assert labels["x3"][0].tolist() == [damaged, 255, 1, 1, 1, 1, 0, 0, 2, 2]


def test_colours_may_lie_in_train_and_train_labels_with_their_own_ends(tmp_path, grid, photo, written, brought):
    src = tmp_path / "src"
    for split in ("train", "val"):
        photo(src / f"{split}/{split}1.png")
        save(src / f"{split}_labels/{split}1_L.png", coloured(grid, BLACK, RED, BLUE))
    written(src / "class_dict.csv", TABLES["class_dict.csv"] + "dark red,100,0,0\n")
    done, labels = brought("rgb", src, ignore=["sky"])
    assert done.report.images == {"train": 1, "val": 1}
    assert done.report.classes == ("red", "blue", "dark red")
    assert set(np.unique(labels["val1"])) == {0, 1, 255}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,r,g,b\nsky,0,0\n", "line 2 must be a name and three numbers of 0 to 255, got 'sky,0,0'"),
        ("sky 0 0 0\nred 0 0 0\n", "has the colour 0 0 0 for sky and for red. Keep one."),
        ("name,r,g,b\n", "names no class."),
    ],
)
def test_a_table_that_cannot_be_read_stops_the_import(colours, written, text, sentence, tmp_path):
    written(colours / "label_colors.txt", text)
    with pytest.raises(DataError, match=sentence):
        explorer.import_data("rgb", colours, tmp_path / "set")


def test_colours_need_a_table_and_both_folders(colours, tmp_path):
    with pytest.raises(DataError, match=r"holds no table of colours \(class_dict\.csv, "):
        explorer.import_data("rgb", colours, tmp_path / "set")
    (colours / "class_dict.csv").write_text(TABLES["class_dict.csv"])
    with pytest.raises(DataError, match="belong together"):
        explorer.import_data("rgb", colours, tmp_path / "set", images=colours / "images")
    with pytest.raises(ConfigError, match="tolerance must be 0 to 441, got 500"):
        explorer.import_data("rgb", colours, tmp_path / "set", tolerance=500)


def encoded(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return {"bytes": file.getvalue(), "path": None}


def saved(folder, rows, *, label, split):
    """As `datasets.save_to_disk` does: an Arrow stream, its list of files, and the features in the schema."""
    features = {"image": {"_type": "Image"}, "label": label}
    table = pa.table({"image": [image for image, _ in rows], "label": [value for _, value in rows]})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    (folder / split).mkdir(parents=True)
    name = "data-00000-of-00001.arrow"
    with pa.ipc.new_stream(str(folder / split / name), table.schema) as stream:
        stream.write_table(table)
    (folder / split / "cache-1.arrow").write_bytes(b"of map")
    (folder / split / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}], "_split": split}))
    return table


def test_a_saved_data_set_has_images_and_labels_as_files_in_a_table(tmp_path, grid, brought):
    photo = np.arange(180, dtype=np.uint8).reshape(6, 10, 3)
    bordered = grid(ROWS)
    bordered[0] = 255
    rows = [(encoded(photo), encoded(bordered)), (encoded(photo + 1), encoded(grid(ROWS) + 1)), (None, None)]
    src = tmp_path / "src"
    saved(src, rows, label={"_type": "Image"}, split="train")
    saved(src, [(encoded(photo + 2), encoded(grid(ROWS)))], label={"_type": "Image"}, split="validation")
    (src / "dataset_dict.json").write_text('{"splits": ["train", "validation"]}')
    with pytest.raises(DataError, match=r"id2label\.json is missing\. Add it, or give --classes"):
        explorer.import_data("hf", src, tmp_path / "set")
    (src / "id2label.json").write_text('{"0": "sky", "1": "red", "2": "blue"}')
    done, labels = brought("hf", src)
    assert np.array_equal(labels["train_000000"], bordered)
    assert np.array_equal(labels["val_000000"], grid(ROWS))
    stored = next((tmp_path / "set/images").rglob("train_000000.png"))
    assert np.array_equal(np.array(Image.open(stored)), photo)
    told = dict(done.left_out)
    assert told["train_000001"] == "its label in column label holds 1 id that the list of classes does not name: 3."
    assert told["train_000002"] == "has no image in column image: it is empty."


def test_parquet_files_may_hold_rows_of_numbers_with_their_names(tmp_path, grid, brought):
    src = tmp_path / "src"
    label = {"_type": "Sequence", "feature": {"_type": "Sequence", "feature": {"_type": "ClassLabel"}}}
    label["feature"]["feature"]["names"] = ["sky", "red", "blue"]
    photo = np.zeros((6, 10, 3), np.uint8)
    ids = grid(ROWS).astype(int)
    ids[0] = -1  # as the field marks what is ignored
    rows = [(encoded(photo + number), ids.tolist()) for number in range(3)]
    table = saved(tmp_path / "made", [*rows, (encoded(photo), [[0]])], label=label, split="train")
    (src / "data").mkdir(parents=True)
    renamed = table.rename_columns(["photo", "label"]).replace_schema_metadata(table.schema.metadata)
    pq.write_table(renamed, src / "data/train-00000-of-00001.parquet")
    with pytest.raises(DataError, match=r"has the columns photo, label\. Say which hold the image and its label"):
        explorer.import_data("hf", src, tmp_path / "set")
    done, labels = brought("hf", src, columns=["photo", "label"])
    assert done.report.classes == ("sky", "red", "blue")
    assert all(np.array_equal(found, np.where(ids < 0, 255, ids)) for found in labels.values())
    [(_, reason)] = done.left_out
    assert reason == "has a label of 1x1 numbers, but it needs ids of 0 to 255 for 6x10 pixels."

"""Where files lie and how they are split, as dataset.yaml says it: templates, folders, lists and shares."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from trainables.data.catalogue import open_dataset
from trainables.data.check import verify
from trainables.data.doctor import diagnose
from trainables.data.folder import describe as describe_file
from trainables.errors import DataError

COUNT = iter(range(10**6))


@pytest.fixture
def root(tmp_path):
    return tmp_path / "mine"


def put(root, *names):
    """Images and masks of 4x4; no two images are equal."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        is_mask = any(word in name.lower() for word in ("mask", "label"))
        pixels = np.arange(16).reshape(4, 4) % 2 if is_mask else np.full((4, 4, 3), np.array(next(COUNT)) % 251)
        Image.fromarray(pixels.astype(np.uint8)).save(path)


def describe(root, **fields):
    root.mkdir(exist_ok=True)
    (root / "dataset.yaml").write_text(yaml.safe_dump({"classes": ["a", "b"], **fields}), encoding="utf-8")


def listed(root):
    """The image and the mask of each sample, from the root on, by split."""
    dataset = open_dataset(str(root))
    return {
        split: [tuple(path.relative_to(root).as_posix() for path in sample) for sample in samples]
        for split, samples in dataset.splits.items()
    }


def refusal(root):
    with pytest.raises(DataError) as caught:
        open_dataset(str(root))
    assert str(caught.value) in diagnose(str(root)).faults
    return str(caught.value)


def test_a_template_says_where_files_lie_and_what_the_mask_is_called(root):
    put(root, *(f"{split}/pics/{n}.jpg" for split in ("train", "val") for n in "ab"))
    put(root, *(f"{split}/masks/{n}_mask.png" for split in ("train", "val") for n in "ab"))
    describe(root, images="{split}/pics/{stem}.jpg", masks="{split}/masks/{stem}_mask.png")
    assert listed(root) == {
        split: [(f"{split}/pics/{n}.jpg", f"{split}/masks/{n}_mask.png") for n in "ab"] for split in ("train", "val")
    }
    verify(open_dataset(str(root)))


def test_endings_in_upper_case_and_of_any_image_are_taken(root):
    images = ["images/train/a.JPG", "images/train/b.jpg", "images/val/c.JPG"]
    put(root, *images, "masks/a.PNG", "masks/b.png", "masks/c.PNG")
    describe(root, images="images/{split}/{stem}.jpg", masks="masks/{stem}.png")
    assert [pair[1] for pair in listed(root)["train"]] == ["masks/a.PNG", "masks/b.png"]
    put(root, "images/train/d.Tif", "images/val/e.WEBP", "masks/d.BMP", "masks/e.tif")
    describe(root, images="images/{split}/{stem}", masks="masks/{stem}.*")
    assert {split: len(pairs) for split, pairs in listed(root).items()} == {"train": 3, "val": 2}


def test_sub_folders_are_taken_where_the_template_says_so_and_tell_equal_names_apart(root):
    for kind in ("images", "labels"):
        put(
            root,
            *(f"{kind}/{split}/{folder}0.png" for split in ("train", "val") for folder in ("", "x/", "x/y/", "z/")),
        )
    describe(root, images="images/{split}/**/{stem}.png", masks="labels/{split}/**/{stem}.png")
    expected = [f"train/{name}.png" for name in ("0", "x/0", "x/y/0", "z/0")]
    assert listed(root)["train"] == [(f"images/{name}", f"labels/{name}") for name in expected]
    describe(root, images="images/{split}/{stem}.png", masks="labels/{split}/{stem}.png")
    said = refusal(root)
    assert said.startswith(f"2 entries of {root}/images/train would be passed over: x/ with 2 files, z/ with 1 file. ")
    assert said.endswith("or name it under `leave` in dataset.yaml.")


def test_further_parts_of_names_belong_to_the_pair(root):
    put(root, "train/north/cam1_0.png", "train/north/cam2_0.png", "val/south/cam1_0.png")
    put(root, "mask/north/0_cam1_m7.png", "mask/north/0_cam2_m9.png", "mask/south/0_cam1_m1.png")
    describe(root, images="{split}/{city}/{cam}_{stem}.png", masks="mask/{city}/{stem}_{cam}_m*.png")
    assert listed(root)["train"] == [
        ("train/north/cam1_0.png", "mask/north/0_cam1_m7.png"),
        ("train/north/cam2_0.png", "mask/north/0_cam2_m9.png"),
    ]


@pytest.mark.parametrize(
    ("images", "masks", "names"),
    [
        ("{split}/{stem}.png", "{split}/{stem}_mask.png", ("{}.png", "{}_mask.png")),
        ("{split}/{stem}_photo.png", "{split}/{stem}.png", ("{}_photo.png", "{}.png")),
    ],
)
def test_masks_may_lie_beside_their_images(root, images, masks, names):
    for split in ("train", "val"):
        for name in names:
            put(root, *(f"{split}/{name.format(number)}" for number in range(3)))
    describe(root, images=images, masks=masks)
    expected = [tuple(f"train/{name.format(number)}" for name in names) for number in range(3)]
    assert listed(root)["train"] == expected


def test_splits_may_have_other_folders_and_several(root):
    put(root, *(f"leftImg/{city}/0.png" for city in ("ulm", "bonn", "jena")))
    put(root, *(f"labels/{city}/0_color.png" for city in ("ulm", "bonn", "jena")))
    templates = {"images": "leftImg/{split}/{stem}.png", "masks": "labels/{split}/{stem}_color.png"}
    describe(root, **templates, splits={"train": ["ulm", "bonn"], "val": "jena"})
    assert [pair[0] for pair in listed(root)["train"]] == ["leftImg/bonn/0.png", "leftImg/ulm/0.png"]
    describe(root, **templates, splits={"train": "ulm", "val": "graz"})
    assert refusal(root) == (
        f"split 'val' is missing: expected {root}/leftImg/graz, with files as leftImg/graz/{{stem}}.png."
    )
    (root / "leftImg" / "jena").rename(root / "leftImg" / "Jena")
    describe(root, **templates, splits={"train": "ulm", "val": "jena"})
    assert refusal(root).startswith(f"1 entry of {root}/leftImg would be passed over: Jena/ with 1 file.")


def test_what_no_template_takes_is_a_fault_unless_it_is_to_be_left(root):
    put(root, "images/train/0.png", "images/val/1.png")
    for kind in ("color_mask", "labelIds_mask", "instance_mask"):
        put(root, f"gt/train/0_{kind}.png", f"gt/val/1_{kind}.png")
    (root / "gt" / "train" / "0_polygons.json").write_text("{}", encoding="utf-8")
    templates = {"images": "images/{split}/{stem}.png", "masks": "gt/{split}/{stem}_labelIds_mask.png"}
    describe(root, **templates)
    said = refusal(root)
    assert said.startswith(
        f"2 entries of {root}/gt/train would be passed over: 0_color_mask.png, 0_instance_mask.png. It may hold "
    )
    describe(root, **templates, leave=["*_color_mask.png", "gt/*/*_instance_mask.png"])
    assert listed(root)["train"] == [("images/train/0.png", "gt/train/0_labelIds_mask.png")]
    put(root, "images/loose.png")
    assert refusal(root).startswith(f"1 entry of {root}/images would be passed over: loose.png.")


def test_pairs_that_are_not_whole_are_named_with_the_rule(root):
    put(root, *(f"images/{split}/{split}{n}.png" for split in ("train", "val") for n in range(2)), "masks/train0.png")
    put(root, "masks/val0.png", "masks/val1.png", "masks/other.png")
    describe(root, masks="masks/{stem}.png")
    assert refusal(root) == (
        f"{root} has labels without image: other. Each images/{{split}}/{{stem}} needs masks/{{stem}}.png: add the "
        "image or remove these labels."
    )
    (root / "masks" / "other.png").unlink()
    assert refusal(root).startswith(f"split 'train' of {root} has images without label: train1. Each images/")
    put(root, "masks/Train1.png")
    assert "1 image with a label whose name differs in case or Unicode form: train1.png and Train1.png" in refusal(root)
    shutil.copy(root / "images" / "train" / "train0.png", root / "images" / "val" / "train0.png")
    assert f"{root} has one mask for images of two splits: train and val (train0)." in refusal(root)


def test_unlabelled_images_lie_where_the_template_says(root):
    put(root, "images/train/0.png", "images/val/1.png", "images/unlabelled/2.png", "labels/0.png", "labels/1.png")
    describe(root, masks="labels/{stem}.png")
    assert [path.name for path in open_dataset(str(root)).unlabelled] == ["2.png"]
    put(root, "more/x/3.png", "more/4.jpg")
    describe(root, masks="labels/{stem}.png", unlabelled="more/**/{stem}")
    assert [path.name for path in open_dataset(str(root)).unlabelled] == ["4.jpg", "3.png"]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"images": "images/*.jpg"}, "images must hold {stem} in the file's name, such as"),
        ({"images": "../{stem}.jpg"}, "images must be a template of files in the folder of dataset.yaml"),
        ({"images": "/data/{stem}.jpg"}, "images must be a template of files in the folder of dataset.yaml"),
        ({"images": "{split}/**/**/{stem}.jpg"}, "images must hold ** once, as a folder"),
        ({"images": "{split}/{stem.jpg"}, "images must hold {stem} in the file's name"),
        ({"images": "a/{stem}.jpg"}, "images 'a/{stem}.jpg' has no {split}: say how the images are split, such as"),
        (
            {"masks": "{split}/{stem}_{kind}.png"},
            "masks names {kind}, which images does not. Write * for what differs.",
        ),
        ({"masks": "images/{split}/{stem}"}, "images and masks must differ, both are 'images/{split}/{stem}'."),
        ({"splits": {"train": "a"}}, "splits must say where val is, such as a folder or lists/val.txt."),
        ({"splits": {"train": "a", "dev": "b"}}, "Unknown split 'dev'."),
        ({"splits": {"train": "a", "val": "b.txt"}}, "splits must be folders or files that list images, got both."),
        ({"splits": {"train": "a", "val": "b"}, "split": {}}, "dataset.yaml has both split and splits."),
        ({"split": {"vall": 0.1}}, "Unknown field 'split.vall'. Nearest: split.val."),
        ({"split": {"val": 0}}, "split.val must be > 0.0, got 0."),
        ({"split": {"val": 0.5, "test": 0.5}}, "split must leave images to train: val 0.5 and test 0.5 are all."),
        ({"split": {"by": "scene_*"}}, 'split.by must name the part that is the group, such as "{scene}_*"'),
        ({"split": {}, "images": "{split}/{stem}"}, "images is split by the folders of '{split}/{stem}'."),
    ],
)
def test_layouts_that_cannot_be_meant_are_refused(root, fields, sentence):
    describe(root, **fields)
    with pytest.raises(DataError) as caught:
        open_dataset(str(root))
    assert sentence in str(caught.value)


@pytest.fixture
def flat(root):
    """Ten images and masks in one folder each."""
    put(root, *(f"images/s{n}.jpg" for n in range(10)), *(f"labels/s{n}.png" for n in range(10)))
    (root / "lists").mkdir()

    def write(train, val):
        (root / "lists" / "train.txt").write_bytes(train.encode())
        (root / "lists" / "val.txt").write_bytes(val.encode())
        describe(root, splits={"train": "lists/train.txt", "val": "lists/val.txt"})
        return root

    return write


@pytest.mark.parametrize(
    "train",
    [
        "s3\ns1\n",
        "# names\r\ns3.jpg\r\n\r\n  s1.jpg  \r\n",
        "\ufeffimages/s3.jpg\n/images/s1.jpg\n",
        "./images/s1\nimages/s3.jpg",
        "images/s3.jpg labels/s3.png\n/images/s1.jpg /labels/s1.png\n",
        "images/s3.jpg\tlabels/s3.png\nimages/s1.jpg,labels/s1.png\n",
    ],
)
def test_lists_name_stems_or_paths_or_pairs_and_leave_the_rest(flat, train):
    root = flat(train, "s0\n")
    assert listed(root) == {
        "train": [("images/s1.jpg", "labels/s1.png"), ("images/s3.jpg", "labels/s3.png")],
        "val": [("images/s0.jpg", "labels/s0.png")],
    }


def test_an_error_in_a_list_is_named_by_its_line(flat):
    root = flat("s1\n\nimages/gone.jpg\ns2\ns1\n", "s0\n")
    path = root / "lists" / "train.txt"
    assert refusal(root) == (
        f"{path}: line 3 (images/gone.jpg) is no image that is there. Correct or remove such lines."
    )
    (path).write_text("s1\ns2\ns1\n", encoding="utf-8")
    assert refusal(root) == f"{path} names an image twice: line 3 repeats line 1 (s1). Keep one."
    path.write_text("s1\ns2\nimages/s3.jpg labels/s33.png\n", encoding="utf-8")
    assert f"line 3 (images/s3.jpg labels/s33.png) names {root}/labels/s33.png, which is missing" in refusal(root)
    (root / "labels" / "s4.png").unlink()
    path.write_text("s1\ns2\ns4\n", encoding="utf-8")
    assert "line 3 (s4) has no mask as labels/{stem}." in refusal(root)
    path.write_text("s1\n", encoding="utf-8")
    path.with_name("val.txt").write_text("\n", encoding="utf-8")
    assert refusal(root).startswith(f"{root}/lists/val.txt is empty.")
    path.unlink()
    assert refusal(root).startswith(f"{path} is missing.")


def test_a_stem_of_several_images_needs_its_path(root):
    put(root, *(f"images/{scene}/0.jpg" for scene in "ab"), *(f"masks/{scene}/0.png" for scene in "ab"))
    (root / "t.txt").write_text("a/0\n", encoding="utf-8")
    (root / "v.txt").write_text("0\n", encoding="utf-8")
    describe(
        root, images="images/**/{stem}.jpg", masks="masks/**/{stem}.png", splits={"train": "t.txt", "val": "v.txt"}
    )
    assert "line 1 (0) is the name of several images: write their paths" in refusal(root)
    (root / "v.txt").write_text("b/0.jpg\n", encoding="utf-8")
    assert listed(root)["val"] == [("images/b/0.jpg", "masks/b/0.png")]


def test_numbers_under_splits_are_notes(root):
    put(root, *(f"{kind}/{split}/0.png" for kind in ("images", "labels") for split in ("train", "val")))
    describe(root, splits={"train": 1, "val": 1}, layout={"images": "anywhere"})
    assert {split: len(pairs) for split, pairs in listed(root).items()} == {"train": 1, "val": 1}


def by_hash(group, *, val, test, seed):
    """The rule, written anew: the first 8 bytes of SHA-256 as a number in [0, 1); val lies below, then test."""
    first = hashlib.sha256(f"{seed}\n{group}".encode()).hexdigest()[:16]
    place = int(first, 16) / 16**16
    return "val" if place < val else "test" if place < val + test else "train"


SCENES = [(f"scene{number}", frames) for number, frames in enumerate([3, 1, 4, 1, 5, 2, 6, 5, 3, 5, 2, 4])]


def write_scenes(root, scenes=SCENES, **split):
    put(root, *(f"images/{scene}_{frame}_x.jpg" for scene, frames in scenes for frame in range(frames)))
    put(root, *(f"labels/{scene}_{frame}_x.png" for scene, frames in scenes for frame in range(frames)))
    describe(root, split=split)


def by_scene(root):
    splits = defaultdict(set)
    for split, pairs in listed(root).items():
        for image, _ in pairs:
            splits[Path(image).name.split("_")[0]].add(split)
    return dict(splits)


def test_groups_stay_together_and_where_they_are_when_images_are_added(root):
    share = {"val": 0.3, "test": 0.2, "seed": 4}
    write_scenes(root, by="{scene}_*", **share)
    before = by_scene(root)
    assert before == {scene: {by_hash(scene, **share)} for scene, _ in SCENES}
    assert {split for splits in before.values() for split in splits} == {"train", "val", "test"}
    write_scenes(root, [(f"new{number}", 2) for number in range(6)] + [("scene3", 9)], by="{scene}_*", **share)
    after = by_scene(root)
    assert {scene: after[scene] for scene in before} == before
    assert len(after) == 18
    assert all(len(splits) == 1 for splits in after.values())


def test_a_test_split_takes_from_train_alone_and_a_seed_draws_anew(root):
    write_scenes(root, val=0.3, by="{scene}_*")
    without = by_scene(root)
    describe(root, split={"val": 0.3, "test": 0.2, "by": "{scene}_*"})
    moved = {scene for scene, splits in by_scene(root).items() if splits != without[scene]}
    assert moved
    assert all(without[scene] == {"train"} for scene in moved)
    describe(root, split={"val": 0.3, "seed": 5, "by": "{scene}_*"})
    assert by_scene(root) != without


def test_without_groups_each_image_falls_by_itself_near_the_shares(root):
    for kind in ("images", "labels"):
        (root / kind).mkdir(parents=True)
        for number in range(400):
            (root / kind / f"{number}.png").touch()
    describe(root, split={"val": 0.2, "test": 0.1})
    found = listed(root)
    assert [int(Path(image).stem) for image, _ in found["val"]] == sorted(
        (n for n in range(400) if by_hash(str(n), val=0.2, test=0.1, seed=0) == "val"), key=str
    )
    sizes = {split: len(pairs) for split, pairs in found.items()}
    assert sum(sizes.values()) == 400
    assert abs(sizes["val"] - 80) < 25
    assert abs(sizes["test"] - 40) < 20


def test_a_group_may_be_a_folder_or_a_part_of_the_template(root):
    for scene, frames in SCENES:
        put(
            root,
            *(f"images/{scene}/{n}.jpg" for n in range(frames)),
            *(f"labels/{scene}/{n}.png" for n in range(frames)),
        )
    share = {"val": 0.3, "seed": 1}
    expected = {scene: by_hash(scene, test=0, **share) for scene, _ in SCENES}
    for placeholder, by in (("{scene}", "{scene}"), ("**", "{scene}/*")):
        images, masks = (f"{kind}/{placeholder}/{{stem}}" for kind in ("images", "labels"))
        describe(root, images=images, masks=masks, split={**share, "by": by})
        found = {Path(image).parent.name: split for split, pairs in listed(root).items() for image, _ in pairs}
        assert found == expected


def test_a_split_that_would_be_empty_or_a_name_without_group_is_refused(root):
    write_scenes(root, SCENES[:2], val=0.01, by="{scene}_*")
    assert refusal(root) == (
        "split leaves val empty: 4 images in 2 groups, val 0.01, test 0, seed 0. Take another seed (`heteroakd data "
        "split` finds one where none is given), larger shares, or smaller groups."
    )
    write_scenes(root, val=0.3, by="{scene}_*_*_*")
    assert refusal(root).startswith(
        "split.by '{scene}_*_*_*' does not fit 41 images: scene0_0_x, scene0_1_x, scene0_2_x and 38 more. Every image"
    )
    write_scenes(root, val=0.3)
    put(root, "images/alone.jpg")
    assert refusal(root).startswith(f"{root} has images without label: alone. Each images/{{stem}} needs labels/")
    (root / "images" / "alone.jpg").unlink()
    (root / "images" / "train").mkdir()
    put(root, "images/train/0.jpg")
    assert refusal(root).startswith(f"1 entry of {root}/images would be passed over: train/ with 1 file.")


def test_another_split_is_another_data_set(root):
    write_scenes(root, val=0.3)
    digests = [open_dataset(str(root)).digest()]
    for split in ({"val": 0.3}, {"val": 0.3, "seed": 1}, {"val": 0.3, "by": "{scene}_*"}):
        describe(root, split=split)
        digests.append(open_dataset(str(root)).digest())
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_every_example_of_the_page_can_be_meant(root, example):
    root.mkdir()
    (root / "dataset.yaml").write_text(example, encoding="utf-8")
    meaning, layout, bands = describe_file(root / "dataset.yaml")
    assert len(meaning.classes) == 2
    assert meaning.coding is not None or not layout.is_plain or not bands.is_photo

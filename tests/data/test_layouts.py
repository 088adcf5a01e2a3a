"""The layouts of the field: what they find, what they make of the ids, what they refuse."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.check import verify
from trainables.data.feed import feed
from trainables.data.loader import eval_batches
from trainables.errors import DataError

NAMES = ["cityscapes", "voc", "ade20k", "camvid"]

# id in the files -> class, by hand from the publishers' tables; all else is ignored
EXPECTED = {
    "cityscapes": dict(
        zip([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33], range(19), strict=True)
    ),
    "voc": {number: number for number in range(21)},
    "ade20k": {number: number - 1 for number in range(1, 151)},
    "camvid": {number: number for number in range(11)},
}
MANY = {"cityscapes": 19, "voc": 21, "ade20k": 150, "camvid": 11}
FIRST_LAST_AND_ONE = {
    "cityscapes": {0: ("road", (128, 64, 128)), 13: ("car", (0, 0, 142)), 18: ("bicycle", (119, 11, 32))},
    "voc": {0: ("background", (0, 0, 0)), 15: ("person", (192, 128, 128)), 20: ("tv monitor", (0, 64, 128))},
    "ade20k": {0: ("wall", (120, 120, 120)), 12: ("person", (150, 5, 61)), 149: ("flag", (92, 0, 255))},
    "camvid": {0: ("sky", (128, 128, 128)), 8: ("car", (64, 0, 128)), 10: ("bicyclist", (0, 128, 192))},
}
STRANGE = {"cityscapes": 34, "voc": 21, "ade20k": 151, "camvid": 12}
RULE = {
    "cityscapes": "cityscapes has ids 0-33, 255",
    "voc": "voc has ids 0-20, 255",
    "ade20k": "ade20k has ids 0-150",
    "camvid": "camvid has ids 0-11",
}


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def root(name, layout, tmp_path):
    return layout(name, tmp_path / name)


@pytest.fixture
def dataset(name, root):
    return open_dataset(f"{name}:{root}")


def refusal(name, root, check=lambda _: None):
    with pytest.raises(DataError) as caught:
        check(open_dataset(f"{name}:{root}"))
    return str(caught.value)


def stored(sample):
    with Image.open(sample.label) as image:
        return np.asarray(image)


def by_hand(name, ids):
    return np.vectorize(lambda number: EXPECTED[name].get(number, 255))(ids)


def test_a_tree_is_listed_and_sound(dataset, name):
    verify(dataset)
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {"train": 4, "val": 2}
    assert (dataset.name, dataset.num_classes, dataset.ignore_index) == (name, MANY[name], 255)
    assert len(set(dataset.classes)) == len(dataset.palette) == MANY[name]


def test_names_and_colours_are_the_publishers(dataset, name):
    for number, (said, colour) in FIRST_LAST_AND_ONE[name].items():
        assert (dataset.classes[number], dataset.palette[number]) == (said, colour)


def test_every_id_of_a_file_becomes_its_class_or_ignored(dataset, name):
    """All 8-bit ids that the layout knows, one pixel each."""
    sample = dataset.samples("train")[0]
    known = np.flatnonzero(dataset.known_ids).astype(np.uint8)
    Image.fromarray(known[None]).save(sample.label)
    Image.new("RGB", (len(known), 1)).save(sample.image)
    assert set(EXPECTED[name]) < set(known.tolist())
    np.testing.assert_array_equal(dataset.read(sample)[1].numpy(), by_hand(name, known[None]))


def test_an_id_that_no_class_has_is_refused_with_the_files_name(dataset, name, root):
    path = dataset.samples("val")[1].label
    ids = np.full((64, 96), STRANGE[name], np.uint8)
    Image.fromarray(ids).save(path)
    assert refusal(name, root, check=verify) == f"{path} holds id {STRANGE[name]}, but {RULE[name]}."


def test_rgb_masks_are_refused_with_the_files_name(dataset, name, root):
    path = dataset.samples("train")[0].label
    Image.new("RGB", (96, 64)).save(path)
    assert refusal(name, root, check=verify).startswith(f"{path} is a 8-bit RGB PNG, whose pixels are no class ids.")


def test_evaluation_sees_classes(dataset, name):
    labels = [label for _, batch in eval_batches(dataset, "val", 2) for label in batch]
    for sample, label in zip(dataset.samples("val"), labels, strict=True):
        assert label.dtype == torch.int64
        np.testing.assert_array_equal(label.numpy(), by_hand(name, stored(sample)))


def test_training_sees_classes_and_padding_is_ignored(dataset, name):
    """Without scaling or flips a crop of 128 holds the 96x64 image; what is beyond it was padded."""
    exact = {"scale_min": 1, "scale_max": 1, "flip_horizontal": 0}
    config = TrialConfig(method="task", steps=4, batch_size=2, crop_height=128, crop_width=128, **exact)
    expected = [by_hand(name, stored(sample)) for sample in dataset.samples("train")]
    for batch in feed(dataset, config, device=torch.device("cpu")):
        for label in batch.labels.numpy():
            assert any(np.array_equal(label[:64, :96], one) for one in expected)
            assert (label[64:] == 255).all()
            assert (label[:, 96:] == 255).all()


def test_a_crop_mapped_after_resizing_is_the_crop_of_the_mapped_label(dataset, name):
    """Labels are resampled by nearest: no id appears that was not there, so every class of a crop is in its set."""
    config = TrialConfig(method="task", steps=3, batch_size=4, crop_height=64, crop_width=64)
    classes = {*EXPECTED[name].values(), 255}
    batches = feed(dataset, config, device=torch.device("cpu"))
    assert all(set(batch.labels.unique().tolist()) <= classes for batch in batches)


def test_an_image_without_label_is_refused(dataset, name, root):
    gone = dataset.samples("train")[1].label
    gone.unlink()
    said = {
        "cityscapes": "has images without label: city0/city0_000002_000019.",
        "voc": "train.txt names files that are missing: line 2 (SegmentationClass/2007_train1.png).",
        "ade20k": "has images without label: ADE_train_00000001.",
        "camvid": "has images without label: 0001.",
    }
    assert said[name] in refusal(name, root)


def test_the_digest_depends_on_a_files_bytes_and_not_on_the_place(dataset, name, root, tmp_path):
    moved = shutil.copytree(root, tmp_path / "elsewhere")
    assert open_dataset(f"{name}:{moved}").digest() == dataset.digest()
    image = open_dataset(f"{name}:{moved}").samples("val")[0].image
    image.write_bytes(image.read_bytes() + b"\0")
    assert open_dataset(f"{name}:{moved}").digest() != dataset.digest()


def test_a_layout_without_a_place_asks_for_its_path(name):
    with pytest.raises(DataError, match=f"data set '{name}' needs its path"):
        open_dataset(name)


@pytest.mark.parametrize(
    ("names", "mark"), [("cityscapes", "leftImg8bit"), ("voc", "ImageSets"), ("ade20k", "images"), ("camvid", "train")]
)
def test_a_tree_given_without_its_layout_is_recognised(layout, tmp_path, names, mark):
    root = layout(names, tmp_path / "tree")
    with pytest.raises(DataError) as caught:
        open_dataset(str(root))
    assert (root / mark).is_dir()
    assert str(caught.value).endswith(f"Or is it {names}:{root}?")


# Cityscapes


def test_cityscapes_has_no_test_split_although_its_files_are_there(layout, tmp_path):
    root = layout("cityscapes", tmp_path)
    for kind in ("leftImg8bit", "gtFine"):
        shutil.copytree(root / kind / "val", root / kind / "test")
    assert set(open_dataset(f"cityscapes:{root}").splits) == {"train", "val"}


def test_cityscapes_other_files_of_an_image_are_left_alone(layout, tmp_path):
    root = layout("cityscapes", tmp_path)
    for label in (root / "gtFine").rglob("*_labelIds.png"):
        for kind in ("color", "instanceIds", "labelTrainIds"):
            shutil.copy(label, label.with_name(label.name.replace("labelIds", kind)))
    assert len(open_dataset(f"cityscapes:{root}").samples("train")) == 4


def test_cityscapes_without_gtfine_says_which_folder_is_expected(layout, tmp_path):
    root = layout("cityscapes", tmp_path)
    shutil.rmtree(root / "gtFine" / "val")
    assert refusal("cityscapes", root).startswith(
        f"split 'val' is missing: {root}/gtFine/val holds no city with files of the set."
    )


# VOC


@pytest.fixture
def voc(layout, tmp_path):
    return layout("voc", tmp_path / "voc")


def augment(root):
    """SBD's masks: grey, and one image more than VOC's own."""
    folder = root / "SegmentationClassAug"
    folder.mkdir()
    names = [f"2007_train{number}" for number in range(4)] + ["2008_more"]
    for name in names:
        Image.fromarray(np.full((64, 96), 5, np.uint8)).save(folder / f"{name}.png")
    shutil.copy(root / "JPEGImages" / "2007_train0.jpg", root / "JPEGImages" / "2008_more.jpg")
    (root / "ImageSets" / "Segmentation" / "trainaug.txt").write_text("\n".join(names) + "\n")


def test_voc_trains_on_sbd_where_it_is_and_validates_on_its_own_masks(voc):
    assert {sample.label.parent.name for sample in open_dataset(f"voc:{voc}").samples("train")} == {"SegmentationClass"}
    augment(voc)
    dataset = open_dataset(f"voc:{voc}")
    assert len(dataset.samples("train")) == 5
    assert {sample.label.parent.name for sample in dataset.samples("train")} == {"SegmentationClassAug"}
    assert {sample.label.parent.name for sample in dataset.samples("val")} == {"SegmentationClass"}
    assert dataset.read(dataset.samples("train")[0])[1].unique().tolist() == [5]


def test_voc_with_sbds_masks_but_without_its_list_is_refused(voc):
    augment(voc)
    (voc / "ImageSets" / "Segmentation" / "trainaug.txt").unlink()
    assert "trainaug.txt is missing." in refusal("voc", voc)


def test_voc_names_the_line_of_a_list_whose_file_is_missing(voc):
    (voc / "JPEGImages" / "2007_train2.jpg").unlink()
    path = voc / "ImageSets" / "Segmentation" / "train.txt"
    assert refusal("voc", voc) == (
        f"{path} names files that are missing: line 3 (JPEGImages/2007_train2.jpg). Add them or remove the lines."
    )


def test_voc_refuses_a_list_that_names_an_image_twice(voc):
    path = voc / "ImageSets" / "Segmentation" / "val.txt"
    path.write_text("2007_val0\n\n2007_val1\n2007_val0\n")
    assert "names an image twice: line 4 repeats line 1 (2007_val0)." in refusal("voc", voc)


def test_voc_takes_lists_of_paths_and_an_empty_one_not(voc):
    path = voc / "ImageSets" / "Segmentation" / "val.txt"
    path.write_text("/JPEGImages/2007_val1.jpg /SegmentationClassAug/2007_val1.png\n")
    assert [sample.image.name for sample in open_dataset(f"voc:{voc}").samples("val")] == ["2007_val1.jpg"]
    path.write_text("\n")
    assert "val.txt is empty." in refusal("voc", voc)


def test_voc_and_ade20k_are_found_within_the_folders_of_their_archives(layout, tmp_path):
    layout("voc", tmp_path / "one" / "VOCdevkit" / "VOC2012")
    layout("ade20k", tmp_path / "two" / "ADEChallengeData2016")
    assert len(open_dataset(f"voc:{tmp_path}/one").samples("train")) == 4
    assert len(open_dataset(f"ade20k:{tmp_path}/two").samples("train")) == 4


def test_palette_ids_do_not_pass_through_colours(voc):
    """[0, 1, 2] through a conversion of colours to grey would be [0, 38, 75]."""
    dataset = open_dataset(f"voc:{voc}")
    sample = dataset.samples("train")[0]
    image = Image.fromarray(np.array([[0, 1, 2, 255]], np.uint8))
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [0] * 759)
    image.save(sample.label)
    Image.new("RGB", (4, 1)).save(sample.image)
    assert dataset.read(sample)[1].tolist() == [[0, 1, 2, 255]]


# CamVid


def test_camvid_has_a_test_split_where_there_is_one(layout, tmp_path):
    root = layout("camvid", tmp_path)
    for end in ("", "annot"):
        shutil.copytree(root / f"val{end}", root / f"test{end}")
    assert len(open_dataset(f"camvid:{root}").samples("test")) == 2
    shutil.rmtree(root / "testannot")
    assert refusal("camvid", root).startswith(f"split 'test' is missing: expected {root}/testannot.")

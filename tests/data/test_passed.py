"""No file is passed over without a word: sub-folders, unknown endings, folders named like images, look-alikes."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import pytest

from trainables.data.catalogue import open_dataset
from trainables.data.doctor import diagnose
from trainables.errors import DataError

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))


def refusal(name):
    with pytest.raises(DataError) as caught:
        open_dataset(str(name))
    return str(caught.value)


def copy(tree, name, *, kinds=("images", "labels"), split="train"):
    for kind in kinds:
        path = tree / kind / split / name
        path.parent.mkdir(exist_ok=True)
        shutil.copy(tree / kind / split / "r0.png", path)


@pytest.mark.parametrize("name", ["a.heic", "a.jp2", "a.gif", "a.npy", "a", "a.png.gz", "a.JXL", "a.tif.zip"])
@pytest.mark.parametrize("kind", ["images", "labels"])
def test_an_unknown_ending_is_a_fault_that_names_the_file(tree, kind, name):
    path = tree / kind / "train" / name
    path.write_bytes(b"some image")
    said = refusal(tree)
    assert said.startswith(f"1 entry of {path.parent} would be passed over: {name}. It may hold NAME with .")
    assert said.endswith("Convert, rename, move or remove the rest.")
    found = diagnose(str(tree))
    assert found.faults == {said: [str(path)]}
    assert found.splits[0].num_samples == 5


def test_an_ending_that_only_images_may_have_is_one_for_labels(tree):
    copy(tree, "x.jpg")
    assert refusal(tree).startswith(f"1 entry of {tree}/labels/train would be passed over: x.jpg.")


def test_many_are_counted_and_three_are_named(tree):
    for number in range(7):
        (tree / "images" / "val" / f"x{number}.heic").write_bytes(b"")
    said = refusal(tree)
    assert said.startswith(
        f"7 entries of {tree}/images/val would be passed over: x0.heic, x1.heic, x2.heic and 4 more."
    )
    assert diagnose(str(tree)).faults[said] == [f"{tree}/images/val/x{number}.heic" for number in range(7)]


def test_a_sub_folder_is_a_fault_with_the_number_of_its_files(tree):
    for kind in ("images", "labels"):
        for number in range(3):
            copy(tree, f"scene/x{number}.png", kinds=[kind])
    assert "images/train would be passed over: scene/ with 3 files." in refusal(tree)
    faults = diagnose(str(tree)).faults
    assert list(faults.values()) == [[f"{tree}/{kind}/train/scene"] for kind in ("images", "labels")]


def test_a_folder_named_like_an_image_is_no_sample(tree):
    for kind in ("images", "labels"):
        (tree / kind / "train" / "x.png").mkdir()
    assert "would be passed over: x.png/ with 0 files." in refusal(tree)
    assert diagnose(str(tree)).splits[0].num_samples == 5


def test_a_link_to_nothing_is_a_sample_that_cannot_be_read(tree):
    copy(tree, "x.png", kinds=["labels"])
    (tree / "images" / "train" / "x.png").symlink_to(tree / "nowhere.png")
    assert len(open_dataset(str(tree)).samples("train")) == 6
    assert any("x.png does not exist" in one for files in diagnose(str(tree)).faults.values() for one in files)


@pytest.mark.parametrize("names", [("R1.png", "r1.png"), (f"{DECOMPOSED}.png", f"{COMPOSED}.png")])
def test_two_names_that_differ_in_case_or_form_alone_are_a_fault(tree, names):
    for name in names:
        copy(tree, name)
    said = refusal(tree)
    assert said == (
        f"{tree}/images/train holds 1 pair of names that differ in case or Unicode form alone: "
        f"{names[0]} and {names[1]}. Rename or remove one of each."
    )
    assert len(diagnose(str(tree)).faults) == 2  # of images and of labels


@pytest.mark.parametrize(("image", "label"), [("R9.png", "r9.png"), (f"{DECOMPOSED}.png", f"{COMPOSED}.png")])
def test_an_image_and_a_label_that_differ_in_it_alone_are_named_together(tree, image, label):
    copy(tree, image, kinds=["images"])
    copy(tree, label, kinds=["labels"])
    assert refusal(tree) == (
        f"split 'train' of {tree} has 1 image with a label whose name differs in case or Unicode form: "
        f"{image} and {label}. Rename one of each."
    )


@pytest.mark.parametrize(
    "name", [".DS_Store", "._r0.png", "Thumbs.db", "desktop.ini", "@eaDir/r0.png", "__MACOSX/r0.png"]
)
def test_what_systems_leave_is_left_alone(tree, name):
    path = tree / "images" / "train" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    assert len(open_dataset(str(tree)).samples("train")) == 5
    assert diagnose(str(tree)).faults == {}


@pytest.mark.parametrize("name", ["r0.json", "r0.png.aux.xml", "classes.txt", "README.md", "r0.tfw"])
def test_text_beside_images_is_left_alone(tree, name):
    (tree / "labels" / "train" / name).write_text("no image", encoding="utf-8")
    assert diagnose(str(tree)).faults == {}


@pytest.mark.parametrize("kind", ["images", "labels"])
def test_images_beside_the_splits_are_a_fault(tree, kind):
    shutil.copy(tree / kind / "train" / "r0.png", tree / kind / "loose.png")
    assert refusal(tree).startswith(f"1 entry of {tree}/{kind} would be passed over: loose.png.")


def test_a_split_that_is_spelt_otherwise_is_a_fault_and_other_folders_are_ones_own(tree):
    for kind in ("images", "labels"):
        (tree / kind / "spare").mkdir()
        (tree / kind / "test").rename(tree / kind / "Test")
    assert refusal(tree).startswith(f"1 entry of {tree}/images would be passed over: Test/ with 2 files.")


PLACES = {"cityscapes": "leftImg8bit/train/city0", "ade20k": "images/training", "camvid": "train"}
LABELS = {"cityscapes": "gtFine/train/city0", "ade20k": "annotations/training", "camvid": "trainannot"}


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("places", [PLACES, LABELS])
@pytest.mark.parametrize("entry", ["more.heic", "deeper/more.png", "sub.png/more.png"])
def test_every_layout_that_lists_folders_counts_what_it_would_pass_over(layout, tmp_path, name, places, entry):
    root = layout(name, tmp_path / "set")
    path = root / places[name] / entry
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    first = Path(entry).parts[0]
    shown = first if first == entry else f"{first}/ with 1 file"
    assert f"1 entry of {root / places[name]} would be passed over: {shown}. It" in refusal(f"{name}:{root}")


def test_cityscapes_files_outside_a_city_are_a_fault(layout, tmp_path):
    root = layout("cityscapes", tmp_path / "set")
    (root / "leftImg8bit" / "val" / "loose_leftImg8bit.png").write_bytes(b"")
    assert "leftImg8bit/val would be passed over: loose_leftImg8bit.png" in refusal(f"cityscapes:{root}")


def test_vocs_lists_say_what_is_read_so_that_other_files_are_left_alone(layout, tmp_path):
    root = layout("voc", tmp_path / "set")
    (root / "JPEGImages" / "unlisted.jpg").write_bytes(b"")
    assert diagnose(f"voc:{root}").faults == {}

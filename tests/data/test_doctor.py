"""The doctor finds every fault, goes on where a reader refuses, and counts what it says."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from explorer.api.diagnosis import lines
from trainables.data import doctor
from trainables.data.doctor import IDS, IMAGE, MASK, SIZE, TWINS, diagnose, evenly
from trainables.data.sheet import colours, write_sheet
from trainables.errors import DataError

IDS_BY_ROW = np.arange(48, dtype=np.uint8)[:, None].repeat(64, axis=1) // 8  # 0..5, 8 rows each


def text(found):
    return "\n".join(lines(found))


@pytest.mark.parametrize("name", ["cityscapes", "voc", "ade20k", "camvid"])
def test_a_sound_tree_has_no_fault(layout, tmp_path, name):
    found = diagnose(f"{name}:{layout(name, tmp_path)}")
    assert found.faults == {}
    assert "sound: nothing is wrong" in text(found)


def test_shares_are_of_the_labelled_pixels(tree):
    for path in (tree / "labels" / "train").iterdir():
        ids = IDS_BY_ROW.copy()
        ids[:12] = 255  # all of 0 and half of 1
        Image.fromarray(ids).save(path)
    train = diagnose(str(tree)).splits[0]
    assert train.class_counts(diagnose(str(tree)).dataset).tolist() == [0, 5 * 4 * 64, *[5 * 8 * 64] * 4, 0]
    assert train.ignored(diagnose(str(tree)).dataset) == 5 * 12 * 64
    said = text(diagnose(str(tree)))
    assert "ignored: 25.0 % of the pixels" in said
    assert "1 sky 11.11 %" in " ".join(said.split())
    assert "No pixel of train is road, pole: cannot be learned." in said


def test_shares_of_a_layout_with_other_ids_are_of_its_classes(layout, tmp_path):
    root = layout("ade20k", tmp_path)
    for path in (root / "annotations" / "training").iterdir():
        Image.fromarray(np.where(IDS_BY_ROW < 2, 0, 150).astype(np.uint8).repeat(2, 1)[:, :96]).save(path)
        Image.new("RGB", (96, 48)).save(root / "images" / "training" / f"{path.stem}.jpg")
    found = diagnose(f"ade20k:{root}", split="train")
    counts = found.splits[0].class_counts(found.dataset)
    assert counts[149] == counts.sum() == 4 * 32 * 96
    assert found.splits[0].ignored(found.dataset) == 4 * 16 * 96
    assert "ids in the files: 0, 150" in text(found)


def test_every_fault_is_found_at_once(tree):
    def damage(kind, name, content):
        path = tree / kind / "train" / name
        content.save(path) if isinstance(content, Image.Image) else path.write_bytes(content)
        return str(path)

    whole = (tree / "images" / "train" / "r0.png").read_bytes()
    torn = damage("images", "r0.png", whole[: len(whole) // 2])
    empty = damage("images", "r1.png", b"")
    rgb = damage("labels", "r2.png", Image.new("RGB", (64, 48)))
    strange = damage("labels", "r3.png", Image.fromarray(IDS_BY_ROW + 3))
    turned = damage("labels", "r4.png", Image.fromarray(IDS_BY_ROW.T.copy()))
    (tree / "labels" / "val" / "r0.png").unlink()

    found = diagnose(str(tree))
    assert [one.split(" ")[0] for one in found.faults[IMAGE]] == [torn, empty]
    assert [one.split(" ")[0] for one in found.faults[MASK]] == [rgb]
    assert [one.split(",")[0] for one in found.faults[IDS]] == [f"{strange} holds ids 7"]
    assert [turned in one for one in found.faults[SIZE]] == [True]
    (orphans,) = [kind for kind in found.faults if "images without label" in kind]
    assert found.faults[orphans] == [str(tree / "images" / "val" / "r0.png")]
    assert len(found.faults) == 5
    assert "6 faults:" in text(found)


def test_a_tree_that_cannot_be_described_is_looked_at_all_the_same(tree):
    (tree / "dataset.yaml").unlink()
    shutil.rmtree(tree / "images" / "val")
    found = diagnose(str(tree))
    said = text(found)
    assert "dataset.yaml is missing." in said
    assert "split 'val' is missing" in said
    assert "train: 5 samples" in said
    assert set(np.flatnonzero(found.splits[0].counts)) <= set(range(7))
    assert IDS not in found.faults


def test_no_more_than_twenty_files_of_a_kind_are_said(tree):
    for number in range(30):
        shutil.copy(tree / "images" / "train" / "r0.png", tree / "images" / "train" / f"x{number:02}.png")
    said = text(diagnose(str(tree)))
    assert "images without label: x00, x01, x02 and 27 more." in said
    assert said.count("/images/train/x") == 20
    assert "and 10 more" in said


def test_an_image_in_two_splits_is_a_fault(tree):
    for kind in ("images", "labels"):
        shutil.copy(tree / kind / "train" / "r1.png", tree / kind / "val" / "other.png")
    first, second = tree / "images" / "train" / "r1.png", tree / "images" / "val" / "other.png"
    assert diagnose(str(tree)).faults == {TWINS: [f"{second} is the same image as {first}. Keep it in one split."]}


@pytest.mark.parametrize("full", [False, True])
def test_large_splits_are_sampled_evenly_unless_all_is_asked_for(tree, monkeypatch, full):
    monkeypatch.setattr(doctor, "MASKS", 2)
    monkeypatch.setattr(doctor, "IMAGES", 1)
    monkeypatch.setattr(doctor, "PIXELS", 0)
    Image.fromarray(IDS_BY_ROW + 100).save(tree / "labels" / "train" / "r1.png")  # not chosen: 0 and 2 are
    found = diagnose(str(tree), full=full)
    train = found.splits[0]
    assert (train.num_masks, train.num_images) == ((5, 5) if full else (2, 1))
    assert (IDS in found.faults) == full
    assert ("--full decodes all" in text(found)) != full


def test_a_file_cut_off_is_found_though_it_is_not_among_the_chosen(tree, monkeypatch):
    monkeypatch.setattr(doctor, "MASKS", 1)
    for kind in ("images", "labels"):
        path = tree / kind / "train" / "r3.png"
        path.write_bytes(path.read_bytes()[:-30])
    found = diagnose(str(tree), split="train")
    assert [one.split(" ")[0] for kind in (IMAGE, MASK) for one in found.faults[kind]] == [
        str(tree / kind / "train" / "r3.png") for kind in ("images", "labels")
    ]


def test_an_unknown_split_or_set_is_refused(tree):
    with pytest.raises(DataError, match="split 'dev' is missing"):
        diagnose(str(tree), split="dev")
    with pytest.raises(DataError, match="Unknown data set"):
        diagnose(str(tree / "nowhere"))


@pytest.mark.parametrize(("number", "most", "chosen"), [(10, 3, [0, 3, 6]), (2, 3, [0, 1]), (4, 4, [0, 1, 2, 3])])
def test_a_choice_is_evenly_spaced(number, most, chosen):
    assert evenly(list(range(number)), most) == chosen


def test_crops_larger_than_the_images_are_advised_against(layout, tmp_path):
    said = text(diagnose(f"cityscapes:{layout('cityscapes', tmp_path)}"))
    assert "Crops are 512x1024 unless a study says otherwise; the median image is 64x96 (height x width)" in said
    assert "--set crop_height=64 --set crop_width=96." in said


def test_a_sheet_shows_samples_beside_their_labels(tree, tmp_path):
    Image.fromarray(np.full((48, 64), 3, np.uint8)).save(tree / "labels" / "val" / "r0.png")
    Image.new("RGB", (64, 48), (200, 100, 0)).save(tree / "images" / "val" / "r0.png")
    found = diagnose(str(tree), split="val")
    write_sheet(found.dataset, tmp_path / "sheets" / "sheet.png", splits=["val"])
    with Image.open(tmp_path / "sheets" / "sheet.png") as image:
        sheet = np.asarray(image).astype(int)
    blended = 0.4 * np.array([200, 100, 0]) + 0.6 * np.array(found.dataset.palette[3])
    assert (np.abs(sheet - blended).max(axis=-1) <= 1).sum() >= 200 * 150
    assert (sheet == [200, 100, 0]).all(axis=-1).sum() >= 200 * 150


def test_colours_are_those_of_the_class_an_id_means(layout, tmp_path):
    table = colours(diagnose(f"cityscapes:{layout('cityscapes', tmp_path)}").dataset)
    assert table[[7, 33, 0, 255, 34]].tolist() == [[128, 64, 128], [119, 11, 32], [0] * 3, [0] * 3, [255, 0, 255]]


def test_a_sheet_leaves_out_what_cannot_be_read(tree, tmp_path):
    for path in (tree / "images" / "val").iterdir():
        path.write_bytes(b"")
    (tree / "dataset.yaml").unlink()
    write_sheet(diagnose(str(tree)).dataset, tmp_path / "sheet.png", splits=["train", "val"])
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height > 300

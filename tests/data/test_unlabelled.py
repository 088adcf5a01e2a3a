"""Images without a mask: how they come into a step, and what is told of their pixels."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import explorer
from trainables.config import TrialConfig
from trainables.data.bank import bank_images, bank_views
from trainables.data.catalogue import open_dataset
from trainables.data.check import verify_unlabelled
from trainables.data.doctor import IMAGE, SCORED, diagnose
from trainables.data.feed import feed
from trainables.data.loader import train_batches
from trainables.data.order import places
from trainables.errors import ConfigError, DataError

LABELLED, UNLABELLED, SIDE = 4, 7, 48


def write(root):
    """One colour each: labelled ones 10, 11, ..., unlabelled ones 100, 101, ...; a mask is half 1, half ignored"""
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
    (root / "images/unlabelled").mkdir()
    mask = np.ones((SIDE, SIDE), np.uint8)
    mask[:, SIDE // 2 :] = 255
    for split in ("train", "val"):
        for number in range(LABELLED):
            colour = 10 + number + 20 * (split == "val")
            Image.new("RGB", (SIDE, SIDE), (colour,) * 3).save(root / "images" / split / f"{number}.png")
            Image.fromarray(mask).save(root / "labels" / split / f"{number}.png")
    for number in range(UNLABELLED):
        Image.new("RGB", (SIDE, SIDE), (100 + number,) * 3).save(root / "images/unlabelled" / f"u{number}.png")
    (root / "dataset.yaml").write_text("classes: [a, b]\n", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write(tmp_path_factory.mktemp("set") / "mine")


@pytest.fixture
def dataset(tree):
    return open_dataset(str(tree))


def config(**fields):
    recipe = {"steps": 6, "batch_size": 4, "crop_height": 64, "crop_width": 64, "scale_min": 1.0, "scale_max": 1.0}
    recipe["flip_horizontal"] = 0.0
    return TrialConfig.parse({"method": "task", "device": "cpu", "unlabelled_ratio": 0.5, **recipe, **fields})


def test_unlabelled_images_stand_evenly_among_the_labelled_and_count_by_themselves():
    found = [places(step, batch_size=4, num_unlabelled=1) for step in (0, 1)]
    assert [[(one.position, one.labelled) for one in step] for step in found] == [
        [(0, True), (1, True), (2, True), (0, False)],
        [(3, True), (4, True), (5, True), (1, False)],
    ]
    halves = places(0, batch_size=8, num_unlabelled=4)
    assert [sum(not one.labelled for one in half) for half in (halves[:4], halves[4:])] == [2, 2]
    assert [one.position for one in places(3, batch_size=2, num_unlabelled=0)] == [6, 7]


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_each_part_of_a_step_keeps_a_labelled_image_else_its_mean_would_be_nothing(accumulate):
    recipe = config(batch_size=8, accumulate=accumulate, unlabelled_ratio=0.99)
    assert recipe.num_unlabelled == 8 - accumulate
    size = 8 // accumulate
    found = [one.labelled for one in places(0, batch_size=8, num_unlabelled=recipe.num_unlabelled)]
    assert [sum(found[first : first + size]) for first in range(0, 8, size)] == [1] * accumulate


@pytest.mark.parametrize(("ratio", "of_eight"), [(0.0, 0), (0.01, 1), (0.25, 2), (0.9, 7), (0.99, 7)])
def test_a_step_takes_a_share_of_unlabelled_images_and_some_of_either_kind(ratio, of_eight):
    assert config(batch_size=8, unlabelled_ratio=ratio).num_unlabelled == of_eight


def test_the_labelled_images_of_a_step_are_those_of_a_trial_without_the_others(dataset):
    mixed = list(train_batches(dataset, config()))
    alone = list(train_batches(dataset, config(unlabelled_ratio=0.0, batch_size=2)))
    for both, labelled in zip(mixed, alone, strict=True):
        assert torch.equal(both.images[::2], labelled.images)
        own = labelled.ids.clone()
        own[:, SIDE:], own[:, :, SIDE:] = 2, 2  # padding has an id that no file holds
        assert torch.equal(both.ids[::2], own)
        assert (both.ids[1::2][:, :SIDE, :SIDE] == 255).all()


def test_an_epoch_holds_every_unlabelled_image_once_in_another_order_by_seed(dataset):
    def colours(seed):
        steps = 7
        taken = train_batches(dataset, config(steps=steps, seed=seed))
        shown = [int(image[0, 0, 0]) for batch in taken for image in batch.images[1::2]]
        assert {100 + n for n in range(UNLABELLED)} == {*shown[:UNLABELLED]} == {*shown[UNLABELLED:]}
        return shown

    assert colours(0) != colours(1)


def test_padding_is_told_from_ignored_pixels_and_both_have_no_label(dataset):
    for step in feed(dataset, config(), device=torch.device("cpu")):
        assert step.real.sum(dim=(1, 2)).tolist() == [SIDE * SIDE] * 4
        assert not ((step.labels != 255) & ~step.real).any()
        labelled, unlabelled = step.labels[::2], step.labels[1::2]
        assert (labelled == 1).sum() == SIDE * SIDE
        assert (unlabelled == 255).all()


def test_a_crop_that_is_padded_to_the_stride_is_real_up_to_its_own_edge(dataset):
    step = next(feed(dataset, config(crop_height=40, crop_width=48), device=torch.device("cpu")))
    assert step.real.shape[1:] == (64, 64)
    assert step.real[:, :40, :48].all()
    assert step.real.sum() == 4 * 40 * 48


def test_without_unlabelled_pixels_nothing_is_told_of_them(dataset):
    assert next(feed(dataset, config(unlabelled_ratio=0.0), device=torch.device("cpu"))).real is None


@pytest.mark.parametrize("fields", [{"views": 2}, {"augment_on": "device"}, {"num_workers": 1}], ids=str)
def test_a_resumed_stream_is_the_tail_of_the_whole_one(dataset, fields):
    whole, tail = (
        list(feed(dataset, config(**fields), device=torch.device("cpu"), start_step=start)) for start in (0, 4)
    )
    for one, other in zip(whole[4:], tail, strict=True):
        assert torch.equal(one.pixels, other.pixels)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.real, other.real)
        assert one.entries == other.entries


def test_in_the_bank_unlabelled_images_come_after_the_labelled(dataset):
    views = config(views=3)
    assert bank_images(dataset, views) == LABELLED + UNLABELLED
    assert bank_images(dataset, config(views=3, unlabelled_ratio=0.0)) == LABELLED
    assert bank_views(dataset, views, LABELLED + 2)[0, 0, 0, 0] == 102
    seen = [entry // 3 for step in feed(dataset, views, device=torch.device("cpu")) for entry in step.entries]
    assert {*seen[::2]} <= {*range(LABELLED)}
    assert {*seen[1::2]} <= {*range(LABELLED, LABELLED + UNLABELLED)}


def test_the_digest_knows_their_names_and_sizes_and_a_set_without_any_keeps_its_own(tmp_path):
    root = write(tmp_path / "one")
    with_all = open_dataset(str(root)).digest()
    (root / "images/unlabelled/u6.png").rename(root / "images/unlabelled/u7.png")
    renamed = open_dataset(str(root)).digest()
    for path in (root / "images/unlabelled").iterdir():
        path.unlink()
    none_left = open_dataset(str(root)).digest()
    (root / "images/unlabelled").rmdir()
    assert none_left == open_dataset(str(root)).digest()
    assert len({with_all, renamed, none_left}) == 3


def test_a_damaged_one_ends_the_trial_or_is_passed_over_by_name(tmp_path):
    root = write(tmp_path / "one")
    bad = root / "images/unlabelled/u3.png"
    bad.write_bytes(bad.read_bytes()[:60])
    dataset = open_dataset(str(root))
    with pytest.raises(DataError, match=r"u3\.png cannot be decoded"):
        list(train_batches(dataset, config()))
    assert len(list(train_batches(dataset, config(on_corrupt="skip")))) == 6
    assert dataset.take_skipped() == [str(bad)]


def test_a_trial_that_wants_some_needs_some(tmp_path, tree):
    root = write(tmp_path / "one")
    for path in (root / "images/unlabelled").iterdir():
        path.unlink()
    sentence = r"unlabelled_ratio is 0\.5, but .* has no unlabelled images\. Put some into images/unlabelled"
    with pytest.raises(DataError, match=sentence):
        list(train_batches(open_dataset(str(root)), config()))
    with pytest.raises(DataError, match=sentence):
        verify_unlabelled(open_dataset(str(root)), config())
    verify_unlabelled(open_dataset(str(tree)), config())


def test_other_files_beside_them_are_a_fault(tmp_path):
    root = write(tmp_path / "one")
    (root / "images/unlabelled/film.mp4").write_bytes(b"x")
    with pytest.raises(DataError, match=r"1 entry of .*unlabelled would be passed over: film\.mp4"):
        open_dataset(str(root))


def test_ids_that_leave_none_for_padding_are_refused(tmp_path):
    root = write(tmp_path / "one")
    every = ", ".join(f"{number}: 1" for number in range(2, 255))
    (root / "dataset.yaml").write_text(f"classes: [a, b]\nids: {{{every}}}\n", encoding="utf-8")
    with pytest.raises(DataError, match="uses all 256 ids, and padding needs one of its own"):
        list(train_batches(open_dataset(str(root)), config()))
    assert len(list(train_batches(open_dataset(str(root)), config(unlabelled_ratio=0.0)))) == 6


def test_two_that_learn_from_each_other_by_labels_take_none():
    with pytest.raises(ConfigError, match="collaborative says by labels which network teaches"):
        config(method="collaborative")


def test_unlabelled_images_are_distilled_on_unless_it_is_said_otherwise():
    assert config(method="kd").distil_on == "all"
    assert config(method="kd", distil_on="labelled").distil_on == "labelled"
    assert config(method="kd", unlabelled_ratio=0.0).distil_on == "labelled"


def test_no_unlabelled_tile_of_earth_touches_a_block_that_is_scored():
    """A block is 256 pixels a side; a tile's name says where its 128 pixels begin."""
    earth = open_dataset("earth")

    def blocks(path):
        row, column = (int(part[1:]) for part in path.stem.split("_"))
        return {(y // 256, x // 256) for y in (row, row + 127) for x in (column, column + 127)}

    scored = {block for split in ("val", "test") for one in earth.samples(split) for block in blocks(one.image)}
    assert len(scored) == 28
    assert len(earth.unlabelled) >= 600
    assert not [path.name for path in earth.unlabelled if blocks(path) & scored]
    assert not {path.name for path in earth.unlabelled} & {one.image.name for one in earth.samples("train")}
    assert sum(path.stat().st_size for path in earth.unlabelled) < 6 * 2**20


def test_a_copy_of_an_image_that_is_scored_is_refused_under_whatever_name(tmp_path):
    root = write(tmp_path / "one")
    copy, scored = root / "images/unlabelled/copy.png", root / "images/val/2.png"
    shutil.copy(root / "images/train/1.png", root / "images/unlabelled/train.png")  # which no score is of
    verify_unlabelled(open_dataset(str(root)), config())
    shutil.copy(scored, copy)
    sentence = f"{copy} is unlabelled, and the same image as {scored}, which is in 'val': a score on it would say less."
    with pytest.raises(DataError, match=re.escape(sentence)):
        verify_unlabelled(open_dataset(str(root)), config())
    assert [one.startswith(sentence) for one in diagnose(str(root)).faults[SCORED]] == [True]
    assert SCORED not in diagnose(str(root), split="train").faults


def test_the_check_of_a_set_counts_them_and_names_each_that_cannot_be_read(tmp_path):
    root = write(tmp_path / "one")
    folder = root / "images/unlabelled"
    assert "unlabelled: 7 images" in str(explorer.check_data(root))
    whole = (folder / "u1.png").read_bytes()
    (folder / "u1.png").write_bytes(b"")
    (folder / "u2.png").write_bytes(whole[: len(whole) // 2])
    (folder / "u3.tif").write_bytes(b"II*")
    found = diagnose(str(root)).faults[IMAGE]
    assert [one.split(" ")[0] for one in found] == [str(folder / f"u{end}") for end in ("1.png", "2.png", "3.tif")]

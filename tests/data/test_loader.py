from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from trainables.config import TrialConfig
from trainables.data import loader
from trainables.data.catalogue import open_dataset
from trainables.data.loader import eval_batches, train_batches
from trainables.data.order import images_from, view_rng
from trainables.data.transforms import augment
from trainables.errors import DataError

CONFIG = TrialConfig(method="task", steps=6, batch_size=3, crop_height=32, crop_width=32, seed=4)


def change(config, **fields):
    return TrialConfig(**{**config.model_dump(), **fields})


def same(one, other):
    """Two streams, to the last bit."""
    one, other = ([part for taken in stream for part in taken] for stream in (one, other))
    return len(one) == len(other) and all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(one, other, strict=True)
    )


@pytest.fixture
def dataset(tree):
    return open_dataset(str(tree))


def test_batches_are_8_bit_images_and_ids(dataset):
    batches = list(train_batches(dataset, CONFIG))
    assert len(batches) == 6
    for images, ids, entries in batches:
        assert (images.dtype, tuple(images.shape)) == (torch.uint8, (3, 3, 32, 32))
        assert (ids.dtype, tuple(ids.shape)) == (torch.uint8, (3, 32, 32))
        assert entries is None


@pytest.mark.parametrize("start_step", [0, 1, 4, 6])
@pytest.mark.parametrize("fields", [{}, {"views": 2}, {"augment_on": "device"}], ids=str)
def test_a_resumed_stream_is_the_tail_of_the_whole_one(dataset, tree, start_step, fields):
    config = change(CONFIG, **fields)
    whole = list(train_batches(dataset, config))
    assert same(train_batches(open_dataset(str(tree)), config, start_step=start_step), whole[start_step:])


@pytest.mark.parametrize(("device", "pinned"), [("cpu", False), ("auto", True), ("cuda", True)])
def test_batches_are_pinned_for_a_gpu_alone(dataset, device, pinned, monkeypatch):
    """Where there is one: pinning for a trial on the CPU would take memory of the GPU for nothing."""
    made = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(loader, "DataLoader", lambda *_, pin_memory, **__: made.append(pin_memory) or [])
    assert list(train_batches(dataset, change(CONFIG, device=device))) == []
    assert made == [pinned]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12 and later
@pytest.mark.parametrize("fields", [{}, {"views": 2, "augment_on": "device"}], ids=str)
def test_two_worker_processes_give_the_same_stream(dataset, fields):
    config = change(CONFIG, **fields)
    assert same(train_batches(dataset, config, num_workers=2), train_batches(dataset, config))


def test_two_seeds_give_two_streams(dataset):
    other = change(CONFIG, seed=5)
    assert not same(train_batches(dataset, CONFIG), train_batches(dataset, other))


def test_the_budget_does_not_change_the_stream(dataset):
    longer = change(CONFIG, steps=8)
    assert same(train_batches(dataset, CONFIG), list(train_batches(dataset, longer))[:6])


def test_every_image_comes_once_an_epoch_in_a_new_order():
    order = [next(images_from(position, num_images=50, seed=3)) for position in range(150)]
    epochs = [order[:50], order[50:100], order[100:]]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_views_differ_between_positions_and_seeds():
    draws = {view_rng(position, seed=seed).random() for position in range(20) for seed in range(20)}
    assert len(draws) == 400


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_global_random_state_is_neither_read_nor_changed(dataset, num_workers):
    def state():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()

    torch.manual_seed(1)
    before = state()
    first = list(train_batches(dataset, CONFIG, num_workers=num_workers))
    list(eval_batches(dataset, "val", 2))
    assert state() == before
    torch.manual_seed(2)
    assert same(train_batches(dataset, CONFIG, num_workers=num_workers), first)


def test_evaluation_gives_whole_images_in_order_grouped_by_size(tree):
    for kind in ("images", "labels"):
        shutil.copy(tree / kind / "train" / "r0.png", tree / kind / "val" / "r3.png")
        shutil.copy(tree / kind / "train" / "r1.png", tree / kind / "val" / "r5.png")
        with Image.open(tree / kind / "train" / "r2.png") as image:
            image.crop((0, 0, 40, 48)).save(tree / kind / "val" / "r4.png")
    dataset = open_dataset(str(tree))
    batches = list(eval_batches(dataset, "val", 3))
    assert [tuple(labels.shape) for _, labels in batches] == [(3, 48, 64), (1, 48, 64), (1, 48, 40), (1, 48, 64)]
    images = [image for images, _ in batches for image in images]
    labels = [label for _, labels in batches for label in labels]
    for sample, image, label in zip(dataset.samples("val"), images, labels, strict=True):
        with Image.open(sample.image) as source, Image.open(sample.label) as mask:
            np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), np.asarray(source))
            np.testing.assert_array_equal(label.numpy(), np.asarray(mask))
            assert label.dtype == torch.int64


def test_an_evaluation_batch_is_a_copy(dataset):
    images, labels = next(eval_batches(dataset, "val", 1))
    images.zero_(), labels.fill_(3)
    again, _ = next(eval_batches(dataset, "val", 1))
    assert again.any()


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_torn_image_ends_the_stream_with_one_sentence(dataset, num_workers):
    path = dataset.samples("train")[2].image
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError) as caught:
        list(train_batches(dataset, CONFIG, num_workers=num_workers))
    assert str(caught.value).startswith(f"{path} cannot be decoded: ")
    assert "\n" not in str(caught.value)


TOLERANT = change(CONFIG, on_corrupt="skip")


def tear(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return str(path)


@pytest.mark.parametrize(("kind", "number"), [("image", 2), ("label", 0)])
def test_a_damaged_samples_place_is_taken_by_the_next_of_its_epoch(dataset, tree, kind, number):
    """6 steps of 3 are 18 positions: the 5 images come 3 or 4 times each, one of them torn."""
    intact = open_dataset(str(tree))
    samples = intact.samples("train")
    for sample in samples:
        intact.read(sample)  # kept in memory before it is torn
    path = tear(getattr(samples[number], kind))
    expected = []
    for position in range(18):
        order = np.random.default_rng([0, 4, position // 5]).permutation(5)
        index = order[position % 5] if order[position % 5] != number else order[(position + 1) % 5]
        image, label = intact.read(samples[index])
        rng = np.random.default_rng([1, 4, position])
        expected.append(augment(image, label, CONFIG, rng, pad_id=255))
    found = [view for batch in train_batches(dataset, TOLERANT) for view in zip(batch.images, batch.ids, strict=True)]
    assert same(found, expected)
    assert dataset.take_skipped() == [path]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_skipping_is_the_same_in_worker_processes_and_after_a_resume(dataset, tree, num_workers):
    paths = {tear(dataset.samples("train")[1].image), tear(dataset.samples("train")[3].label)}
    whole = list(train_batches(dataset, TOLERANT))
    assert set(dataset.take_skipped()) == paths
    other = open_dataset(str(tree))
    assert same(train_batches(other, TOLERANT, start_step=2, num_workers=num_workers), whole[2:])
    assert set(other.take_skipped()) == paths
    assert other.take_skipped() == []


def test_a_skipped_file_is_named_with_the_batch_it_was_skipped_for(dataset):
    order = np.random.default_rng([0, 4, 0]).permutation(5)
    path = tear(dataset.samples("train")[order[4]].image)  # position 4: the second batch
    batches = train_batches(dataset, TOLERANT)
    next(batches)
    assert dataset.take_skipped() == []
    next(batches)
    assert dataset.take_skipped() == [path]


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_set_without_a_readable_sample_ends_the_stream(dataset, tree, num_workers):
    for sample in dataset.samples("train"):
        tear(sample.image)
    with pytest.raises(DataError, match=f"{tree} holds no sample of 'train' that can be read"):
        list(train_batches(dataset, TOLERANT, num_workers=num_workers))


def test_a_torn_file_ends_the_trial_unless_told_otherwise(dataset):
    path = tear(dataset.samples("train")[0].image)
    with pytest.raises(DataError, match=path):
        list(train_batches(dataset, CONFIG))
    assert dataset.take_skipped() == []


def test_evaluation_leaves_out_what_is_damaged(dataset):
    path = tear(dataset.samples("val")[1].label)
    assert sum(len(images) for images, _ in eval_batches(dataset, "val", 2, on_corrupt="skip")) == 2
    assert dataset.take_skipped() == [path]
    with pytest.raises(DataError, match=path):
        list(eval_batches(dataset, "val", 2))

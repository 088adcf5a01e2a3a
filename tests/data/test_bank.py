"""The bank of views: the same fixed crops for every seed, each seed in an order of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.config import TrialConfig
from trainables.data.bank import bank_views
from trainables.data.catalogue import open_dataset
from trainables.data.feed import feed
from trainables.data.loader import train_batches
from trainables.data.order import bank_view
from trainables.data.transforms import augment, normalize
from trainables.errors import DataError

VIEWS, IMAGES = 3, 5
CONFIG = TrialConfig(method="task", steps=5, batch_size=3, crop_height=32, crop_width=32, views=VIEWS)  # 3 epochs


def change(**fields):
    return TrialConfig(**{**CONFIG.model_dump(), **fields})


@pytest.fixture
def dataset(tree):
    return open_dataset(str(tree))


def entries(dataset, config):
    return [entry for batch in train_batches(dataset, config) for entry in batch.entries]


def test_as_many_epochs_as_there_are_views_hold_every_view_once(dataset):
    found = entries(dataset, CONFIG)
    assert sorted(found) == list(range(IMAGES * VIEWS))
    for epoch in range(3):
        assert sorted(entry // VIEWS for entry in found[5 * epoch : 5 * epoch + 5]) == list(range(IMAGES))
    order = [np.random.default_rng([0, CONFIG.seed, epoch]).permutation(IMAGES) for epoch in range(3)]
    assert [entry // VIEWS for entry in found] == np.concatenate(order).tolist()  # images come as without a bank


def test_an_images_views_follow_each_other_from_one_that_the_seed_chooses():
    def turns(image, seed):
        positions = range(0, 20 * IMAGES, IMAGES)  # one an epoch
        return [bank_view(p, image=image, num_images=IMAGES, views=7, seed=seed) for p in positions]

    firsts = set()
    for image in range(10):
        for seed in range(10):
            found = turns(image, seed)
            assert found == [(found[0] + epoch) % 7 for epoch in range(20)]
            firsts.add(found[0])
    assert firsts == set(range(7))
    assert len({tuple(turns(image, 0)[0] for image in range(10)) for _ in range(2)}) == 1


@pytest.mark.parametrize("place", ["cpu", "device"])
def test_every_seed_sees_the_crops_of_the_bank_in_its_own_order(dataset, place):
    """And these are what `bank_views` gives, to the last bit."""
    bank = torch.stack([bank_views(dataset, CONFIG, image) for image in range(IMAGES)]).flatten(0, 1)
    orders = []
    for seed in (0, 1):
        config = change(seed=seed, augment_on=place)
        for batch in feed(dataset, config, device=torch.device("cpu")):
            assert torch.equal(batch.pixels, normalize(bank[batch.entries]))
        orders.append(entries(dataset, config))
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


def test_a_view_is_drawn_by_its_image_and_number_alone(dataset):
    for image in (0, 4):
        sample = dataset.read(dataset.samples("train")[image])
        drawn = [augment(*sample, CONFIG, np.random.default_rng([2, image, v]), pad_id=255)[0] for v in range(VIEWS)]
        found = bank_views(dataset, CONFIG, image)
        assert torch.equal(found, torch.stack(drawn))
        assert not torch.equal(found[0], found[1])
        assert torch.equal(bank_views(dataset, change(views=2, seed=9), image), found[:2])


def test_the_entry_is_that_of_the_image_that_was_read(dataset, tree):
    intact = open_dataset(str(tree))
    bank = torch.stack([bank_views(intact, CONFIG, image) for image in range(IMAGES)]).flatten(0, 1)
    path = dataset.samples("train")[3].label
    path.write_bytes(path.read_bytes()[:60])
    found = []
    for batch in train_batches(dataset, change(on_corrupt="skip")):
        assert torch.equal(batch.images, bank[batch.entries])
        found += batch.entries
    assert dataset.take_skipped() == [str(path)]
    assert len(found) == 15
    assert 3 not in {entry // VIEWS for entry in found}
    with pytest.raises(DataError, match=str(path)):
        bank_views(dataset, CONFIG, 3)


def test_without_views_there_are_no_entries(dataset):
    config = change(views=None)
    assert [batch.entries for batch in feed(dataset, config, device=torch.device("cpu"))] == [None] * 5

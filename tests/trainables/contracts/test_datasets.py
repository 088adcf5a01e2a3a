"""Data sets keep every claim, and one that breaks a claim is caught by that claim."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from trainables.contracts.claim import broken, examine
from trainables.contracts.datasets import CLAIMS, Data
from trainables.data import DATASETS
from trainables.data.catalogue import open_dataset
from trainables.data.dataset import Sample, SegDataset


@pytest.fixture(scope="module", params=DATASETS)
def named(request, layout, folder, tmp_path_factory):
    """Each line of DATASETS, with a tree in its layout where the user brings one."""
    name = request.param
    if DATASETS[name].root is not None:
        return name
    return f"{name}:{folder if name == 'folder' else layout(name, tmp_path_factory.mktemp('tree') / name)}"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.sentence)
def test_a_data_set_keeps_a_claim(named, claim):
    assert broken(claim, Data(lambda: open_dataset(named))) is None


@pytest.fixture
def tiny(folder):
    return lambda: open_dataset(str(folder))


def with_splits(dataset, **splits):
    return replace(dataset, splits={**dataset.splits, **splits})


def no_validation(dataset):
    return with_splits(dataset, val=())


def trained_on_what_is_tested(dataset):
    return with_splits(dataset, test=dataset.splits["train"][:1])


def a_colour_short(dataset):
    return replace(dataset, palette=dataset.palette[:-1])


def ignores_a_class(dataset):
    return replace(dataset, ignore_index=2)


def fewer_classes(dataset):
    return replace(dataset, classes=dataset.classes[:2], palette=dataset.palette[:2])


class Unchecked(SegDataset):
    def check(self, sample):
        """All is well."""


class Wide(Unchecked):
    def read(self, sample):
        image, label = super().read(sample)
        return image.float(), label


class Raw(Unchecked):
    """Ids of another layout."""

    def read(self, sample):
        image, label = super().read(sample)
        return image, label + 7


class Blank(Unchecked):
    def read(self, sample):
        image, label = super().read(sample)
        return image, label * 0 + 255


class Fixed(SegDataset):
    def digest(self):
        return "0" * 16


class Stays(SegDataset):
    def __reduce__(self):
        raise TypeError("a connection cannot be pickled")


class Unread(Unchecked):
    def read_stored(self, sample):
        raise OSError("no such place")


def of(kind):
    def make(dataset):
        fields = ("name", "root", "classes", "palette", "ignore_index", "splits")
        return kind(**{field: getattr(dataset, field) for field in fields})

    return make


turns = itertools.count()


def another_order(dataset):
    turn = next(turns) % 2
    return with_splits(dataset, train=dataset.splits["train"][:: 1 if turn else -1])


CAUGHT = {
    no_validation: "its splits are not empty, train and val among them",
    trained_on_what_is_tested: "no image is in two splits",
    a_colour_short: "each class has a name and a colour",
    ignores_a_class: "ignore_index is no class",
    fewer_classes: "its samples are sound",
    of(Wide): "images have the channels that it says, masks are 8-bit, and both are of one size",
    of(Raw): "masks hold class ids and ignore_index alone",
    of(Blank): "every split has labelled pixels",
    another_order: "opening it again gives the same",
    of(Fixed): "its digest is of its content",
    of(Stays): "it travels to other processes",
    of(Unread): "training batches come of it",
}


def test_each_claim_catches_a_data_set():
    assert list(CAUGHT.values()) == [claim.sentence for claim in CLAIMS]


@pytest.mark.parametrize("change", CAUGHT, ids=CAUGHT.values())
def test_a_broken_data_set_is_caught(change, tiny):
    found = {claim.sentence: claim.reason for claim in examine(Data(lambda: change(tiny())), CLAIMS) if claim.reason}
    assert CAUGHT[change] in found


def test_a_sound_data_set_breaks_no_claim(tiny):
    assert [claim.reason for claim in examine(Data(tiny), CLAIMS) if claim.reason] == []


def test_a_mask_of_another_size_is_told_with_its_file(tiny, tmp_path):
    def smaller():
        dataset = tiny()
        sample = dataset.splits["train"][0]
        label = tmp_path / sample.label.name
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(label)
        return with_splits(dataset, train=(Sample(sample.image, label), *dataset.splits["train"][1:]))

    reasons = [claim.reason for claim in examine(Data(smaller), CLAIMS) if claim.reason]
    assert reasons[0].startswith(f"{tiny().splits['train'][0].image} is 64x48 but {tmp_path}")

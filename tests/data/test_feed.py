"""Crops made on the device are those made beside the files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.feed import feed
from trainables.data.loader import train_batches
from trainables.data.transforms import Cut, draw, normalize
from trainables.data.windows import pack, unpack
from trainables.published import STD

CPU = torch.device("cpu")
CONFIG = TrialConfig(method="task", steps=4, batch_size=3, crop_height=64, crop_width=32, seed=2)
RECIPES = {
    "scaled and flipped": {"scale_min": 0.3, "scale_max": 2.5, "flip_vertical": 0.5},
    "not scaled": {"scale_min": 1.0, "scale_max": 1.0, "flip_horizontal": 0.0},
    "jittered": {"color_jitter": 0.7},
    "no multiple of a stride": {"crop_height": 40, "crop_width": 50},
    "mostly padding": {"crop_height": 160, "crop_width": 160, "flip_vertical": 0.5, "scale_max": 0.6},
    "of a bank": {"views": 2, "color_jitter": 0.2},
    "channels last": {"channels_last": True},
}


def config(place, fields):
    return TrialConfig(**{**CONFIG.model_dump(), **fields, "augment_on": place})


@pytest.fixture
def dataset(tree):
    return open_dataset(str(tree))


def fed(dataset, fields, place, device=CPU):
    return list(feed(dataset, config(place, fields), device=device))


def same(one, other):
    assert len(one) == len(other) > 0
    return all(
        torch.equal(a.pixels, b.pixels)
        and a.pixels.stride() == b.pixels.stride()
        and torch.equal(a.labels, b.labels)
        and a.entries == b.entries
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("fields", RECIPES.values(), ids=RECIPES)
def test_crops_made_on_the_device_are_those_made_on_the_cpu(dataset, fields):
    assert same(fed(dataset, fields, "device"), fed(dataset, fields, "cpu"))


@pytest.mark.parametrize("place", ["cpu", "device"])
def test_a_crop_of_any_side_is_padded_with_what_no_loss_sees(dataset, place):
    """40x50 to 64x64; inside it is the crop of the very numbers that it would be alone."""
    plain = [
        (normalize(taken.images), dataset.as_classes(taken.ids))
        for taken in train_batches(dataset, config("cpu", RECIPES["no multiple of a stride"]), start_step=0)
    ]
    found = fed(dataset, RECIPES["no multiple of a stride"], place)
    for batch, (pixels, labels) in zip(found, plain, strict=True):
        assert batch.pixels.shape == (3, 3, 64, 64)
        assert torch.equal(batch.pixels[..., :40, :50], pixels)
        assert torch.equal(batch.labels[..., :40, :50], labels)
        assert (batch.labels[..., 40:, :] == 255).all()
        assert (batch.labels[..., 50:] == 255).all()
        assert batch.pixels[..., 40:, :].abs().max() == batch.pixels[..., 50:].abs().max() == 0


@pytest.mark.parametrize("place", ["cpu", "device"])
def test_ids_of_another_layout_become_classes_wherever_crops_are_made(dataset, place):
    """File ids 0-6 are classes 5, ignored, 4, 3, ...: by NumPy's look-up of the plain labels, padding stays ignored."""
    ids = {0: 5, 1: 255, 2: 4, 3: 3, 4: 2, 5: 1, 6: 0}
    table = np.full(256, 255)
    table[list(ids)] = list(ids.values())
    mapped, plain = (fed(one, RECIPES["mostly padding"], place) for one in (replace(dataset, ids=ids), dataset))
    for found, raw in zip(mapped, plain, strict=True):
        np.testing.assert_array_equal(found.labels.numpy(), table[raw.labels.numpy()])
        assert found.labels.dtype == torch.int64
        assert (found.labels != 255).any()


def test_a_damaged_sample_is_passed_over_wherever_crops_are_made(tree):
    path = open_dataset(str(tree)).samples("train")[1].image
    path.write_bytes(path.read_bytes()[:200])
    found = {}
    for place in ("cpu", "device"):
        dataset = open_dataset(str(tree))
        found[place] = fed(dataset, {"on_corrupt": "skip", "views": 3}, place)
        assert dataset.take_skipped() == [str(path)]
    assert same(found["cpu"], found["device"])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_windows_from_worker_processes_make_the_same_crops(dataset):
    fields = {"color_jitter": 0.3}
    assert same(fed(dataset, fields | {"num_workers": 2}, "device"), fed(dataset, fields, "cpu"))


def test_windows_of_any_size_come_out_of_the_buffer_as_they_went_in():
    """One window is the whole image of 5x7, the others are what scales of 4 and 8 need; 4 bytes a pixel."""
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.integers(0, 256, (3, 40, 50), dtype=np.uint8))
    ids = torch.from_numpy(rng.integers(0, 256, (40, 50), dtype=np.uint8))
    cuts = []
    for scale in (0.5, 4.0, 8.0):
        recipe = TrialConfig(crop_height=32, crop_width=64, scale_min=scale, scale_max=scale)
        drawn = draw(ids.shape, recipe, rng)
        rows, columns = (slice(axis.start, axis.start + axis.length) for axis in (drawn.rows, drawn.columns))
        cuts.append((image[:, rows, columns], ids[rows, columns], drawn))
    packed = pack([Cut(*one) for one in cuts], [7, 8, 9])
    assert packed.packed.numel() == 4 * (40 * 50 + 8 * 16 + 4 * 8)
    assert packed.entries == [7, 8, 9]
    for found, (window, its_ids, drawn) in zip(unpack(packed.packed, packed.draws), cuts, strict=True):
        assert torch.equal(found.image, window)
        assert torch.equal(found.ids, its_ids)
        assert found.drawn == drawn


@pytest.mark.cuda
@pytest.mark.parametrize("fields", RECIPES.values(), ids=RECIPES)
def test_cuda_rounds_resized_images_by_at_most_one_level(dataset, fields):
    """In levels of 1/255. Jitter multiplies the one level by at most 1.7, three times, and truncates three times."""
    jitter = fields.get("color_jitter", 0.0)
    allowed = 1 if jitter == 0 else (1 + jitter) ** 3 + 4
    std = torch.tensor(STD).reshape(1, 3, 1, 1)
    for found, expected in zip(
        fed(dataset, fields, "device", torch.device("cuda")), fed(dataset, fields, "cpu"), strict=True
    ):
        levels = (found.pixels.cpu() - expected.pixels) * 255 * std
        assert levels.abs().max() <= allowed + 1e-3
        assert torch.equal(found.labels.cpu(), expected.labels)


@pytest.mark.cuda
@pytest.mark.parametrize("place", ["cpu", "device"])
def test_the_feed_does_not_wait_for_the_device(dataset, place, no_waiting):
    batches = feed(
        replace(dataset, ids={n: n for n in range(7)}), config(place, RECIPES["jittered"]), device=torch.device("cuda")
    )
    next(batches)  # the look-up table is copied once
    with no_waiting():
        assert next(batches).pixels.is_cuda

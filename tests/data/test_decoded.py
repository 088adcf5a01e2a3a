"""Decoded samples on disk: one decoding for all, and never another sample than the file's own."""

from __future__ import annotations

import struct

import pytest
import torch
from PIL import Image

from trainables.config import TrialConfig
from trainables.data import banded, decoded
from trainables.data.catalogue import open_dataset
from trainables.data.loader import eval_batches, train_batches
from trainables.errors import DataError

CONFIG = TrialConfig(method="task", steps=4, batch_size=3, crop_height=32, crop_width=32)
ON_DISK = TrialConfig(**{**CONFIG.model_dump(), "image_cache": "disk"})


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HETEROAKD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded"


@pytest.fixture
def no_decoding(monkeypatch):
    def forbid():
        def refuse(path, bands):
            raise AssertionError(f"{path} is decoded once more")

        monkeypatch.setattr(banded, "read", refuse)

    return forbid


def on_disk(tree):
    dataset = open_dataset(str(tree))
    dataset.keep_decoded("disk")
    return dataset


def everything(dataset, config, **options):
    """The bytes of the training stream and of the validation split."""
    train = [(batch.images, batch.ids) for batch in train_batches(dataset, config, **options)]
    return [tensor.numpy().tobytes() for pair in [*train, *eval_batches(dataset, "val", 2)] for tensor in pair]


def files(cache):
    return sorted(path for path in cache.rglob("*") if path.is_file())


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_training_and_evaluation_are_the_same_and_decode_nothing_the_second_time(tree, cache, no_decoding, num_workers):
    expected = everything(open_dataset(str(tree)), CONFIG)
    assert everything(open_dataset(str(tree)), ON_DISK, num_workers=num_workers) == expected
    assert len(files(cache)) == 5 + 3  # train and val
    assert sum(path.stat().st_size for path in files(cache)) == 8 * (16 + 4 * 48 * 64)
    no_decoding()
    assert everything(open_dataset(str(tree)), ON_DISK, num_workers=num_workers) == expected


def test_a_changed_file_is_decoded_into_a_folder_of_its_own(tree, cache):
    everything(open_dataset(str(tree)), ON_DISK)
    path = open_dataset(str(tree)).samples("train")[2].image
    Image.new("RGB", (64, 48), (1, 2, 3)).save(path)
    changed = on_disk(tree)
    image, _ = changed.read(changed.samples("train")[2])
    assert (image == torch.tensor([1, 2, 3]).reshape(3, 1, 1)).all()
    assert len(list(cache.iterdir())) == 2


BROKEN = {
    "empty": lambda _: b"",
    "torn": lambda whole: whole[:-1],
    "torn in its header": lambda whole: whole[:9],
    "too long": lambda whole: whole + b"\0",
    "of another program": lambda whole: b"\x89PNG\r\n\x1a\n" + whole[8:],
    "of another size": lambda whole: whole[:8] + whole[12:16] + struct.pack("<I", 10**6) + whole[16:],
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_file_that_holds_no_sample_is_written_anew(tree, cache, broken):
    dataset = on_disk(tree)
    sample = dataset.samples("val")[0]
    expected = [tensor.clone() for tensor in dataset.read(sample)]
    (path,) = files(cache)
    whole = path.read_bytes()
    path.write_bytes(broken(whole))
    assert all(map(torch.equal, dataset.read(sample), expected))
    assert path.read_bytes() == whole


def test_what_is_written_into_a_sample_stays_in_its_process(tree):
    dataset = on_disk(tree)
    sample = dataset.samples("val")[0]
    dataset.read(sample)
    image, label = dataset.read(sample)
    before = image.clone(), label.clone()
    image.zero_(), label.fill_(3)
    assert all(map(torch.equal, dataset.read(sample), before))


def test_a_sample_that_cannot_be_decoded_is_not_kept(tree, cache):
    dataset = on_disk(tree)
    sample = dataset.samples("train")[0]
    sample.label.write_bytes(sample.label.read_bytes()[:60])
    for _ in range(2):
        with pytest.raises(DataError, match=str(sample.label)):
            dataset.read(sample)
    assert not files(cache)


@pytest.mark.parametrize("trouble", ["full", "no folder"])
def test_a_disk_that_takes_no_more_costs_a_warning_and_no_sample(tree, cache, monkeypatch, trouble):
    """The last GiB is left to checkpoints."""
    expected = everything(open_dataset(str(tree)), CONFIG)
    if trouble == "full":
        monkeypatch.setattr(decoded, "RESERVE_BYTES", 2**62)
    else:
        cache.parent.mkdir()
        cache.write_text("a file where the folder should be")
    with pytest.warns(RuntimeWarning, match="Decoded images are not kept, which costs time alone") as caught:
        assert everything(open_dataset(str(tree)), ON_DISK) == expected
    assert len(caught) == 1
    assert all(path == cache for path in files(cache.parent))


def test_trials_that_share_a_data_set_may_each_choose(tree, cache, no_decoding):
    dataset = open_dataset(str(tree))
    expected = everything(dataset, CONFIG)
    assert not cache.exists()
    assert everything(dataset, ON_DISK) == expected
    no_decoding()
    assert everything(dataset, ON_DISK) == expected
    with pytest.raises(AssertionError, match="is decoded once more"):
        everything(dataset, CONFIG)


def test_a_missing_file_is_the_streams_to_name(tree, cache):
    path = open_dataset(str(tree)).samples("train")[1].image
    dataset = open_dataset(str(tree))
    path.unlink()
    list(train_batches(dataset, TrialConfig(**{**ON_DISK.model_dump(), "on_corrupt": "skip"})))
    assert dataset.take_skipped() == [str(path)]

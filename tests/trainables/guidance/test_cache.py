"""What the teacher says of a bank of views is computed once, and is what it would have said."""

from __future__ import annotations

import errno
import multiprocessing
import os
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from trainables.data.bank import bank_views
from trainables.data.feed import Batch, feed
from trainables.data.transforms import normalize
from trainables.errors import ConfigError, Interrupted
from trainables.guidance import cache
from trainables.guidance import entries as entries_module
from trainables.guidance.cache import cache_folder, cache_size, describe
from trainables.guidance.guide import Guide
from trainables.loop import Learner
from trainables.teachers import freeze

VIEWS = 3
IMAGES = 4
ENTRIES = range(VIEWS * IMAGES)
LOGITS, STAGE3 = 5 * 8 * 8, 9 * 4 * 4  # numbers an entry: crops of 64 pixels; classes at stride 8, channels at 16
SIZE = len(ENTRIES) * (2 * LOGITS + 8 + 2 * STAGE3 + 8)


@pytest.fixture
def config(small):
    def make(**fields):
        base = {"method": "heteroakd", "projector_tap": "stage3", "views": VIEWS, "teacher_cache": True}
        counted = {"fold_teacher": False}  # folding runs the teacher too, and its copy is counted with it
        return small(**{**base, **counted, **fields})

    return make


@pytest.fixture
def asked(network):
    """A teacher, and how many crops each of its forwards saw."""
    model = freeze(network(7, stage=3, width=6))
    sizes = []
    model.register_forward_hook(lambda _model, args, _output: sizes.append(len(args[0])))
    return SimpleNamespace(model=model, sizes=sizes)


@pytest.fixture
def guide(asked, dataset, tmp_path):
    def make(config, teacher=None):
        return Guide(teacher or asked.model, config, dataset=dataset, cache=tmp_path)

    return make


@pytest.fixture
def batch(dataset):
    """Those crops of the bank, as a batch."""

    def make(config, entries):
        crops = [bank_views(dataset, config, entry // config.views)[entry % config.views] for entry in entries]
        labels = torch.zeros(len(entries), config.crop_height, config.crop_width, dtype=torch.long)
        return Batch(normalize(torch.stack(crops)), labels, list(entries))

    return make


@pytest.fixture
def files(tmp_path):
    def read():
        found = (path for path in tmp_path.rglob("*.*") if path.is_file())
        return {str(path.relative_to(tmp_path)): path.read_bytes() for path in found}

    return read


def as_bytes(features):
    return {name: maps.numpy().tobytes() for name, maps in {"logits": features.logits, **features.taps}.items()}


def test_the_answer_is_the_teachers_to_within_fp16(config, guide, batch, asked):
    mixed = batch(config(), [7, 0, 4])
    said, plain = guide(config())(mixed), guide(config(teacher_cache=False))(mixed)
    for mine, theirs in ((said.logits, plain.logits), (said.taps["stage3"], plain.taps["stage3"])):
        assert mine.dtype == theirs.dtype == torch.float32
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)
    assert not torch.equal(said.logits, plain.logits)


def test_later_answers_are_the_first_bit_for_bit_and_the_teacher_is_not_asked(config, guide, batch, asked):
    first = guide(config())
    answers = [as_bytes(first(batch(config(), pair))) for pair in ([0, 5], [11, 3])]
    asked.sizes.clear()
    again = guide(config(seed=1, lr=0.5))
    assert [as_bytes(again(batch(config(), pair))) for pair in ([0, 5], [11, 3])] == answers
    assert as_bytes(first(batch(config(), [5]))).keys() == answers[0].keys()
    assert asked.sizes == []


def test_a_missing_image_is_asked_for_whole_in_forwards_of_eight(config, guide, batch, asked, dataset):
    """So what is kept is a function of the image, not of the batch that came first."""
    config = config(views=10)
    said = guide(config)(batch(config, [19, 12, 11]))
    assert asked.sizes == [8, 2]
    views = normalize(bank_views(dataset, config, 1))
    whole = torch.cat([asked.model(views[:8]).logits, asked.model(views[8:]).logits])
    assert torch.equal(said.logits, whole[[9, 2, 1]].half().float())


def test_the_share_of_hits_is_that_of_the_crops_that_were_there(config, guide, batch):
    shown = guide(config())
    assert shown.hits == (0, 0)
    expected = [([0, 1], 0 / 2), ([2, 3], 1 / 4), ([3, 2, 4], 4 / 7), ([11], 4 / 8)]
    for entries, share in expected:
        shown(batch(config(), entries))
        assert shown.hits.rate == pytest.approx(share)
    assert guide(config(teacher_cache=False)).hits.rate is None


def test_training_with_a_cache_ends_near_the_training_without_and_again_exactly_there(
    config, guide, dataset, asked, tmp_path
):
    def weights(name, **fields):
        trial = config(steps=3, eval_every=3, optimizer="sgd", **fields)
        learner = Learner(trial, dataset=dataset, teacher=asked.model, directory=tmp_path / name)
        taught = guide(trial)
        for given in islice(feed(dataset, trial, device=learner.device), 2):  # no evaluation
            learner.step(given, taught(given))
        return torch.cat([value.flatten().double() for value in learner.state.weights().values()])

    plain, filling = weights("plain", teacher_cache=False), weights("filling")
    asked.sizes.clear()
    assert torch.equal(weights("filled"), filling)
    assert asked.sizes == []
    assert not torch.equal(plain, filling)
    untaught = weights("untaught", teacher_cache=False, lambda_kd=0.0, lambda_hakd=0.0)
    assert (plain - filling).norm() < 1e-3 * (plain - untaught).norm()


@pytest.mark.parametrize(
    "fields",
    [
        *({"views": 4}, {"crop_height": 32}, {"crop_width": 96}, {"scale_min": 0.6}, {"scale_max": 1.9}),
        *({"flip_horizontal": 0.0}, {"flip_vertical": 0.5}, {"color_jitter": 0.2}, {"num_threads": 2}),
    ],
)
def test_another_bank_has_another_folder(config, asked, dataset, fields):
    found = [cache_folder(one, teacher=asked.model, dataset=dataset) for one in (config(), config(**fields))]
    assert found[0] != found[1]


def test_other_weights_or_data_have_another_folder_and_another_student_has_not(config, asked, network, dataset):
    folder = cache_folder(config(), teacher=asked.model, dataset=dataset)
    with torch.no_grad():
        other = freeze(network(7, stage=3, width=6))
        other.encoder.steps[2][1].running_var[1] += 0.01
    fewer = replace(dataset, splits={**dataset.splits, "train": dataset.samples("train")[:3]})
    same = config(seed=3, lr=0.1, batch_size=4, method="kd", steps=9, channels_last=True, fold_teacher=False)
    assert cache_folder(config(), teacher=other, dataset=dataset) != folder
    assert cache_folder(config(), teacher=asked.model, dataset=fewer) != folder
    assert cache_folder(same, teacher=asked.model, dataset=dataset) == folder


def test_methods_share_the_logits_and_a_tap_that_is_not_kept_is_refused(config, guide, batch, files):
    kd = guide(config(method="kd"))(batch(config(), [4]))
    before = files()
    assert {name.rpartition("/")[2] for name in before} == {"logits.f16", "logits.crc"}
    with pytest.raises(ConfigError, match=r"tap 'stage4', .* here none\. Set teacher_cache to false\."):
        kd.taps["stage4"]
    said = guide(config())(batch(config(), [4]))
    assert torch.equal(said.logits, kd.logits)
    assert before.items() < files().items()
    with pytest.raises(ConfigError, match=r"tap 'stage4', .* here 'stage3'\."):
        said.taps["stage4"]


@pytest.mark.parametrize("damage", ["torn", "unmarked", "gone"])
def test_what_is_not_whole_is_computed_again_and_the_rest_is_not_written_to(
    config, guide, batch, asked, files, tmp_path, monkeypatch, damage
):
    guide(config())(batch(config(), [0, 3]))
    sound = files()
    (data,) = tmp_path.rglob("stage3.f16")
    if damage == "gone":
        data.unlink()
        data.with_suffix(".crc").unlink()
    else:
        path, at = (data, 4 * 2 * STAGE3 + 17) if damage == "torn" else (data.with_suffix(".crc"), 4 * 8)
        bad = bytearray(path.read_bytes())
        bad[at : at + 8] = bytes([bad[at] ^ 1, *[0] * 7]) if damage == "torn" else bytes(8)
        path.write_bytes(bad)
    asked.sizes.clear()
    plain, offsets = os.pwrite, []
    monkeypatch.setattr(entries_module.os, "pwrite", lambda *args: (offsets.append(args[2]), plain(*args))[1])
    again = guide(config())
    again(batch(config(), [0, 1, 2, 3, 4, 5]))
    assert again.hits.rate == {"torn": 5 / 6, "unmarked": 5 / 6, "gone": 0}[damage]
    assert asked.sizes == ([3, 3] if damage == "gone" else [3])
    written = range(6) if damage == "gone" else [4]
    assert offsets == [at for entry in written for at in (entry * 2 * STAGE3, entry * 8)]
    assert files() == sound


def test_what_fp16_cannot_hold_is_its_largest_number(config, guide, batch, network):
    loud = freeze(network(7, stage=3, width=6))
    with torch.no_grad():
        loud.head.bias.copy_(torch.tensor([1e6, -1e6, torch.inf, 60000.0, 0.0]))
    logits = guide(config(), loud)(batch(config(), [0])).logits
    assert logits[0, :3, 0, 0].tolist() == [65504, -65504, 65504]
    assert logits[0, 3].sub(60000).abs().max() < 60


def test_a_full_disk_interrupts_and_what_was_being_written_is_missing(config, guide, batch, asked, monkeypatch):
    plain, left = os.pwrite, [2500]

    def filling(file, values, offset):
        """Writes a part at a time, until the disk is full."""
        if left[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = plain(file, values[: min(100, left[0])], offset)
        left[0] -= done
        return done

    with monkeypatch.context() as patch:
        patch.setattr(entries_module.os, "pwrite", filling)
        with pytest.raises(Interrupted, match=r"The disk of \S+teacher-cache\S+ is full .* Free space"):
            guide(config())(batch(config(), [0, 1, 2]))
    again = guide(config())
    assert torch.equal(again(batch(config(), [1, 2])).logits, again(batch(config(), [1, 2])).logits)
    assert asked.sizes == [3, 3]
    assert again.hits.rate == 2 / 4


def test_its_size_is_known_before_it_is_built_and_is_that_of_its_files(config, guide, batch, asked, dataset, files):
    network = {"teacher": asked.model, "num_images": IMAGES, "num_classes": 5}
    assert cache_size(config(), **network) == SIZE
    assert cache_size(config(method="kd"), **network) == len(ENTRIES) * (2 * LOGITS + 8)
    for entry in ENTRIES[::VIEWS]:
        guide(config())(batch(config(), [entry]))
    assert sum(map(len, files().values())) == SIZE


def test_a_sweep_is_told_what_it_is_and_refused_where_there_is_no_room(
    config, guide, batch, asked, dataset, tmp_path, monkeypatch
):
    def tell(free, **others):
        disk = SimpleNamespace(disk_usage=lambda _folder: SimpleNamespace(free=free))
        monkeypatch.setattr(cache, "shutil", disk)
        others = {Path(name): size for name, size in others.items()}
        named = config(teacher="fpn:resnet18")
        return describe(named, teacher=asked.model, dataset=dataset, others=others, cache=tmp_path)

    gib = f"{SIZE / 2**20:.3f} MiB"
    assert tell(3 * 2**30) == (
        f"teacher cache of fpn:resnet18: 4 images x 3 views, {gib} under {tmp_path}/teacher-cache (3.0 GiB free); "
        "another protocol: fixed views"
    )
    assert not list(tmp_path.iterdir())
    assert tell(SIZE + 10, other=10)
    with pytest.raises(Interrupted, match="needs"):
        tell(SIZE + 9, other=10)
    assert tell(SIZE)
    with pytest.raises(Interrupted, match=rf"needs {gib} more under \S+, where \S+ MiB are free\. Free space, lower"):
        tell(SIZE - 1)
    with pytest.raises(Interrupted, match="needs"):
        guide(config(teacher="fpn:resnet18"))
    tell(SIZE)
    guide(config(teacher="fpn:resnet18"))(batch(config(), [0]))
    assert f"{SIZE / 2**20:.3f} MiB, of which {SIZE / 4 / 2**20:.3f} MiB are there, under" in tell(SIZE * 3 // 4)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12 and later
def test_processes_that_fill_it_at_once_leave_what_one_alone_leaves(config, guide, batch, files, tmp_path, monkeypatch):
    guide(config())(batch(config(), ENTRIES))
    alone = files()
    for name in alone:
        (tmp_path / name).unlink()
    fork = multiprocessing.get_context("fork")
    together = fork.Barrier(2)

    def fill(order):
        taught = guide(config())
        for entry in order:
            together.wait(60)
            taught(batch(config(), [entry]))

    others = [fork.Process(target=fill, args=(order,)) for order in (ENTRIES[::VIEWS], ENTRIES[::-VIEWS])]
    for other in others:
        other.start()
    for other in others:
        other.join(60)
    assert [other.exitcode for other in others] == [0, 0]
    assert files() == alone
    assert np.count_nonzero(np.frombuffer(next(v for k, v in alone.items() if k.endswith("logits.crc")), "u8")) == 12


def test_an_answer_on_a_crop_of_any_side_is_that_on_the_padded_one(config, guide, dataset):
    odd = config(crop_height=40, crop_width=50, steps=2)
    answers = guide(odd), guide(odd.model_copy(update={"teacher_cache": False}))
    for batch in feed(dataset, odd, device=torch.device("cpu")):
        said, plain = (each(batch) for each in answers)
        assert said.logits.shape[-2:] == plain.logits.shape[-2:] == (8, 8)
        torch.testing.assert_close(said.logits, plain.logits, rtol=1e-3, atol=1e-5)

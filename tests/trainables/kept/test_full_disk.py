"""A full disk interrupts a trial and falsifies nothing: on a file system that really is full."""

from __future__ import annotations

import json
import resource
import subprocess
from math import isnan
from pathlib import Path

import pytest
import torch

from trainables.errors import Interrupted
from trainables.kept import atomic, checkpoint
from trainables.loop import train
from trainables.teachers import ensure_teacher
from trainables.tune import tune_trial

NUMBERS = {"value": torch.zeros(2**16)}  # 256 KiB


@pytest.fixture
def disk(tmp_path):
    """Mount a file system of so many KiB; called again, change its size."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = []

    def size(kib):
        options = f"{'remount,' if mounted else ''}size={kib}k"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
        mounted.append(True)
        return place

    yield size
    if mounted:
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def file_limit():
    """Let this process write no file of more bytes: needs no root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def save(directory, step):
    checkpoint.save(directory, step=step, tensors=NUMBERS, meta={"digest": "abc", "step": step})


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_checkpoint_on_a_full_disk_interrupts_with_a_remedy_and_leaves_the_earlier_ones_whole(disk):
    place = disk(700)
    for step in (1, 2):
        save(place / "trial", step)
    with pytest.raises(Interrupted) as caught:
        save(place / "trial", 3)
    assert str(caught.value) == (
        f"The disk of {place / 'trial'} is full (No space left on device). "
        "Free space, then `heteroakd resume` (or the same command again)."
    )
    assert names(place / "trial") == ["step-00000001.safetensors", "step-00000002.safetensors"]
    assert checkpoint.latest(place / "trial", digest="abc")[1]["step"] == 2
    disk(2000)
    save(place / "trial", 3)
    assert checkpoint.latest(place / "trial", digest="abc")[1]["step"] == 3


def test_a_file_that_may_not_grow_interrupts_too(tmp_path, file_limit):
    save(tmp_path, 1)
    file_limit(100_000)
    with pytest.raises(Interrupted, match=r"cannot be used \(.*File too large\)"):
        save(tmp_path, 2)
    assert names(tmp_path) == ["step-00000001.safetensors"]


def test_a_text_on_a_full_disk_leaves_the_old_one(disk):
    place = disk(64)
    atomic.write_text(place / "log.jsonl", "old")
    with pytest.raises(Interrupted, match="is full"):
        atomic.write_text(place / "log.jsonl", "new " * 100_000)
    assert names(place) == ["log.jsonl"]
    assert (place / "log.jsonl").read_text() == "old"


def test_a_folder_that_cannot_be_made_interrupts(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Interrupted, match="cannot be used"):
        atomic.write_text(tmp_path / "file" / "log.jsonl", "")


def test_a_trial_that_met_a_full_disk_goes_on_and_equals_the_undisturbed_one(disk, small, dataset, outcome, tmp_path):
    config, seen = small(), []
    whole = outcome(train(config, dataset=dataset, directory=tmp_path / "whole"))
    first = checkpoint_kib(config, dataset, tmp_path / "first")
    place = disk(int(1.5 * first))
    with pytest.raises(Interrupted, match="is full"):
        train(config, dataset=dataset, directory=place / "trial", report=seen.append)
    assert [report.step for report in seen] == [2]
    assert names(place / "trial") == ["log.jsonl", "step-00000002.safetensors"]
    disk(4 * first)
    assert outcome(train(config, dataset=dataset, directory=place / "trial")) == whole
    log = [json.loads(line)["step"] for line in (place / "trial" / "log.jsonl").read_text().splitlines()]
    assert log == [2, 4, 6]


def checkpoint_kib(config, dataset, directory):
    """Size of a checkpoint in the middle of a trial."""

    class Enough(Exception):
        pass

    def stop(_report):
        raise Enough

    with pytest.raises(Enough):
        train(config, dataset=dataset, directory=directory, report=stop)
    return (directory / "step-00000002.safetensors").stat().st_size // 1024


def test_tune_is_told_that_a_trial_was_interrupted_not_that_it_failed(disk, small, monkeypatch, tmp_path):
    told = []
    monkeypatch.setattr("trainables.tune.tune.report", told.append)
    place = disk(16)
    params = {"config": small().model_dump(mode="json"), "directory": "trials/search-00000"}
    tune_trial(params, study_directory=str(place), cache=str(tmp_path))
    (report,) = told
    assert report.keys() == {"step", "miou", "interrupted"}
    assert report["step"] == 0
    assert isnan(report["miou"])
    assert report["interrupted"].startswith(f"The disk of {place}/trials/search-00000 is full")


@pytest.mark.parametrize("directory", ["../elsewhere", "/elsewhere", "trials/../../elsewhere", ""])
def test_a_trial_directory_that_leaves_the_study_fails_before_anything_is_written(
    directory, small, monkeypatch, tmp_path
):
    told = []
    monkeypatch.setattr("trainables.tune.tune.report", told.append)
    params = {"config": small().model_dump(mode="json"), "directory": directory}
    tune_trial(params, study_directory=str(tmp_path / "study"), cache=str(tmp_path))
    assert told[0]["failed"] == f"A trial's directory must be relative and without '..', got {directory!r}."
    assert names(tmp_path) == []


def test_a_teacher_that_meets_a_full_disk_says_the_same(disk, small, dataset):
    place = disk(16)
    with pytest.raises(Interrupted, match=rf"The disk of {place}/\S+ is full .* Free space, then `heteroakd resume`"):
        ensure_teacher(small(method="kd"), dataset=dataset, cache=Path(place))
    assert not list(place.rglob("*.safetensors*"))

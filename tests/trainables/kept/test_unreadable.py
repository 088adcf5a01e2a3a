"""A file that cannot be opened now interrupts and stays; only one that was read and is not whole gives way."""

from __future__ import annotations

import errno
import os
import resource
import stat
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from trainables.errors import CheckpointError, Interrupted
from trainables.kept import checkpoint
from trainables.kept.store import Folder
from trainables.loop import train

AWAY = [errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.EPERM]


def save(directory, step):
    tensors = {"value": torch.tensor(float(step))}
    return directory / checkpoint.save(directory, step=step, tensors=tensors, meta={"digest": "abc", "step": step})


def names(directory):
    return sorted(path.name for path in directory.iterdir())


@contextmanager
def failing(number, name):
    """Within, no file of a name can be read."""
    plain = Path.read_bytes

    def read(path):
        if path.name == name:
            raise OSError(number, os.strerror(number), str(path))
        return plain(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", read)
        yield


@pytest.fixture
def no_files_left():
    """Within, this process may open no more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def limit():
        spare = os.open("/dev/null", os.O_RDONLY)  # the lowest number that is free
        os.close(spare)
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))

    yield limit
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077, 0o000])
def test_a_checkpoint_has_the_mode_that_the_umask_gives_a_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        path = save(tmp_path, 1)
        checkpoint.write(tmp_path / "teacher.safetensors", {"a": torch.ones(1)}, {})
    finally:
        os.umask(before)
    for file in (path, tmp_path / "teacher.safetensors"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("number", AWAY)
def test_a_newest_checkpoint_that_cannot_be_read_for_a_while_interrupts_and_all_stay(tmp_path, number):
    for step in (1, 2):
        save(tmp_path, step)
    with failing(number, "step-00000002.safetensors"), pytest.raises(Interrupted) as caught:
        checkpoint.latest(tmp_path, digest="abc")
    assert str(caught.value) == (
        f"{tmp_path / 'step-00000002.safetensors'} cannot be used ({os.strerror(number)}). Make it reachable and "
        "writable, then `heteroakd resume` (or the same command again)."
    )
    assert names(tmp_path) == ["step-00000001.safetensors", "step-00000002.safetensors"]
    assert checkpoint.latest(tmp_path, digest="abc")[1]["step"] == 2


def test_a_process_without_a_file_to_open_is_interrupted(tmp_path, no_files_left):
    """With the system's own error, which libraries put in other words."""
    for step in (1, 2):
        save(tmp_path, step)
    store = Folder(tmp_path)
    no_files_left()
    with pytest.raises(Interrupted, match="Too many open files"):
        checkpoint.load(tmp_path / "step-00000002.safetensors")
    with pytest.raises(Interrupted, match="Too many open files"):
        store.names()


def test_a_trial_whose_checkpoint_is_away_for_a_while_goes_on_from_it(small, dataset, outcome, tmp_path):
    class Killed(Exception):
        pass

    def kill(report):
        if report.step == 4:
            raise Killed

    config, seen = small(), []
    whole = outcome(train(config, dataset=dataset, directory=tmp_path / "whole"))
    with pytest.raises(Killed):
        train(config, dataset=dataset, directory=tmp_path / "trial", report=kill)
    there = names(tmp_path / "trial")
    with failing(errno.EIO, "step-00000004.safetensors"), pytest.raises(Interrupted, match="Input/output error"):
        train(config, dataset=dataset, directory=tmp_path / "trial", report=seen.append)
    assert (seen, names(tmp_path / "trial")) == ([], there)
    assert outcome(train(config, dataset=dataset, directory=tmp_path / "trial", report=seen.append)) == whole
    assert [report.step for report in seen] == [2, 4, 6]


def test_a_folder_that_is_away_is_not_taken_for_one_without_files(tmp_path, monkeypatch):
    def away(_path):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    save(tmp_path, 1)
    monkeypatch.setattr(Path, "iterdir", away)
    with pytest.raises(Interrupted, match=r"cannot be used \(Stale file handle\)"):
        checkpoint.latest(tmp_path, digest="abc")


def test_a_file_of_weights_that_is_not_there_is_no_interruption(tmp_path):
    with pytest.raises(CheckpointError, match=r"is no whole safetensors file: No such file or directory\.$"):
        checkpoint.load(tmp_path / "none.safetensors")

"""Hashes kept on disk are those of the files, whatever happened to files or cache."""

from __future__ import annotations

import hashlib
import json
import os
import time

import pytest

from trainables.data import hashes
from trainables.data.catalogue import open_dataset
from trainables.data.hashes import file_hashes
from trainables.errors import DataError


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Three files, written an hour ago as far as the cache can tell, and a cache that keeps sets of any size."""
    monkeypatch.setenv("HETEROAKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hashes, "LEAST_BYTES", 0)
    monkeypatch.setattr(hashes, "_SETTLED_NS", -3600 * 10**9)
    (tmp_path / "set").mkdir()
    paths = [tmp_path / "set" / name for name in "abc"]
    for path in paths:
        path.write_text(f"content of {path.name}")
    return paths


@pytest.fixture
def read(monkeypatch):
    """Names of the files that were read."""
    seen = []
    plain = hashes._hash

    def counting(path):
        seen.append(path.name)
        return plain(path)

    monkeypatch.setattr(hashes, "_hash", counting)
    return seen


def expected(paths):
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def ask(paths):
    return file_hashes(paths, root=paths[0].parent)


def kept(tmp_path):
    return next((tmp_path / "cache" / "digests").glob("*.json"))


def test_a_second_look_reads_nothing(files, read):
    assert ask(files) == ask(files) == expected(files)
    assert sorted(read) == ["a", "b", "c"]


def test_only_what_changed_is_read_again(files, read):
    ask(files)
    files[1].write_text("content of B")  # as many bytes
    read.clear()
    assert ask(files) == expected(files)
    assert read == ["b"]


def test_a_change_under_the_old_time_of_writing_is_seen(files):
    ask(files)
    before = files[1].stat()
    time.sleep(0.02)  # a clock tick of the file system
    files[1].write_text("content of B")
    os.utime(files[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert files[1].stat().st_mtime_ns == before.st_mtime_ns
    assert ask(files) == expected(files)


def test_files_that_change_places_are_seen(files, tmp_path):
    ask(files)
    time.sleep(0.02)
    files[0].rename(tmp_path / "kept"), files[1].rename(files[0]), (tmp_path / "kept").rename(files[1])
    assert ask(files) == expected(files)


def test_a_file_that_may_still_change_is_not_kept(files, read, monkeypatch, tmp_path):
    monkeypatch.setattr(hashes, "_SETTLED_NS", 2 * 10**9)
    assert ask(files) == ask(files) == expected(files)
    assert len(read) == 6
    assert json.loads(kept(tmp_path).read_text()) == {}


def test_a_file_that_was_young_when_it_was_hashed_is_not_kept_however_long_the_others_take(
    files, monkeypatch, tmp_path
):
    monkeypatch.setattr(hashes, "_SETTLED_NS", 5 * 10**8)
    plain = hashes._hash

    def slow(path):
        time.sleep(0.7)
        return plain(path)

    monkeypatch.setattr(hashes, "_hash", slow)
    files[1].write_text("content of B")
    ask(files)
    assert str(files[1]) not in json.loads(kept(tmp_path).read_text())


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"a": 3}', '{"a": [[1], 2, 3]}'])
def test_a_torn_cache_is_as_none(files, tmp_path, content):
    ask(files)
    kept(tmp_path).write_text(content)
    assert ask(files) == expected(files)


def test_a_cache_that_cannot_be_written_costs_time_alone(files, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert ask(files) == expected(files)


def test_small_sets_leave_the_cache_alone(files, monkeypatch, tmp_path):
    monkeypatch.setattr(hashes, "LEAST_BYTES", 10**6)
    assert ask(files) == expected(files)
    assert not (tmp_path / "cache").exists()


def test_a_missing_file_is_refused(files):
    files[2].unlink()
    with pytest.raises(DataError, match="c cannot be read: No such file"):
        ask(files)


def test_a_sets_digest_is_the_same_with_and_without_kept_hashes(tree, files, tmp_path):
    first = open_dataset(str(tree)).digest()
    assert kept(tmp_path).exists()
    assert open_dataset(str(tree)).digest() == first
    kept(tmp_path).unlink()
    assert open_dataset(str(tree)).digest() == first

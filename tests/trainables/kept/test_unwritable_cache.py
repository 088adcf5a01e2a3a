"""A cache that cannot be written serves what it holds; where something must be made, one sentence says how."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from trainables import teachers
from trainables.errors import ConfigError, Interrupted
from trainables.kept.cache import check_cache, default_cache
from trainables.preflight.check import preflight


def refuse(*_args, **_options):
    raise AssertionError("nothing may be locked or made")


def denied(path, *_args, **_options):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def test_a_teacher_that_is_there_is_only_looked_at(small, dataset, cache, monkeypatch):
    monkeypatch.setattr(teachers, "FileLock", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert teachers.ensure_teacher(small(method="kd"), dataset=dataset, cache=cache).is_file()


def test_a_cache_that_holds_all_teachers_need_not_be_writable(small, dataset, cache, monkeypatch):
    monkeypatch.setenv("HETEROAKD_CACHE", str(cache))
    monkeypatch.setattr(Path, "mkdir", denied)
    assert preflight([small(method="kd")]).data_digest == dataset.digest()


@pytest.mark.parametrize("fields", [{"method": "kd"}, {"method": "kd", "views": 2, "teacher_cache": True}])
def test_a_cache_that_must_be_filled_and_cannot_is_named_before_any_work(small, tmp_path, monkeypatch, fields):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HETEROAKD_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ConfigError) as caught:
        preflight([small(**fields)])
    assert str(caught.value) == (
        f"{tmp_path}/file/cache cannot keep trained teachers (Not a directory). Make it a folder that can be written, "
        "or set HETEROAKD_CACHE to one."
    )


def test_the_student_alone_needs_no_cache(small, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HETEROAKD_CACHE", str(tmp_path / "file" / "cache"))
    preflight([small(method="task")])


def test_a_cache_that_may_not_be_written_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "touch", denied)
    with pytest.raises(ConfigError, match=r"\(Permission denied\).* or set HETEROAKD_CACHE to one\.$"):
        check_cache(tmp_path / "cache")


def test_a_check_leaves_nothing_behind(tmp_path):
    check_cache(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_user_without_a_home_is_told_to_name_a_cache(monkeypatch):
    def homeless(_path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("HETEROAKD_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)
    with pytest.raises(ConfigError, match="Set HETEROAKD_CACHE to a folder that can be written"):
        default_cache()


def test_a_lock_that_cannot_be_made_interrupts_and_names_the_variable(small, dataset, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Interrupted, match=r"in HETEROAKD_CACHE's folder, cannot be used \(Not a directory\)"):
        teachers.ensure_teacher(small(method="kd"), dataset=dataset, cache=tmp_path / "file")

"""What a sweep refuses or meets before and beside its trials, each as one sentence with a remedy that works."""

from __future__ import annotations

import errno

import pytest
from ray.exceptions import GetTimeoutError, RayTaskError
from rich.console import Console

from explorer.launch import sweep, tasks
from explorer.launch.tasks import _failed, _Task
from explorer.study import SPEC_FILE, StudySpec
from trainables.errors import ConfigError, Interrupted


def quiet():
    return Console(quiet=True)


def test_a_cache_that_cannot_be_written_is_said_before_a_study_is_begun(tiny_spec, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HETEROAKD_CACHE", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="set HETEROAKD_CACHE to one"):
        sweep.sweep(StudySpec.parse(tiny_spec), tmp_path / "study", console=quiet())
    assert not (tmp_path / "study" / SPEC_FILE).exists()


def in_task(cause):
    return RayTaskError("train_teacher", "a traceback\nof many lines", cause)


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/cache/x"), "Permission denied (/cache/x)"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (ConnectionError("nobody answers."), "nobody answers"),
    ],
)
def test_an_error_of_the_system_in_a_task_is_one_sentence(cause, said):
    with pytest.raises(Interrupted) as caught:
        _failed(_Task("net", {}, {}), in_task(cause), None, 1, "teacher")
    assert str(caught.value) == f"The work on teacher net failed: {said}. Mend that, then resume."


@pytest.mark.parametrize("cause", [GetTimeoutError("late"), KeyError("x")])
def test_what_is_no_error_of_the_system_is_not_said_as_one(cause):
    assert tasks.of_system(in_task(cause)) is None

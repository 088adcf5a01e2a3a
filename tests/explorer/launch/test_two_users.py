"""One study, two users: what one has left, the other goes on with; what he may not read, he leaves as it is."""

from __future__ import annotations

import itertools
import json
import os
import pwd
import shutil
import tempfile
import traceback
from pathlib import Path

import pytest
from rich.console import Console

from explorer.launch import sweep
from explorer.study import StudySpec
from trainables.errors import Interrupted
from trainables.kept import checkpoint

pytestmark = pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="needs root to become another")
NET = "trainables.contracts.tiny:learner"


@pytest.fixture
def place(tiny_data, monkeypatch):
    """A folder that all may write, with data in it; what is made in it is everybody's."""
    place = Path(tempfile.mkdtemp(prefix="two-users-"))  # pytest's own folders are their maker's alone
    place.chmod(0o777)
    before = os.umask(0)
    shutil.copytree(tiny_data, place / "data")
    (place / "data").chmod(0o777)
    monkeypatch.setenv("HETEROAKD_CACHE", str(place / "cache"))
    yield place
    os.umask(before)
    shutil.rmtree(place)


@pytest.fixture
def other():
    """Runs a function as a user who owns nothing here; returns what it returns, as JSON has it."""
    known = {entry.pw_uid for entry in pwd.getpwall()}
    uid = next(uid for uid in itertools.count(54321) if uid not in known)

    def run(function):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
                said = {"returned": function()}
            except BaseException:
                said = {"raised": traceback.format_exc()}
            os.write(write, json.dumps(said).encode()[:60_000])
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as pipe:
            said = json.load(pipe)
        os.waitpid(child, 0)
        assert "returned" in said, said["raised"]
        return said["returned"]

    return run


@pytest.fixture
def begun(place, without_ray, monkeypatch):
    """A study whose only trial of the search was stopped after its second checkpoint, at step 4 of 6."""
    crop = {"crop_height": 64, "crop_width": 64, "batch_size": 2, "steps": 6}
    base = {**crop, "method": "kd", "teacher": NET, "student": NET, "data": str(place / "data"), "eval_every": 2}
    forms = {"space": {"lambda_kd": {"low": 0.01, "high": 10.0, "log": True}}, "num_trials": 1, "pruner": "none"}
    recipe = {"device": "cpu", "teacher_recipe": crop | {"steps": 2}}
    spec = StudySpec.parse({"name": "shared", **forms, "base": {**base, **recipe}, "max_concurrent": 1})
    plain = checkpoint.save

    def save(where, **options):
        name = plain(where, **options)
        if "search" in str(where) and options["step"] == 4:
            raise KeyboardInterrupt
        return name

    monkeypatch.setattr("trainables.loop.checkpoint.save", save)
    with without_ray(), pytest.raises(KeyboardInterrupt):
        sweep.sweep(spec, place / "study", console=Console(quiet=True))
    monkeypatch.setattr("trainables.loop.checkpoint.save", plain)
    return place / "study"


def checkpoints(study):
    return sorted(str(path.relative_to(study)) for path in study.rglob("search*/*.safetensors"))


def test_a_study_is_resumed_by_another_user_from_the_checkpoint(begun, without_ray, other):
    def resume():
        went_on = []
        plain = checkpoint.latest

        def latest(where, **options):
            found = plain(where, **options)
            went_on.append(found and found[1]["step"])
            return found

        with without_ray(), pytest.MonkeyPatch.context() as patch:
            patch.setattr("trainables.loop.checkpoint.latest", latest)
            left = sweep.resume(begun, console=Console(quiet=True))
        return [left, went_on]

    assert len(checkpoints(begun)) == 2
    assert other(resume) == [0, [4]]
    assert [Path(path).name for path in checkpoints(begun)] == ["step-00000006.safetensors"]


def test_what_another_user_may_not_read_interrupts_him_and_stays(begun, without_ray, other):
    def resume():
        with without_ray(), pytest.raises(Interrupted) as caught:
            sweep.resume(begun, console=Console(quiet=True))
        return str(caught.value)

    newest = max(begun.rglob("search*/*.safetensors"))
    newest.chmod(0o600)
    there = checkpoints(begun)
    said = other(resume)
    assert f"{newest.name} cannot be used (Permission denied)" in said
    assert checkpoints(begun) == there

"""A host's side of the conversation with the bridge, without Ray: whoever it was given is told of, exactly once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from trainables import tune as seam
from trainables.errors import Interrupted, TeacherError


@pytest.fixture
def host(small, monkeypatch, tmp_path):
    """Runs `tune_group` over members by name; each that ends makes room for one that joins."""

    def run(*names, joins=()):
        told, waiting = [], list(joins)
        context = SimpleNamespace(get_trial_id=lambda: "host")
        monkeypatch.setattr(seam, "tune", SimpleNamespace(report=told.append, get_context=lambda: context))

        def params(name):
            return {"directory": name, "config": small(method="kd").model_dump(mode="json")}

        def take(_host, number):
            result = told[number - 1]
            ends = "failed" in result or "interrupted" in result
            return {"stop": ends, "join": [params(waiting.pop(0))] if ends and waiting else []}

        answers = SimpleNamespace(take=take)
        members = [params(name) for name in names]
        seam.tune_group({"members": members}, study_directory=str(tmp_path), cache=str(tmp_path), answers=answers)
        return told

    return run


@pytest.mark.parametrize(("error", "key"), [(TeacherError, "failed"), (Interrupted, "interrupted")])
def test_a_teacher_that_cannot_be_had_ends_all_and_those_that_join_to_hear_it(host, monkeypatch, error, key):
    def none(*_args, **_options):
        raise error("It is gone.")

    monkeypatch.setattr("trainables.run.load_teacher", none)
    told = host("a", "b", joins=("c", "d"))
    assert [(result["member"], result[key]) for result in told] == [(name, "It is gone.") for name in "abcd"]
    assert [result["number"] for result in told] == [1, 2, 3, 4]


def test_an_error_amid_the_training_is_told_of_those_alone_that_have_not_ended(host, monkeypatch):
    def broken(members, *, tell, **_options):
        tell(members[0].name, TeacherError("Its own."), 1.0)
        raise TeacherError("The cache is full.")

    monkeypatch.setattr(seam, "run_group", broken)
    told = host("a", "b", joins=("c",))
    reasons = [(result["member"], result["failed"]) for result in told]
    assert reasons == [("a", "Its own."), ("b", "The cache is full."), ("c", "The cache is full.")]


def test_a_device_that_is_not_there_fails_the_members_not_the_worker(host, monkeypatch):
    def none(_config):
        raise TeacherError("No such device.")

    monkeypatch.setattr(seam, "pick_device", none)
    assert [result["failed"] for result in host("a", "b")] == ["No such device."] * 2

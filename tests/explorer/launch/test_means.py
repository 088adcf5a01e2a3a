"""How many students a group gets: the number that is given, or what a machine of the trial's kind holds."""

from __future__ import annotations

import pytest
import ray

from explorer.launch import means
from explorer.launch.means import Means, with_group_size
from trainables.errors import StudyError


@pytest.mark.parametrize(
    ("asked", "gpus", "size", "measured"),
    [(3, 1.0, 3, False), (None, 0.0, 1, False), (None, 0.5, 6, True), ("auto", 0.0, 6, True)],
)
def test_a_size_is_measured_where_none_is_given_on_a_gpu_and_where_auto_is(
    spec, monkeypatch, asked, gpus, size, measured
):
    monkeypatch.setattr(means, "_measured", lambda *_: 6)
    said = []
    found = with_group_size(spec(group_size=asked), Means({"cpu": 1, "gpu": gpus}, 2), [], say=said.append)
    assert found.students_per_group == size
    assert said == (["group_size: measuring how many students fit beside a teacher", "group_size: 6"] * measured)


def test_trials_of_several_gpus_train_by_themselves_on_as_many_processes(spec, monkeypatch):
    monkeypatch.setattr(means, "_measured", lambda *_: pytest.fail("measured"))
    asked = spec(gpus_per_trial=2, cpus_per_trial=6, base={"batch_size": 8})
    found = with_group_size(asked, Means({"cpu": 6, "gpu": 2.0}, 1), [], say=pytest.fail)
    assert found.students_per_group == 1
    assert (found.trial_base["processes"], found.trial_base["num_threads"]) == (2, 3)
    assert "processes" not in spec(gpus_per_trial=0.5).trial_base


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"gpus_per_trial": 1.5}, r"gpus_per_trial above 1 must be a whole number, got 1\.5\. Take 2"),
        ({"gpus_per_trial": 2, "group_size": 4}, r"group_size is 4, but trials of 2 processes train by themselves"),
        ({"base": {"processes": 2}, "group_size": 2}, r"group_size is 2, but trials of 2 processes"),
    ],
)
def test_gpus_that_cannot_be_shared_out_are_refused(spec, fields, sentence):
    with pytest.raises(StudyError, match=sentence):
        spec(**fields).check()


def test_a_process_without_a_gpu_is_refused_where_trials_have_some(spec, monkeypatch):
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"GPU": 8.0, "CPU": 8.0})
    with pytest.raises(StudyError, match=r"processes is 4, a GPU each, but a trial holds 1\. Set gpus_per_trial to 4"):
        means.means(spec(base={"processes": 4}), may_grow=False)
    assert means.means(spec(gpus_per_trial=4), may_grow=False).slots == 2

"""How many students a group gets: the number that is given, or what a machine of the trial's kind holds."""

from __future__ import annotations

import pytest

from explorer.launch import means
from explorer.launch.means import Means, with_group_size


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

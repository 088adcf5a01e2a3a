"""One config of each kind that trials can have is tried before a sweep starts."""

from __future__ import annotations

import pytest

from explorer.launch.sweep import kinds
from explorer.search.plan import plans
from explorer.study import StudySpec

TAPS = {"heteroakd": "stage4", "skd": "decoder", "kd": "stage4"}  # kd reads none


def taps(space, **base):
    spec = StudySpec.parse({"space": {"method": list(TAPS), **space}, "base": {"pair": "fpn_r18:mit_b0", **base}})
    return [(config.method, config.projector_tap) for config in kinds(spec) if config.method != "task"]


def test_each_method_is_tried_at_its_own_tap():
    assert taps({}) == [*TAPS.items()]


@pytest.mark.parametrize(
    ("space", "base"), [({"projector_tap": ["stage2", "stage3"]}, {}), ({}, {"projector_tap": "stage3"})]
)
def test_each_method_that_reads_one_is_tried_at_every_tap_that_is_asked_for(space, base):
    asked = space.get("projector_tap", ["stage3"])
    found = taps(space, **base)
    assert {(method, tap) for method, tap in found if method != "kd"} == {
        (method, tap) for method in ("heteroakd", "skd") for tap in asked
    }
    assert [tap for method, tap in found if method == "kd"] == asked[:1]


def test_where_unlabelled_images_are_searched_a_kind_has_them_so_that_it_is_seen_whether_there_are_any():
    base = {"pair": "fpn_r18:mit_b0", "batch_size": 4}
    spec = StudySpec.parse({"space": {"unlabelled_ratio": {"low": 0.0, "high": 0.5}}, "base": base})
    assert [config.num_unlabelled for config in kinds(spec) if config.method == "task"] == [2]


@pytest.mark.parametrize(("num_trials", "rest"), [(1, 0), (6, 2)])
def test_students_alone_try_labels_alone_and_unlabelled_images_on_each_seed_before_the_sampler_chooses(
    num_trials, rest
):
    base = {"pair": "fpn_r18:mit_b0", "batch_size": 4, "unlabelled_ratio": 0.25}
    space = {"lambda_kd": [0.1, 1.0]}
    spec = StudySpec.parse({"space": space, "base": base, "num_trials": num_trials, "seeds": [0, 1], "probes": 0})
    found = plans(spec)["baseline"]
    assert [point.get("unlabelled_ratio") for point in found.points] == [0.0, 0.0, 0.25, 0.25] + [None] * rest
    assert found.num_trials == 4 + rest

"""The flagship: a sweep that is killed again and again must leave the storage that an undisturbed one leaves.

Here each kind of death happens to a real sweep once; `make soak` goes on for as long as one likes, at random moments.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import driver
import matrix
from matrix import EVERYTHING, Life, Round

pytestmark = pytest.mark.xdist_group("faults")  # they share a Ray and the process that drivers fork from


@pytest.fixture(scope="module")
def ray_head():
    """A Ray of two cores that outlives the drivers, on loopback and with a token."""
    from explorer.launch.cluster import connected

    with connected(None):
        import ray

        yield ray.get_runtime_context().gcs_address


def study(case, **changes):
    """Of few trials, pruned and complete ones among them."""
    trials = 12 if case == "pauses" else 6  # a third of them pause
    return driver.spec(case, num_trials=trials, sampler_seed=3 if case == "tpe" else 0, **changes)


def order(number, trial, step, when, **harm):
    return {"id": number, "trial": f"trials/{trial}", "step": step, "when": f"{when} the checkpoint", **harm}


def steps_repeated(directory, trial):
    times = Counter(Path(directory, trial, "ran.txt").read_text().split())
    assert max(times.values()) <= 2
    return [int(step) for step, count in times.items() if count == 2]


@pytest.mark.parametrize("case", driver.CASES)
def test_the_undisturbed_sweep_prunes_some_and_completes_some(case):
    expected, _ = matrix.undisturbed(study(case))
    states = Counter(trial["state"] for trial in expected["search"])
    assert set(states) == {"COMPLETE", "PRUNED"}
    assert min(states.values()) >= 2
    assert [trial["state"] for trial in expected["baseline"]] == ["COMPLETE", "COMPLETE"]


def test_workers_killed_around_checkpoints_lose_and_falsify_nothing(ray_head, tmp_path):
    orders = [
        order(0, "baseline-00000", 2, "after"),
        order(1, "search-00001", 1, "before"),
    ]
    directory = tmp_path / "tpe"
    left = matrix.survive(Round(study("tpe"), orders=orders), directory, ray=ray_head)
    assert left.found == left.expected
    assert left.counts["workers killed"] == 2
    assert [steps_repeated(directory, each["trial"]) for each in orders] == [[], [1]]


def test_drivers_killed_at_any_write_lose_and_falsify_nothing(ray_head, tmp_path):
    """In a suggestion that is half written, between results, and in mid-line while trials are adopted."""
    lives = [Life("before", 20), Life("after", 60), Life("within", 1)]
    left = matrix.survive(Round(study("tpe"), lives=lives), tmp_path / "tpe", ray=ray_head)
    assert left.found == left.expected
    assert left.counts["drivers killed"] == 3


def test_a_killed_group_and_a_disk_that_fills_under_one_lose_and_falsify_no_trial(ray_head, tmp_path):
    """The worker tears a checkpoint as it dies: the trial goes on from the one before."""
    orders = [order(0, "search-00001", 2, "after", torn=True), order(1, "search-00004", 2, "before", full=True)]
    directory = tmp_path / "groups"
    round_ = Round(study("groups", max_concurrent=1), lives=[Life("after", 90)], orders=orders)
    left = matrix.survive(round_, directory, ray=ray_head)
    assert left.found == left.expected
    assert left.counts["drivers killed"] == left.counts["workers killed"] == 1
    assert left.counts["disks full under a checkpoint"] == 1
    assert all(2 in steps_repeated(directory, each["trial"]) for each in orders)


def test_a_killed_node_and_then_everything_at_once_lose_and_falsify_nothing(ray_head, tmp_path):
    """The node is nobody's fault: the same death of a process would fail its trial, since none is restarted here.

    The nodes are started beside the shared Ray, so that they ask for the token that drivers present.
    """
    node = {"id": 0, "step": 2, "when": "before the checkpoint"}
    alone = study("random", max_failures=0, max_concurrent=1)
    left = matrix.survive(Round(alone, [Life(EVERYTHING, 12)], nodes=[node]), tmp_path / "random", ray=ray_head)
    assert left.counts["nodes killed"] == left.counts["everything killed"] == 1
    assert left.found == left.expected

"""The flagship: a sweep that is killed again and again must leave the storage that an undisturbed one leaves.

Every kill is a real SIGKILL of a real process, at a seeded point: the driver at one of its writes to the storage, a
worker before or after a checkpoint (which may be torn by it), a raylet, or everything at once.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import optuna
import psutil
import pytest
from ray.cluster_utils import Cluster

from explorer.storage import storages
from explorer.study import SPEC_FILE, StudySpec

sys.path.insert(0, str(Path(__file__).parent))
import driver

STEPS = 9
NOT_COMPARED = {"ray_trial_id", "occupied_s", "crashes", "suspect"}  # who ran it, how long, and after which deaths
TIMEOUT_S = 150


SERVER = multiprocessing.get_context("forkserver")  # drivers fork from a process that has imported everything
SERVER.set_forkserver_preload(["explorer.launch.sweep", "ray.tune", "torch"])


def start(directory, case, *, dies_at=None, ray=None):
    process = SERVER.Process(target=driver.main, args=(directory, case, dies_at, ray))
    process.start()
    return process


def ended(process, directory):
    """The exit code; what the driver said, if it does not end."""
    process.join(TIMEOUT_S)
    assert process.exitcode is not None, said(directory)
    code = process.exitcode
    process.close()
    return code


def said(directory):
    return directory.with_suffix(".log").read_text()[-3000:]


def finish(directory, case, *, ray=None):
    """Resume until the study is whole; it must become so in one go, since nobody kills it now."""
    assert ended(start(directory, case, ray=ray), directory) == 0, said(directory)
    assert (directory / "left").read_text() == "0"


def recorded(directory):
    """Everything the storage says of every trial, save the times."""
    spec = StudySpec.load(directory / SPEC_FILE)
    storage = storages.open_storage(spec, directory)
    found = {}
    for name in (spec.name, f"{spec.name} (students alone)"):
        study = optuna.load_study(study_name=name, storage=storage)
        found[name] = [
            {
                "state": trial.state.name,
                "params": trial.params,
                "values": trial.values,
                "curve": trial.intermediate_values,
                "system": trial.system_attrs,
                "attributes": {key: told for key, told in trial.user_attrs.items() if key not in NOT_COMPARED},
            }
            for trial in study.get_trials()
        ]
    return found


@pytest.fixture(scope="module")
def ray_head(tmp_path_factory):
    """A Ray of two cores that outlives the drivers, on loopback and with a token."""
    from explorer.launch.cluster import connected

    with connected(None):
        import ray

        yield ray.get_runtime_context().gcs_address


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, ray_head):
    found = {}
    for case in driver.CASES:
        directory = tmp_path_factory.mktemp("undisturbed") / case
        finish(directory, case, ray=ray_head)
        found[case] = recorded(directory)
        found[f"{case} writes"] = len((directory / "study.journal").read_text().splitlines())
    return found


def test_the_undisturbed_sweep_prunes_some_and_completes_some(undisturbed):
    for case in driver.CASES:
        states = Counter(trial["state"] for trial in undisturbed[case][case])
        assert set(states) == {"COMPLETE", "PRUNED"}
        assert min(states.values()) >= 2


@pytest.mark.parametrize(("case", "seed"), [("tpe", 0), ("tpe", 1), ("random", 2), ("groups", 7)])
def test_a_driver_killed_at_any_write_loses_and_falsifies_nothing(undisturbed, ray_head, tmp_path, case, seed):
    rng = np.random.default_rng(seed)
    directory = tmp_path / case
    writes = undisturbed[f"{case} writes"]
    kills = 0
    while kills < 5:
        last = int(rng.integers(1, max(2, writes // 5)))  # counted by each driver anew
        process = start(directory, case, dies_at=(last, str(rng.choice(["before", "after"]))), ray=ray_head)
        assert ended(process, directory) == -signal.SIGKILL, said(directory)
        kills += 1
    finish(directory, case, ray=ray_head)
    assert recorded(directory) == undisturbed[case]


@pytest.mark.parametrize(("case", "seed"), [("tpe", 3), ("random", 4), ("groups", 8)])
def test_workers_killed_around_checkpoints_lose_and_falsify_nothing(undisturbed, ray_head, tmp_path, case, seed):
    rng = np.random.default_rng(seed)
    directory = tmp_path / case
    directory.mkdir()
    trials = [("search", number) for number in range(10)] + [("baseline", 0), ("baseline", 1)]
    orders = []
    for order, place in enumerate(rng.permutation(len(trials))[:5]):
        role, number = trials[place]
        when = str(rng.choice(["before the checkpoint", "after the checkpoint"]))
        step = int(rng.integers(1, 3))  # every trial gets there, pruned or not
        torn = when.startswith("after") and step > 1
        orders.append({"id": order, "trial": f"trials/{role}-{number:05d}", "step": step, "when": when, "torn": torn})
    (directory / "kill.json").write_text(json.dumps(orders))
    finish(directory, case, ray=ray_head)
    assert len(list(directory.glob("killed-*"))) == 5
    assert recorded(directory) == undisturbed[case]
    for order in orders:
        times = Counter(Path(directory, order["trial"], "ran.txt").read_text().split())
        again = [int(step) for step, count in times.items() if count == 2]
        lost = [] if order["when"].startswith("after") and not order["torn"] else [order["step"]]
        assert again == lost
        assert max(times.values()) <= 2


@pytest.mark.parametrize("case", driver.CASES)
def test_a_disk_that_fills_up_twice_loses_and_falsifies_nothing(undisturbed, ray_head, tmp_path, case):
    directory = tmp_path / case
    directory.mkdir()
    shared = {"when": "before the checkpoint", "full": True}
    orders = [
        {"id": 0, "trial": "trials/baseline-00001", "step": 4, **shared},
        {"id": 1, "trial": "trials/search-00003", "step": 2, **shared},
    ]
    (directory / "kill.json").write_text(json.dumps(orders))
    for left in (1, 2):
        assert ended(start(directory, case, ray=ray_head), directory) == 0, said(directory)
        assert len(list(directory.glob("killed-*"))) == left
        assert int((directory / "left").read_text()) > 0
    finish(directory, case, ray=ray_head)
    assert recorded(directory) == undisturbed[case]


def test_raylets_killed_in_mid_sweep_lose_and_falsify_nothing(undisturbed, tmp_path):
    """Two nodes die, one after the other; `max_failures` does not count them."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        directory = tmp_path / "random"
        process = start(directory, "random", ray=cluster.address)
        for kill in range(2):
            wait_for(lambda kill=kill: steps_run(directory) >= 5 + 25 * kill, process)
            cluster.add_node(num_cpus=1)
            cluster.remove_node(nodes[kill], allow_graceful=False)
        assert ended(process, directory) == 0, said(directory)
    finally:
        cluster.shutdown()
    assert (directory / "left").read_text() == "0"
    assert recorded(directory) == undisturbed["random"]


@pytest.mark.parametrize(("case", "seed"), [("tpe", 5), ("random", 6)])
def test_everything_killed_at_once_loses_and_falsifies_nothing(undisturbed, tmp_path, case, seed):
    rng = np.random.default_rng(seed)
    directory = tmp_path / case
    for kill in range(2):
        process = start(directory, case)
        wanted = int(rng.integers(3, 12)) * (kill + 1)
        wait_for(lambda wanted=wanted: steps_run(directory) >= wanted, process)
        kill_tree(process.pid)
        assert ended(process, directory) == -signal.SIGKILL
    finish(directory, case)
    assert recorded(directory) == undisturbed[case]


def steps_run(directory):
    return sum(len(path.read_text().split()) for path in directory.glob("trials/*/ran.txt"))


def wait_for(condition, process):
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert process.is_alive(), "the driver ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill_tree(pid):
    """SIGKILL a driver and its whole Ray: GCS, raylet, workers."""
    root = psutil.Process(pid)
    everything = [root, *root.children(recursive=True)]
    for process in everything:
        process.kill()
    psutil.wait_procs(everything[1:], timeout=20)

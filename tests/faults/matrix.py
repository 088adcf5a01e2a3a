"""Sweeps that are killed again and again, and what they must leave: the storage of an undisturbed one.

Every kill is a real SIGKILL of a real process: the driver at one of its writes to the storage, a worker before or after
a checkpoint (which may be torn by it), a raylet, or everything at once. A disk is full under a checkpoint or under the
storage. The undisturbed sweep is run in virtual time, by the bridge alone: no Ray, no process, no checkpoint.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import psutil
from ray.cluster_utils import Cluster

from explorer.search.arms import open_arms, study_name
from explorer.search.bridge import Bridge
from explorer.search.plan import ROLES
from explorer.search.simulator import simulate
from explorer.storage import storages
from explorer.study import StudySpec

sys.path.insert(0, str(Path(__file__).parent))
import driver

TIMEOUT_S = 300
NOT_COMPARED = {"ray_trial_id", "occupied_s", "crashes", "suspect"}  # who ran it, how long, and after which deaths
EVERYTHING = "everything"
MEMORY = Path("/dev/shm")  # the undisturbed sweep's journal need not reach a disk 150 times
SERVER = multiprocessing.get_context("forkserver")  # drivers fork from a process that has imported everything
SERVER.set_forkserver_preload(["explorer.launch.sweep", "ray.tune", "torch"])

Recorded = dict[str, list[dict[str, Any]]]
"""Every trial of both arms, by role."""


class Broken(AssertionError):
    """A driver that ended as nobody made it end, or not at all."""


@dataclass(frozen=True)
class Life:
    """How one driver ends: `before`, `within`, `after` its n-th write to the storage, at which the disk may be `full`;
    or with `everything`, a Ray of its own included, once n more steps have been trained.
    """

    how: str
    number: int


@dataclass(frozen=True)
class Round:
    """One sweep and all that happens to it.

    Attributes:
        orders: what workers obey (`driver.obey`), each once.
        nodes: orders without a trial; whoever gets there on the node that is to die next waits for its death. The first
            of the lives then ends with the last node, if it is to end with everything.
    """

    study: StudySpec
    lives: list[Life] = field(default_factory=list)
    orders: list[dict[str, Any]] = field(default_factory=list)
    nodes: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Left:
    """What a round left, beside what it should have.

    Attributes:
        counts: of kills and full disks by what they hit, of trials and of steps that were trained.
    """

    expected: Recorded
    found: Recorded
    counts: Counter[str] = field(default_factory=Counter)


def undisturbed(study: StudySpec) -> tuple[Recorded, int]:
    """What a sweep leaves that nobody disturbs, and how many lines its journal has."""
    plain = study.model_copy(update={"storage": None})
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        arms = open_arms(plain, Path(folder), data_digest="fault")
        bridge = Bridge(arms.values(), grace=plain.grace(driver.STEPS))
        report = bridge.report

        def with_facts(trial_id: str, result: dict[str, Any]) -> str:
            return report(trial_id, {**result, "seconds": float(result["step"]), "iou": [result["miou"]]})

        bridge.report = with_facts  # type: ignore[method-assign]
        simulate(bridge, curve)
        return recorded(plain, Path(folder)), len((Path(folder) / storages.JOURNAL).read_bytes().splitlines())


def curve(config: dict[str, Any]) -> list[tuple[int, float]]:
    return [(step, driver.miou(config, step)) for step in range(1, driver.STEPS + 1)]


def recorded(study: StudySpec, directory: Path) -> Recorded:
    """Everything the storage says of every trial, save the times."""
    storage = storages.open_storage(study, directory)
    return {
        role: [
            {
                "state": trial.state.name,
                "params": trial.params,
                "values": trial.values,
                "curve": trial.intermediate_values,
                "system": trial.system_attrs,
                "attributes": {key: told for key, told in trial.user_attrs.items() if key not in NOT_COMPARED},
            }
            for trial in optuna.load_study(study_name=study_name(study, role), storage=storage).get_trials()
        ]
        for role in ROLES
    }


def begin(directory: Path, study: StudySpec, orders: list[dict[str, Any]] | None = None) -> None:
    """A folder that a driver can go on in."""
    directory.mkdir(parents=True)
    (directory / "kill.json").write_text(json.dumps(orders or []))
    study.save(directory)


def start(directory: Path, *, ends: Life | None = None, ray: str | None = None) -> Any:
    """A driver of the study in the folder.

    Args:
        ray: address of the Ray to join; none: one of its own.
    """
    at = (ends.number, ends.how) if ends and ends.how != EVERYTHING else None
    process = SERVER.Process(target=driver.main, args=(directory, at, ray, os.environ.get("RAY_AUTH_TOKEN")))
    process.start()
    return process


def ended(process: Any, directory: Path) -> int:
    """The exit code.

    Raises:
        Broken: it does not end; with what the driver said.
    """
    process.join(TIMEOUT_S)
    if process.exitcode is None:
        kill_tree(process.pid)
        raise Broken(f"The driver does not end. {said(directory)}")
    code = int(process.exitcode)
    process.close()
    return code


def said(directory: Path) -> str:
    return directory.with_suffix(".log").read_text()[-3000:]


def num_left(directory: Path) -> int:
    """Trials that the last driver to end by itself left open; one, if none did."""
    left = directory / "left"
    return int(left.read_text()) if left.exists() else 1


def steps_run(directory: Path) -> int:
    return sum(len(path.read_text().split()) for path in directory.glob("trials/*/ran.txt"))


def wait_for(condition: Callable[[], bool], process: Any) -> bool:
    """Until it holds; False if the driver ended before."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        if not process.is_alive():
            return False
        if time.monotonic() > deadline:
            kill_tree(process.pid)
            raise Broken("The driver neither goes on nor ends.")
        time.sleep(0.02)
    return True


def kill_tree(pid: int) -> None:
    """SIGKILL a driver and its whole Ray: GCS, raylet, workers."""
    root = psutil.Process(pid)
    everything = [root, *root.children(recursive=True)]
    for process in everything:
        process.kill()
    psutil.wait_procs(everything[1:], timeout=20)


def kill_node(cluster: Cluster, node: Any) -> None:
    """SIGKILL all that runs on a node. Left to themselves, its agents would go on, and take a quarter of a core."""
    family = psutil.Process(node.all_processes["raylet"][0].process.pid).children(recursive=True)
    cluster.remove_node(node, allow_graceful=False)
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def survive(round_: Round, directory: Path, *, ray: str | None) -> Left:
    """Live through a round, resume until the study is whole, and read what it left.

    Args:
        ray: address of a Ray that outlives the drivers; none: each has one of its own.

    Raises:
        Broken: a driver ended as nobody made it end, or left trials open although nothing happened to it.
    """
    expected, _ = undisturbed(round_.study)
    begin(directory, round_.study, round_.orders)
    counts: Counter[str] = Counter()
    lives = list(round_.lives)
    if round_.nodes:
        with_all = lives.pop(0) if lives and lives[0].how == EVERYTHING else None
        counts["everything killed"] += _kill_nodes(directory, round_.nodes, with_all)
        counts["nodes killed"] = len(round_.nodes)
    for life in lives:
        killed = _live(directory, life, None if life.how == EVERYTHING else ray)
        counts["everything killed"] += killed and life.how == EVERYTHING
    _finish(directory, ray)
    found = recorded(round_.study, directory)
    counts += _marks(directory, round_.orders)
    counts["steps trained"] = steps_run(directory)
    return Left(expected, found, counts)


def _live(directory: Path, life: Life, ray: str | None) -> bool:
    """One driver that is to die. False if it ended before, as a sweep that is nearly done or a full disk does."""
    process = start(directory, ends=life, ray=ray)
    if life.how == EVERYTHING:
        wanted = steps_run(directory) + life.number
        if wait_for(lambda: steps_run(directory) >= wanted, process):
            kill_tree(process.pid)
    code = ended(process, directory)
    if code not in (0, -signal.SIGKILL, driver.FULL):
        raise Broken(f"The driver ended with {code}. {said(directory)}")
    return code == -signal.SIGKILL


def _finish(directory: Path, ray: str | None) -> None:
    """Resume until the study is whole: in one go, save for disks that are still to be full."""
    while num_left(directory):
        before = len(list(directory.glob("killed-*")))
        if (code := ended(start(directory, ray=ray), directory)) != 0:
            raise Broken(f"The driver ended with {code}. {said(directory)}")
        if num_left(directory) and len(list(directory.glob("killed-*"))) == before:
            raise Broken(f"{num_left(directory)} trials are left open although nothing happened. {said(directory)}")


def _kill_nodes(directory: Path, orders: list[dict[str, Any]], then: Life | None) -> bool:
    """One driver on a head without cores, and one node at a time for its trials: each is killed, save the last.

    Args:
        then: kill the driver, the last node and the head too, once so many more steps have been trained.

    Returns:
        Whether they were.
    """
    process, killed = None, False
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for order in orders:
            node, mark = cluster.add_node(num_cpus=2), directory / f"killed-{order['id']}"
            (directory / "next.json").write_text(json.dumps([{**order, "node": node.node_id}]))
            (directory / "next.json").replace(directory / "kill.json")  # at once: workers read it
            process = process or start(directory, ray=cluster.address)
            if not wait_for(mark.exists, process):
                raise Broken(f"The driver ended before its node could. {said(directory)}")
            kill_node(cluster, node)
        cluster.add_node(num_cpus=2)
        wanted = steps_run(directory) + (then.number if then else 0)
        if then and (killed := wait_for(lambda: steps_run(directory) >= wanted, process)):
            process.kill()
            for node in (*cluster.worker_nodes, cluster.head_node):
                kill_node(cluster, node)
        if code := ended(process, directory) + killed * signal.SIGKILL:
            raise Broken(f"The driver ended with {code}. {said(directory)}")
    finally:
        cluster.shutdown()
    return killed


def _marks(directory: Path, orders: list[dict[str, Any]]) -> Counter[str]:
    """Who died by himself, and which disks were full, as he noted before."""
    counts: Counter[str] = Counter()
    for path in directory.glob("ended-*"):
        counts["disks full under the storage" if path.name.endswith("-full") else "drivers killed"] += 1
    for order in orders:
        if (directory / f"killed-{order['id']}").exists():
            counts["disks full under a checkpoint" if order.get("full") else "workers killed"] += 1
            counts["checkpoints torn"] += bool(order.get("torn"))
    return counts

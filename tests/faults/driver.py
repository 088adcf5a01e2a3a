"""The driver that the kill matrix kills: the product's own sweep over a trainable of milliseconds.

The trainable obeys `FOLDER/kill.json`, a list of trials and steps at which its worker dies or its disk is full. Whoever
is about to die so leaves a mark in the folder, `killed-*` a worker, `ended-*` a driver.
"""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
import torch
from optuna.storages import JournalStorage
from ray import tune
from ray.cloudpickle import register_pickle_by_value
from safetensors import SafetensorError
from sqlalchemy.engine.default import DefaultDialect

from explorer.launch.cluster import connected
from explorer.launch.sweep import fit, open_bridge, sole_driver
from explorer.search.arms import open_arms
from explorer.search.mailbox import Mailbox
from explorer.storage import journal, storages
from explorer.study import SPEC_FILE, StudySpec
from trainables.errors import Interrupted
from trainables.kept import checkpoint
from trainables.kept.store import open_store

STEPS = 9
NODE_DIES_S = 120  # by then
FULL = os.EX_IOERR
"""A driver's exit code where the storage's disk is full before the sweep has begun."""
CASES: dict[str, dict[str, Any]] = {
    # One trial at a time: what is proposed and pruned depends on what came before, so a slip shows in all that follows.
    "tpe": {
        "sampler": "tpe",
        "sampler_options": {"n_startup_trials": 3},
        "pruner": "successivehalving",
        "num_trials": 10,
        "max_concurrent": 1,
    },
    # Two at a time: the order of results is the machine's, so proposals must not depend on it.
    "random": {"sampler": "random", "pruner": "threshold", "pruner_options": {"lower": 0.2}, "num_trials": 12},
}
# Of eighteen trials the first six pause at a third, some once more at two thirds; ASHA stops later ones.
CASES["pauses"] = CASES["tpe"] | {
    "pruner": "evidence",
    "pruner_options": {"pauses": 16, "num_whole": 100},
    "num_trials": 18,
}
# As random, in groups: a worker that dies takes three trials with it.
CASES["groups"] = CASES["random"] | {"group_size": 3}


def spec(case: str, **changes: Any) -> StudySpec:
    shared = {
        "name": case,
        "space": {
            "lambda_kd": {"low": 0.01, "high": 10.0, "log": True},
            "projector_depth": {"low": 1, "high": 2},
            "projector_width": [32, 64],
        },
        "base": {"steps": STEPS, "eval_every": 1},
        "enqueue": [{"lambda_kd": 0.1, "projector_depth": 1}],
        "seeds": [0, 1],
        "baseline_trials": 2,
        "grace_period": 2,
        "reduction_factor": 2,
        "max_failures": 1,
    }
    return StudySpec.parse(shared | CASES[case] | changes)


def miou(config: dict, step: int) -> float:
    """Depends on the config, the seed and the step alone."""
    best = 0.8 - 0.1 * config["seed"] - 0.05 * config["projector_depth"]
    return best * math.exp(-((math.log10(config["lambda_kd"] / 0.3)) ** 2)) * (1 - 0.6**step)


def trainable(params: dict, *, root: str) -> None:
    """As `tune_trial` does: what is no fault of the trial interrupts the sweep."""
    for result in results(params, root):
        tune.report(result)


def group(params: dict, *, root: str, answers: Mailbox) -> None:
    """As `tune_group` does: the members take their steps in turn, each until it is told to stop."""
    host, number = str(tune.get_context().get_trial_id()), 0
    members = [(member["directory"], results(member, root)) for member in params["members"]]
    while members:
        name, steps = members.pop(0)
        for result in itertools.islice(steps, 1):
            number += 1
            tune.report({**result, "member": name, "number": number})
            answer = answers.take(host, number)
            members += [(name, steps)] * (not answer["stop"])
            members += [(joins["directory"], results(joins, root)) for joins in answer["join"]]


def results(params: dict, root: str) -> Iterator[dict]:
    try:
        yield from train(params, root)
    except Interrupted as error:
        yield {"step": 0, "miou": math.nan, "interrupted": str(error)}


def train(params: dict, root: str) -> Iterator[dict]:
    """Nine steps, a checkpoint after each, on from the newest; every step that is really run leaves a line."""
    config, folder = params["config"], Path(root) / params["directory"]
    folder.mkdir(parents=True, exist_ok=True)
    store = open_store(root, params["directory"])
    found = checkpoint.latest(store, digest="fault")
    history = found[1]["history"] if found else []
    for step in range(1, STEPS + 1):
        if step > len(history):
            time.sleep(0.01)
            history.append(miou(config, step))
            with (folder / "ran.txt").open("a") as ran:
                ran.write(f"{step}\n")
            obey(root, params["directory"], step, "before the checkpoint")
            weights = {"w": torch.full((64,), float(step))}
            checkpoint.save(store, step=step, tensors=weights, meta={"digest": "fault", "history": history})
            obey(root, params["directory"], step, "after the checkpoint")
        yield {"step": step, "miou": history[step - 1], "seconds": float(step), "iou": [history[step - 1]]}


def obey(root: str, directory: str, step: int, when: str) -> None:
    """Die here, once, if the matrix says so.

    An order names a trial, or a `node` whose death the first that gets there waits for. `torn` cuts the newest
    checkpoint before, `full` fills the disk instead.
    """
    here = {"trial": directory, "step": step, "when": when, "node": ray.get_runtime_context().get_node_id()}
    for order in json.loads(Path(root, "kill.json").read_text() or "[]"):
        mark = Path(root, f"killed-{order['id']}")
        if mark.exists() or any(order.get(name, value) != value for name, value in here.items()):
            continue
        mark.touch()
        if "node" in order:
            time.sleep(NODE_DIES_S)
        elif order.get("full"):
            checkpoint.save_file, write = fill_disk, checkpoint.save_file
            try:
                checkpoint.save(Path(root, directory), step=step, tensors={"w": torch.zeros(64)}, meta={})
            finally:
                checkpoint.save_file = write
        else:
            if order.get("torn"):
                newest = max(Path(root, directory).glob("step-*.safetensors"))
                os.truncate(newest, newest.stat().st_size // 2)
            die()


def fill_disk(tensors: dict, path: Path, metadata: dict) -> None:
    """What safetensors does on a full disk: half a file, and an error that says so."""
    path.write_bytes(bytes(100))
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def end_at_write(directory: Path, number: int, how: str) -> None:
    """End this process at its n-th write to its storage.

    Args:
        how: SIGKILL `before` it, `within` it (half a journal's line is written, and the lock held) or `after` it; or
            `full`: the disk is, in mid-line.
    """
    count = itertools.count(1)

    def counted(write: Callable[..., Any], *arguments: Any, full: Callable[[], None]) -> Any:
        if next(count) != number:
            return write(*arguments)
        (directory / f"ended-{os.getpid()}-{how}").touch()
        if how in ("full", "within"):
            full()
        if how == "after":
            write(*arguments)
        return die()

    def half_a_line(file: Any, data: bytes) -> None:
        file.write(data[: len(data) // 2])
        if how == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def no_commit() -> None:
        if how == "full":
            raise sqlite3.OperationalError("database or disk is full")

    append, commit = JournalStorage._write_log, DefaultDialect.do_commit
    if how in ("full", "within"):
        line = journal._write
        journal._write = lambda file, data: counted(line, file, data, full=lambda: half_a_line(file, data))
    else:
        JournalStorage._write_log = lambda self, *told: counted(append, self, *told, full=die)

    def changed(self: Any, connection: Any) -> None:
        counted(commit, self, connection, full=no_commit) if connection.in_transaction else commit(self, connection)

    DefaultDialect.do_commit = changed


def drive(directory: Path, address: str | None) -> None:
    """Go on with the study whose spec is in the folder; `left` then says how many trials are open."""
    study = StudySpec.load(directory / SPEC_FILE)
    with sole_driver(directory), storages.owned(study, directory):
        arms = open_arms(study, directory, data_digest="fault")
        with connected(address):
            mailbox = Mailbox() if study.students_per_group > 1 else None
            bridge = open_bridge(study, arms, root=str(directory), post=mailbox.put if mailbox else None)
            slots = study.max_concurrent or 2
            trains = tune.with_parameters(trainable, root=str(directory))
            if mailbox:
                trains = tune.with_parameters(group, root=str(directory), answers=mailbox)
            fit(bridge, trains, directory, {"cpu": 1}, slots)
        (directory / "left").write_text(str(bridge.num_open()))


def main(directory: Path, ends: tuple[int, str] | None, address: str | None, token: str | None) -> None:
    """What the matrix starts as a process: drive the study in the folder to its end, or until it kills itself.

    Args:
        ends: at which of its writes to the storage, and how (`end_at_write`).
        address: of the Ray to join; none: one of its own.
        token: of that Ray.
    """
    with directory.with_suffix(".log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file
    os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}
    os.environ |= {"RAY_AUTH_TOKEN": token} if token else {}
    if ends:
        end_at_write(directory, *ends)
    try:
        drive(directory, address)
    except storages.failures():
        if ends and ends[1] == "full":
            sys.exit(FULL)
        raise

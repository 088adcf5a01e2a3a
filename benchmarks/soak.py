"""Kill a sweep's drivers, workers, nodes and disks for as long as one likes, at ever new moments; nothing may be lost.

Each round is a new sweep (`tests/faults/`: the product's own, over a trainable of milliseconds) with a plan of deaths
that is a function of (seed, round). Afterwards its storage must be that of an undisturbed sweep. A trial is

    lost         not in the storage, not ended, or failed although the undisturbed one did not
    duplicated   in the storage beyond the number asked for
    falsified    different in anything else: params, seed, state, any value at any step

Run: `python benchmarks/soak.py --minutes 60`; writes benchmarks/soak.json after every round, with what repeats a round
that went wrong: `--seed S --round N`. Exit code 1 if any did.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import optuna

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "faults"))
import driver
import matrix

from explorer.launch.cluster import connected
from trainables.kept import atomic

OUT = Path(__file__).with_suffix(".json")
KINDS = [(case, storage, False) for storage in ("journal", "sqlite") for case in driver.CASES]
KINDS += [("random", "journal", True), ("groups", "journal", True)]
"""(case, storage, whether nodes die instead of drivers), in turn."""
Difference = dict[str, str]


def plan(seed: int, number: int) -> matrix.Round:
    """What happens in a round."""
    case, storage, nodes_die = KINDS[number % len(KINDS)]
    rng = np.random.default_rng([seed, number])
    study = driver.spec(case, storage=storage, sampler_seed=int(rng.integers(2**31)))
    if nodes_die:
        nodes = [_order(rng, name, None, int(rng.integers(1, last + 1))) for name, last in enumerate((driver.STEPS, 2))]
        return matrix.Round(study, nodes=nodes)
    expected, writes = matrix.undisturbed(study)
    return matrix.Round(study, lives=_lives(rng, writes), orders=_orders(rng, expected))


def _lives(rng: np.random.Generator, writes: int) -> list[matrix.Life]:
    """Three to six drivers; every second sweep has one that dies with its whole Ray, or a full disk."""
    usual = ["before", "within", "after"]
    how = [*rng.choice(usual, int(rng.integers(3, 6))), *rng.choice([matrix.EVERYTHING, "full", "", ""], 1)]
    return [
        matrix.Life(str(end), int(rng.integers(3, 30) if end == matrix.EVERYTHING else rng.integers(1, writes // 4)))
        for end in rng.permutation([end for end in how if end])
    ]


def _orders(rng: np.random.Generator, expected: matrix.Recorded) -> list[dict[str, Any]]:
    """Three to six workers die, or their disks are full, each at a step that its trial gets to."""
    trials = [
        (f"trials/{role}-{number:05d}", len(trial["curve"]))
        for role, trials in expected.items()
        for number, trial in enumerate(trials)
    ]
    chosen = [trials[place] for place in rng.permutation(len(trials))[: int(rng.integers(3, 7))]]
    return [_order(rng, name, trial, int(rng.integers(1, steps + 1))) for name, (trial, steps) in enumerate(chosen)]


def _order(rng: np.random.Generator, name: int, trial: str | None, step: int) -> dict[str, Any]:
    """Of one trial; none: of whichever comes first."""
    what = str(rng.choice(["before", "after", "torn", "full"] if trial else ["before", "after"]))
    when = "after" if what in ("after", "torn") else "before"
    harm = {what: True} if what in ("torn", "full") else {}
    return {"id": name, "step": step, "when": f"{when} the checkpoint", **({"trial": trial} if trial else {}), **harm}


def compare(found: matrix.Recorded, expected: matrix.Recorded) -> dict[str, list[Difference]]:
    """Trials lost, duplicated and falsified, and how."""
    told: dict[str, list[Difference]] = {"lost": [], "duplicated": [], "falsified": []}
    for role in expected:
        for number, (is_, should) in enumerate(itertools.zip_longest(found[role], expected[role])):
            if is_ != should:
                parts = {"trial": f"{role} {number}", "is": _text(is_, should), "should be": _text(should, is_)}
                told[_kind(is_, should)].append(parts)
    return told


def _kind(is_: dict[str, Any] | None, should: dict[str, Any] | None) -> str:
    if should is None:
        return "duplicated"
    over = ("COMPLETE", "PRUNED")
    return "falsified" if is_ is not None and (is_["state"] in over or should["state"] not in over) else "lost"


def _text(trial: dict[str, Any] | None, other: dict[str, Any] | None) -> str:
    """What of a trial differs from another."""
    if trial is None or other is None:
        return "nothing" if trial is None else str(trial)
    return str({name: told for name, told in trial.items() if told != other[name]})


def survive(seed: int, number: int, address: str) -> dict[str, Any]:
    """Live through a round. Returns its counts, and what repeats it if it went wrong; its folder then stays."""
    folder, started = Path(tempfile.mkdtemp(prefix=f"soak-{number}-")), time.monotonic()
    case, storage, _ = KINDS[number % len(KINDS)]
    planned = plan(seed, number)
    told: dict[str, Any] = {"seed": seed, "round": number, "case": case, "storage": storage}
    repeat = {"plan": {name: part for name, part in asdict(planned).items() if name != "study"}, "folder": str(folder)}
    try:
        left = matrix.survive(planned, folder / case, ray=address)
    except matrix.Broken as error:
        return told | {"counts": {"broken": 1}, "wrong": repeat | {"broken": str(error)}}
    wrong = compare(left.found, left.expected)
    trials = sum(len(trials) for trials in left.expected.values())
    steps = sum(len(trial["curve"]) for trials in left.expected.values() for trial in trials)
    counts = {"trials": trials, **left.counts, "steps": steps, **{kind: len(found) for kind, found in wrong.items()}}
    told |= {"counts": counts, "seconds": round(time.monotonic() - started, 1)}
    if any(wrong.values()):
        return told | {"wrong": repeat | wrong}
    shutil.rmtree(folder)
    return told


@contextmanager
def shared_ray() -> Iterator[str]:
    """The address of a Ray that outlives the drivers."""
    with connected(None):
        import ray

        yield ray.get_runtime_context().gcs_address


def soak(seed: int, numbers: Iterable[int], until: float, write: bool) -> dict[str, Any]:
    """One round after another, until the time is up."""
    started = time.monotonic()
    totals: Counter[str] = Counter(lost=0, duplicated=0, falsified=0, broken=0)
    by_case: dict[str, Counter[str]] = {}
    figures: dict[str, Any] = {"seed": seed, "rounds": 0, "totals": totals, "cases": by_case, "wrong": []}
    with shared_ray() as address:
        for number in numbers:
            if time.monotonic() > until:
                break
            told = survive(seed, number, address)
            totals.update(told["counts"])
            by_case.setdefault(f"{told['case']}, {told['storage']}", Counter()).update(told["counts"])
            figures["wrong"] += [told] if "wrong" in told else []
            figures |= {"rounds": figures["rounds"] + 1, "minutes": round((time.monotonic() - started) / 60, 1)}
            _print(told)
            if write:
                atomic.write_text(OUT, json.dumps(figures, indent=1) + "\n")
    return figures


def _print(told: dict[str, Any]) -> None:
    counts = told["counts"]
    said = ", ".join(f"{count} {name}" for name, count in counts.items() if count and name not in ("steps", "trials"))
    state = "WRONG" if "wrong" in told else "whole"
    print(f"round {told['round']:4} {told['case']:7} {told['storage']:8} {state}: {said}", flush=True)
    if "wrong" in told:
        print(json.dumps(told["wrong"], indent=1), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None, help="of all plans; none: a new one")
    parser.add_argument("--round", type=int, default=None, help="only this one, and write nothing")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    os.environ |= {"OMP_NUM_THREADS": "1", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    numbers = itertools.count() if options.round is None else [options.round]
    figures = soak(seed, numbers, time.monotonic() + 60 * options.minutes, options.round is None)
    print(f"seed {seed}, {figures['rounds']} rounds: {json.dumps(figures['totals'])}")
    return int(bool(figures["wrong"]))


if __name__ == "__main__":
    sys.exit(main())

"""Every method on one pair each way on `earth`, three seeds each, the tuned student alone first.

The student alone is tuned in its learning rate (three values, the highest mean mIoU on the validation split wins). A
method runs at that learning rate with its paper's weight; with `--tuned` also with a tenth and ten times of it, and the
best of the three on the validation split is taken. Scores are of the test split, gains paired by seed. The row `labels
only` is HeteroAKD with both weights 0: what the labels on its projectors do alone.

Run: `python benchmarks/methods.py [--tuned] [--workers 2]`; writes benchmarks/methods.json, and goes on where it was
stopped.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from search_spaces.methods import OWN_WEIGHT
from search_spaces.pairs import PAIRS
from trainables.config import TrialConfig

NAMES = ("fpn_r18:mit_b0", "mit_b0:mbv3s")
SEEDS = (0, 1, 2)
LRS = (5e-4, 1e-3, 2e-3)
SCALES = (0.1, 1.0, 10.0)
CROP = {"crop_height": 64, "crop_width": 64, "scale_min": 0.5, "scale_max": 1.0}
RECIPE = {"steps": 80, **CROP}
TEACHER = {"steps": 300, **CROP, "lr": 1e-3}
ALONE, CONTROL = "student alone", "labels only"
OUT = Path(__file__).with_suffix(".json")

Row = dict[str, Any]


def settings(method: str, lr: float) -> list[Row]:
    """The three settings of a row."""
    if method == ALONE:
        return [{"method": "task", "lr": value} for value in LRS]
    if method == CONTROL:
        zero = {"method": "heteroakd", "lambda_kd": 0.0, "lambda_hakd": 0.0, "lr": lr}
        return [{**zero, "lambda_proj": scale} for scale in SCALES]
    weight = OWN_WEIGHT[method]
    paper = 1.0 if method == "kd" else TrialConfig.model_fields[weight].default
    return [{"method": method, weight: scale * paper, "lr": lr} for scale in SCALES]


def train(kind: tuple[str, str, Row, int]) -> Row:
    """Train one trial and score it on the validation and test splits."""
    from trainables.data.catalogue import open_dataset
    from trainables.kept import checkpoint
    from trainables.run import run
    from trainables.scoring.evaluate import evaluate_weights
    from trainables.state import student_weights

    name, row, setting, seed = kind
    pair = PAIRS[name]
    networks = {"teacher": pair.teacher.model, "student": pair.student.model}
    config = TrialConfig.parse(
        {**RECIPE, **networks, **setting, "seed": seed, "eval_every": RECIPE["steps"], "teacher_recipe": TEACHER}
    )
    with tempfile.TemporaryDirectory() as folder:
        final = run(config, directory=Path(folder))
        found = checkpoint.latest(Path(folder), digest=config.digest())
        assert found is not None
        test = evaluate_weights(config, student_weights(found[0]), open_dataset("earth"), "test").miou
    scores = {
        "val": final.miou,
        "test": test,
        "peer_val": getattr(final, "peer_miou", None),
        "seconds": final.seconds,
    }
    return {"pair": name, "row": row, "setting": setting, "seed": seed, **scores}


def same(done: Row, kind: tuple[str, str, Row, int]) -> bool:
    return (done["pair"], done["row"], done["setting"], done["seed"]) == kind


def run_all(kinds: Iterable[tuple[str, str, Row, int]], rows: list[Row], workers: int, started: float) -> None:
    """Train what `rows` lacks, and write after each."""
    todo = [kind for kind in kinds if not any(same(done, kind) for done in rows)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for done in pool.imap_unordered(train, todo):
            rows.append(done)
            told = {"recipe": RECIPE, "teacher_recipe": TEACHER, "trials": rows}
            OUT.write_text(
                json.dumps(told | {"wall_seconds": round(time.time() - started)}, indent=1) + "\n", encoding="utf-8"
            )
            print(f"{len(rows):4} {done['pair']} {done['row']} {done['setting']} seed {done['seed']}: "
                  f"val {100 * done['val']:.2f}, {done['seconds']:.0f} s", flush=True)  # fmt: skip


def best(rows: list[Row], name: str, row: str) -> list[Row]:
    """The trials of the setting with the highest mean on the validation split, by seed."""
    mine = [done for done in rows if (done["pair"], done["row"]) == (name, row)]
    groups = [[done for done in mine if done["setting"] == setting] for setting in _unique(mine)]
    chosen = max(groups, key=lambda group: statistics.mean(done["val"] for done in group))
    return sorted(chosen, key=lambda done: done["seed"])


def _unique(rows: list[Row]) -> list[Row]:
    found: list[Row] = []
    for row in rows:
        if row["setting"] not in found:
            found.append(row["setting"])
    return found


def table(rows: list[Row]) -> None:
    print(f"\n{'pair':16} {'method':14} {'chosen':34} {'val mIoU (%)':16} {'test mIoU (%)':16} gain on test, paired")
    for name in NAMES:
        alone = best(rows, name, ALONE)
        for row in (ALONE, CONTROL, *OWN_WEIGHT):
            mine = best(rows, name, row)
            gains = [one["test"] - other["test"] for one, other in zip(mine, alone, strict=True)]
            own = {k: f"{v:g}" for k, v in mine[0]["setting"].items() if k != "method" and (k != "lr" or row == ALONE)}
            told = " ".join(f"{k}={v}" for k, v in own.items() if v != "0")
            print(f"{name:16} {row:14} {told:34} {spread(r['val'] for r in mine):16} "
                  f"{spread(r['test'] for r in mine):16} {spread(gains)}")  # fmt: skip


def spread(values: Iterable[float]) -> str:
    """Mean and sample standard deviation, in points."""
    points = [100 * value for value in values]
    return f"{statistics.mean(points):+.2f} +- {statistics.stdev(points):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--tuned", action="store_true", help="three settings of every method, not its paper's alone")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    known = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
    fits = known.get("recipe") == RECIPE and known.get("teacher_recipe") == TEACHER
    rows: list[Row] = known["trials"] if fits else []
    started = time.time() - (known["wall_seconds"] if fits else 0)

    first = [(name, ALONE, one, seed) for name in NAMES for one in settings(ALONE, 0) for seed in SEEDS]
    run_all(first, rows, given.workers, started)
    lrs = {name: best(rows, name, ALONE)[0]["setting"]["lr"] for name in NAMES}
    tried = range(len(SCALES)) if given.tuned else [SCALES.index(1.0)]
    others = itertools.product(tried, NAMES, (CONTROL, *OWN_WEIGHT), SEEDS)
    kinds = [(name, row, settings(row, lrs[name])[n], seed) for n, name, row, seed in others]
    run_all(kinds, rows, given.workers, started)
    shown = [done for done in rows if any(same(done, kind) for kind in [*first, *kinds])]
    table(shown)


if __name__ == "__main__":
    main()

"""mIoU of the student alone, kd and heteroakd: one pair each way on `earth`, three seeds each.

Every trial has the same budget, crops and recipe, and the weights that the paper's code bases use (lambda_kd 0.1,
lambda_hakd 1): nothing is tuned here. Run: `python benchmarks/methods.py`; writes benchmarks/methods.json.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from pathlib import Path

PAIRS = {"fpn_r18:mit_b0": "CNN->Transformer", "mit_b0:mbv3s": "Transformer->CNN"}
METHODS = ("task", "kd", "heteroakd")
SEEDS = (0, 1, 2)
RECIPE = {"steps": 150, "crop_height": 96, "crop_width": 96, "scale_min": 0.75, "scale_max": 1.25}
OUT = Path(__file__).with_suffix(".json")


def trial(kind: tuple[str, str, int]) -> dict[str, object]:
    """Train one (pair, method, seed) and score it on the validation and test splits."""
    from search_spaces.pairs import resolve_pair
    from trainables import checkpoint
    from trainables.config import TrialConfig
    from trainables.data.catalogue import open_dataset
    from trainables.evaluate import evaluate_weights
    from trainables.metrics import miou
    from trainables.run import run
    from trainables.state import student_weights

    name, method, seed = kind
    pair = resolve_pair(name)
    config = TrialConfig.parse(
        {
            **RECIPE,
            "method": method,
            "teacher": pair.teacher.model,
            "student": pair.student.model,
            "seed": seed,
            "eval_every": RECIPE["steps"],
            "teacher_recipe": RECIPE,
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        final = run(config, directory=Path(folder))
        found = checkpoint.latest(Path(folder), digest=config.digest())
        assert found is not None
        test = evaluate_weights(config, student_weights(found[0]), open_dataset("earth"), "test")
    return {
        "pair": name,
        "method": method,
        "seed": seed,
        "val": final.miou,
        "test": miou(test),
        "seconds": final.seconds,
    }


def main() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    started = time.time()
    kinds = list(itertools.product(PAIRS, METHODS, SEEDS))
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        rows = list(pool.imap(trial, kinds))
    OUT.write_text(
        json.dumps({"recipe": RECIPE, "trials": rows, "wall_seconds": round(time.time() - started)}, indent=1) + "\n"
    )
    print(f"{'pair':16} {'direction':18} {'method':10} val mIoU (%), 3 seeds   test mIoU (%)     gain on test, paired")
    for name, method in itertools.product(PAIRS, METHODS):
        mine = [row for row in rows if (row["pair"], row["method"]) == (name, method)]
        alone = [row for row in rows if (row["pair"], row["method"]) == (name, "task")]
        gains = [row["test"] - other["test"] for row, other in zip(mine, alone, strict=True)]
        print(f"{name:16} {PAIRS[name]:18} {method:10} {spread(r['val'] for r in mine):23} "
              f"{spread(r['test'] for r in mine):17} {spread(gains)}")  # fmt: skip


def spread(values: object) -> str:
    """Mean and sample standard deviation, in points."""
    points = [100 * value for value in values]  # type: ignore[attr-defined]
    return f"{statistics.mean(points):+.2f} +- {statistics.stdev(points):.2f}"


if __name__ == "__main__":
    main()

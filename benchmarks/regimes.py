"""Where distillation pays on `earth`: labels, unlabelled images, budget, crops, averaging, students, methods, weights.

Everything that was tried stands in the table, whatever came out. All rows of a regime are trained with the same seeds
and are scored on test; gains are paired by seed, over the student alone and over self-training (which learns from the
same unlabelled images by its own pseudo-labels). The teachers are those that come with the data: `earth:transformer`
teaches the CNN, `earth:cnn` the Transformer; they have seen labels of 939 tiles. The learning rate of a direction is
the better of two for the student alone, on a seed of its own, and is everybody's. Crops come from a bank of two views
an image, as in demo.yaml, so that teachers are asked once.

Run: `python benchmarks/regimes.py`; writes benchmarks/regimes.json, and goes on where it was stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runs import ALONE, SELF, Runs, compared

SEEDS = (0, 1, 2, 3)
TUNING_SEED = 100
LRS = (3e-3, 6e-3)
NETWORKS = {
    "Transformer->CNN": {"student": "small_students:cnn", "teacher": "earth:transformer"},
    "CNN->Transformer": {"student": "small_students:late_transformer", "teacher": "earth:cnn"},
}
LARGER = {
    "Transformer->CNN": {"student": "segformer:tu-mobilenetv3_small_050"},
    "CNN->Transformer": {"student": "segformer:tu-pvt_v2_b0"},
}
BASE: dict[str, Any] = {
    "data": "earth@10", "steps": 200, "batch_size": 4, "crop_height": 128, "crop_width": 128, "scale_min": 1.0,
    "scale_max": 1.5, "flip_vertical": 0.5, "ema_decay": 0.97, "views": 2, "projector_tap": "stage3", "num_threads": 1,
}  # fmt: skip
UNLABELLED = {"unlabelled_ratio": 0.75}
LARGE = "larger students"
ROWS: dict[str, dict[str, Any]] = {
    ALONE: {"method": "task"},
    SELF: {"method": "task", "pseudo_weight": 1.0, **UNLABELLED},
    "kd, weight 10": {"method": "kd", "lambda_kd": 10.0, **UNLABELLED},
    "kd, weight 1": {"method": "kd", "lambda_kd": 1.0, **UNLABELLED},
    "kd, weight 40": {"method": "kd", "lambda_kd": 40.0, **UNLABELLED},
    "kd, labelled images only": {"method": "kd", "lambda_kd": 10.0},
    "heteroakd, lambda_1 10, lambda_2 1": {"method": "heteroakd", "lambda_kd": 10.0, **UNLABELLED},
    "heteroakd, lambda_1 0.1, lambda_2 10": {"method": "heteroakd", "lambda_hakd": 10.0, **UNLABELLED},
    "dist": {"method": "dist", **UNLABELLED},
    "fitnet with kd": {
        "method": "fitnet",
        "with_kd": True,
        "lambda_kd": 10.0,
        "projector_tap": "decoder",
        **UNLABELLED,
    },
}
FEW = (ALONE, SELF, "kd, weight 10")
REGIMES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "few labels, many images": ({}, tuple(ROWS)),
    "30 labels": ({"data": "earth@30"}, (*FEW, "kd, labelled images only")),
    "all 173 labels": ({"data": "earth"}, (*FEW, "kd, labelled images only")),
    "shorter training": ({"steps": 100}, FEW),
    "longer training": ({"steps": 600}, FEW),
    "crops of 64 pixels": ({"crop_height": 64, "crop_width": 64, "batch_size": 8}, FEW),
    "weights not averaged": ({"ema_decay": None}, FEW),
    LARGE: ({}, FEW),
}
OUT = Path(__file__).with_suffix(".json")


def rates(runs: Runs, direction: str) -> float:
    """The learning rate of the student alone that is better on val."""
    tried = {lr: runs({**values(direction, next(iter(REGIMES)), ALONE, lr), "seed": TUNING_SEED}) for lr in LRS}
    return max(tried, key=lambda lr: float(tried[lr]["val"]))


def values(direction: str, regime: str, row: str, lr: float) -> dict[str, Any]:
    """All but the seed."""
    networks = {**NETWORKS[direction], **(LARGER[direction] if regime == LARGE else {})}
    found = {**BASE, **REGIMES[regime][0], **ROWS[row], **networks, "lr": lr}
    if ROWS[row]["method"] == "task":
        del found["teacher"], found["projector_tap"]
        return found
    return {**found, "teacher_cache": True}


def table(runs: Runs, directions: list[str], regimes: list[str]) -> Iterator[dict[str, Any]]:
    for direction in directions:
        lr = rates(runs, direction)
        for regime in regimes:
            done = {
                row: [runs({**values(direction, regime, row, lr), "seed": seed}) for seed in SEEDS]
                for row in REGIMES[regime][1]
            }
            for row, own in done.items():
                yield {
                    "direction": direction, "regime": regime, "row": row, "lr": lr,
                    "seconds": round(sum(run["cpu_seconds"] for run in own) / len(own), 1),
                    **compared(row, done),
                }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--directions", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--regimes", nargs="*", choices=REGIMES, default=list(REGIMES))
    options = parser.parse_args()
    runs = Runs(OUT, base=BASE, networks=NETWORKS, seeds=list(SEEDS))
    known = [
        row
        for row in runs.head.get("table", [])
        if row["direction"] not in options.directions or row["regime"] not in options.regimes
    ]
    runs.head["table"] = known + list(table(runs, options.directions, options.regimes))
    runs.save()


if __name__ == "__main__":
    main()

"""Does the interval over images hold the truth, and what does it cost?

Splits are made up: an image has a share of each class (Dirichlet, some classes absent), and its own skill at each
(Beta), from which intersections and unions follow. The truth is the mIoU of a hundred thousand such images. Of each
size many splits are drawn, and it is counted how often their interval holds the truth.

Run: `python benchmarks/image_interval.py`; writes benchmarks/image_interval.json.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from trainables.scoring.interval import LEVEL, RESAMPLES, interval, pooled

SIZES, SPLITS, CLASSES, PIXELS = (10, 20, 40, 100), 600, 4, 128 * 128
TIMED = ((40, 8), (500, 19), (2000, 150))  # images, classes
OUT = Path(__file__).with_suffix(".json")


def images(number: int, classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of intersection and union of each image and class."""
    share = rng.dirichlet(np.full(classes, 0.7), number)
    share[share < 0.02] = 0.0
    labelled = np.round(PIXELS * share)
    skill = rng.beta(4.0, 1.5, (number, classes))
    hits = np.floor(labelled * skill)
    missed = labelled - hits  # goes to the other classes, as they are common
    wrong = np.round(missed.sum(axis=1, keepdims=True) * share)
    return hits.astype(np.int64), (labelled + wrong).astype(np.int64)


def seconds(number: int, classes: int) -> float:
    """Of one interval, the least of five."""
    counts = images(number, classes, np.random.default_rng(0))
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        interval(*counts)
        taken.append(time.perf_counter() - began)
    return min(taken)


def main() -> None:
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    rng = np.random.default_rng(0)
    truth = float(pooled(*(counts.sum(axis=0) for counts in images(100_000, CLASSES, rng))))
    held = {}
    for size in SIZES:
        found = [interval(*images(size, CLASSES, rng)) for _ in range(SPLITS)]
        held[size] = sum(one is not None and one[0] <= truth <= one[1] for one in found) / SPLITS
        print(f"{size} images: the interval holds the truth in {100 * held[size]:.0f} %", flush=True)
    times = [
        {"images": number, "classes": classes, "ms": round(1000 * seconds(number, classes), 1)}
        for number, classes in TIMED
    ]
    setting = {"level": LEVEL, "resamples": RESAMPLES, "splits": SPLITS, "classes": CLASSES, "truth": round(truth, 4)}
    OUT.write_text(json.dumps({**setting, "held": held, "times": times}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Do the statistics hold on real trainings? Studies drawn from CamVid's full factorial, against the factorial itself.

`camvid.py` trains every pair of 5 x 5 weights on 3 seeds. The truth is read off all of these trainings by an analysis
of variance whose seeds' noise is taken off. A study is what a sweep of 25 trials would have: one training of each of 25
draws, by random, from the cells, on a random seed. Its importances (of lambda_1, lambda_2 and both together) and its
surface are asked for, and held against the truth: how often do 90 % intervals hold it, and how often is the best pair
of weights (by val, over all seeds) within the region that the surface cannot tell from its best?

The truth is itself an estimate of three seeds: the share's interval by a bootstrap over seeds is in the JSON beside it.
Run: `python benchmarks/factorial.py`; reads benchmarks/camvid.json, writes benchmarks/factorial.json.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from explorer.statistics.effects import effects
from explorer.statistics.importance import importance
from explorer.statistics.interactions import interactions
from explorer.statistics.response import surface
from trainables.kept import atomic

FROM, OUT = (Path(__file__).with_name(name) for name in ("camvid.json", "factorial.json"))
WEIGHTS = ("lambda_kd", "lambda_hakd")
STUDIES, TRIALS = 200, 25


def shares(scores: np.ndarray) -> np.ndarray:
    """Of the variance between cells: of the first weight, of the second, of both only together; noise taken off.

    Args:
        scores: mIoU, [first weight, second weight, seeds].
    """
    first, second, seeds = scores.shape
    cells = scores.mean(axis=2)
    noise = float((scores - cells[..., None] - scores.mean(axis=(0, 1)) + scores.mean()).var() * scores.size)
    noise /= (first * second - 1) * (seeds - 1) * seeds  # of a cell's mean; seeds' own levels are left out
    rows, columns = cells.mean(axis=1), cells.mean(axis=0)
    rest = cells - rows[:, None] - columns + cells.mean()
    parts = np.array(
        [
            rows.var() - noise * (first - 1) / (first * second),
            columns.var() - noise * (second - 1) / (first * second),
            rest.var() - noise * (first - 1) * (second - 1) / (first * second),
        ]
    )
    parts = np.maximum(parts, 0)
    found: np.ndarray = parts / parts.sum() if parts.sum() else parts
    return found


def study(one: dict[str, Any], rng: np.random.Generator) -> pd.DataFrame:
    """The trials frame of a sweep that drew these cells and seeds."""
    rows = []
    for number in range(TRIALS):
        cell = one["cells"][int(rng.integers(len(one["cells"])))]
        seed = int(rng.integers(len(cell["val"])))
        rows.append(
            {
                "number": number, "trial": number, "role": "search", "state": "COMPLETE", "miou": cell["val"][seed],
                "pair": one["direction"], "method": "heteroakd", "seed": seed,
                **{name: cell[name] for name in WEIGHTS}, **{f"param.{name}": cell[name] for name in WEIGHTS},
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def dimensions(lambdas: dict[str, list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"name": name, "kind": "float", "log": True, "low": min(lambdas[name]), "high": max(lambdas[name])}
            for name in WEIGHTS
        ]
    )


def asked(one: dict[str, Any], lambdas: dict[str, list[float]], number: int, truth: np.ndarray) -> dict[str, Any]:
    """Whether each interval of a study holds the truth, and how wide it is; and what its surface recommends."""
    trials, axes = study(one, np.random.default_rng(number)), dimensions(lambdas)
    model = effects(trials, axes, None)
    table = importance(trials, axes, effects=model, seed=number)
    own = table[table["question"] == "variance"].set_index("dimension")
    found = [(own.loc[name, "low"], own.loc[name, "high"]) for name in WEIGHTS]
    pair = interactions(model, trials, axes).iloc[0]
    found.append((pair["low"], pair["high"]))
    grid = surface(trials, seed=number)
    val, means = (
        {(cell["lambda_kd"], cell["lambda_hakd"]): float(np.mean(cell[split])) for cell in one["cells"]}
        for split in ("val", "test")
    )
    peak = grid.loc[grid["miou_mean"].idxmax()]
    near = min(means, key=lambda cell: sum(np.log(cell[k] / peak[name]) ** 2 for k, name in enumerate(WEIGHTS)))
    best = np.log(max(val, key=lambda cell: val[cell]))
    there = ((np.log(grid[list(WEIGHTS)]) - best) ** 2).sum(axis=1).idxmin()
    luckiest = trials.loc[trials["miou"].idxmax()]
    return {
        "holds": [bool(low - 1e-9 <= share <= high + 1e-9) for share, (low, high) in zip(truth, found, strict=True)],
        "widths": [float(high - low) for low, high in found],
        "region_holds_best": bool(grid.loc[there, "near_best"]),
        "region": float(grid["near_best"].mean()),
        "test_of_surface": means[near],
        "test_of_best_trial": means[luckiest["lambda_kd"], luckiest["lambda_hakd"]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=STUDIES)
    number = parser.parse_args().studies
    camvid = json.loads(FROM.read_text(encoding="utf-8"))
    found: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "studies": number, "trials": TRIALS, "directions": []}
    for one in camvid["factorial"]:
        sides = [len(camvid["lambdas"][name]) for name in WEIGHTS]
        scores = np.array([cell["val"] for cell in one["cells"]]).reshape(*sides, -1)
        truth, rng = shares(scores), np.random.default_rng(0)
        seeds = scores.shape[2]
        again = [shares(scores[..., rng.integers(seeds, size=seeds)]) for _ in range(500)]
        told = [asked(one, camvid["lambdas"], place, truth) for place in range(number)]
        means = np.array([np.mean(cell["test"]) for cell in one["cells"]])
        found["directions"].append(
            {
                "direction": one["direction"],
                "names": [*WEIGHTS, "both together"],
                "truth": truth.round(3).tolist(),
                "truth_over_seeds": np.quantile(again, [0.05, 0.95], axis=0).round(3).T.tolist(),
                "held": np.mean([study["holds"] for study in told], axis=0).round(3).tolist(),
                "median_width": np.median([study["widths"] for study in told], axis=0).round(3).tolist(),
                "best_cell": round(100 * float(means.max()), 2),
                "mean_cell": round(100 * float(means.mean()), 2),
                **{
                    name: round(100 * float(np.mean([study[name] for study in told])), 2)
                    for name in ("test_of_surface", "test_of_best_trial")
                },
                **{
                    name: round(float(np.mean([study[name] for study in told])), 3)
                    for name in ("region_holds_best", "region")
                },
            }
        )
        print(json.dumps(found["directions"][-1], indent=1))
    atomic.write_text(OUT, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

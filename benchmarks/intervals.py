"""Do the 90 % intervals beside gains, surfaces and interactions hold the truth, and how often is a winner wrong?

Synthetic studies of known truth (benchmarks/sensitivity.py has those of the importances):

- gains: two pairs of 16 configs (sd 1 point between them) on two or four seeds; the typical gain, and the true gain of
  the config with the highest one, beside what that one seems to gain;
- surface: 30 trials at random weights about a peak, one standard deviation of noise being 0.5, 1 or 2 points: how much
  of the surface, and of what is within noise of the best, the intervals and the region hold, and how large it is;
- interactions: 40 or 80 trials of five dimensions, with an interaction of share 4/9 and none else;
- confirm: finalists on five seeds (sd 2 points between seeds, 1 of a run): equal ones, and one that is better.

Run: `python benchmarks/intervals.py`; writes benchmarks/intervals.json. Minutes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from explorer.statistics.effects import effects
from explorer.statistics.finalists import interval, paired, separate
from explorer.statistics.gains import gains
from explorer.statistics.interactions import interactions
from explorer.statistics.noise import noise
from explorer.statistics.response import surface

OUT = Path(__file__).with_suffix(".json")
DIMENSIONS = pd.DataFrame(
    [("pair", "categorical", False), ("lambda_kd", "float", True), ("lambda_hakd", "float", True),
     ("projector_depth", "int", False), ("kem", "categorical", False)],
    columns=["name", "kind", "log"],
)  # fmt: skip
TWIST = 4 / 9  # of the variance that `twisted` has, what pair and lambda_kd do together

Rng = np.random.Generator


def gained(rng: Rng, *, seeds: int, shared: float) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Trials of two pairs, which typically gain 0 and 3 points, and the true gain of each config.

    Args:
        shared: what a seed does to the student alone and to all trials, sd of mIoU.
    """
    rows: list[dict[str, Any]] = []
    truth = {}
    for pair, mean in (("none", 0.0), ("three", 0.03)):
        of_seed = 0.4 + rng.normal(0, shared, seeds)
        alone = of_seed + rng.normal(0, 0.01, seeds)
        truth[pair] = mean + rng.normal(0, 0.01, 16)
        known = {"teacher": "t", "student": pair, "state": "COMPLETE", "budget": 9, "probe": False}
        for seed in range(seeds):
            rows.append({**known, "role": "baseline", "method": "task", "seed": seed, "miou": alone[seed]})
        for config, gain in enumerate(truth[pair]):
            seed = config % seeds
            miou = of_seed[seed] + gain + rng.normal(0, 0.01)
            told = {"role": "search", "pair": pair, "method": "heteroakd", "seed": seed, "param.lr": config}
            rows.append({**known, **told, "miou": miou, "gain": miou - alone[seed]})
    return pd.DataFrame(rows), truth


def of_gains(repeats: int) -> dict[str, Any]:
    """Coverage of both intervals, and in points how far the best is from its truth, as seen and as estimated."""
    found = {}
    for seeds, shared in ((2, 0.0), (4, 0.01)):
        rng = np.random.default_rng(seeds)
        typical, best, seen, told = [], [], [], []
        for _ in range(repeats):
            trials, truth = gained(rng, seeds=seeds, shared=shared)
            table = gains(trials, noise(trials)).set_index(["pair", "statistic"])
            for pair, mean in (("none", 0.0), ("three", 0.03)):
                own = trials[trials["pair"] == pair].reset_index(drop=True)
                chosen = truth[pair][own["gain"].idxmax()]
                usual, top = table.loc[(pair, "typical")], table.loc[(pair, "best")]
                typical.append(usual["low"] <= mean <= usual["high"])
                best.append(top["low"] <= chosen <= top["high"])
                seen.append(own["gain"].max() - chosen)
                told.append(top["gain"] - chosen)
        found[f"{seeds} seeds, {100 * shared:.0f} points shared"] = {
            "coverage_typical": _share(typical),
            "coverage_best": _share(best),
            "best_as_seen_too_high_points": round(100 * float(np.mean(seen)), 2),
            "best_as_told_too_high_points": round(100 * float(np.mean(told)), 2),
        }
    return found


def peak(kd: Any, hakd: Any) -> Any:
    """Best at lambda_kd = 0.1, lambda_hakd = 1; falls by 2 and 1 points a squared decade."""
    return 0.5 - 0.02 * (np.log10(kd) + 1) ** 2 - 0.01 * np.log10(hakd) ** 2


def of_surfaces(repeats: int) -> dict[str, Any]:
    """Coverage over the grid, the region's share of what is truly within noise of the best, and of the whole."""
    found = {}
    for sd in (0.005, 0.01, 0.02):
        rng = np.random.default_rng(round(1000 * sd))
        held, kept, size = [], [], []
        for _ in range(repeats):
            kd, hakd = 10 ** rng.uniform(-3, 1, 30), 10 ** rng.uniform(-2, 1.5, 30)
            trials = pd.DataFrame({"param.lambda_kd": kd, "param.lambda_hakd": hakd}).assign(
                role="search", state="COMPLETE", pair="a:b", miou=peak(kd, hakd) + rng.normal(0, sd, 30)
            )
            table = surface(trials, noise=sd, num_grid=11)
            truth = peak(table["lambda_kd"], table["lambda_hakd"])
            held.append((np.abs(truth - table["miou_mean"]) <= 1.645 * table["miou_sd"]).mean())
            kept.append(table["near_best"][truth >= truth.max() - sd].mean())
            size.append(table["near_best"].mean())
        named = {"coverage": held, "region_holds": kept, "region_size": size}
        found[f"noise {100 * sd:g} points"] = {name: _share(values) for name, values in named.items()}
    return found


def twisted(rng: Rng, num: int) -> pd.DataFrame:
    """Variances in squared points: pair 4, lambda_kd 1, both together 4; noise 1."""
    pairs = rng.choice(["a:b", "c:d"], num)
    trials = pd.DataFrame(
        {"number": range(num), "pair": pairs, "param.pair": pairs, "param.lambda_kd": 10 ** rng.uniform(-3, 1, num),
         "param.lambda_hakd": 10 ** rng.uniform(-2, 1, num), "param.projector_depth": rng.integers(1, 4, num),
         "param.kem": rng.choice([True, False], num)}
    )  # fmt: skip
    side = np.where(pairs == "a:b", 1.0, -1.0)
    kd = np.sqrt(3) * (2 * (np.log10(trials["param.lambda_kd"]) + 3) / 4 - 1)
    miou = 0.4 + 0.02 * side + 0.01 * kd + 0.02 * side * kd + rng.normal(0, 0.01, num)
    return trials.assign(role="search", state="COMPLETE", probe=False, step=20, seed=0, miou=miou)


def of_interactions(repeats: int) -> dict[str, Any]:
    """Coverage of the one that is there, how often it is found, and how often one of the nine others is claimed."""
    found = {}
    for num in (40, 80):
        rng = np.random.default_rng(num)
        held, seen, claimed = [], [], []
        for repeat in range(repeats):
            trials = twisted(rng, num)
            table = interactions(effects(trials, DIMENSIONS, seed=repeat), trials, DIMENSIONS)
            there = table[["first", "second"]].isin(["pair", "lambda_kd"]).all(axis=1)
            row = table[there].iloc[0]
            held.append(row["low"] <= TWIST <= row["high"])
            seen.append(row["identifiable"])
            claimed.append(table.loc[~there, "identifiable"].mean())
        named = {"coverage": held, "found": seen, "others_claimed": claimed}
        found[f"{num} trials"] = {name: _share(values) for name, values in named.items()}
    return found


def of_confirm(repeats: int) -> dict[str, Any]:
    """How often a winner is named among equals, how often the better one is, and the gain's coverage."""
    rng = np.random.default_rng(5)
    fields = {f"{count} equal": [0.4] * count for count in (2, 3, 5)}
    fields |= {f"{ahead} points better than four": [0.4 + ahead / 100, *[0.4] * 4] for ahead in (2, 4)}
    found: dict[str, Any] = {}
    for called, means in fields.items():
        runs = [_runs(rng, means) for _ in range(repeats)]
        won = [told.best for told in map(separate, runs) if not told.near]
        wrong = len(won) if len(set(means)) == 1 else sum(best != 0 for best in won)
        right = {} if len(set(means)) == 1 else {"named": round(sum(best == 0 for best in won) / repeats, 4)}
        found[called] = {"wrong_winner": round(wrong / repeats, 4)} | right
    gain = [interval(paired(*_runs(rng, [0.42, 0.4]))) for _ in range(repeats)]
    return found | {"gain": {"coverage": _share([one.low <= 0.02 <= one.high for one in gain])}}


def _runs(rng: Rng, means: list[float]) -> list[dict[int, float]]:
    """Scores of each finalist by seed; a seed does the same to all of them."""
    shared = rng.normal(0, 0.02, 5)
    return [dict(enumerate(mean + shared + rng.normal(0, 0.01, 5))) for mean in means]


def _share(values: list[Any]) -> float:
    return round(float(np.mean(values)), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--repeats", type=int, default=100, help="studies of each kind; of confirm, fifty times as many"
    )
    repeats = parser.parse_args().repeats
    figures = {
        "repeats": repeats,
        "gains": of_gains(repeats),
        "surface": of_surfaces(repeats),
        "interactions": of_interactions(repeats),
        "confirm": of_confirm(50 * repeats),
    }
    OUT.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()

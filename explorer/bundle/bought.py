"""What a gain was bought with: steps or compute, and what it is at equal steps and at equal compute."""

from __future__ import annotations

from typing import Any

import pandas as pd

from dashboards.frames import MEASURES, StudyFrames
from explorer.bundle.chosen import Chosen
from explorer.bundle.markdown import escape, points, table
from explorer.statistics import sensitivity
from explorer.statistics.gains import bound
from explorer.statistics.readings import reading
from trainables.config import TrialConfig

Record = dict[str, Any]


def record(chosen: Chosen, frames: StudyFrames) -> Record:
    """As `metrics.json` holds it: what the trial and its student alone had equally much of, how many steps that were,
    and the gains at both measures, of the trial and of its pair and method in the search.
    """
    steps, of_pairs = chosen.trained.config.steps, sensitivity.gains_of(frames)
    of_pairs = of_pairs[(of_pairs["pair"] == chosen.pair) & (of_pairs["statistic"] == "typical")]
    cost = chosen.relative_cost
    return {
        "equal": frames.equal,
        "steps": steps,
        "alone_steps": int(chosen.trained.trial.user_attrs.get("budget", steps)),
        "relative_cost": None if pd.isna(cost) else float(cost),
        "gains": {
            measure: {
                "trial": _of_trial(chosen.number, frames, measure),
                "typical": _typical(of_pairs[of_pairs["equal"] == measure], chosen.trained.config.method),
            }
            for measure in MEASURES
        },
    }


def lines(told: Record, config: TrialConfig, *, trial: int) -> list[str]:
    """Of the model card; nothing of a student alone."""
    if config.method == "task":
        return []
    cost = told["relative_cost"]
    each = "" if cost is None else f" A step cost {cost:.2f} times a step of the student alone."
    if told["equal"] == "steps":
        dear = "" if cost is None or cost <= 1 else " A student alone trained as long may gain too."
        return [f"The gain is at equal steps: both were trained for {told['steps']}.{each}{dear}", *_side(told, trial)]
    return [
        f"The gain is at equal compute, in {told['equal']} measured at launch: {told['steps']} steps, against "
        f"{told['alone_steps']} of the student alone.{each}",
        *_side(told, trial),
    ]


def _of_trial(number: int, frames: StudyFrames, measure: str) -> Record | None:
    """The search trial's own gain, one run; None where it is not known."""
    done = frames.trials_of("search", "COMPLETE")
    row = reading(frames.trials, frames.curves, measure).loc[done.index[done["number"] == number]]
    return None if row["gain"].isna().all() else {"gain": float(row["gain"].iloc[0]), "bound": bound(row)}


def _typical(rows: pd.DataFrame, method: str) -> Record | None:
    """The mean over the configs of a pair, of the trial's method where it was one of several."""
    own = rows[rows["method"] == method]
    found = own if len(own) else rows[rows["method"] == ""]
    if found["gain"].isna().all():
        return None
    row = found.iloc[0]
    ends = {name: None if pd.isna(row[name]) else float(row[name]) for name in ("low", "high")}
    counts = {name: int(row[name]) for name in ("num_trials", "num_seeds")}
    return {"method": str(row["method"]), "gain": float(row["gain"]), **ends, **counts, "bound": str(row["bound"])}


def _side(told: Record, trial: int) -> list[str]:
    """Both measures side by side; nothing where there is no gain at either."""
    gains = told["gains"]
    if not any(found["trial"] for found in gains.values()):
        return []
    unit = "seconds of whole trials" if told["equal"] == "steps" else told["equal"]
    typical = [gains[measure]["typical"] for measure in MEASURES]
    method = next((found["method"] for found in typical if found), "")
    rows = [
        [f"trial {trial} of the search, one run", *(_one(gains[measure]["trial"]) for measure in MEASURES)],
        [f"a typical config {f'of {escape(method)} ' if method else ''}in the search", *map(_mean, typical)],
    ]
    early = " “At least” and “at most”: a curve was read before its schedule's end, where planned runs have more."
    return [
        "Both gains, in points on the split (val) by which the search chose, over the best student alone of the seed; "
        "who has had more steps, or more compute, is read from its curve where both have had equally much."
        + (early if any(found and found["bound"] for one in gains.values() for found in one.values()) else ""),
        table(["gain over the student alone", "at equal steps", f"at equal compute ({unit})"], rows),
    ]


def _one(found: Record | None) -> str:
    return "unknown" if found is None else f"{found['bound']} {points(found['gain'])}".strip()


def _mean(found: Record | None) -> str:
    if found is None:
        return "unknown"
    low, high = found["low"], found["high"]
    interval = "no interval" if low is None else f"90 %: {points(low)} to {points(high)}"
    seeds = f"{found['num_seeds']} seed{'s' if found['num_seeds'] > 1 else ''}"
    return f"{_one(found)} ({interval}; n={found['num_trials']}, {seeds})"

"""Steps of training until a search is near the best: benchmarks/search.json."""

from __future__ import annotations

from typing import Any

from writers.words import count, table

NEAR, NEAREST = "within_5_percent", "within_0.5_percent"
OURS, BARE = "ours (default)", "ours, no enqueued points"
STOCK, RANDOM = "OptunaSearch + ASHA (stock)", "random, no pruning"
NEVER = "not reached"


def setting(found: Any) -> str:
    """What was searched, how often, and what counts as arrived."""
    return (
        f"{count(found['configs'] * found['seeds'])} learning curves of HeteroAKD on `earth` were recorded whole: "
        f"{found['configs']} configs, {found['seeds']} seeds, {found['budget']} steps each. Every method then searches "
        f"this table {found['repeats']} times in virtual time, with {found['workers']} trials at a time and at most "
        f"{count(found['most_steps'])} steps ({count(found['most_steps'] / found['budget'])} full trials). It has "
        "arrived when a config near the table's best has been trained whole."
    )


def table_of_steps(found: Any) -> str:
    """Steps until a method has arrived, and how often it did."""
    near = found["configs_near"]
    head = ("method", *(cell for name in (NEAR, NEAREST) for cell in (_heading(name, near[name]), "reached")))
    rows = []
    for method, own in found["steps_to_target"].items():
        cells = [f"**{method}**" if method == OURS else method]
        for name in (NEAR, NEAREST):
            cells += [_steps(own[name]), f"{reached(found, method, name)} of {found['repeats']}"]
        rows.append(cells)
    return table(head, rows, right=range(1, 5))


def reading(found: Any) -> str:
    """The comparison in two sentences."""
    return (
        f"The default gets within 5 % after {told(median(found, OURS))} steps, and after {told(median(found, BARE))} "
        f"without the enqueued points. Random search without pruning needs {told(median(found, RANDOM))}. Stock "
        f"OptunaSearch with ASHA gets there in {reached(found, STOCK, NEAR)} of {found['repeats']} searches."
    )


def median(found: Any, method: str, name: str = NEAR) -> float | None:
    steps: float | None = found["steps_to_target"][method][name]["median"]
    return steps


def reached(found: Any, method: str, name: str) -> int:
    missed: int = found["steps_to_target"][method][name]["not_reached"]
    return int(found["repeats"]) - missed


def told(steps: float | None) -> str:
    return NEVER if steps is None else count(steps)


def _steps(own: Any) -> str:
    low, high = own["quartiles"]
    if low is None:
        return NEVER
    return f"{told(own['median'])} ({told(low)} to {told(high)})"


def _heading(name: str, configs: int) -> str:
    share = name.removeprefix("within_").removesuffix("_percent")
    return f"steps to within {share} % ({configs} config{'s' * (configs > 1)}): median (quartiles)"

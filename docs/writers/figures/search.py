"""Regret of the config that a search recommends: benchmarks/search.json."""

from __future__ import annotations

import math
from typing import Any

from writers.words import count, listed, table

OURS, DEFAULT = "belief + evidence, likeliest", "TPE + Hyperband, likeliest"
STOCK, RANDOM = "OptunaSearch + ASHA (stock), luckiest", "random, luckiest"
TOLD = (12, 20, 40)  # budgets that the table shows
_NOISE = 1.05  # of random search against itself, above which it is told


def setting(found: Any) -> str:
    """What was searched, and what is scored."""
    families = found["families"]
    return (
        f"Every method searches the same {count(found['worlds'] * len(families))} worlds whose truth is known, "
        f"{found['worlds']} of each of {len(families)} families, in virtual time, with {found['workers']} trials at a "
        f"time and {found['reports']} reports a whole trial. After so many budgets of a whole trial it is asked which "
        "config it recommends. Its regret is how many points the true mean of that config, over seeds, is below the "
        "best: mean ± standard error. Luckiest: the whole trial with the highest score is recommended; likeliest: the "
        "config with the highest posterior mean, as `best`, `export` and `confirm` do. No world was used to develop "
        "what is measured. Nothing is enqueued."
    )


def table_of_regrets(found: Any) -> str:
    """By family and method, regret after 12, 20 and 40 budgets."""
    places = [found["marks"].index(mark) for mark in TOLD]
    rows = []
    for family, methods in found["families"].items():
        for method, own in methods.items():
            cells = [f"{own['regret'][place]:.2f} ± {own['error'][place]:.2f}" for place in places]
            rows.append((family, f"**{method}**" if method == DEFAULT else method, *cells))
    return table(("worlds", "method, recommendation", *map(str, TOLD)), rows, right=range(2, 2 + len(TOLD)))


def rivals(found: Any) -> str:
    """The same table of engines too slow for so many worlds, and of how many."""
    worlds = f"Of {count(found['worlds'] * len(found['families']))} of these worlds, {found['worlds']} of each family:"
    return f"{worlds}\n\n{table_of_regrets(found)}"


def reading(found: Any) -> str:
    """How many budgets are needed for what random search has at its end, and where it is no better."""
    last = found["marks"][-1]
    parts = []
    for method in (OURS, DEFAULT, STOCK, RANDOM):
        every = [last / budgets(found, family, method) for family in found["families"]]
        parts.append(f"`{_named(method)}` {fewer(found, method):.1f} ({min(every):.1f} to {max(every):.1f})")
    noise = "That random search is not at 1 is noise: its mean regret does not fall at every step. "
    return (
        f"What random search without pruning has after {last} budgets, others have earlier: by so many times "
        f"(geometric mean over the families, least and most; who does not get there counts as 1): {listed(parts)}. "
        f"{noise if fewer(found, RANDOM) > _NOISE else ''}{_worse(found)} {_behind(found)}"
    )


def fewer(found: Any, method: str) -> float:
    """Geometric mean over families of the budgets of random over those of a method, for the same mean regret."""
    every = [found["marks"][-1] / budgets(found, family, method) for family in found["families"]]
    return math.exp(sum(map(math.log, every)) / len(every))


def budgets(found: Any, family: str, method: str) -> float:
    """Budgets until its mean regret is what random search has at its end, between marks along a line; at most all."""
    marks, own = found["marks"], found["families"][family][method]["regret"]
    target = found["families"][family][RANDOM]["regret"][-1]
    if own[0] <= target:
        return float(marks[0])
    for place in range(1, len(marks)):
        if own[place] <= target:
            share = (own[place - 1] - target) / (own[place - 1] - own[place])
            return float(marks[place - 1] + share * (marks[place] - marks[place - 1]))
    return float(marks[-1])


def front(found: Any) -> str:
    """The claim of the front page."""
    own, usual, stock = (f"{fewer(found, method):.1f}" for method in (OURS, DEFAULT, STOCK))
    noise = f"; random itself, by noise, {uniform:.1f}" if (uniform := fewer(found, RANDOM)) > _NOISE else ""
    return f"{usual} times fewer (`sampler: belief` {own}); stock Tune + Optuna {stock}{noise}"


def _worse(found: Any) -> str:
    """Where the belief is worse than random search by more than a standard error of the difference."""
    cells = [
        f"{family} after {mark} ({-own['less'][place]:.2f} ± {own['less_error'][place]:.2f})"
        for family, methods in found["families"].items()
        for own in [methods[OURS]]
        for place, mark in enumerate(found["marks"])
        if own["less"][place] < -own["less_error"][place]
    ]
    if not cells:
        return "The belief is nowhere worse than random search by more than a standard error of the difference."
    return f"The belief is worse than random search by more than a standard error, in points: {listed(cells)}."


def _behind(found: Any) -> str:
    """At the end, against the default."""
    cells, ahead = [], 0
    for family, methods in found["families"].items():
        (own, error), (usual, other) = (
            (methods[one]["regret"][-1], methods[one]["error"][-1]) for one in (OURS, DEFAULT)
        )
        ahead += own < usual
        if own - usual > (both := math.hypot(error, other)):
            cells.append(f"{family} ({own - usual:.2f} ± {both:.2f})")
    told = (
        f"After {found['marks'][-1]} budgets it is ahead of the default in {ahead} of {len(found['families'])} families"
    )
    return f"{told}, and behind by more than a standard error in {listed(cells)}." if cells else f"{told}."


def _named(method: str) -> str:
    return method.rpartition(", ")[0]

"""Whether what is expected of ten more trials comes, and what the rule costs: benchmarks/stop_when.json."""

from __future__ import annotations

from typing import Any

from writers.words import between, count, listed, percent, table


def setting(found: Any) -> str:
    """What was searched."""
    return (
        f"{count(found['worlds'] * len(found['families']))} worlds whose truth is known, {found['worlds']} of each of "
        f"{len(found['families'])} families, are searched by two engines for {found['trials']} trials, "
        f"{found['workers']} at a time. After every ten trials: what another ten are expected to bring, and by how "
        "much the true mean of the recommended config did rise over the next ten, in points. No world was used to "
        "develop the estimate."
    )


def table_of_bins(found: Any) -> str:
    """Expectations in bins of equal size, and what came."""
    rows = [
        (
            engine,
            f"{one['expected']:.2f}",
            f"{one['came']:.2f} ± {one['error']:.2f}",
            f"{one['tenth']:.2f} to {one['nine_tenths']:.2f}",
            f"{percent(one['rose'])} %",
        )
        for engine, own in found["engines"].items()
        for one in own["bins"]
    ]
    head = ("engine", "expected", "came, mean ± standard error", "tenth to nine tenths", "rose at all")
    return table(head, rows, right=range(1, 5))


def table_of_rules(found: Any) -> str:
    """What each rule loses and saves against all trials."""
    rows = [
        (
            engine,
            rule,
            f"{one['trials']:.0f}",
            f"{percent(one['saved'])} %",
            f"{one['lost']:.2f} ± {one['error']:.2f}",
            f"{percent(one['lost_half_a_point'])} %",
        )
        for engine, own in found["engines"].items()
        for rule, one in own["rules"].items()
    ]
    head = ("engine", "`stop_when`", "trials", "training saved", "points lost", "lost over half a point")
    return table(head, rows, right=range(1, 6))


def reading(found: Any) -> str:
    """How honest it is, on average and for one search."""
    told = [
        f"`{engine}` {own['expected']:.2f} expected and {own['came']:.2f} came, ± {own['surplus_error']:.2f}"
        for engine, own in found["engines"].items()
    ]
    every = [one["came"] - one["expected"] for own in found["engines"].values() for one in own["families"].values()]
    whole = found["trials"]
    return (
        f"On average over searches and moments: {listed(told)}. By family, what came less what was expected is "
        f"{between(every, '.2f')} points. A single search strays far from it: most tens bring nothing, and a few bring "
        f"much. So the rule says when to stop in the long run, not that this search has found its best: what it loses "
        f"against {whole} trials is what {whole} trials were still worth."
    )

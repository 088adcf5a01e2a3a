"""Whether importances are right: benchmarks/sensitivity.json."""

from __future__ import annotations

from typing import Any

from writers.words import listed, percent, table

OURS, PED, FANOVA = "ours", "stock (PED-ANOVA)", "stock fANOVA"
STRONG, WEAK = "all", "all, weak"
HELD, TOP, SURVIVORS = "intervals of ours", "intervals of ours, top", "intervals of ours, complete trials only"
SHARE, NOTHING = "coverage_where_a_share", "coverage_where_nothing"


def setting(found: Any) -> str:
    """What was studied."""
    cases, pruned = kinds(found), (found[STRONG]["pruned"] + found[WEAK]["pruned"]) / 2
    more = [f"“{kind}”: {found[kind]['studies']}" for kind in cases if found[kind]["studies"] > found["repeats"]]
    return (
        f"{len(cases)} kinds of synthetic studies whose importances are known, {found['repeats']} of each with a "
        f"strong signal and {found['repeats']} with a weak one ({listed(more)}). Each has {found['trials']} trials, of "
        f"which {percent(pruned)} % are pruned and {found['probes']} are probes."
    )


def against_stock(found: Any) -> str:
    """Wrong orders and errors of shares, ours and Optuna's, for a strong (weak) signal."""
    rows = [
        ("pairs of dimensions in the wrong order, %", *(_both(found, "wrong_order", one, 1) for one in _METHODS)),
        ("error of a share, points", *(_both(found, "share_error", one, 1) for one in _METHODS)),
        (
            "wrong order of what sets the best tenth apart, %",
            *(_both(found, "wrong_order_top", one, 1) for one in _TOP),
            "",
        ),
    ]
    head = ("strong (weak) signal", "ours", "Optuna's default (PED-ANOVA)", "Optuna's fANOVA")
    return table(head, rows, right=range(1, 4))


def coverage(found: Any) -> str:
    """How often the intervals hold the truth, by kind of study."""
    rows = [(name, *_held(found, name, f"{name}, weak")) for name in kinds(found)]
    rows.append(("**all**", *_held(found, STRONG, WEAK)))
    head = ("kind of study", "of dimensions that decide something, %", "of all dimensions, %", "of the best tenth, %")
    return table(head, rows, right=range(1, 4))


def claims(found: Any) -> str:
    """How often nothing is called something, and what the rungs of pruned trials are good for."""
    wrong, share = (
        {one: percent(found[one][HELD][key], 1) for one in (STRONG, WEAK)}
        for key in ("identified_where_nothing", "identified_where_a_share")
    )
    bare = {one: percent(found[one][SURVIVORS][SHARE], 1) for one in (STRONG, WEAK)}
    return (
        f"Of the dimensions that decide nothing, {wrong[STRONG]} ({wrong[WEAK]}) % were called identifiable; of those "
        f"that decide something, {share[STRONG]} ({share[WEAK]}) %. From complete trials alone, without the rungs of "
        f"the pruned ones, the intervals hold {bare[STRONG]} ({bare[WEAK]}) % of the dimensions that decide something."
    )


def kinds(found: Any) -> list[str]:
    """The kinds of studies, which come with a strong and a weak signal."""
    return [name for name in found if f"{name}, weak" in found and name != STRONG]


_METHODS, _TOP = (OURS, PED, FANOVA), (OURS, PED)


def _both(found: Any, key: str, method: str, digits: int) -> str:
    strong, weak = (percent(found[one][key][method], digits) for one in (STRONG, WEAK))
    return f"{strong} ({weak})"


def _held(found: Any, strong: str, weak: str) -> tuple[str, str, str]:
    def cell(kind: str, key: str) -> str:
        return f"{percent(found[strong][kind][key])} ({percent(found[weak][kind][key])})"

    return cell(HELD, SHARE), cell(HELD, "coverage"), cell(TOP, SHARE)

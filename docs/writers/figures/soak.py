"""Kills and full disks that sweeps lived through: benchmarks/soak.json."""

from __future__ import annotations

from typing import Any

from writers.words import count, listed, table

WRONG = ("lost", "duplicated", "falsified", "broken")
_OTHER = ("trials", "steps", "steps trained")


def facts(found: Any) -> str:
    """How long, through what, and what came of it."""
    totals = found["totals"]
    lived = listed(
        f"{count(number)} {name}" for name, number in totals.items() if name not in (*WRONG, *_OTHER) and number
    )
    wrong = listed(f"{totals[name]} {name}" for name in WRONG[:3])
    broken = totals["broken"]
    cut = f" {count(broken)} of the sweeps broke off before they could be compared." if broken else ""
    return (
        f"{count(found['rounds'])} sweeps in {count(found['minutes'])} minutes lived through this: {lived}. Of their "
        f"{count(totals['trials'])} trials, {wrong}.{cut}"
    )


def cases(found: Any) -> str:
    """One row for each kind of sweep and storage."""
    names = list(dict.fromkeys(name for own in found["cases"].values() for name in own if name not in _OTHER))
    head = ("sweep, storage", "trials", *names)
    rows = [(case, *(count(own.get(name, 0)) for name in ("trials", *names))) for case, own in found["cases"].items()]
    return table(head, rows, right=range(1, len(head)))

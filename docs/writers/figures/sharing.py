"""What students gain that share a teacher's forward: benchmarks/sharing.json."""

from __future__ import annotations

from typing import Any

from writers.words import between, count, listed, table


def setting(found: Any) -> str:
    """On what sharing was measured."""
    own = found["setting"]
    return (
        f"HeteroAKD, crops of {own['crop']['crop_height']} x {own['crop']['crop_width']} pixels, batch {own['batch']}, "
        f"one process on one thread of {own['device']}; medians of {own['repeats']} turns."
    )


def gains(found: Any) -> str:
    """For each pair and number of students: the gain, and the most that sharing can gain."""
    numbers = [students for students in sizes(found) if students > 1]
    head = ["teacher -> student", "teacher's time / student's", *(f"{students} students" for students in numbers)]
    rows = []
    for pair in dict.fromkeys(own["pair"] for own in found["sharing"]):
        mine = [row(found, pair, students) for students in numbers]
        cells = [f"{own['gain']:.2f} ({own['limit']:.2f})" for own in mine]
        rows.append([pair.replace("->", " -> "), f"{mine[0]['teacher_over_student']:.1f}", *cells])
    return table(head, rows, right=range(1, len(head)))


def memory(found: Any) -> str:
    """Memory of the largest group against that of one student."""
    most = max(sizes(found))
    pairs = dict.fromkeys(own["pair"] for own in found["sharing"])
    ratios = [row(found, pair, most)["peak_mib"] / row(found, pair, 1)["peak_mib"] for pair in pairs]
    return f"{most} students take {between(ratios, '.1f')} times the memory of one."


def sweeps(found: Any) -> str:
    """Whole sweeps through Ray."""
    alone, *groups = found["sweeps"]
    told = (
        f"{count(own['sweep_s'])} s in groups of {own['students']} ({own['gain']:.2f} times faster)" for own in groups
    )
    return f"A whole sweep takes {count(alone['sweep_s'])} s with its trials by themselves, {listed(told)}."


def pruned(found: Any) -> str:
    """How many students share a forward where most are pruned."""
    shared = found["students_a_forward_under_pruning"]
    most = max(shared, key=int)
    return f"A group of {most} then shares a forward among {shared[most]:.1f} students on average (simulated)."


def sizes(found: Any) -> list[int]:
    return sorted({own["students"] for own in found["sharing"]})


def row(found: Any, pair: str, students: int) -> Any:
    return next(own for own in found["sharing"] if (own["pair"], own["students"]) == (pair, students))

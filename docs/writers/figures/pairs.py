"""How well the order of `heteroakd pairs --student` foretells gains: benchmarks/pairs.json."""

from __future__ import annotations

from typing import Any

from writers.words import count, listed, table

NAMES = {
    "score": "score (the order)",
    "miou": "mIoU",
    "mended": "mended",
    "spoiled": "spoiled",
    "calibration_error": "calibration error",
    "temperature": "best temperature",
    "similarity": "CKA",
}


def setting(found: Any) -> str:
    """What taught what, and what the evidence cost."""
    own, students = found["setting"], list(found["first"])
    brief = sorted(one["seconds"] for one in found["evidence"])[len(found["evidence"]) // 2]
    return (
        f"{len(own['teachers'])} teachers, {len(students)} small students ({listed(f'`{name}`' for name in students)}) "
        f"and {len(own['seeds'])} seeds on `{own['student']['data']}`, whose other tiles are unlabelled: "
        f"{count(len(found['runs']))} trainings of {own['student']['steps']} steps, gains by kd over the student alone "
        f"on test. A pair's evidence takes {brief:.0f} s (median, with the teacher trained), a training "
        f"{found['seconds_a_run']:.0f} s. Spearman's rank correlation over the teachers, the mean over students; 90 % "
        f"bootstrap interval over teachers and seeds."
    )


def rows(found: Any) -> str:
    """One row a piece of evidence."""
    students = list(found["first"])
    head = ("evidence", "rank correlation with the gain", *(f"`{name}`" for name in students))
    cells = [
        [NAMES[piece], f"{told['rho']:+.2f} ({told['low']:+.2f} to {told['high']:+.2f})"]
        + [f"{told['by_student'][name]:+.2f}" for name in students]
        for piece, told in found["correlations"].items()
    ]
    return table(head, cells, right=range(1, len(head)))


def first(found: Any) -> str:
    """What one gains who takes the teacher that is ranked first, and who takes any."""
    return "\n".join(
        f"- `{student}`: the teacher ranked first ({told['teacher']}) brings {100 * told['gain']:+.1f} points; all "
        f"{len(found['setting']['teachers'])} on average {100 * told['mean']:+.1f}, the best of them "
        f"{100 * told['best']:+.1f}."
        for student, told in found["first"].items()
    )

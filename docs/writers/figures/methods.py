"""What each method gains at a small budget: benchmarks/methods.json."""

from __future__ import annotations

import math
import statistics
from typing import Any

from writers.words import between, count, listed, spread, table

ALONE, CONTROL = "student alone", "labels only"
_ROWS = {ALONE: "student alone, tuned", CONTROL: "heteroakd, both lambdas 0"}


def recipe(found: Any) -> str:
    """How the methods were compared."""
    alone = [trial for trial in found["trials"] if trial["row"] == ALONE]
    lrs = sorted({trial["setting"]["lr"] for trial in alone})
    seeds = len({trial["seed"] for trial in alone})
    own, taught = found["recipe"], found["teacher_recipe"]
    return (
        f"Each student trains for {own['steps']} steps on crops of {own['crop_height']} x {own['crop_width']} pixels "
        f"of `earth`, with {seeds} seeds. Its teacher was trained for {taught['steps']} steps. The student alone is "
        f"tuned: of the learning rates {listed(f'{lr:g}' for lr in lrs)}, the one with the best mIoU on the "
        "validation split is taken. Every method uses this learning rate, and its paper's weight. Scores are mIoU on "
        "the test split in percent: mean ± standard deviation over the seeds. A gain compares runs of the same seed."
    )


def scores(found: Any) -> str:
    """mIoU and gain of every method at every pair."""
    head = ["method", *(cell for pair in pairs(found) for cell in (f"{pair}, mIoU", "gain"))]
    rows = []
    for row in rows_of(found):
        cells = [_ROWS.get(row, f"`{row}`")]
        for pair in pairs(found):
            cells += [
                spread([trial["test"] for trial in chosen(found, pair, row)]),
                "" if row == ALONE else spread(gains(found, pair, row), sign=True),
            ]
        rows.append(cells)
    return table(head, rows, right=range(1, len(head)))


def reading(found: Any) -> str:
    """The largest gain in its own standard errors, and how far down it goes."""
    every = {(pair, row): gains(found, pair, row) for pair in pairs(found) for row in rows_of(found) if row != ALONE}
    most = max(every.values(), key=in_errors)
    low = {row: 100 * statistics.mean(own) for (pair, row), own in every.items() if pair == pairs(found)[0]}
    worst = sorted(low, key=lambda row: low[row])[:2]
    deviations = [
        100 * statistics.stdev([trial["test"] for trial in chosen(found, pair, row)])
        for pair in pairs(found)
        for row in rows_of(found)
    ]
    return (
        f"Seeds of one config differ by {between(deviations, '.2f')} points (standard deviation). "
        f"The largest gain is {in_errors(most):.1f} of its standard errors, with {len(most)} seeds. The lowest gains "
        f"at `{pairs(found)[0]}` are {listed(f'{low[row]:+.2f} (`{row}`)' for row in worst)} points. "
        f"All of it took {count(found['wall_seconds'] / 60)} minutes."
    )


def pairs(found: Any) -> list[str]:
    return list(dict.fromkeys(trial["pair"] for trial in found["trials"]))


def rows_of(found: Any) -> list[str]:
    """The student alone first, then the control, then methods in their order."""
    rows = dict.fromkeys(trial["row"] for trial in found["trials"])
    return [ALONE, CONTROL, *(row for row in rows if row not in (ALONE, CONTROL))]


def chosen(found: Any, pair: str, row: str) -> list[Any]:
    """The trials of a row's setting with the highest mean on the validation split, by seed."""
    groups: dict[str, list[Any]] = {}
    for trial in found["trials"]:
        if (trial["pair"], trial["row"]) == (pair, row):
            groups.setdefault(str(trial["setting"]), []).append(trial)
    best = max(groups.values(), key=lambda group: statistics.mean(trial["val"] for trial in group))
    return sorted(best, key=lambda trial: trial["seed"])


def gains(found: Any, pair: str, row: str) -> list[float]:
    """Test mIoU minus that of the student alone, by seed."""
    alone = chosen(found, pair, ALONE)
    return [one["test"] - other["test"] for one, other in zip(chosen(found, pair, row), alone, strict=True)]


def in_errors(values: list[float]) -> float:
    """A mean in its standard errors."""
    return statistics.mean(values) / (statistics.stdev(values) / math.sqrt(len(values)))

"""What unlabelled images teach: benchmarks/unlabelled.json; and ten times as many: benchmarks/many_images.json."""

from __future__ import annotations

import math
import statistics
from typing import Any

from scipy import stats

from writers.words import count, percent, spread, table

ALONE = "student alone"
LEVEL = 0.9


def setting(found: Any) -> str:
    """How the rows were compared."""
    recipe, teacher = found["recipe"], found["teacher"]
    return (
        f"`earth` with {found['labelled']} labelled tiles and {count(found['unlabelled'])} without a label; the pair "
        f"is `{found['pair']}`, {recipe['steps']} steps at batch {recipe['batch_size']} on crops of "
        f"{recipe['crop_height']} pixels, which are whole tiles. The teacher, trained on the labels of all tiles, has "
        f"{percent(teacher['val'], 1)} % on val and {percent(teacher['test'], 1)} % on test. Every row is tuned by "
        f"{found['tuning_trials']} trials on val, then trained anew on {len(seeds(found))} seeds and scored on test."
    )


def rows(found: Any) -> str:
    """mIoU of every row, and its gains over the student alone and over self-training."""
    names = list(dict.fromkeys(trial["row"] for trial in found["trials"]))
    head = ("row", "mIoU, test", "over the student alone", f"{percent(LEVEL)} % interval", "over self-training")
    cells = []
    for name in names:
        own = [name, spread(scores(found, name))]
        if name == ALONE:
            cells.append([*own, "", "", ""])
            continue
        low, high = interval(gains(found, name, ALONE))
        best = max((other for other in names if other.startswith("self-training")), key=lambda one: mean(found, one))
        over = "" if name.startswith("self-training") else f"{100 * statistics.mean(gains(found, name, best)):+.2f}"
        gain = f"{100 * statistics.mean(gains(found, name, ALONE)):+.2f}"
        cells.append([*own, gain, f"{100 * low:+.2f} to {100 * high:+.2f}", over])
    return table(head, cells, right=range(1, len(head)))


def seeds(found: Any) -> list[int]:
    return sorted({trial["seed"] for trial in found["trials"] if trial["role"] == "confirmed"})


def scores(found: Any, row: str) -> list[float]:
    """Test mIoU of a row's chosen setting, by seed."""
    own = [trial for trial in found["trials"] if (trial["row"], trial["role"]) == (row, "confirmed")]
    return [trial["test"] for trial in sorted(own, key=lambda trial: trial["seed"])]


def mean(found: Any, row: str) -> float:
    return statistics.mean(scores(found, row))


def gains(found: Any, row: str, over: str) -> list[float]:
    return [one - other for one, other in zip(scores(found, row), scores(found, over), strict=True)]


def interval(values: list[float]) -> tuple[float, float]:
    """Student's t, of paired differences."""
    reach = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values) - reach, statistics.mean(values) + reach


def many(found: Any) -> str:
    """One row for each number of images."""
    head = (
        "unlabelled images",
        "opened, s",
        "content hash, s",
        "check, s",
        f"{found['steps']} batches, s",
        "memory, MiB",
    )
    names = ("open_seconds", "digest_seconds", "check_seconds", "batches_seconds")
    cells = [
        [count(row["unlabelled"]), *(f"{row[name]:.2f}" for name in names), count(row["peak_mib"])]
        for row in found["rows"]
    ]
    return table(head, cells, right=range(len(head)))

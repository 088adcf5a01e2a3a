"""Where distillation pays on `earth`: benchmarks/regimes.json."""

from __future__ import annotations

from typing import Any

from writers.words import NONE, count, listed, table

ALONE, SELF = "student alone", "self-training"


def setting(found: Any) -> str:
    """How the rows were compared."""
    base = found["base"]
    hours = sum(run["cpu_seconds"] for run in found["runs"]) / 3600
    lrs = listed(f"{direction} {lr:g}" for direction, lr in _rates(found).items())
    return (
        f"Unless a regime says otherwise: `{base['data']}`, {base['steps']} steps at batch {base['batch_size']} on "
        f"crops of {base['crop_height']} pixels, an average of the weights (decay {base['ema_decay']:g}), the same "
        f"learning rate for all rows ({lrs}: the better of two for the student alone on a seed of its own). "
        f"{len(found['seeds'])} seeds, paired; intervals are 90 %. {count(len(found['runs']))} trainings took "
        f"{hours:.1f} CPU hours."
    )


def rows(found: Any) -> str:
    """Every row of every regime, in points of mIoU on test."""
    head = ("direction", "regime", "row", "mIoU, %", "over the student alone", "over self-training", "CPU s")
    cells = [
        [
            row["direction"],
            row["regime"],
            row["row"],
            f"{row['test']:.1f}",
            _gain(row.get("over_alone")),
            _gain(row.get("over_self")),
            f"{row['seconds']:.0f}",
        ]
        for row in found["table"]
    ]
    return table(head, cells, right=range(3, len(head)))


def reading(found: Any) -> str:
    """In how many rows distillation gains, in how many it loses, and where it gains most."""
    told = []
    for direction in _rates(found):
        taught = [row for row in found["table"] if row["direction"] == direction and "over_self" in row]
        best = max(taught, key=lambda row: row["over_alone"][0])
        told.append(
            f"{direction}: of {len(taught)} rows with a teacher, {_above(taught, 'over_alone')} gain over the student "
            f"alone and {_above(taught, 'over_self')} over self-training with the whole interval above 0; "
            f"{sum(row['over_alone'][2] < 0 for row in taught)} lose to the student alone with all of it. Most is "
            f"gained by {best['row']} under “{best['regime']}”: {_gain(best['over_alone'])} points."
        )
    return "\n".join(f"- {sentence}" for sentence in told)


def _rates(found: Any) -> dict[str, float]:
    return {row["direction"]: row["lr"] for row in found["table"]}


def _above(rows: list[Any], over: str) -> int:
    return sum(row[over][1] > 0 for row in rows)


def _gain(interval: list[float] | None) -> str:
    if interval is None:
        return NONE
    mean, low, high = interval
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"

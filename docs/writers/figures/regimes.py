"""Where distillation pays on `earth`: benchmarks/regimes.json."""

from __future__ import annotations

from typing import Any

from writers.figures import paired
from writers.figures.paired import above, gain
from writers.words import listed


def setting(found: Any) -> str:
    """How the rows were compared."""
    base = found["base"]
    lrs = listed(f"{direction} {lr:g}" for direction, lr in _rates(found).items())
    return (
        f"Unless a regime says otherwise: `{base['data']}`, {base['steps']} steps at batch {base['batch_size']} on "
        f"crops of {base['crop_height']} pixels, an average of the weights (decay {base['ema_decay']:g}), the same "
        f"learning rate for all rows ({lrs}: the better of two for the student alone on a seed of its own). "
        f"{len(found['seeds'])} seeds, paired; intervals are 90 %. {paired.effort(found)}"
    )


def rows(found: Any) -> str:
    """Every row of every regime, in points of mIoU on test."""
    return paired.rows(found["table"], ("direction", "regime", "row"), seconds="seconds")


def reading(found: Any) -> str:
    """In how many rows distillation gains, in how many it loses, and where it gains most."""
    told = []
    for direction in _rates(found):
        taught = [row for row in found["table"] if row["direction"] == direction and "over_self" in row]
        best = max(taught, key=lambda row: row["over_alone"][0])
        told.append(
            f"{direction}: of {len(taught)} rows with a teacher, {above(taught, 'over_alone')} gain over the "
            f"student alone and {above(taught, 'over_self')} over self-training with the whole interval above 0; "
            f"{sum(row['over_alone'][2] < 0 for row in taught)} lose to the student alone with all of it. Most is "
            f"gained by {best['row']} under “{best['regime']}”: {gain(best['over_alone'])} points."
        )
    return "\n".join(f"- {sentence}" for sentence in told)


def _rates(found: Any) -> dict[str, float]:
    return {row["direction"]: row["lr"] for row in found["table"]}

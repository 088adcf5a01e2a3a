"""Where distillation pays: benchmarks/regimes.json; and the teachers that it is tried with: earth_teachers.json."""

from __future__ import annotations

from typing import Any

from writers.words import percent, table


def setting(found: Any) -> str:
    """What was trained."""
    base = found["base"]
    lrs = {row["direction"]: row["lr"] for row in found["table"]}
    networks = "; ".join(
        f"{direction}: `{own['teacher']}` teaches `{own['student']}` at a learning rate of {lrs[direction]:g}"
        for direction, own in found["networks"].items()
        if direction in lrs
    )
    return (
        f"{networks}. `{base['data']}`, {base['steps']} steps of {base['batch_size']} crops of {base['crop_height']} "
        f"pixels, three quarters of them of unlabelled images, {len(found['seeds'])} seeds, scored on test; a regime "
        "changes what its name says. Gains in points, with 90 % intervals (Student's t over the seeds)."
    )


def rows(found: Any) -> str:
    """Everything that was tried."""
    head = ("direction", "regime", "row", "mIoU, test, %", "over the student alone", "over self-training", "CPU s")
    cells = [
        [
            row["direction"],
            row["regime"],
            row["row"],
            f"{row['test']:.1f}",
            gain(row.get("over_alone")),
            gain(row.get("over_self")),
            f"{row['seconds']:.0f}",
        ]
        for row in found["table"]
    ]
    return table(head, cells, right=range(3, len(head)))


def reading(found: Any) -> str:
    """How often it pays, by what a user recognises."""
    lines = []
    for regime in dict.fromkeys(row["regime"] for row in found["table"]):
        own = [row for row in found["table"] if row["regime"] == regime and "over_self" in row]
        above = [row for row in own if row["over_self"][1] > 0 and row["over_alone"][1] > 0]
        best = max(own, key=lambda row: float(row["over_self"][0]))
        lines.append(
            f"- *{regime}*: {len(above)} of {len(own)} taught rows are above both the student alone and self-training "
            f"with their whole intervals; the largest gain over self-training is {gain(best['over_self'])} "
            f"({best['row']}, {best['direction']})."
        )
    return "\n".join(lines)


def teachers(found: Any) -> str:
    """The two that come with `earth`."""
    head = ("teacher", "network", "taught by", "steps", "val, %", "test, %", "MB", "minutes")
    cells = [
        [
            f"`earth:{kind}`",
            f"`{own['network']}`",
            "labels and `earth:cnn`" if own["method"] == "kd" else "labels",
            str(found["recipe"]["steps"]),
            percent(own["val"], 1),
            percent(own["test"], 1),
            f"{own['bytes'] / 1e6:.1f}",
            f"{own['seconds'] / 60:.0f}",
        ]
        for kind, own in ((kind, found[kind]) for kind in ("cnn", "transformer"))
    ]
    return table(head, cells, right=range(3, len(head)))


def gain(values: list[float] | None) -> str:
    """Mean and interval of a gain, points."""
    return "" if values is None else f"{values[0]:+.1f} ({values[1]:+.1f} to {values[2]:+.1f})"

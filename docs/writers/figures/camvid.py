"""CamVid, 10 of its masks: benchmarks/camvid.json."""

from __future__ import annotations

from statistics import mean
from typing import Any

from writers.figures import paired
from writers.figures.paired import ALONE, SELF, above, gain
from writers.words import listed, table


def setting(found: Any) -> str:
    """What was trained, how each row was tuned, and with what effort."""
    own = found["recipe"]
    teachers = listed(f"`{one['network']}` ({one['test']:.1f} % on test)" for one in found["teachers"].values())
    return (
        f"`{own['data']}` at half of its sides, {own['steps']} steps at batch {own['batch_size']} on crops of "
        f"{own['crop_width']} x {own['crop_height']} pixels. Teachers: {teachers}, which have seen all masks of train. "
        f"Each row: {found['trials']} settings of one quasi-random design on one seed, the best on val again on "
        f"{len(found['seeds'])} fresh seeds, scored on test; intervals are 90 %, paired by seed. "
        f"{paired.effort(found)}"
    )


def rows(found: Any) -> str:
    """Every row at equal steps, in points of mIoU on test."""
    return paired.rows(found["rows"], ("direction", "row"), seconds="cpu_seconds")


def compute(found: Any) -> str:
    """Every row at the compute of the student alone: with as many steps as its seconds pay for."""
    head = ("direction", "row", "steps", "mIoU, %", "over the student alone", "over self-training")
    cells = [
        [one["direction"], one["row"], str(one["steps"]), f"{one['test']:.1f}", gain(one["over_alone"]),
         gain(one.get("over_self"))]
        for one in found["compute"]
    ]  # fmt: skip
    return table(head, cells, right=range(2, len(head)))


def factorial(found: Any) -> str:
    """The pairs of weights of each direction's surface, and where on it most and least is gained."""
    told = []
    for one in found["factorial"]:
        gains = sorted((_gain(cell, one), cell["lambda_kd"], cell["lambda_hakd"]) for cell in one["cells"])
        least, most = (f"{gain:+.1f} at ({kd:g}, {hakd:g})" for gain, kd, hakd in (gains[0], gains[-1]))
        alone = 100 * mean(one["alone"])
        told.append(
            f"- {one['direction']}: {len(gains)} pairs of weights on {len(one['alone'])} seeds, each at lr "
            f"{one['lr']:g}; the student alone scores {alone:.1f} %. Least is gained {least}, most {most}; "
            f"{sum(gain > 0 for gain, *_ in gains)} of them gain on average."
        )
    return "\n".join(told)


def _gain(cell: Any, one: Any) -> float:
    return 100 * (mean(cell["test"]) - mean(one["alone"]))


def reading(found: Any) -> str:
    """By direction: what gains at equal steps, and what KMM and KEM add to HeteroAKD."""
    return "\n".join(f"- {_told(direction, found)}" for direction in directions(found))


def _told(direction: str, found: Any) -> str:
    rows = [row for row in found["rows"] if row["direction"] == direction]
    taught, most = methods(direction, found), best(direction, found)
    parts = [
        f"{row['row'].removeprefix('heteroakd ')} {gain(row['over_heteroakd'])}"
        for row in rows
        if "over_heteroakd" in row
    ]
    return (
        f"{direction}: of {len(taught)} methods, {above(taught, 'over_alone')} gain over the student alone at "
        f"equal steps with the whole interval above 0, and {above(taught, 'over_self')} over self-training. Most "
        f"gains {most['row']}: {gain(most['over_alone'])} points. HeteroAKD with a part taken out, in points beside "
        f"all of it: {listed(parts)}."
    )


def methods(direction: str, found: Any) -> list[Any]:
    """Rows with a teacher, without the ablations."""
    rows = [row for row in found["rows"] if row["direction"] == direction]
    return [row for row in rows if row["row"] not in (ALONE, SELF) and "over_heteroakd" not in row]


def best(direction: str, found: Any) -> Any:
    """The method that gains most at equal steps."""
    return max(methods(direction, found), key=lambda row: row["over_alone"][0])


def directions(found: Any) -> list[str]:
    return list(dict.fromkeys(row["direction"] for row in found["rows"]))


def tried(found: Any) -> str:
    """Runs of other settings than the study's: the best on val of each student, setting and method."""
    own = found["recipe"]
    best: dict[tuple[str, ...], tuple[float, int]] = {}
    for run in found["runs"]:
        values = run["values"]
        if (values["data"], values["steps"]) != (own["data"], own["steps"]) and values["seed"] not in found["seeds"]:
            ratio = values.get("unlabelled_ratio", 0)
            method = values["method"] if values["method"] != "task" else SELF if ratio else ALONE
            key = (values["student"], values["data"], str(values["steps"]), f"{ratio:g}", method)
            most, count_of = best.get(key, (0.0, 0))
            best[key] = max(most, run["val"]), count_of + 1
    head = ("student", "data", "steps", "unlabelled share of a batch", "row", "trials", "mIoU on val, %")
    cells = [
        [f"`{key[0]}`", f"`{key[1]}`", *key[2:], str(count_of), f"{100 * most:.1f}"]
        for key, (most, count_of) in sorted(best.items())
    ]
    return table(head, cells, right=(2, 3, 5, 6))

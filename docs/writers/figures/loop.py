"""Our training loop against a plain one: benchmarks/loop.json."""

from __future__ import annotations

from typing import Any

from writers.words import between, listed, percent, table, threads


def setting(found: Any) -> str:
    """On what the loops were measured."""
    own = found["setting"]
    return (
        f"Batch {own['batch']}, crops of {listed(_crops(found))} pixels, {own['device']}, {threads(own['threads'])}, "
        f"torch {own['torch']}; medians of {own['rounds']} rounds, with the lowest and the highest."
    )


def speeds(found: Any) -> str:
    """Images a second of both loops, and peak memory."""
    rows = []
    for case in found["cases"]:
        plain, own = loop(case, "plain"), loop(case, "ours")
        ratio = own["over_plain"]
        less = 1 - case["peak_mib"]["ours"] / case["peak_mib"]["plain"]
        rows.append((
            case["pair"].replace("->", " -> "),
            f"{plain['images_per_s']['median']:.1f}",
            f"{own['images_per_s']['median']:.1f}",
            f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})",
            f"{percent(less)} % less",
            f"{percent(own['utilisation'])} %",
        ))  # fmt: skip
    head = ("pair", "plain, images/s", "ours, images/s", "ours / plain", "peak memory", "of a matrix product's rate")
    return table(head, rows, right=range(1, 6))


def options(found: Any) -> str:
    """How much any option alone changes."""
    changes = {own["loop"] for case in found["cases"] for own in case["loops"]} - {"plain", "ours"}
    ratios = [own["over_ours"]["median"] for case in found["cases"] for own in case["loops"] if own["loop"] in changes]
    named = listed((f"`{change}`" for change in sorted(changes)), "or")
    return f"One option changed alone ({named}) gives {between(ratios, '.2f')} times the images a second."


def loop(case: Any, name: str) -> Any:
    return next(own for own in case["loops"] if own["loop"] == name)


def _crops(found: Any) -> list[str]:
    return list(dict.fromkeys(" x ".join(map(str, case["crop"])) for case in found["cases"]))

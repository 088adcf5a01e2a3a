"""Whether intervals hold the truth, and how often a winner is wrong: benchmarks/intervals.json."""

from __future__ import annotations

from typing import Any

from writers.words import between, listed, percent, table


def setting(found: Any) -> str:
    """How many studies."""
    return f"{found['repeats']} studies of each kind. The intervals are meant to hold the truth in 90 % of them."


def coverage(found: Any) -> str:
    """How much of the truth the 90 % intervals hold."""
    gains, surfaces, interactions = found["gains"], found["surface"], found["interactions"]
    rows = [
        *((f"gain of a typical config, {name}", _percent(own["coverage_typical"])) for name, own in gains.items()),
        *((f"gain of the best config, {name}", _percent(own["coverage_best"])) for name, own in gains.items()),
        *((f"surface, {name}", _percent(own["coverage"])) for name, own in surfaces.items()),
        *(
            (f"what is within noise of the best, {name}", _percent(own["region_holds"]))
            for name, own in surfaces.items()
        ),
        *((f"interaction, {name}", _percent(own["coverage"])) for name, own in interactions.items()),
        ("gain of a finalist, `confirm`", _percent(found["confirm"]["gain"]["coverage"])),
    ]
    return table(("interval", "holds the truth, %"), rows, right=[1])


def luck(found: Any) -> str:
    """What the best config seems to gain, and what is told."""
    seen, told = (
        between((own[f"best_as_{how}_too_high_points"] for own in found["gains"].values()), "+.1f")
        for how in ("seen", "told")
    )
    return f"What the best config seems to gain is off by {seen} points on average; what is told of it, by {told}."


def interactions(found: Any) -> str:
    """Whether an interaction is found, and whether others are claimed."""
    own = found["interactions"]
    seen, claimed = (between((100 * one[key] for one in own.values()), ".0f") for key in ("found", "others_claimed"))
    return (
        f"The interaction was found in {seen} % of the studies. Of those that are not there, {claimed} % were claimed."
    )


def winners(found: Any) -> str:
    """How often a winner is named, rightly and wrongly."""
    rows = []
    for name, own in found["confirm"].items():
        if "wrong_winner" in own:
            right = _percent(own["named"]) if "named" in own else ""
            rows.append((f"finalists: {name}", right, percent(own["wrong_winner"], 1)))
    return table(
        ("`confirm` on five seeds", "the better one is named, %", "a wrong one is named, %"), rows, right=[1, 2]
    )


def equal(found: Any) -> str:
    """Wrong winners among equal finalists, for the front page."""
    told = {name: own for name, own in found["confirm"].items() if name.endswith(" equal")}
    return listed(f"{percent(own['wrong_winner'], 1)} % of {name.removesuffix(' equal')}" for name, own in told.items())


def _percent(share: float) -> str:
    return percent(share, 1)

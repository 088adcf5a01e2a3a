"""What the recorded curves say, from which worlds of the search yardstick are drawn: benchmarks/record.json."""

from __future__ import annotations

from typing import Any

from writers.words import count, listed, percent, table

GROUPS = {
    "lr": "lr",
    "method": "method",
    "pair": "pair",
    "weights": "weights, temperature, unlabelled_ratio",
    "together": "several of them together only",
    "luck": "luck",
}
WANTED = 0.5  # luck over the sd of configs at a good lr, at most


def setting(found: Any) -> str:
    """What was trained."""
    space, data, own = found["space"], found["data"], found["figures"]
    teachers = listed(f"{percent(one['val'], 1)} %" for one in found["teachers"].values())
    minutes = sum(sum(config["cpu_seconds"]) for config in found["configs"]) / 60
    return (
        f"{own['configs']} random configs of {len(space)} dimensions ({listed(f'`{name}`' for name in space)}), each "
        f"trained with {len(found['seeds'])} seeds for {count(found['steps'])} steps and scored {found['reports']} "
        f"times: {count(minutes)} minutes of one core. `earth` at {data['side']} pixels a side, {data['labelled']} "
        f"labelled tiles, all others without a label. A small CNN and a small Transformer learn, each from a wide "
        f"network of the other family ({teachers} on val). Finals are {own['level'][0]:.1f} to {own['level'][2]:.1f} % "
        "by config."
    )


def shares(found: Any) -> str:
    """Whose variance a trial's final is, over random configs and seeds."""
    own = found["figures"]["shares"]
    rows = [(named, f"{percent(own[name][0])} ± {percent(own[name][1])}") for name, named in GROUPS.items()]
    return table(("source", "share of the variance, %"), rows, right=[1])


def reading(found: Any) -> str:
    """How early a trial tells what it is worth, and whether luck is small enough where lr is good."""
    own, ranks = found["figures"], found["figures"]["ranks"]
    good = own["good_lr"]
    taught = good["taught"]
    return (
        f"A whole trial's score and the final of its config's other seed have a rank correlation of "
        f"{ranks['whole']:.2f}; after a third of the trial it is {ranks['third']:.2f}. Luck, the standard deviation "
        f"between seeds, is {own['luck']:.1f} points, that of the configs' true means {own['configs_sd']:.1f}. Within "
        f"a factor of 2 of the best config's lr ({good['configs']} configs) they are {good['luck']:.1f} and "
        f"{good['configs_sd']:.1f}, and without the student alone {taught['luck']:.1f} and "
        f"{taught['configs_sd']:.1f}: luck is {_reached(good)} there, and {_reached(taught)} among those that a "
        f"teacher teaches. By the surfaces that may be the true one, configs at the best lr differ by "
        f"{good['surface_sd'][0]:.1f} ± {good['surface_sd'][1]:.1f} points."
    )


def _reached(spreads: Any) -> str:
    small = spreads["luck"] <= WANTED * spreads["configs_sd"]
    return f"{'at most' if small else 'more than'} half of what configs differ by"

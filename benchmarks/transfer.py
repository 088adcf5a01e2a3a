"""What an earlier study of another pair or data set saves the next one, and what it costs where it is wrong.

A first search of a world whose truth is known is the earlier study. The second world's truth is that of the first (its
scores lie eight points lower, and its luck is its own), a mixture of it with another world of the family (related), or
the other world (unrelated). It is searched twice, with `warm_start` and without, from the same seeds, without a pruner.
Scored is the true mean of the config that is recommended after so many trials.

Run: `python benchmarks/transfer.py`; writes benchmarks/transfer.json.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import worlds
from optuna.study import Study
from search import WORKERS, Ours, likeliest, quiet, summary
from worlds import Values, World

from explorer.search import belief, prior, warm
from explorer.search.simulator import Event, simulate

OUT = Path(__file__).with_suffix(".json")
FAMILIES = ("synthetic, luck 2", "conditional, luck 2", "recorded")
OTHER = {"same": 0.0, "related": 0.25, "unrelated": 1.0}
"""Share of another world in the second one."""
MARKS = (4, 6, 8, 12, 16, 20)
LOWER = 0.08
COLD, WARM = "cold", "warm_start"


def second(first: World, other: World, share: float) -> World:
    """A world whose truth is partly another one's, with the luck of the first family."""
    rng = np.random.default_rng([9, first.number])
    drawn = worlds._draw(first.space, rng, 4000)
    offset = np.median(first.mean(drawn)) - np.median(other.mean(drawn))

    def mean(values: Values) -> np.ndarray:
        return (1 - share) * first.mean(values) + share * (other.mean(values) + offset) - LOWER

    curve = worlds.recorded(first.number + 1).curve if first.family == "recorded" else _other_luck(first.curve, share)
    best = worlds._best(first.space, mean, rng)
    return World(f"{first.family}, {share}", first.number, first.space, mean, curve, best)


def _other_luck(curve: Any, share: float) -> Any:
    return replace(curve, name=f"{curve.name}, second {share}")


def searched(world: World, known: prior.Prior | None) -> tuple[Study, list[float]]:
    """A search, and its regret at each of MARKS in points."""
    bridge, _ = Ours({"sampler": "belief", "pruner": "none"}).start(world)
    study = bridge._arms[0].study
    if known is not None:
        known.remember(study)
        space = {name: dimension.kind for name, dimension in world.space.items()}
        warm.enqueue(study, known.points(space, warm.MOST_POINTS))
    found: list[float] = []

    def enough(event: Event) -> bool:
        while len(found) < len(MARKS) and event.spent >= MARKS[len(found)] * worlds.BUDGET:
            found.append(100 * (world.best - world.of(likeliest(study.get_trials(deepcopy=False)))))
        return len(found) == len(MARKS)

    simulate(bridge, lambda config: world.run(config["params"], config["seed"]), workers=WORKERS, until=enough)
    return study, found


def heed(study: Study) -> float:
    """The weight that its prior has in the end."""
    found = belief.believed(study.get_trials(deepcopy=False))
    assert found is not None
    return found.belief.heed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=4, help="of a family")
    parser.add_argument("--first", type=int, default=101, help="number of the first; odd ones are kept apart")
    parser.add_argument("--out", default=str(OUT))
    options = parser.parse_args()
    quiet()
    regrets: dict[str, dict[str, list[list[float]]]] = {name: {COLD: [], WARM: []} for name in OTHER}
    heeded: dict[str, list[float]] = {name: [] for name in OTHER}
    for done, number in enumerate(range(options.first, options.first + 2 * options.worlds, 2), start=1):
        for family in FAMILIES:
            first, other = worlds.FAMILIES[family](number), worlds.FAMILIES[family](number + 1000)
            known = prior.learnt(searched(first, None)[0].get_trials(deepcopy=False))
            for name, share in OTHER.items():
                world = second(first, other, share)
                regrets[name][COLD].append(searched(world, None)[1])
                study, found = searched(world, known)
                regrets[name][WARM].append(found)
                heeded[name].append(heed(study))
        _write(done, regrets, heeded, Path(options.out))
        print(f"{done} of {options.worlds} worlds a family", flush=True)


def _write(done: int, regrets: Any, heeded: dict[str, list[float]], out: Path) -> None:
    figures = {
        "worlds": done, "families": FAMILIES, "marks": MARKS, "workers": WORKERS,
        "relations": {
            name: {"other": OTHER[name], "heed": round(float(np.mean(heeded[name])), 2), **summary(own)}
            for name, own in regrets.items()
        },
    }  # fmt: skip
    out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Whether `stop_when` may be believed: what ten more trials bring, against what was expected of them.

Searches run in worlds whose truth is known (`worlds.py`), four trials at a time, for 100 trials, with two engines.
After every ten trials that end it is written down what another ten are expected to bring, and the true mean of the
config that is recommended then. What they did bring is the rise of that true mean over the next ten. Expectations in
five bins of as many moments each tell whether they are right on average, and how far a single search strays from them.

The rule is scored too: what `stop_when` 0.1, 0.2 and 0.5 lose in true mean against the whole search, and how many of
its trials they save.

Run: `python benchmarks/stop_when.py`; writes benchmarks/stop_when.json.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import search
import worlds
from optuna.trial import TrialState
from search import METHODS, WORKERS, likeliest, quiet
from worlds import World

from explorer.search import further
from explorer.search.simulator import Event, simulate

OUT = Path(__file__).with_suffix(".json")
ENGINES = ("belief + evidence", "TPE + Hyperband")
RULES = (0.1, 0.2, 0.5)
WHOLE, EVERY, BINS = 100, 10, 5


class Seen(NamedTuple):
    """Of a search, when so many trials had ended; in points. lately: what the rule looks at; cost: in whole trials."""

    trials: int
    expected: float
    lately: float
    regret: float
    cost: float


def watched(engine: str, world: World) -> list[Seen]:
    """A search, seen after every ten trials."""
    bridge, _ = METHODS[engine]().start(world)
    study = bridge._arms[0].study
    seen: list[Seen] = []

    def enough(event: Event) -> bool:
        if not event.stopped:
            return False
        trials = study.get_trials(deepcopy=False)
        ended = sum(trial.state.is_finished() for trial in trials)
        if ended % EVERY == 0 and any(trial.state == TrialState.COMPLETE for trial in trials):
            regret = 100 * (world.best - world.of(likeliest(trials)))
            told = 100 * further.expected(trials), 100 * further.lately(trials)
            seen.append(Seen(ended, *told, regret, event.spent / worlds.BUDGET))
        return ended >= WHOLE

    simulate(bridge, lambda config: world.run(config["params"], config["seed"]), workers=WORKERS, until=enough)
    return seen


def calibration(found: list[list[Seen]]) -> dict[str, Any]:
    """What was expected and what came, by bins of the expectation with as many moments each."""
    pairs = np.array([(now.expected, now.regret - then.regret) for seen in found for now, then in pairwise(seen)])
    pairs = pairs[np.isfinite(pairs[:, 0])]
    expected, came = pairs.T
    bins = []
    for part in np.array_split(np.argsort(expected, kind="stable"), BINS):
        low, high = np.quantile(came[part], [0.1, 0.9])
        bins.append(
            {
                "moments": len(part), "expected": _two(expected[part].mean()), "came": _two(came[part].mean()),
                "error": _two(came[part].std(ddof=1) / np.sqrt(len(part))),
                "tenth": _two(low), "nine_tenths": _two(high), "rose": _two(np.mean(came[part] > 0.05)),
            }
        )  # fmt: skip
    by_search = [[now.regret - then.regret - now.expected for now, then in pairwise(seen)] for seen in found]
    surplus = np.array([np.nanmean(each) for each in by_search if np.isfinite(each).any()])
    return {
        "moments": len(pairs), "expected": _two(expected.mean()), "came": _two(came.mean()),
        "surplus_error": _two(surplus.std(ddof=1) / np.sqrt(len(surplus))), "bins": bins,
    }  # fmt: skip


def stopped(found: list[list[Seen]], rule: float) -> dict[str, Any]:
    """What the rule loses against all of the trials, and saves of them."""
    ends = [next((one for one in seen if one.lately < rule), seen[-1]) for seen in found]
    lost = np.array([end.regret - seen[-1].regret for end, seen in zip(ends, found, strict=True)])
    return {
        "trials": _two(np.mean([end.trials for end in ends])),
        "saved": _two(1 - np.sum([end.cost for end in ends]) / np.sum([seen[-1].cost for seen in found])),
        "regret": _two(np.mean([end.regret for end in ends])),
        "whole_regret": _two(np.mean([seen[-1].regret for seen in found])),
        "lost": _two(lost.mean()), "error": _two(lost.std(ddof=1) / np.sqrt(len(lost))),
        "lost_half_a_point": _two(np.mean(lost > 0.5)), "better": _two(np.mean(lost < 0)),
    }  # fmt: skip


def _two(value: Any) -> float:
    return round(float(value), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=2, help="of a family")
    parser.add_argument("--first", type=int, default=101, help="number of the first; odd ones are kept apart")
    parser.add_argument("--out", default=str(OUT))
    options = parser.parse_args()
    quiet()
    families = [one for one in worlds.FAMILIES if one != "public tables" or worlds.public_installed()]
    found: dict[str, dict[str, list[list[Seen]]]] = {engine: {one: [] for one in families} for engine in ENGINES}
    for number in range(options.first, options.first + 2 * options.worlds, 2):
        for family in families:
            world = worlds.FAMILIES[family](number)
            for engine in ENGINES:
                found[engine][family].append(watched(engine, world))
        if number > options.first:
            _write(found, Path(options.out))
        print(f"worlds of number {number}", flush=True)


def _write(found: dict[str, dict[str, list[list[Seen]]]], out: Path) -> None:
    figures: dict[str, Any] = {
        "worlds": len(next(iter(found[ENGINES[0]].values()))), "families": list(found[ENGINES[0]]),
        "trials": WHOLE, "workers": search.WORKERS, "engines": {},
    }  # fmt: skip
    for engine, own in found.items():
        every = [seen for family in own.values() for seen in family]
        figures["engines"][engine] = {
            **calibration(every),
            "families": {
                family: {name: value for name, value in calibration(seen).items() if name != "bins"}
                for family, seen in own.items()
            },
            "rules": {str(rule): stopped(every, rule) for rule in RULES},
        }
    out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

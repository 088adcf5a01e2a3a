"""What `make demo` found: the gain of the confirmed config over the tuned student alone, by the demo's own folders.

In fresh clones, each with another `sampler_seed` in demo.yaml, `make demo`; then
`python benchmarks/demo.py CLONE/sweeps/demo ...`; writes benchmarks/demo.json. `--seconds 480` gives those of
`time make demo`, set-up included, of the first folders, as far as they were alone on the machine.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import zip_longest
from pathlib import Path
from typing import Any

import explorer
from trainables.kept import atomic

OUT = Path(__file__).with_suffix(".json")
FIGURES = ("gain", "gain_low", "gain_high", "miou")


def told(folder: Path, seconds: float | None) -> dict[str, Any]:
    """Of one demo: its search, and its first finalist on fresh seeds."""
    study = explorer.Study(folder)
    trials = study.trials()
    first = study.frame("confirmed").iloc[0]
    searched = trials[trials["role"] == "search"]
    return {
        "sampler_seed": study.spec.sampler_seed,
        "trials": len(searched),
        "pruned": int((searched["state"] == "PRUNED").sum()),
        "alone": int((trials["role"] == "baseline").sum()),
        "pair": first["pair"],
        "method": first["method"],
        "num_seeds": int(first["num_seeds"]),
        "winner": bool(first["winner"]),
        "seconds": seconds,
        **{name: round(100 * float(first[name]), 2) for name in FIGURES},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, nargs="*", default=[])
    options = parser.parse_args()
    found = [told(*one) for one in zip_longest(options.folders, options.seconds)]
    atomic.write_text(OUT, json.dumps({"date": time.strftime("%Y-%m-%d"), "demos": found}, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

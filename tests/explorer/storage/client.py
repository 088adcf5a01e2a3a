"""A driver without Ray, for tests of storages: `client.py STORAGE NAME [NUM_TRIALS]` runs a study's bridge to its end.

Trial n of the search reports level(n) x step / STEPS at every step; every fifth diverges at step 3. First the trials
that were adopted are printed, then each recorded step as "NUMBER STEP" once the storage has it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import optuna

from explorer.search.arms import open_arms
from explorer.search.bridge import Bridge
from explorer.study import StudySpec

STEPS = 9


def spec(storage: str, name: str, num_trials: int = 10) -> StudySpec:
    return StudySpec.parse(
        {
            "name": name,
            "space": {"lambda_kd": {"low": 0.01, "high": 10.0, "log": True}},
            "base": {"steps": STEPS, "eval_every": 1},
            "sampler": "random",
            "pruner": "median",
            "pruner_options": {"n_startup_trials": 1},
            "grace_period": 1,
            "num_trials": num_trials,
            "probes": 0,
            "baseline_trials": 1,
            "storage": storage,
        }
    )


def level(number: int) -> float:
    """mIoU at the last step: trials 3, 5, 7 and so on are worse than most before, so that the median prunes them."""
    return 0.5 if number % 2 == 0 or number == 1 or number % 5 == 4 else 0.1


def drive(study: StudySpec, folder: Path) -> None:
    arm = open_arms(study, folder, data_digest="d")["search"]
    bridge = Bridge([arm], grace=1)
    print("adopted", *(trial.number for trial in arm.orphans()), flush=True)
    asked = 0
    while (proposal := bridge.suggest(str(asked))) != "FINISHED":
        number = int(proposal["directory"].rpartition("-")[2])
        for step in range(1, STEPS + 1):
            diverges = number % 5 == 4 and step == 3
            miou = float("nan") if diverges else level(number) * step / STEPS
            decision = bridge.report(str(asked), {"step": step, "miou": miou, "seconds": float(step)})
            if not diverges:
                print(number, step, flush=True)
            if decision == "STOP":
                break
        bridge.on_trial_complete(str(asked))
        asked += 1


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as directory:
        drive(spec(sys.argv[1], sys.argv[2], int((sys.argv[3:] or ["10"])[0])), Path(directory))

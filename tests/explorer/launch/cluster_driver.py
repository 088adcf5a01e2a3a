"""A sweep with the product's own bridge over a trainable of milliseconds: `cluster_driver.py FOLDER ADDRESS`.

Each step that is run leaves a line "TRIAL STEP NODE" in FOLDER/ran.txt; a trial goes on after its last line.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import ray
from ray import tune

from explorer.launch.cluster import connected
from explorer.launch.sweep import fit, open_bridge
from explorer.search.arms import open_arms
from explorer.study import StudySpec

STEPS = 9
SPEC = {
    "space": {"lambda_kd": {"low": 0.01, "high": 10.0, "log": True}},
    "base": {"steps": STEPS, "eval_every": 1},
    "num_trials": 15,
    "baseline_trials": 1,
    "sampler": "random",
    "pruner": "nop",
    "max_failures": 0,
}


def miou(config: dict, step: int) -> float:
    return 0.05 * step / (1 + config["lambda_kd"])


def trainable(params: dict, *, root: str) -> None:
    trial, config = params["directory"], params["config"]
    ran = Path(root, "ran.txt")
    for step in range(1, STEPS + 1):
        if f"{trial} {step} " not in ran.read_text():
            time.sleep(0.2)
            with ran.open("a") as lines:
                lines.write(f"{trial} {step} {ray.get_runtime_context().get_node_id()}\n")
        tune.report({"step": step, "miou": miou(config, step), "seconds": 1.0, "iou": [0.5]})


def main(directory: Path, address: str) -> None:
    study = StudySpec.parse(SPEC)
    (directory / "ran.txt").touch()
    arms = open_arms(study, directory, data_digest="d")
    with connected(address):
        bridge = open_bridge(study, arms, root=str(directory))
        fit(bridge, tune.with_parameters(trainable, root=str(directory)), directory, {"cpu": 1}, 3)
    print(bridge.num_open(), "open")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

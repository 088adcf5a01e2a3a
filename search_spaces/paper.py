"""What the papers' segmentation recipes share, as far as the code bases they built on state it.

CNNs: SGD 0.9, learning rate 0.02 at batch 16, an auxiliary FCN head of weight 0.4. Transformers: AdamW 2e-4. Weight
decay 1e-4, poly 0.9 without warm-up, 40,000 steps, scales 0.5 to 2, flips, fp32, whole images at evaluation, corners
aligned. Plain KD runs beside skd, ifvd, cwd, at, fitnet, cirkd and afdcd, should a study fix one of these as its
method; their weights for each data set are `trainables/published.py`.

What still differs from those scripts:

- One batch of 16 and 40,000 steps for both families, so that the trials of a study can be compared; the SegFormer
  recipe has a batch of 8, 160,000 steps and a crop of 1024x1024 (and in mmsegmentation 1,500 steps of warm-up).
- skd, ifvd and cwd run without their adversarial term (weight 0.001).
- Af-DCD clips the gradient of its own module at 15; `clip_norm` would clip the student's too, so it is off.
- The auxiliary head is on MobileNets too, not on ResNets alone. No deep-stem ResNets, whose checkpoints fit no public
  library.
- Maps are averaged where they are shrunk, labels on a grid are those at a cell's centre, and ignored pixels are left
  out of every loss; the scripts take every fourth or eighth cell, its upper left pixel, and all pixels.
- A class that is in neither label nor prediction is left out of the mIoU; CIRKD counts it as 0.

Source: the scripts of CIRKD v1 and Af-DCD, the code bases that arXiv 2504.07691 builds on.
"""

from __future__ import annotations

from typing import Any

from search_spaces.space import SearchSpace

BASE: dict[str, Any] = {
    "method": "heteroakd",
    "with_kd": True,
    "steps": 40_000,
    "eval_every": 4_000,
    "batch_size": 16,
    "scale_min": 0.5,
    "scale_max": 2.0,
    "poly_power": 0.9,
    "pretrained": True,
    "amp": False,
    "align_corners": True,
    "num_workers": 8,
    "by_family": {
        "CNN": {"optimizer": "sgd", "momentum": 0.9, "lr": 0.02, "weight_decay": 1e-4, "lambda_aux": 0.4},
        "Transformer": {"optimizer": "adamw", "lr": 2e-4, "weight_decay": 1e-4},
    },
}
STUDY: dict[str, Any] = {"num_trials": 24, "cpus_per_trial": 8, "gpus_per_trial": 1, "grace_period": 8_000}

_WEIGHTS = {
    "lambda_kd": {"low": 1e-2, "high": 10, "log": True},
    "lambda_hakd": {"low": 1e-1, "high": 30, "log": True},
}


def space(*pairs: str) -> SearchSpace:
    """Both weights at each of these pairs."""
    return SearchSpace.from_dict({"pair": list(pairs), **_WEIGHTS})


def points(*pairs: str) -> tuple[dict[str, Any], ...]:
    """The paper's lambda_1 = 0.1 with lambda_2 = 1 and 10 at each pair."""
    return tuple({"pair": pair, "lambda_kd": 0.1, "lambda_hakd": hakd} for pair in pairs for hakd in (1.0, 10.0))

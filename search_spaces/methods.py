"""Every method on one pair: its own weight and the learning rate, with equally many trials for each.

The first trial of each method has the weight of its paper. Four trials a method and seed; for more, raise num_trials by
multiples of the number of methods and seeds. Nothing is pruned, and the student alone gets as many trials as a method.
"""

from __future__ import annotations

from typing import Any

from search_spaces.pairs import PAIRS
from search_spaces.space import SearchSpace
from trainables.conditions import METHODS
from trainables.config import TrialConfig

OWN_WEIGHT = {
    "kd": "lambda_kd",
    "heteroakd": "lambda_hakd",
    "cwd": "lambda_cwd",
    "skd": "lambda_skd",
    "ifvd": "lambda_ifvd",
    "at": "lambda_at",
    "fitnet": "lambda_fitnet",
    "dist": "lambda_dist_intra",
    "cirkd": "lambda_cirkd_batch",
    "afdcd": "lambda_afdcd_contrast",
    "ofa": "lambda_ofa",
    "nfd": "lambda_nfd",
    "lskd": "lambda_lskd",
    "qsd": "lambda_qsd",
    "cirkdv2": "lambda_cirkdv2_mse",
    "diffkd": "lambda_diffkd",
    "collaborative": "lambda_pixel",
}
"""The weight that is searched under each method; heteroakd searches lambda_kd beside it."""

_TAUGHT = [method for method in METHODS if method != "task"]
_PAPER = {weight: TrialConfig.model_fields[weight].default for weight in OWN_WEIGHT.values()} | {"lambda_kd": 1.0}
_WEIGHTS = {weight: {"low": value / 100, "high": value * 10, "log": True} for weight, value in _PAPER.items()}
_PAIR = PAIRS["fpn_r18:pvt_b0"]
_PER_METHOD = 4

SPACE = SearchSpace.from_dict({"method": _TAUGHT, **_WEIGHTS, "lr": {"low": 3e-4, "high": 3e-3, "log": True}})
BASE: dict[str, Any] = {"teacher": _PAIR.teacher.model, "student": _PAIR.student.model}
ENQUEUE: tuple[dict[str, Any], ...] = tuple(
    {"method": method, OWN_WEIGHT[method]: _PAPER[OWN_WEIGHT[method]], "lr": 1e-3}
    | ({"lambda_kd": 0.1} if method == "heteroakd" else {})
    for method in _TAUGHT
)
STUDY: dict[str, Any] = {"balance": "method", "pruner": "none", "num_trials": _PER_METHOD * len(_TAUGHT)}
